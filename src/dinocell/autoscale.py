"""Find the zoom at which the network is surest of what it sees.

A network that is shown cells too large or too small for it predicts low, blurred hills. So an image is tried
at several zooms, and the one with the clearest hills is taken; that needs no labels and no cell size.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

ZOOMS = (0.5, 0.7, 1.0, 1.4, 2.0)
"""Factors on both sides of the image that are tried."""

MARGIN = 1.03
"""Another zoom than 1 must be clearer by this factor."""

WINDOW = 512
"""Side in pixels of the part of a large image that is tried."""

_STEP = 64


def clarity(distance: NDArray[np.float32], marker: float = 0.0) -> float:
    """How clear the hills of a distance map are: its mean, weighted by itself.

    Parameters
    ----------
    distance : float32 array, shape (Y, X)
        In [0, 1].
    marker : float
        A map that nowhere exceeds it holds no cell.

    Returns
    -------
    float
        In [0, 1]; 0 for a map without cells. Cones reach 0.5.

    Examples
    --------
    >>> clarity(np.array([[0.0, 0.5, 1.0, 0.5]], np.float32))
    0.75
    """
    if not (distance > marker).any():
        return 0.0
    return float(np.square(distance).sum(dtype=np.float64) / distance.sum(dtype=np.float64))


def busiest_window(distance: NDArray[np.float32], side: int = WINDOW) -> tuple[slice, slice]:
    """Find the part of an image with most cells in it.

    Parameters
    ----------
    distance : float32 array, shape (Y, X)
    side : int
        Its side in pixels; less where the image is smaller.

    Returns
    -------
    (slice, slice)
        Rows and columns of the square whose map sums to most, the first one of equals.
    """
    sums = np.pad(distance.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = (min(side, length) for length in distance.shape)
    tops = np.unique([*range(0, distance.shape[0] - height, _STEP), distance.shape[0] - height])
    lefts = np.unique([*range(0, distance.shape[1] - width, _STEP), distance.shape[1] - width])
    corner = [sums[np.ix_(tops + down, lefts + right)] for down in (0, height) for right in (0, width)]
    inside = corner[3] - corner[1] - corner[2] + corner[0]
    row, column = np.unravel_index(np.argmax(inside), inside.shape)
    top, left = int(tops[row]), int(lefts[column])
    return slice(top, top + height), slice(left, left + width)


def choose_zoom(clarities: Mapping[float, float]) -> float:
    """Take the clearest zoom, or 1 where none is clearer by `MARGIN`.

    Parameters
    ----------
    clarities : mapping
        `clarity` by zoom; holds 1.0.
    """
    best = max(clarities, key=lambda zoom: clarities[zoom])
    return best if clarities[best] > MARGIN * clarities[1.0] else 1.0
