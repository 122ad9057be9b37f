from .intensity_range import scale_to_uint8
from .preprocessing import Preprocessing, apply_clahe, preprocess, to_grayscale
from .resampling import resize

__all__ = [
    "Preprocessing",
    "apply_clahe",
    "preprocess",
    "resize",
    "scale_to_uint8",
    "to_grayscale",
]
