"""Stores of SAMCell's scripts: the same three files as ours, converted to what ours hold.

``imgs.npy`` is float32 from 0 to 1 or to 255, or uint8, ``(N, Y, X)`` or ``(N, Y, X, 3)``; ``dist_maps.npy``
``(N, Y, X)``; ``anns.npy``, where there is one, ``(N, Y, X)``, or ``(N, 2, Y, X)`` with crowds in the second
plane.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.datasets.items import ignore_where
from dinocell.errors import InputError
from dinocell.labels import Labels, validate_labels
from dinocell.preprocess.preprocessing import Preprocessing, to_grayscale

DIFFERENCES = (
    "its images went through CLAHE on a grid of 8 by 8 whatever their size, after scaling by their extremes "
    "(older scripts leave it out); its maps are of the union of all cells, without a valley where these "
    "touch, and divided by the image's maximum, so that small cells stay low; padding counts as background"
)
"""Differences from stores of `dinocell process`, as a model sees them."""

PREPROCESSING = Preprocessing()
"""Our preprocessing that is nearest to SAMCell's."""


def convert_image(item: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert an item to an 8-bit image.

    Parameters
    ----------
    item : array, shape (Y, X) or (Y, X, C)
        An item whose largest value is at most 1 is taken to be from 0 to 1.

    Returns
    -------
    uint8 array, shape (Y, X)

    Raises
    ------
    InputError
        If it holds other values, or has another number of channels than 1, 3 and 4.
    """
    is_gray = item.ndim == 3 and bool((item == item[:, :, :1]).all())
    gray = item[:, :, 0] if is_gray else to_grayscale(item)
    if gray.dtype == np.uint8:
        return np.ascontiguousarray(gray)
    low, high = float(gray.min()), float(gray.max())
    if not 0 <= low <= high <= 255.5:
        raise InputError(f"an image has values from {low:g} to {high:g}, expected 0 to 1 or 0 to 255")
    return np.asarray(np.rint(gray * (255.0 if high <= 1 else 1.0)), np.uint8)


def convert_map(item: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """Convert an item of shape (Y, X) or (Y, X, 1) to a distance map.

    Raises
    ------
    InputError
        If it has another shape.
    """
    return np.array(_plane(item, size), np.float32)


def convert_labels(item: NDArray[Any], size: tuple[int, int]) -> Labels:
    """Convert an item of shape (Y, X), (Y, X, 1), (1, Y, X) or (2, Y, X) to a label image.

    Of the last, pixels that are not 0 in the second plane are −1: cells that are not told apart.

    Raises
    ------
    InputError
        If it has another shape, or is not a label image.
    """
    if item.shape in {(1, *size), (2, *size)}:
        labels = validate_labels(np.array(item[0]))
        return ignore_where(labels, item[1]) if len(item) == 2 else labels
    return validate_labels(np.array(_plane(item, size)))


def _plane(item: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    if item.shape not in {size, (*size, 1)}:
        raise InputError(f"an item has shape {item.shape}, expected {size} as its image")
    return item.reshape(size)
