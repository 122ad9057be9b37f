"""Areas of the cells of all blocks, of which only cells that several blocks share are kept in memory."""

import math
from dataclasses import dataclass

import numpy as np

from dinocell.large.arrays import CellIds, IntArray
from dinocell.large.workspace import BlockRecord


@dataclass(frozen=True, eq=False)
class AreaCounts:
    """Numbers of cells by area.

    Attributes
    ----------
    areas : int64 array, shape (N,)
        In pixels, in rising order, each once.
    counts : int64 array, shape (N,)
    """

    areas: IntArray
    counts: IntArray

    @property
    def cells(self) -> int:
        """Number of cells."""
        return int(self.counts.sum())

    def least(self, pixels: int) -> "AreaCounts":
        """Return those of the cells that have at least so many pixels."""
        kept = self.areas >= pixels
        return AreaCounts(self.areas[kept], self.counts[kept])

    def middle(self) -> tuple[int, int] | None:
        """Return the areas of the two cells in the middle, often the same; None without cells."""
        if not self.cells:
            return None
        below = self.counts.cumsum()
        lower, upper = np.searchsorted(below, [(self.cells - 1) // 2, self.cells // 2], side="right")
        return int(self.areas[lower]), int(self.areas[upper])

    def median(self) -> float | None:
        """Return the median area; None without cells."""
        middle = self.middle()
        return None if middle is None else sum(middle) / 2

    def median_diameter(self) -> float | None:
        """Return the median equivalent diameter, as `dinocell.labels.median_diameter`; None without cells."""
        middle = self.middle()
        return None if middle is None else sum(2 * math.sqrt(area / math.pi) for area in middle) / 2


class CellAreas:
    """Counting of the areas of cells, block by block."""

    def __init__(self) -> None:
        self._counts = AreaCounts(np.empty(0, np.int64), np.empty(0, np.int64))
        self._shared: list[tuple[CellIds, IntArray]] = []

    def add(self, record: BlockRecord) -> None:
        """Add the record that growth wrote of a block."""
        shared, areas = record["shared"], record["areas"]
        self._shared.append((record["ids"][shared], areas[shared]))
        self._count(areas[~shared])

    def finish(self) -> AreaCounts:
        """Join the parts of shared cells, and return the numbers of all cells by area."""
        ids, areas = (np.concatenate(column) for column in zip(*self._shared, strict=True))
        known, place = np.unique(ids, return_inverse=True)
        self._count(np.bincount(place, weights=areas, minlength=known.size).astype(np.int64))
        return self._counts

    def _count(self, areas: IntArray) -> None:
        every = np.concatenate([self._counts.areas, areas])
        weights = np.concatenate([self._counts.counts, np.ones(areas.size, np.int64)])
        distinct, place = np.unique(every, return_inverse=True)
        counts = np.bincount(place, weights=weights, minlength=distinct.size)
        self._counts = AreaCounts(distinct.astype(np.int64), counts.astype(np.int64))
