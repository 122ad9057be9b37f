from .formats import open_dataset
from .items import AnnotatedImage, Item
from .store import DINOCellDataset

__all__ = [
    "AnnotatedImage",
    "DINOCellDataset",
    "Item",
    "open_dataset",
]
