from .checkpoint import Checkpoint, hash_checkpoint
from .configuration import ModelConfig
from .export.standalone import Exported, export_onnx, exported_files
from .finding import find_checkpoint
from .graph import INPUT, OUTPUT
from .hub import is_hub_id
from .listing import list_models
from .network.dinocell import DINOCell
from .network.weights import PRETRAINED, fetch_weights
from .variants import VARIANTS, find_variant

__all__ = [
    "INPUT",
    "OUTPUT",
    "PRETRAINED",
    "VARIANTS",
    "Checkpoint",
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
