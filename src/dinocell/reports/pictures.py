"""Pictures of true and predicted cells, and PNG inside a page."""

import base64
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from dinocell.labels import Labels
from dinocell.measure.outlines import outermost_pixels
from dinocell.preprocess.resampling import resize

TRUE, PREDICTED, BOTH = (0, 190, 255), (255, 105, 0), (255, 240, 60)
"""Colours (R, G, B) of true outlines, of predicted ones, and where the two coincide."""

LARGEST_WIDTH, SMALL_WIDTH = 700, 300
"""Pictures wider than the first are shrunk to it; those narrower than the second are doubled in size."""


def draw_comparison(gray: NDArray[np.uint8], true: Labels, predicted: Labels) -> NDArray[np.uint8]:
    """Draw true and predicted outlines over an image, at the size to be shown.

    Parameters
    ----------
    gray : uint8 array, shape (Y, X)
    true, predicted : int32 array, shape (Y, X)
        Negative labels are drawn as background.

    Returns
    -------
    uint8 array, shape (Y', X', 3)
        RGB, the outermost pixels of cells in `TRUE`, `PREDICTED` or `BOTH`.
    """
    height, width = gray.shape
    factor = 2.0 if width < SMALL_WIDTH else min(1.0, LARGEST_WIDTH / width)
    shape = max(1, round(height * factor)), max(1, round(width * factor))
    shown = resize(gray, shape) if factor < 1 else _nearest(gray, shape)
    picture = np.repeat(shown[:, :, None], 3, axis=2)
    # Outlines are found at the size shown, where they are one pixel wide.
    is_true, is_predicted = (
        outermost_pixels(_nearest(np.maximum(labels, 0), shape)) for labels in (true, predicted)
    )
    picture[is_true], picture[is_predicted] = TRUE, PREDICTED
    picture[is_true & is_predicted] = BOTH
    return picture


def png_uri(picture: NDArray[np.uint8]) -> str:
    """Encode an RGB picture as a data URI."""
    encoded = imagecodecs.png_encode(np.ascontiguousarray(picture))
    return f"data:image/png;base64,{base64.b64encode(encoded).decode('ascii')}"


def _nearest(array: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    rows, columns = (
        (2 * np.arange(wanted) + 1) * size // (2 * wanted)
        for wanted, size in zip(shape, array.shape, strict=True)
    )
    return array[np.ix_(rows, columns)]
