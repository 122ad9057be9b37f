from .config import PretrainConfig
from .loop import ImagesRead, PretrainStep, pretrain, pretraining_steps
from .state import BACKBONE_FOLDER, PretrainRecord

__all__ = [
    "BACKBONE_FOLDER",
    "ImagesRead",
    "PretrainConfig",
    "PretrainRecord",
    "PretrainStep",
    "pretrain",
    "pretraining_steps",
]
