"""Segmentation of many files with one model: they are found, read ahead, predicted, and written once."""
