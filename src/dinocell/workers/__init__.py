"""Work in several processes: an ordered pool, an executor, and the start of a cluster."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
