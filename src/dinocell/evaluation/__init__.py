"""Scores of datasets, search for settings, reports, and comparison with other tools."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
