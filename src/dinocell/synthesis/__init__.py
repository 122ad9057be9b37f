"""Images of cells that are drawn by rules, with their labels: recipes, one file a kind of light."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
