"""DINOCell: cell instance segmentation with a DINOv3 backbone, a distance map and a watershed.

Names are loaded when first used, so that importing the package loads no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from dinocell.version import __version__ as __version__

if TYPE_CHECKING:
    from dinocell.checkpoint import Thresholds
    from dinocell.distance import labels_to_distance
    from dinocell.errors import DINOCellError
    from dinocell.metrics import Scores, evaluate
    from dinocell.model import DINOCell, list_models
    from dinocell.pipeline import DINOCellPipeline, segment
    from dinocell.segmentation import Segmentation
    from dinocell.training import TrainConfig, train
    from dinocell.training.finetuning import FinetuneConfig, finetune
    from dinocell.training.pretraining import PretrainConfig, pretrain
    from dinocell.watershed import distance_to_labels

__all__ = [
    "DINOCell",
    "DINOCellError",
    "DINOCellPipeline",
    "FinetuneConfig",
    "PretrainConfig",
    "Scores",
    "Segmentation",
    "Thresholds",
    "TrainConfig",
    "distance_to_labels",
    "evaluate",
    "finetune",
    "labels_to_distance",
    "list_models",
    "pretrain",
    "segment",
    "train",
]

_HOME = {
    "DINOCell": "model",
    "DINOCellError": "errors",
    "DINOCellPipeline": "pipeline",
    "FinetuneConfig": "training.finetuning",
    "PretrainConfig": "training.pretraining",
    "Scores": "metrics",
    "Segmentation": "segmentation",
    "Thresholds": "checkpoint",
    "TrainConfig": "training",
    "distance_to_labels": "watershed",
    "evaluate": "metrics",
    "finetune": "training.finetuning",
    "labels_to_distance": "distance",
    "list_models": "model",
    "pretrain": "training.pretraining",
    "segment": "pipeline",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dinocell' has no attribute {name!r}")
    return getattr(importlib.import_module(f"dinocell.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
