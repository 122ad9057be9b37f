"""Repair of label images that were edited by hand: pieces, specks, and what nobody has looked at."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from dinocell.datasets.items import ignore_where
from dinocell.labels import Labels, relabel
from dinocell.metrics.pieces import SPECK


@dataclass(frozen=True)
class Repairs:
    """Counts of what was repaired in a label image that was edited by hand.

    Attributes
    ----------
    split : int
        Ids in several pieces; every piece is a cell of its own now.
    specks : int
        Pieces of fewer than `SPECK` pixels that are background now.
    unchecked_cells : int
        Cells that the mark touches; they are ignored as a whole.
    unchecked_share : float
        Share of the image's pixels, those cells included.
    """

    split: int = 0
    specks: int = 0
    unchecked_cells: int = 0
    unchecked_share: float = 0.0

    def __str__(self) -> str:
        counted = ((self.split, "cell", "split into {} pieces"), (self.specks, "speck", "dropped"))
        parts = [
            f"{count} {noun}{'s' if count > 1 else ''} {verb.format('their' if count > 1 else 'its')}"
            for count, noun, verb in counted
            if count
        ]
        if self.unchecked_share:
            parts.append(f"{self.unchecked_share:.0%} unchecked")
        return ", ".join(parts)


def repair(labels: NDArray[Any]) -> tuple[Labels, int, int]:
    """Assign every piece of a cell its own id, and drop specks.

    Pieces are 4-connected, so that a diagonal line one pixel wide cuts a cell. Fewer than `SPECK` pixels that
    only touch their cell's corner stay with it.

    Parameters
    ----------
    labels : int array, shape (Y, X)
        Ids need not be consecutive; −1 is kept.

    Returns
    -------
    labels : int32 array, shape (Y, X)
        Cells 1…N.
    split, specks : int
        Ids that were in several pieces; pieces that were dropped.

    Examples
    --------
    >>> cut = np.array([[7, 7, 7, 0, 7, 7, 7], [7, 7, 7, 0, 7, 7, 7]])
    >>> repair(cut)
    (array([[1, 1, 1, 0, 2, 2, 2],
           [1, 1, 1, 0, 2, 2, 2]], dtype=int32), 1, 0)
    """
    repaired = np.where(labels < 0, labels, 0).astype(np.int32)
    count = split = specks = 0
    consecutive = relabel(labels)
    for number, box in enumerate(scipy.ndimage.find_objects(np.maximum(consecutive, 0)), start=1):
        pieces, dropped = _pieces(consecutive[box] == number)
        found = int(pieces.max())
        np.copyto(repaired[box], pieces + count, where=pieces > 0)
        count, split, specks = count + found, split + (found > 1), specks + dropped
    return repaired, split, specks


def _pieces(cell: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Label the pieces of a cell 1, 2, …; count the specks that are left out.

    Specks are small pieces. One that touches a large piece at a corner joins it, the others are dropped::

        1 1 1 . . .        1 1 1 . . .      "." background
        1 1 1 . . 2        1 1 1 . . .      2 is alone: dropped
        1 1 1 . . .   →    1 1 1 . . .
        . . . 3 . .        . . . 1 . .      3 touches a corner of 1: stays with it
    """
    pieces, count = scipy.ndimage.label(cell)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    large = np.flatnonzero(sizes >= SPECK)
    large = large[large > 0]
    if large.size == count:
        return pieces.astype(np.int32), 0
    number_of = np.zeros(count + 1, np.int32)
    number_of[large] = np.arange(1, large.size + 1)
    kept = number_of[pieces]
    around = scipy.ndimage.maximum_filter(kept, size=3)
    dropped = 0
    for small in np.setdiff1d(np.arange(1, count + 1), large):
        beside = around[pieces == small].max()
        kept[pieces == small] = beside
        dropped += beside == 0
    return kept, int(dropped)


def ignore_unchecked(labels: Labels, marked: Labels) -> tuple[Labels, int]:
    """Set marked pixels, and all of every cell that a mark touches, to −1; count those cells.

    The rest of a cell that is marked in part would have a shape that no cell has.

    Parameters
    ----------
    labels, marked : int32 array, shape (Y, X)
        A pixel is marked where `marked` is not 0.
    """
    touched = np.unique(labels[(marked != 0) & (labels > 0)])
    ignored = (marked != 0) | np.isin(labels, touched)
    return relabel(ignore_where(labels, ignored)), touched.size
