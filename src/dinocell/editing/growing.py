"""Grow a cell from clicks over free pixels: the hill of the distance map that the clicks lie on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dinocell.labels import Labels, number_pieces
from dinocell.models.clicks import Pixel
from dinocell.postprocess.watershed import boundary_widths, distance_to_labels, grow_boundaries

_LEVEL = 0.3
"""Default level, as a share of the highest value near the clicks."""

_NEAR = 2
"""Pixels around a click within which a hill may be highest: a hand is not exact."""

_MARKER = 0.6
"""Hills above this share of the clicked one are cells of their own."""

_MERGE = 0.7
"""Saddles above this share of the lower hill do not part two hills."""

_FLAT = 0.02
"""The map shows nothing where it is below this."""


def grow(
    free: NDArray[np.bool_], heights: NDArray[np.floating], clicks: Sequence[Pixel], level: float | None
) -> NDArray[np.bool_] | None:
    """Grow a cell from clicks.

    Parameters
    ----------
    free : bool array, shape (Y, X)
        What it may cover; the clicks are.
    heights : float array, shape (Y, X)
        The distance map, which may be low: what the clicks lie on counts.
    clicks : sequence of (int, int)
        Rows and columns.
    level : float, optional
        Height down to which it grows, before it grows back by the boundary that this cut off; a share of the
        highest value near the clicks otherwise. A click below it lowers it, so that every click is in it.

    Returns
    -------
    bool array, shape (Y, X), or None
        None where the map shows nothing.
    """
    peaks = [_highest_near(heights, click) for click in clicks]
    if max(peaks) < _FLAT:
        return None
    lowest = min(float(heights[click]) for click in clicks)
    height = min(_LEVEL * max(peaks) if level is None else level, lowest)
    above = free & (heights >= height)
    pieces = number_pieces(above.astype(np.int32), corners=False)
    reached = np.isin(pieces, [pieces[click] for click in clicks])
    hills = distance_to_labels(
        np.where(reached, heights, 0).astype(np.float32),
        cells_max_threshold=min(_MARKER * max(peaks), 1.0),
        cell_fill_threshold=0,
        merge=_MERGE,
        regrow=False,
    )
    cell = _own(hills, reached, clicks).astype(np.int32)
    # Grow back by the boundary that the level cut off, as the watershed does.
    cell = grow_boundaries(cell, boundary_widths(cell, height / max(peaks)))
    return filled(cell > 0) & free


def _highest_near(heights: NDArray[np.floating], click: Pixel) -> float:
    row, column = click
    near = heights[max(0, row - _NEAR) : row + _NEAR + 1, max(0, column - _NEAR) : column + _NEAR + 1]
    return float(near.max())


def _own(hills: Labels, reached: NDArray[np.bool_], clicks: Sequence[Pixel]) -> NDArray[np.bool_]:
    """Return the hills that clicks lie on; a click on none takes all of what is reached that no hill has."""
    numbers = {int(hills[click]) for click in clicks}
    own: NDArray[np.bool_] = reached & np.isin(hills, list(numbers))
    return own


def filled(cell: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill the holes of a cell."""
    from scipy.ndimage import binary_fill_holes  # here, as it takes long to import

    whole: NDArray[np.bool_] = binary_fill_holes(cell)
    return whole
