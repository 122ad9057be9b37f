from .pipeline import DINOCellPipeline
from .prediction import Predictor
from .preset import Preset, read_preset, write_preset
from .remote_model import RemoteModel
from .segmentation import Parameters, Segmentation
from .settings import InferenceSettings, RunSettings

__all__ = [
    "DINOCellPipeline",
    "InferenceSettings",
    "Parameters",
    "Predictor",
    "Preset",
    "RemoteModel",
    "RunSettings",
    "Segmentation",
    "read_preset",
    "write_preset",
]
