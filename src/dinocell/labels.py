"""Label images: int32 ``(Y, X)``, 0 is background, cells are 1…N without gaps."""

from typing import Any, Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from dinocell.errors import InputError

Labels = NDArray[np.int32]

Target = Literal["cells", "nuclei"]
"""Object that labels outline: whole cells, or their nuclei."""

TARGETS: tuple[Target, ...] = ("cells", "nuclei")

DEFAULT_TARGET: Target = "cells"
"""Target of data that record none, where none is given."""

IGNORE = -1
"""Value of pixels that count for nothing, in loss and in metrics."""


def validate_target(target: str, *, name: str = "target") -> Target:
    """Check that a text is one of `TARGETS`, and return it.

    Raises
    ------
    InputError
        If it is not.
    """
    for known in TARGETS:
        if target == known:
            return known
    raise InputError(f"{name} is {target!r:.40}, expected {' or '.join(TARGETS)}")


def validate_labels(labels: NDArray[Any], *, name: str = "labels") -> Labels:
    """Check that an array is a label image and return it as int32.

    Ids may have gaps; `IGNORE` (−1) is allowed. The input is never changed.

    Parameters
    ----------
    labels : integer or boolean array, shape (Y, X)
        0 is background. A boolean array is one cell.
    name : str
        What the error message calls the array.

    Returns
    -------
    int32 array, shape (Y, X)
        The array itself where it already is int32.

    Raises
    ------
    InputError
        If the array is not two-dimensional, not of integers, or has values under −1 or beyond int32.
    """
    array = np.asarray(labels)
    if array.ndim != 2:
        raise InputError(
            f"{name} has shape {array.shape}, expected a label image (Y, X): pass one plane at a time"
        )
    if array.dtype == bool:
        return array.astype(np.int32)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"{name} has dtype {array.dtype}, expected integers with 0 as background: "
            "convert with .astype(int)"
        )
    if array.size and (int(array.min()) < IGNORE or int(array.max()) > np.iinfo(np.int32).max):
        raise InputError(
            f"{name} holds values from {array.min()} to {array.max()}, "
            "expected −1 (ignore), 0 and ids up to 2³¹−1"
        )
    return array.astype(np.int32, copy=False)


def relabel(labels: NDArray[Any]) -> Labels:
    """Renumber the cells 1…N without gaps, in the order of their ids.

    Parameters
    ----------
    labels : integer array, shape (Y, X)
        0 and `IGNORE` stay as they are.

    Returns
    -------
    int32 array, shape (Y, X)

    Examples
    --------
    >>> relabel(np.array([[0, 7, 7], [-1, 3, 0]]))
    array([[ 0,  2,  2],
           [-1,  1,  0]], dtype=int32)
    """
    array = validate_labels(labels)
    if array.size and int(array.min()) >= 0 and int(array.max()) <= array.size:
        # Where no id exceeds the number of pixels, a table of ids is quicker than sorting the pixels.
        known = np.bincount(array.ravel()) > 0
        known[0] = False
        return np.where(known, np.cumsum(known), 0).astype(np.int32)[array]
    ids, inverse = np.unique(array, return_inverse=True)
    numbers = np.where(ids > 0, np.cumsum(ids > 0), ids).astype(np.int32)
    return numbers[inverse].reshape(array.shape)


def number_pieces(labels: Labels, *, corners: bool = True) -> Labels:
    """Return numbers of the connected pieces of equal labels.

    Pieces are put together from runs of equal pixels along rows. Runs of one label hang together where they
    lie below each other, and where they touch at a corner; one pair of pixels for each such place is enough::

        run 1   7 7 7 . . 7 7   run 2
                    |    /          the pair of the column in which the later one begins, and corners
        run 3   . . 7 7 7 .

    Parameters
    ----------
    labels : int32 array, shape (Y, X)
        0 is background.
    corners : bool
        Whether pixels that touch at a corner alone hang together (8-connected), or not (4-connected).

    Returns
    -------
    int32 array, shape (Y, X)
        The pieces, 1…N in row-major order of their first pixels.

    Examples
    --------
    >>> diagonal = np.array([[5, 0, 7], [0, 5, 7]], np.int32)
    >>> number_pieces(diagonal), number_pieces(diagonal, corners=False)
    (array([[1, 0, 2],
           [0, 1, 2]], dtype=int32), array([[1, 0, 2],
           [0, 3, 2]], dtype=int32))
    """
    begins = np.ones(labels.shape, bool)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=begins[:, 1:])
    run = (np.cumsum(begins.ravel(), dtype=np.int32) - 1).reshape(labels.shape)
    first = np.flatnonzero(begins)
    one, other = _touching_runs(labels, begins, run, corners=corners)
    links = scipy.sparse.coo_array((np.ones(one.size, bool), (one, other)), shape=(first.size, first.size))
    piece = scipy.sparse.csgraph.connected_components(links, directed=False)[1]
    return _in_order(piece, labels.ravel()[first] != 0)[run]


def _touching_runs(
    labels: Labels, begins: NDArray[np.bool_], run: NDArray[np.int32], *, corners: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """List pairs of runs of one label that touch, by their numbers."""
    # Of two runs below each other, one begins in the first column of both.
    pairs: list[tuple[Any, Any, NDArray[np.bool_]]] = [(np.s_[:-1], np.s_[1:], begins[:-1] | begins[1:])]
    if corners:  # where the right one of the two pixels does not begin a run, its run lies below the other's
        pairs += [
            (np.s_[:-1, :-1], np.s_[1:, 1:], begins[1:, 1:]),
            (np.s_[:-1, 1:], np.s_[1:, :-1], begins[:-1, 1:]),
        ]
    above, below = [], []
    for upper, lower, looked_at in pairs:
        same = looked_at & (labels[upper] == labels[lower]) & (labels[upper] != 0)
        above.append(run[upper][same])
        below.append(run[lower][same])
    return np.concatenate(above), np.concatenate(below)


def _in_order(piece: NDArray[np.int32], counts: NDArray[np.bool_]) -> Labels:
    """Renumber pieces 1…N by their first runs; runs that do not count become 0."""
    numbers = np.zeros(piece.size, np.int32)
    _, first, place = np.unique(piece[counts], return_index=True, return_inverse=True)
    ranks = np.empty(first.size, np.int32)
    ranks[np.argsort(first)] = np.arange(1, first.size + 1)
    numbers[counts] = ranks[place]
    return numbers


def cell_areas(labels: Labels) -> NDArray[np.int64]:
    """Count the pixels of every id.

    Parameters
    ----------
    labels : int32 array, shape (Y, X)

    Returns
    -------
    int64 array, shape (max id + 1,)
        Entry ``i`` is the area of id ``i`` in pixels, 0 where the id is absent; entry 0 is the background.
    """
    return np.bincount(labels[labels >= 0].ravel(), minlength=1)


def median_diameter(labels: Labels) -> float:
    """Compute the median equivalent diameter of the cells.

    Parameters
    ----------
    labels : int32 array, shape (Y, X)

    Returns
    -------
    float
        Diameter in pixels of the circle with the cell's area, the median over cells; NaN without cells.
    """
    areas = cell_areas(labels)[1:]
    areas = areas[areas > 0]
    return float(np.median(2.0 * np.sqrt(areas / np.pi))) if areas.size else float("nan")
