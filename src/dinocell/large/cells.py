"""Table and outlines of the cells that a block owns, measured in windows on the image."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.io.planes import Window
from dinocell.labels import Labels
from dinocell.large.arrays import CellIds, IntArray
from dinocell.large.grid import widen
from dinocell.measure.cells import Intensities, measure_cells
from dinocell.measure.confidence import cell_confidence
from dinocell.measure.outlines import Polygon, cell_polygons
from dinocell.preprocess.resampling import window_shape

_MARGIN = 1
"""Pixels around a cell that decide about its neighbours and its confidence."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Table and outlines of the cells that a block owns.

    Attributes
    ----------
    numbers : uint64 array, shape (N,)
        In rising order.
    table : dict of array, shape (N,)
        The columns of `dinocell.measure.cells.measure_cells`, a row a cell in the order of the numbers, in
        positions of the image; ``label`` is uint64.
    polygons : dict of int to list of Polygon
        By number, in rising order, in positions of the image; empty where they were not asked for.
    """

    numbers: CellIds
    table: dict[str, NDArray[Any]]
    polygons: dict[int, list[Polygon]]


def describe_cells(
    numbers: CellIds,
    boxes: IntArray,
    shape: tuple[int, int],
    *,
    read_labels: Callable[[Window], CellIds],
    read_channels: Callable[[Window], Intensities],
    read_map: Callable[[Window], NDArray[np.float32]],
    pixel_size_um: float | None = None,
    largest: int,
    outlines: bool = False,
) -> Cells:
    """Measure some cells of an image as if it were measured whole, and trace them.

    Parameters
    ----------
    numbers : uint64 array, shape (N,)
        In rising order.
    boxes : int64 array, shape (N, 4)
        Of whole cells: first row and column, last row and column plus 1, in the image.
    shape : (int, int)
        The image's (Y, X).
    read_labels, read_channels, read_map : callable
        Return labels (uint64), intensities as `measure_cells` takes them, and the distance map (float32) of
        a window.
    pixel_size_um : float, optional
        Edge of a pixel in micrometres.
    largest : int
        Pixels of a window at most; a cell that needs more has a window of its own.
    outlines : bool
        Whether polygons are traced.

    Returns
    -------
    Cells
        Without cells, a table of the same columns that has no rows.

    Raises
    ------
    InputError
        If a cell is not where its box is, or as `measure_cells` and `cell_confidence`.
    """
    tables, order = [], []
    polygons: dict[int, list[Polygon]] = {}
    for window, members in _windows(boxes, shape, largest):
        ids, cells = _compact(read_labels(window))
        own = numbers[members]
        wanted = _find(own, ids, window)
        origin = (window[0].start, window[1].start)
        tables.append(
            measure_cells(
                cells,
                read_channels(window),
                pixel_size_um=pixel_size_um,
                confidence=cell_confidence(cells, read_map(window))[wanted - 1],
                wanted=wanted,
                origin=origin,
                shape=shape,
            )
        )
        order.append(members)
        if outlines:
            polygons |= _trace(cells, wanted, own, origin)
    rows = np.argsort(np.concatenate(order))
    table = {name: np.concatenate([part[name] for part in tables])[rows] for name in tables[0]}
    table["label"] = numbers.copy()
    return Cells(numbers, table, dict(sorted(polygons.items())))


def _windows(boxes: IntArray, shape: tuple[int, int], largest: int) -> Iterator[tuple[Window, IntArray]]:
    """Yield windows and the cells to be measured in them, in rising order."""
    if not len(boxes):
        # One pixel shows which channels there are.
        yield (slice(0, 1), slice(0, 1)), np.empty(0, np.int64)
        return
    windows = [_around(box[None], shape) for box in boxes]
    alone = np.array([_area(window) > largest for window in windows])
    yield from ((windows[cell], np.array([cell])) for cell in np.flatnonzero(alone).tolist())
    pending = [np.flatnonzero(~alone)] if not alone.all() else []
    while pending:
        members = pending.pop()
        window = _around(boxes[members], shape)
        if _area(window) <= largest:
            yield window, np.sort(members)
        else:
            pending += _split(members, boxes, largest)


def _around(boxes: IntArray, shape: tuple[int, int]) -> Window:
    (top, left), (bottom, right) = boxes[:, :2].min(axis=0).tolist(), boxes[:, 2:].max(axis=0).tolist()
    return widen((slice(top, bottom), slice(left, right)), _MARGIN, shape)


def _area(window: Window) -> int:
    height, width = window_shape(window)
    return height * width


def _split(members: IntArray, boxes: IntArray, largest: int) -> list[IntArray]:
    """Split cells whose common window is too large into two groups with smaller windows.

    A few long cells that reach far out of the block would make every window large that they are in::

        ┌──────────────────────────────┐
        │  o  o ══════════════════════ │   By size: o o o o share a small window, and only the long
        │   o o                        │   cell needs a large one. Where fewer than half would fit, the
        └──────────────────────────────┘   cells lie far apart: they are split along the longer axis.
    """
    sizes = (boxes[members, 2:] - boxes[members, :2]).prod(axis=1)
    by_size = members[np.argsort(sizes, kind="stable")]
    starts = np.minimum.accumulate(boxes[by_size, :2])
    ends = np.maximum.accumulate(boxes[by_size, 2:])
    fitting = int(((ends - starts + 2 * _MARGIN).prod(axis=1) <= largest).sum())
    if 2 * fitting >= len(members):
        return [by_size[:fitting], by_size[fitting:]]
    middles = boxes[members, :2] + boxes[members, 2:]
    axis = int(np.ptp(middles, axis=0).argmax())
    return np.array_split(members[np.argsort(middles[:, axis], kind="stable")], 2)


def _compact(labels: CellIds) -> tuple[CellIds, Labels]:
    """Return the numbers in a window in rising order, and its cells as 1…N in the same order."""
    ids = np.unique(labels)
    ids = ids[ids > 0]
    return ids, np.searchsorted(ids, labels, side="right").astype(np.int32)


def _find(numbers: CellIds, ids: CellIds, window: Window) -> IntArray:
    """Return the compact numbers of cells in a window."""
    missing = numbers[~np.isin(numbers, ids)]
    if missing.size:
        rows, columns = window
        raise InputError(
            f"cell {missing[0]} is not in rows {rows.start} to {rows.stop} and columns {columns.start} to "
            f"{columns.stop}, expected it there by its box: make the labels again"
        )
    return np.searchsorted(ids, numbers) + 1


def _trace(
    cells: Labels, wanted: IntArray, numbers: CellIds, origin: tuple[int, int]
) -> Mapping[int, list[Polygon]]:
    """Trace some cells, by their numbers and in positions of the image."""
    known = np.zeros(int(cells.max(initial=0)) + 1, np.int32)
    known[wanted] = np.arange(1, wanted.size + 1)
    shift = np.array(origin[::-1])
    return {
        int(numbers[cell - 1]): [
            Polygon(piece.exterior + shift, tuple(hole + shift for hole in piece.holes)) for piece in pieces
        ]
        for cell, pieces in cell_polygons(known[cells]).items()
    }
