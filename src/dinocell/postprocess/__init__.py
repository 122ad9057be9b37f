"""Labels to distance map and back: distance transform, flooding, watershed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
