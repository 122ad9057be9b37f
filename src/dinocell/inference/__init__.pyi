from .pipeline import DINOCellPipeline
from .prediction import Predictor
from .preset import Preset, read_preset
from .segmentation import Parameters, Segmentation
from .settings import InferenceSettings, RunSettings

__all__ = [
    "DINOCellPipeline",
    "InferenceSettings",
    "Parameters",
    "Predictor",
    "Preset",
    "RunSettings",
    "Segmentation",
    "read_preset",
]
