from .cached_crops import CropsCached
from .checkpoints import EpochRecord
from .config import TrainConfig
from .loop import StepDone, train, training_steps

__all__ = [
    "CropsCached",
    "EpochRecord",
    "StepDone",
    "TrainConfig",
    "train",
    "training_steps",
]
