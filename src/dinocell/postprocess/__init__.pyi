from .distance import labels_to_distance
from .thresholds import Thresholds
from .watershed import distance_to_labels

__all__ = [
    "Thresholds",
    "distance_to_labels",
    "labels_to_distance",
]
