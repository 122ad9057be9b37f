from .images import Image, open_image, read_image, read_labels
from .saving import write_image, write_labels
from .selection import Selection, select_planes
from .settings_files import read_settings

__all__ = [
    "Image",
    "Selection",
    "open_image",
    "read_image",
    "read_labels",
    "read_settings",
    "select_planes",
    "write_image",
    "write_labels",
]
