"""Train DINOCell models."""

from dinocell.training.config import TrainConfig
from dinocell.training.loop import EpochRecord, Progress, train

__all__ = ["EpochRecord", "Progress", "TrainConfig", "train"]
