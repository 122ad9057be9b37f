"""Train DINOCell models."""

from dinocell.training.config import TrainConfig
from dinocell.training.loop import StepDone, train, training_steps
from dinocell.training.run_folder import EpochRecord

__all__ = ["EpochRecord", "StepDone", "TrainConfig", "train", "training_steps"]
