from .run import segment_files
from .settings import BatchSettings
from .sources import find_sources

__all__ = [
    "BatchSettings",
    "find_sources",
    "segment_files",
]
