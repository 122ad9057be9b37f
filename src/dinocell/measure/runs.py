"""A label image as runs of equal pixels along its rows, over which sums of cells are quick."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.labels import Labels

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of all pixels of a label image, background too, in reading order.

    Attributes
    ----------
    shape : (int, int)
        (Y, X) of the image.
    cell : int32 array, shape (R,)
        0 where the run is background.
    first : int64 array, shape (R,)
        Position of the run's first pixel in the flattened image.
    length : int64 array, shape (R,)
        Pixels.
    """

    shape: tuple[int, int]
    cell: NDArray[np.int32]
    first: Ints
    length: Ints

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """Assign every pixel the value of its run.

        Parameters
        ----------
        values : array, shape (R,)

        Returns
        -------
        array, shape (Y, X)
        """
        return np.repeat(values, self.length).reshape(self.shape)


@dataclass(frozen=True, eq=False)
class CellRuns:
    """Runs of cells 1…N, cell after cell, each in reading order.

    Attributes
    ----------
    order : int64 array, shape (K,)
        Their positions among the image's runs.
    begins : int64 array, shape (N,)
        Position in `order` at which each cell begins.
    cell : int32 array, shape (K,)
        1…N.
    row : int64 array, shape (K,)
    left, right : int64 array, shape (K,)
        Columns of the first and of the last pixel.
    """

    order: Ints
    begins: Ints
    cell: NDArray[np.int32]
    row: Ints
    left: Ints
    right: Ints

    def total(self, values: NDArray[Any]) -> NDArray[Any]:
        """Add up values of runs, shape (K,), cell by cell, shape (N,), in their own dtype."""
        return np.add.reduceat(values, self.begins)


def find_runs(labels: Labels) -> Runs:
    """Cut a label image into runs.

    Parameters
    ----------
    labels : int32 array, shape (Y, X)
        0 is background; ids may have gaps.

    Returns
    -------
    Runs

    Examples
    --------
    >>> runs = find_runs(np.array([[7, 7, 0], [0, 0, 0]], np.int32))
    >>> runs.cell, runs.first, runs.length
    (array([7, 0, 0], dtype=int32), array([0, 2, 3]), array([2, 1, 3]))
    """
    begins = np.ones(labels.shape, bool)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=begins[:, 1:])
    first = np.flatnonzero(begins)
    return Runs(
        (labels.shape[0], labels.shape[1]), labels.ravel()[first], first, np.diff(first, append=labels.size)
    )


def sort_runs(runs: Runs) -> CellRuns:
    """Sort runs by cell, without the background.

    Parameters
    ----------
    runs : Runs
        Of cells numbered 1…N without gaps.

    Returns
    -------
    CellRuns
    """
    order = np.argsort(runs.cell, kind="stable")
    order = order[np.count_nonzero(runs.cell == 0) :]
    cell = runs.cell[order]
    row, left = np.divmod(runs.first[order], max(runs.shape[1], 1))
    begins = np.flatnonzero(np.diff(cell, prepend=0))
    return CellRuns(order, begins, cell, row, left, left + runs.length[order] - 1)
