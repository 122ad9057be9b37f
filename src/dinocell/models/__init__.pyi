from .checkpoint import hash_checkpoint
from .configuration import ModelConfig
from .export import INPUT, OUTPUT, Exported, export_onnx, exported_files
from .finding import find_checkpoint
from .hub import is_hub_id
from .network.dinocell import DINOCell
from .network.listing import list_models
from .variants import VARIANTS, find_variant
from .weights import PRETRAINED, fetch_weights

__all__ = [
    "INPUT",
    "OUTPUT",
    "PRETRAINED",
    "VARIANTS",
    "DINOCell",
    "Exported",
    "ModelConfig",
    "export_onnx",
    "exported_files",
    "fetch_weights",
    "find_checkpoint",
    "find_variant",
    "hash_checkpoint",
    "is_hub_id",
    "list_models",
]
