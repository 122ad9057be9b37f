from .checkpoints import EpochRecord
from .config import TrainConfig
from .loop import StepDone, train, training_steps

__all__ = [
    "EpochRecord",
    "StepDone",
    "TrainConfig",
    "train",
    "training_steps",
]
