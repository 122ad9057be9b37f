from .pooling import bootstrap_interval, mean_over_images, pool
from .score_table import SCORES
from .scores import Scores, evaluate

__all__ = [
    "SCORES",
    "Scores",
    "bootstrap_interval",
    "evaluate",
    "mean_over_images",
    "pool",
]
