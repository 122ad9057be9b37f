"""Cells of all tasks, combined block by block and grown by the boundary that the flood left out.

A cell can grow where all its neighbours are painted. So a block is painted with a margin: the widest boundary
of the image, and one more pixel::

    ┌ ─ ─ ─ ─ ─ ─ ─ ┐   margin: cells of other tasks, which also grow and may reach into the block
      ┌───────────┐
    │ │ 1 1 · 2 2 │ │   cells 1 (of task 0) and 2 (of task 7) meet half-way when they grow, whichever block
      └───────────┘     does it: neighbouring blocks find the same pixels on both sides of their face
    └ ─ ─ ─ ─ ─ ─ ─ ┘
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from dinocell.io.planes import Window
from dinocell.labels import Labels
from dinocell.large.arrays import IntArray
from dinocell.large.grid import Block, BlockGrid, widen, within
from dinocell.large.workspace import BlockRecord
from dinocell.postprocess.watershed import grow_boundaries
from dinocell.preprocess.resampling import window_shape


@dataclass(frozen=True, eq=False)
class Part:
    """Part of the cells of one task: those in one block, or in a window on it.

    Attributes
    ----------
    task : int
    cells : int32 array, shape (Y, X) or (P,)
        Number in the task of the cell of each pixel, 0 for none: of all pixels of the window, or of `places`.
    places : int64 array, shape (P,), optional
        The pixels, counted in the whole block in row-major order.
    """

    task: int
    cells: Labels
    places: IntArray | None = None


class CellCanvas:
    """Window on which the parts of tasks are painted; cells get compact numbers 1…N.

    Parameters
    ----------
    window : (slice, slice)
    flooded : callable
        Returns the record of a task: ``rims``, the widths to grow by, float32 (N + 1,), and ``boxes``, int64
        (N + 1, 4).
    """

    def __init__(self, window: Window, flooded: Callable[[int], BlockRecord]) -> None:
        self.window = window
        self.cells: Labels = np.zeros(window_shape(window), np.int32)
        self._flooded = flooded
        self._bases: dict[int, int] = {}
        self._widths: list[NDArray[np.float32]] = [np.zeros(1, np.float32)]
        self._boxes: list[IntArray] = [np.zeros((1, 4), np.int64)]
        self._count = 0

    def paint(self, block: Block, part: Part) -> None:
        """Paint a part, where nothing is painted yet: only cells of cut components can overlap."""
        target = self.cells[within(block.window, self.window)]
        new = part.cells
        if part.places is not None:
            rows, columns = np.divmod(part.places, block.shape[1])
            frame = within(self.window, block.window)
            inside = (rows >= frame[0].start) & (rows < frame[0].stop)
            inside &= (columns >= frame[1].start) & (columns < frame[1].stop)
            new = np.zeros_like(target)
            new[rows[inside] - frame[0].start, columns[inside] - frame[1].start] = part.cells[inside]
        if new.any():
            np.copyto(target, new + self._base(part.task), where=(new > 0) & (target == 0))

    def _base(self, task: int) -> int:
        if task not in self._bases:
            self._bases[task] = self._count
            record = self._flooded(task)
            self._widths.append(record["rims"][1:])
            self._boxes.append(record["boxes"][1:])
            self._count += len(record["rims"]) - 1
        return self._bases[task]

    def grown(self) -> Labels:
        """Return the window with all cells grown; correct farther from its edge than the widest boundary."""
        return grow_boundaries(self.cells, np.concatenate(self._widths))

    def may_leave(self, window: Window) -> NDArray[np.bool_]:
        """Return for every compact number whether the grown cell may have pixels outside of a window."""
        widths, boxes = np.concatenate(self._widths).astype(np.int64), np.concatenate(self._boxes)
        rows, columns = window
        low = (boxes[:, 0] - widths < rows.start) | (boxes[:, 1] - widths < columns.start)
        high = (boxes[:, 2] + widths > rows.stop) | (boxes[:, 3] + widths > columns.stop)
        return np.asarray(low | high)

    def ids(self, offsets: IntArray) -> NDArray[np.uint64]:
        """Return the number in the image of every compact one, (N + 1,); 0 stays 0."""
        ids = np.zeros(self._count + 1, np.uint64)
        for task, base in self._bases.items():
            upto = min((other for other in self._bases.values() if other > base), default=self._count)
            ids[base + 1 : upto + 1] = offsets[task] + np.arange(1, upto - base + 1)
        return ids


def grow_block(
    block: Block,
    grid: BlockGrid,
    halo: int,
    parts_in: Callable[[Block, Window], Iterable[Part]],
    flooded: Callable[[int], BlockRecord],
    offsets: IntArray,
) -> tuple[NDArray[np.uint64], BlockRecord]:
    """Combine the cells of all tasks in a block and near it, and grow them.

    Parameters
    ----------
    block : Block
    grid : BlockGrid
    halo : int
        Width of the widest boundary in the image, in pixels.
    parts_in : callable
        Returns the parts in a block, cut to a window that counts the pixels of the block, always in the same
        order.
    flooded : callable
        Returns the record of a task, as for `CellCanvas`.
    offsets : int64 array, shape (tasks,)
        Number that is added to those of the cells of a task.

    Returns
    -------
    labels : uint64 array, shape (Y, X)
        Of the block.
    record : dict of array
        Cells in the block in rising order of ``ids``: ``areas`` in it, ``boxes`` (first row and column, last
        row and column plus 1, in the image), and ``shared``: whether a cell may have pixels in other blocks,
        with or without pixels on the edge of this one.
    """
    canvas = CellCanvas(widen(block.window, halo + 1, grid.shape), flooded)
    for near in grid.touching(canvas.window):
        for part in parts_in(near, within(canvas.window, near.window)):
            canvas.paint(near, part)
    grown = canvas.grown()[within(block.window, canvas.window)]
    ids = canvas.ids(offsets)
    return ids[grown], _describe(grown, ids, canvas.may_leave(block.window), block)


def _describe(grown: Labels, ids: NDArray[np.uint64], leaves: NDArray[np.bool_], block: Block) -> BlockRecord:
    areas = np.bincount(grown.ravel(), minlength=len(ids))
    areas[0] = 0
    there = np.flatnonzero(areas)
    boxes = _boxes(grown, there) + np.tile([span.start for span in block.window], 2)
    order = there[np.argsort(ids[there])]
    rank = np.searchsorted(there, order)
    return {"ids": ids[order], "areas": areas[order], "boxes": boxes[rank], "shared": leaves[order]}


def _boxes(labels: Labels, ids: NDArray[Any]) -> IntArray:
    found = scipy.ndimage.find_objects(labels)
    boxes = [
        (rows.start, columns.start, rows.stop, columns.stop) for rows, columns in (found[n - 1] for n in ids)
    ]
    return np.array(boxes, np.int64).reshape(-1, 4)
