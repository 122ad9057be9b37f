from .config import PretrainConfig
from .loop import ImagesRead, PretrainStep, pretrain, pretraining_steps
from .state import PretrainRecord

__all__ = [
    "ImagesRead",
    "PretrainConfig",
    "PretrainRecord",
    "PretrainStep",
    "pretrain",
    "pretraining_steps",
]
