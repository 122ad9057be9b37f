from .config import FinetuneConfig
from .loop import finetune, finetune_steps
from .result import FinetuneResult

__all__ = [
    "FinetuneConfig",
    "FinetuneResult",
    "finetune",
    "finetune_steps",
]
