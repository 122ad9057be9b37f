from .run import segment_large
from .settings import LargeSettings

__all__ = [
    "LargeSettings",
    "segment_large",
]
