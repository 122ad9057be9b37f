from .cluster_start import open_executor
from .executor import Executor
from .pool import OrderedPool

__all__ = [
    "Executor",
    "OrderedPool",
    "open_executor",
]
