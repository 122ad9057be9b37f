"""Images with their labels, kept as crops are drawn from them."""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.labels import median_diameter
from dinocell.preprocess.intensity_range import scale_to_uint8
from dinocell.preprocess.preprocessing import Preprocessing, preprocess
from dinocell.training.warp import bounding_boxes


@dataclass(frozen=True)
class Annotated:
    """A preprocessed image with its labels.

    Attributes
    ----------
    name : str
    image : uint8 array, shape (Y, X)
        Preprocessed in its own size.
    labels : int32 array, shape (Y, X)
    distance : float32 array, shape (Y, X), optional
        Measured map, which comes with a crop of a store, as that cuts cells; else it is measured on the
        labels.
    gray : uint8 array, shape (Y, X), optional
        The image before CLAHE; None where it is not known, as in a store.
    colour : uint8 array, shape (Y, X, 3), optional
        Its colours, where it has some.
    preprocessing : Preprocessing
        Settings that made `image` of `gray`.
    """

    name: str
    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    distance: NDArray[np.float32] | None = None
    gray: NDArray[np.uint8] | None = None
    colour: NDArray[np.uint8] | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    @cached_property
    def boxes(self) -> NDArray[np.int64]:
        """Bounding boxes by id, see `bounding_boxes`."""
        return bounding_boxes(self.labels)

    @cached_property
    def diameter(self) -> float:
        """Diameter of the median cell in pixels; NaN without cells."""
        return median_diameter(np.maximum(self.labels, 0)) if self.labels.size else math.nan


def annotate(
    name: str, pixels: NDArray[Any], labels: NDArray[np.int32], preprocessing: Preprocessing
) -> Annotated:
    """Preprocess an image, and keep what crops are drawn from.

    Parameters
    ----------
    name : str
    pixels : array, shape (Y, X) or (Y, X, C)
        As `preprocess` takes it.
    labels : int32 array, shape (Y, X)
    preprocessing : Preprocessing

    Returns
    -------
    Annotated

    Raises
    ------
    InputError
        If the image cannot be preprocessed.
    """
    image = preprocess(pixels, preprocessing)
    without = preprocess(pixels, replace(preprocessing, clahe=False)) if preprocessing.clahe else image
    return Annotated(name, image, labels, gray=without, colour=_colour(pixels), preprocessing=preprocessing)


def _colour(pixels: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Return the colours in 8 bits, scaled alike so that white stays white; None where all are equal."""
    if pixels.ndim != 3 or pixels.shape[2] < 3:
        return None
    red, green, blue = (pixels[:, :, channel] for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return None
    return scale_to_uint8(pixels[:, :, :3])
