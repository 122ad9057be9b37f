"""Final numbers of cells: 1…N without gaps, in the order of the blocks that they begin in.

The cells of a block that no other block shares need no memory: their number is enough. Two blocks as example,
of which cell s is in both::

    block 0: a, b, s        begin here: a and b (own), s (shared)       numbers a 1, b 2, s 3
    block 1: s, c           begins here: c (own)                        numbers c 4

    starts [0, 3, 4]: block 1 counts from 3 on. Own cells come first, shared ones after them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.large.arrays import CellIds, IntArray
from dinocell.large.workspace import BlockRecord


@dataclass(frozen=True, eq=False)
class Numbers:
    """Final numbers of the cells of one block.

    Attributes
    ----------
    ids : uint64 array, shape (N,)
        Numbers so far, in rising order.
    numbers : uint64 array, shape (N,)
        0 for a cell that is removed.
    owned : bool array, shape (N,)
        Whether the cell begins in this block and is kept.
    boxes : int64 array, shape (N, 4)
        Of the whole cell: first row and column, last row and column plus 1.
    """

    ids: CellIds
    numbers: CellIds
    owned: NDArray[np.bool_]
    boxes: IntArray


class Numbering:
    """Numbering of the cells of all blocks; only cells that several blocks may share are kept in memory.

    Parameters
    ----------
    min_size : int
        Cells of fewer pixels are removed.
    """

    def __init__(self, min_size: int) -> None:
        self._min_size = min_size
        self._shared_parts: list[tuple[IntArray, CellIds, IntArray, IntArray]] = []
        self._own_counts: list[int] = []
        self._ids = np.empty(0, np.uint64)
        self._kept = self._owners = np.empty(0, np.int64)
        self._boxes = np.empty((0, 4), np.int64)
        self._starts = self._numbers = np.empty(0, np.uint64)

    def add(self, record: BlockRecord) -> None:
        """Add the record that growth wrote of the next block."""
        shared, areas = record["shared"], record["areas"]
        blocks = np.full(int(shared.sum()), len(self._own_counts), np.int64)
        self._shared_parts.append((blocks, record["ids"][shared], areas[shared], record["boxes"][shared]))
        self._own_counts.append(int((areas[~shared] >= self._min_size).sum()))

    def finish(self) -> int:
        """Join the parts of shared cells, and return the number of cells that are kept."""
        blocks, ids, areas, boxes = (
            np.concatenate(column) for column in zip(*self._shared_parts, strict=True)
        )
        self._ids, first, place = np.unique(ids, return_index=True, return_inverse=True)
        self._owners = blocks[first]  # parts are in the order of their blocks
        total = np.bincount(place, weights=areas, minlength=len(first))
        self._kept = np.asarray(total >= self._min_size)
        self._boxes = boxes[first]
        np.minimum.at(self._boxes[:, :2], place, boxes[:, :2])
        np.maximum.at(self._boxes[:, 2:], place, boxes[:, 2:])
        self._count_up()
        return int(self._starts[-1])

    def _count_up(self) -> None:
        """Assign to every block as many numbers as cells begin in it, those of shared ones last."""
        inner = np.array(self._own_counts, np.int64)
        shared = np.bincount(self._owners[self._kept], minlength=len(inner))
        self._starts = np.concatenate([[0], np.cumsum(inner + shared)]).astype(np.uint64)
        self._numbers = np.zeros(len(self._ids), np.uint64)
        order = np.flatnonzero(self._kept)[np.argsort(self._owners[self._kept], kind="stable")]
        owners = self._owners[order]
        rank = np.arange(len(order)) - (np.cumsum(shared) - shared)[owners]
        self._numbers[order] = self._starts[owners] + (inner[owners] + rank + 1).astype(np.uint64)

    def block_numbers(self, index: int, record: BlockRecord) -> Numbers:
        """Return the final numbers of the cells in a block, from its record."""
        ids, shared = record["ids"], record["shared"]
        numbers, boxes = np.zeros(len(ids), np.uint64), record["boxes"].copy()
        owned = ~shared & (record["areas"] >= self._min_size)
        numbers[owned] = self._starts[index] + np.arange(1, int(owned.sum()) + 1).astype(np.uint64)
        place = np.searchsorted(self._ids, ids[shared])
        numbers[shared], boxes[shared] = self._numbers[place], self._boxes[place]
        owned[shared] = self._kept[place] & (self._owners[place] == index)
        return Numbers(ids, numbers, owned, boxes)


def renumber(labels: CellIds, numbers: Numbers) -> CellIds:
    """Replace the numbers of cells in a block by their final ones.

    Parameters
    ----------
    labels : uint64 array, shape (Y, X)
    numbers : Numbers
        Of this block.
    """
    table = np.concatenate([np.zeros(1, np.uint64), numbers.numbers])
    known = np.concatenate([np.zeros(1, np.uint64), numbers.ids])
    return np.asarray(table[np.searchsorted(known, labels)])


def shrink(labels: NDArray[Any]) -> NDArray[Any]:
    """Return the next coarser level of labels: every second pixel, from the first on."""
    return labels[::2, ::2]


def pyramid_shapes(shape: tuple[int, int], smallest: int) -> Iterator[tuple[int, int]]:
    """Yield the shapes of the levels of a pyramid, the finest first, until one fits into a square."""
    while True:
        yield shape
        if max(shape) <= smallest:
            return
        shape = ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
