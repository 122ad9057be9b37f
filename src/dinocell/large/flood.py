"""From components to cells: each is flooded whole if it fits, else in windows with a halo.

::

    ┌─────────┬─────────┐    a  keeps off the edges: flooded by its block
    │ a    b b│b    c c │…   b  begins in the left block, whose window is widened for it
    │         │     c c │…   c  needs a window much wider than its block: a task of its own, without a block
    │d d d d d│d d d d d│…   d  fits into no window: every block floods what it sees of it, within a halo,
    └─────────┴─────────┘       and keeps the cells whose peak is in the block
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from dinocell.io.planes import Window
from dinocell.labels import Labels, relabel
from dinocell.large.arrays import IntArray
from dinocell.large.components import Components, window_of
from dinocell.large.grid import Block, BlockGrid, widen, within
from dinocell.postprocess.thresholds import Thresholds
from dinocell.postprocess.watershed import boundary_widths, distance_to_labels
from dinocell.preprocess.resampling import window_shape

_WIDEST = 2.0
"""Factor by which the window of a block may grow for its components; what needs more is a task of its own."""

Map = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class FloodTask:
    """Components that are flooded together.

    Attributes
    ----------
    number : int
        Number of the task: that of its block, or beyond those of all blocks.
    window : (slice, slice)
        The pixels of the map that it reads.
    block : Block or None
        Components that keep off the edges of this block are flooded too. None for a single large component.
    seeds : int64 array, shape (N, 2)
        A pixel of every other component to flood, which is in the window as a whole.
    cut_seeds : int64 array, shape (N, 2)
        A pixel of every part in the block of a component that is too large: its pixels in the window are
        flooded, and its cells whose peak is in the block are kept.
    """

    number: int
    window: Window
    block: Block | None
    seeds: IntArray
    cut_seeds: IntArray

    @property
    def name(self) -> str:
        """The number as a file can be named."""
        return f"{self.number:012d}"


@dataclass(frozen=True, eq=False)
class FloodPlan:
    """Assignment of the components of an image to tasks.

    Attributes
    ----------
    tasks : list of FloodTask
        Those of the blocks in their order, then those of large components.
    large : int
        Components with a task of their own.
    cut : int
        Components that are too large to be flooded whole.
    """

    tasks: list[FloodTask]
    large: int
    cut: int


def plan_floods(components: Components, grid: BlockGrid, *, largest: int, halo: int) -> FloodPlan:
    """Assign components: to the block that they begin in, to a task of their own, or to all their blocks.

    Parameters
    ----------
    components : Components
    grid : BlockGrid
    largest : int
        Pixels of the window that one task may read.
    halo : int
        Pixels beyond a block that are read for components that do not fit.
    """
    boxes = components.boxes
    areas = (boxes[:, 2] - boxes[:, 0] + 2) * (boxes[:, 3] - boxes[:, 1] + 2)
    cut = areas > largest
    windows = [widen(block.window, 1, grid.shape) for block in grid]
    tasks, large = _own_tasks(components, grid, windows, ~cut, largest)
    seeds = _by_block(components.owners, components.seeds, ~cut & ~large, len(grid))
    is_cut = cut[components.part_components]
    cut_seeds = _by_block(components.part_blocks, components.part_seeds, is_cut, len(grid))
    blocks = []
    for block, window, whole, partly in zip(grid, windows, seeds, cut_seeds, strict=True):
        reach = _cover(window, widen(block.window, halo, grid.shape)) if len(partly) else window
        blocks.append(FloodTask(block.index, reach, block, whole, partly))
    return FloodPlan(blocks + tasks, int(large.sum()), int(cut.sum()))


def _own_tasks(
    components: Components, grid: BlockGrid, windows: list[Window], whole: NDArray[np.bool_], largest: int
) -> tuple[list[FloodTask], NDArray[np.bool_]]:
    """Widen the windows of blocks to their components; return tasks for those that do not fit, and which."""
    tasks: list[FloodTask] = []
    widest = [min(largest, _WIDEST * _area(window)) for window in windows]
    large = np.zeros(len(whole), bool)
    nothing = np.empty((0, 2), np.int64)
    for number in np.flatnonzero(whole):
        owner = int(components.owners[number])
        own = widen(window_of(components.boxes[number]), 1, grid.shape)
        wider = _cover(windows[owner], own)
        if wider == windows[owner] or _area(wider) <= widest[owner]:
            windows[owner] = wider
        else:
            large[number] = True
            seed = components.seeds[number : number + 1]
            tasks.append(FloodTask(len(grid) + len(tasks), own, None, seed, nothing))
    return tasks, large


def _by_block(blocks: IntArray, pixels: IntArray, chosen: NDArray[np.bool_], count: int) -> list[IntArray]:
    """Sort the chosen pixels into as many lists as there are blocks."""
    order = np.flatnonzero(chosen)[np.argsort(blocks[chosen], kind="stable")]
    return np.split(pixels[order], np.searchsorted(blocks[order], np.arange(1, count)))


def _cover(first: Window, second: Window) -> Window:
    rows, columns = (
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first, second, strict=True)
    )
    return rows, columns


def _area(window: Window) -> int:
    height, width = window_shape(window)
    return height * width


@dataclass(frozen=True, eq=False)
class Flooded:
    """Cells of one task, before they grow.

    Attributes
    ----------
    labels : int32 array, shape (Y, X)
        In the task's window; cells are 1…N.
    widths : float32 array, shape (N + 1,)
        By how many pixels each is to grow; see `dinocell.postprocess.watershed.boundary_widths`.
    boxes : int64 array, shape (N + 1, 4)
        Of each before it grows: first row and column, last row and column plus 1, in the image.
    truncated : int
        Cells of cut components that reach the edge of the window, and so may lack a part.
    """

    labels: Labels
    widths: NDArray[np.float32]
    boxes: IntArray
    truncated: int


def flood_components(
    task: FloodTask, read: Callable[[Window], Map], thresholds: Thresholds, shape: tuple[int, int]
) -> Flooded:
    """Flood the components of a task.

    Parameters
    ----------
    task : FloodTask
    read : callable
        Returns windows of the distance map.
    thresholds : Thresholds
    shape : (int, int)
        The image's (Y, X).
    """
    distance = read(task.window)
    pieces, count = scipy.ndimage.label(distance > mask_threshold(thresholds), np.ones((3, 3)))
    wanted = np.zeros(count + 1, bool)
    if task.block is not None:
        wanted = ~_leaves(pieces, count, within(task.block.window, task.window))
    origin = [span.start for span in task.window]
    for seeds in (task.seeds, task.cut_seeds):
        wanted[pieces[tuple((seeds - origin).T)]] = True
    wanted[0] = False
    distance = np.where(wanted[pieces], distance, distance.dtype.type(0))
    labels = distance_to_labels(distance, thresholds=thresholds, regrow=False)
    truncated = 0
    if len(task.cut_seeds) and task.block is not None:
        is_cut = np.zeros(count + 1, bool)
        is_cut[pieces[tuple((task.cut_seeds - origin).T)]] = True
        labels = _keep_peaks(labels, distance, is_cut[pieces], within(task.block.window, task.window))
        truncated = _count_truncated(labels, task.window, shape)
    widths = boundary_widths(labels, thresholds.cell_fill_threshold if thresholds.regrow else 0.0)
    return Flooded(labels, widths, _boxes(labels) + np.tile(origin, 2), truncated)


def mask_threshold(thresholds: Thresholds) -> float:
    """Return the height of the map above which components are found: no cell has a pixel below it."""
    return min(thresholds.cell_fill_threshold, thresholds.cells_max_threshold)


def _leaves(pieces: NDArray[Any], count: int, inner: Window) -> NDArray[np.bool_]:
    """Return which pieces have a pixel on the edge of a window, or outside of it."""
    rows, columns = (slice(span.start + 1, max(span.start + 1, span.stop - 1)) for span in inner)
    leaves = np.zeros(count + 1, bool)
    for part in (
        pieces[: rows.start],
        pieces[rows.stop :],
        pieces[rows, : columns.start],
        pieces[rows, columns.stop :],
    ):
        leaves[np.unique(part)] = True
    return leaves


def _keep_peaks(labels: Labels, distance: Map, is_cut: NDArray[np.bool_], inner: Window) -> Labels:
    """Drop the cells of cut components whose highest pixel, the first of equals, is outside of a window.

    Two blocks flood the same cells of a cut component, each within its halo. A cell has one highest pixel,
    which is in one block, so that just one of them keeps it::

        block 0    │   block 1
             ░░▓▓▓█│▓░░░           The peak █ is in block 0, which keeps the cell; block 1 drops it, and
                   │               finds its pixels on this side among the pieces that block 0 leaves it.
    """
    inside = labels > 0
    ids, heights, places = labels[inside], distance[inside], np.flatnonzero(inside)
    order = np.lexsort((places, -heights, ids))
    numbers, first = np.unique(ids[order], return_index=True)
    rows, columns = np.divmod(places[order[first]], labels.shape[1])
    elsewhere = (rows < inner[0].start) | (rows >= inner[0].stop)
    elsewhere |= (columns < inner[1].start) | (columns >= inner[1].stop)
    dropped = np.zeros(int(labels.max(initial=0)) + 1, bool)
    dropped[numbers] = elsewhere & is_cut[rows, columns]
    return relabel(np.where(dropped[labels], 0, labels))


def _count_truncated(labels: Labels, window: Window, shape: tuple[int, int]) -> int:
    """Count the cells on the edges of a window, without the edges of the image."""
    rows, columns = window
    edges = [
        (rows.start > 0, labels[0]),
        (rows.stop < shape[0], labels[-1]),
        (columns.start > 0, labels[:, 0]),
        (columns.stop < shape[1], labels[:, -1]),
    ]
    found = [edge for is_inside, edge in edges if is_inside]
    return int(np.count_nonzero(np.unique(np.concatenate(found)))) if found else 0


def _boxes(labels: Labels) -> IntArray:
    """Return the box of every cell, (N + 1, 4): first row and column, last row and column plus 1."""
    found = scipy.ndimage.find_objects(labels)
    boxes = [(rows.start, columns.start, rows.stop, columns.stop) for rows, columns in found]
    return np.array([(0, 0, 0, 0), *boxes], np.int64)


def split_by_block(
    flooded: Flooded, task: FloodTask, grid: BlockGrid
) -> Iterator[tuple[Block, IntArray, Labels]]:
    """Yield the pixels of cells in other blocks than the own one of the task: block, places in it, cells.

    Places count the pixels of the block in row-major order.
    """
    for block in grid.touching(task.window):
        if task.block is not None and block.index == task.block.index:
            continue
        part = flooded.labels[within(block.window, task.window)]
        rows, columns = np.nonzero(part)
        if rows.size:
            top, left = (
                max(0, frame.start - span.start)
                for span, frame in zip(block.window, task.window, strict=True)
            )
            yield block, (rows + top) * block.shape[1] + columns + left, part[rows, columns]
