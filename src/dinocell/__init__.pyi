from .editing.editor import LabelEditor
from .errors import DINOCellError
from .inference.pipeline import DINOCellPipeline
from .inference.segment import segment
from .inference.segmentation import Parameters, Segmentation
from .inference.settings import InferenceSettings, RunSettings
from .io.images import Image, open_image, read_image, read_labels
from .io.saving import write_labels
from .measure.cells import measure_cells
from .measure.confidence import cell_confidence
from .measure.quality import image_quality
from .metrics.scores import Scores, evaluate
from .models.listing import list_models
from .models.network.dinocell import DINOCell
from .postprocess.distance import labels_to_distance
from .postprocess.thresholds import Thresholds
from .postprocess.watershed import distance_to_labels
from .training.config import TrainConfig
from .training.finetuning import FinetuneConfig, finetune
from .training.loop import train
from .training.pretraining import PretrainConfig, pretrain
from .version import __version__

__all__ = [
    "DINOCell",
    "DINOCellError",
    "DINOCellPipeline",
    "FinetuneConfig",
    "Image",
    "InferenceSettings",
    "LabelEditor",
    "Parameters",
    "PretrainConfig",
    "RunSettings",
    "Scores",
    "Segmentation",
    "Thresholds",
    "TrainConfig",
    "__version__",
    "cell_confidence",
    "distance_to_labels",
    "evaluate",
    "finetune",
    "image_quality",
    "labels_to_distance",
    "list_models",
    "measure_cells",
    "open_image",
    "pretrain",
    "read_image",
    "read_labels",
    "segment",
    "train",
    "write_labels",
]
