"""Training of the decoder of clicks: samples of single cells with clicks, and the loop."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
