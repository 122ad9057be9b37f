"""Clicks as the decoder of clicks sees them: maps of the pixels of a window."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CLICK_FILE = "clicks.onnx"
"""The decoder of clicks in a checkpoint folder."""

CLICKS, CELL = "clicks", "cell"
"""Its input beside the tile and its feature maps, and its output."""

CLICK_CHANNELS = 4

NEAR, FAR = 3.0, 20.0
"""Widths in pixels of the hills around clicks."""

Pixel = tuple[int, int]


def click_maps(
    inside: Sequence[Pixel], outside: Sequence[Pixel], taken: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Draw clicks as maps.

    Parameters
    ----------
    inside, outside : sequence of (int, int)
        Rows and columns of clicks in the cell, at least one, and of clicks that are not.
    taken : bool array, shape (Y, X)
        Pixels of other cells.

    Returns
    -------
    float32 array, shape (4, Y, X)
        Hills around the clicks in the cell, narrow and wide; narrow ones around the others; and `taken`.
    """
    shape = (taken.shape[0], taken.shape[1])
    away, other = _squares(inside, shape), _squares(outside, shape)
    return np.stack(
        [
            np.exp(-away / (2 * NEAR**2)),
            np.exp(-np.sqrt(away) / FAR),
            np.exp(-other / (2 * NEAR**2)),
            taken.astype(np.float32),
        ]
    )


def _squares(clicks: Sequence[Pixel], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Compute the squared distance to the nearest of some clicks; very large without any."""
    rows, columns = np.indices(shape, np.float32, sparse=True)
    squares = np.full(shape, np.float32(1e6))
    for row, column in clicks:
        np.minimum(squares, (rows - row) ** 2 + (columns - column) ** 2, out=squares)
    return squares
