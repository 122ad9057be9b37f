"""Numbers of every cell: shape, position, intensity, outline, confidence."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
