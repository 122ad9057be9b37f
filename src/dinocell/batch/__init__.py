"""Segmentation of many files with one model: they are found, read ahead, predicted, and written once."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
