"""Train DINOCell models."""

import lazy_loader

from dinocell.extras import require_extra

require_extra("torch", extra="train", purpose="training")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
