"""Metrics of segmentations: matching of cells, scores of an image, scores pooled over a set."""
