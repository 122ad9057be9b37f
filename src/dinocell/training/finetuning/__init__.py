"""Adapt a trained model to a few annotated images in minutes."""

from dinocell.training.finetuning.config import FinetuneConfig
from dinocell.training.finetuning.loop import finetune, finetune_steps
from dinocell.training.finetuning.result import FinetuneResult

__all__ = ["FinetuneConfig", "FinetuneResult", "finetune", "finetune_steps"]
