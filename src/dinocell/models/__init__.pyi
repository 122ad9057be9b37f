from .checkpoint import find_checkpoint
from .configuration import ModelConfig
from .export import export_onnx
from .network.dinocell import DINOCell, list_models
from .variants import VARIANTS

__all__ = [
    "VARIANTS",
    "DINOCell",
    "ModelConfig",
    "export_onnx",
    "find_checkpoint",
    "list_models",
]
