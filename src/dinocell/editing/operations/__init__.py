"""Operations on labels, a file each: what was asked for, as data, and what becomes of the labels."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
