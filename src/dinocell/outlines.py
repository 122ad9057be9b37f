"""Outlines of cells, to be looked at."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from dinocell.errors import InputError
from dinocell.labels import validate_labels

PALETTE = np.array(
    [
        (255, 220, 0), (0, 230, 255), (255, 90, 200), (120, 255, 80),
        (255, 140, 40), (120, 160, 255), (255, 80, 80), (0, 255, 180),
    ],
    np.uint8,
)  # fmt: skip
"""Colours (R, G, B) that stand out on gray; neighbours in number get different ones."""


def draw_outlines(gray: NDArray[np.uint8], labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Draw the outline of every cell over an image.

    Parameters
    ----------
    gray : uint8 array, shape (Y, X)
    labels : integer array, shape (Y, X)

    Returns
    -------
    uint8 array, shape (Y, X, 3)
        RGB; the outermost pixels of each cell are coloured by its id.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    cells = np.maximum(validate_labels(labels), 0)
    if gray.shape != cells.shape:
        raise InputError(f"gray has shape {gray.shape}, expected {cells.shape} as labels")
    picture = np.repeat(gray[:, :, None], 3, axis=2)
    edge = find_boundaries(cells, mode="inner")
    picture[edge] = PALETTE[cells[edge] % len(PALETTE)]
    return picture
