"""Self-supervised pretraining of a backbone on images without labels."""

from dinocell.training.pretraining.config import PretrainConfig
from dinocell.training.pretraining.loop import (
    ImagesRead,
    PretrainStep,
    pretrain,
    pretraining_steps,
)
from dinocell.training.pretraining.state import PretrainRecord

__all__ = [
    "ImagesRead",
    "PretrainConfig",
    "PretrainRecord",
    "PretrainStep",
    "pretrain",
    "pretraining_steps",
]
