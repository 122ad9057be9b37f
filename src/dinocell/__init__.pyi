from .errors import DINOCellError
from .inference.pipeline import DINOCellPipeline
from .inference.segment import segment
from .inference.segmentation import Segmentation
from .io.images import read_image, read_labels
from .io.saving import write_labels
from .measure.cells import measure_cells
from .metrics.scores import Scores, evaluate
from .models.network.dinocell import DINOCell
from .models.network.listing import list_models
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
    "PretrainConfig",
    "Scores",
    "Segmentation",
    "Thresholds",
    "TrainConfig",
    "__version__",
    "distance_to_labels",
    "evaluate",
    "finetune",
    "labels_to_distance",
    "list_models",
    "measure_cells",
    "pretrain",
    "read_image",
    "read_labels",
    "segment",
    "train",
    "write_labels",
]
