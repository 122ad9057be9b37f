"""Train DINOCell models."""

from dinocell.training.checkpoints import EpochRecord
from dinocell.training.config import TrainConfig
from dinocell.training.loop import StepDone, train, training_steps

__all__ = ["EpochRecord", "StepDone", "TrainConfig", "train", "training_steps"]
