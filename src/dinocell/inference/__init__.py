"""Image to labels: prediction of the distance map, watershed, search of the scale, engines."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
