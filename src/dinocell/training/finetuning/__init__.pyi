from .config import FinetuneConfig
from .loop import finetune, finetune_steps
from .result import CropsDone, FinetuneResult, FinetuneStep, ImageRead, LeftOut

__all__ = [
    "CropsDone",
    "FinetuneConfig",
    "FinetuneResult",
    "FinetuneStep",
    "ImageRead",
    "LeftOut",
    "finetune",
    "finetune_steps",
]
