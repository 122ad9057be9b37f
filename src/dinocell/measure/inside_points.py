"""A point well inside of every cell, where a mark or a number is seen to be its own."""

from dataclasses import dataclass
from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray

from dinocell.labels import validate_labels


@dataclass(frozen=True, eq=False)
class InsidePoints:
    """Points inside of cells, by rising id.

    Attributes
    ----------
    ids : int32 array, shape (N,)
    points : int64 array, shape (N, 2)
        Row and column of the pixel of the cell that is farthest from all that is not the cell.
    radii : float32 array, shape (N,)
        Pixels from there to the nearest pixel that is not the cell; beyond the image none is.
    """

    ids: NDArray[np.int32]
    points: NDArray[np.int64]
    radii: NDArray[np.float32]


def inside_points(labels: NDArray[Any]) -> InsidePoints:
    """Find the centre of the largest circle in every cell, which unlike its centroid lies in the cell.

    Of several pixels that are equally far inside, the one nearest to their centre is taken.

    Parameters
    ----------
    labels : integer array, shape (Y, X)
        0 and −1 are not cells.

    Returns
    -------
    InsidePoints

    Raises
    ------
    InputError
        If `labels` is not a label image.

    Examples
    --------
    >>> inside_points(np.array([[4, 4, 4, 4, 4], [0, 0, 9, 0, 0]])).points.tolist()
    [[0, 2], [1, 2]]
    """
    cells = np.ascontiguousarray(np.maximum(validate_labels(labels), 0))
    away = edt.edt(cells, black_border=True)
    inside = cells > 0
    ids, number = np.unique(cells[inside], return_inverse=True)
    radii = np.zeros(ids.size, np.float32)
    np.maximum.at(radii, number, away[inside])
    deepest = away[inside] == radii[number]
    rows, columns = (place[deepest] for place in np.nonzero(inside))
    number = number[deepest]
    count = np.bincount(number, minlength=ids.size)
    middle = [np.bincount(number, place, ids.size) / count for place in (rows, columns)]
    off = np.hypot(rows - middle[0][number], columns - middle[1][number])
    order = np.lexsort((off, number))
    first = order[np.searchsorted(number[order], np.arange(ids.size))]
    return InsidePoints(ids, np.stack([rows[first], columns[first]], axis=1), radii)
