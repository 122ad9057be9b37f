"""Metrics of segmentations: matching of cells, scores of an image, scores pooled over a set."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
