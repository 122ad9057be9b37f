"""Components of the mask: numbered block by block, and joined across the blocks' faces by union-find.

A component is connected (8 neighbours) above the lower of the two thresholds. Cells of different components
never touch, so each component can be flooded on its own. Components inside a block need nothing from other
blocks; only those on its edges are joined here, so memory grows with faces, not with cells::

    block 0      block 1          parts  0: A in block 0     1: B in block 0
    ┌─────────┬─────────┐                2: C in block 1     3: D in block 1
    │  A A A A│C C      │
    │         │  C      │         pairs across the face: A–C (side by side), B–C (by a corner)
    │  x      │C      D D …
    │    B B B│         │         components {A, B, C} and {D}; x touches no edge and is not listed
    └─────────┴─────────┘
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from dinocell.io.planes import Window
from dinocell.large.arrays import IntArray
from dinocell.large.grid import Block, BlockGrid
from dinocell.large.workspace import BlockRecord


def label_faces(mask: NDArray[np.bool_], block: Block) -> BlockRecord:
    """Describe the components of a block that touch its edges.

    Parameters
    ----------
    mask : bool array, shape (Y, X)
        Of the block's pixels.
    block : Block

    Returns
    -------
    dict of array
        ``top``, ``bottom``, ``left``, ``right``: the component (1…N, 0 for none) of every pixel along an
        edge. ``seeds`` (N, 2): one pixel of each, and ``boxes`` (N, 4): first row and column, last row and
        column plus 1, both in the image.
    """
    numbers, _ = scipy.ndimage.label(mask, np.ones((3, 3)))
    edges = {"top": numbers[0], "bottom": numbers[-1], "left": numbers[:, 0], "right": numbers[:, -1]}
    ids = np.unique(np.concatenate(list(edges.values())))
    ids = ids[ids > 0]
    found = scipy.ndimage.find_objects(numbers)
    origin = np.array([span.start for span in block.window])
    boxes = np.array([_as_box(found[number - 1]) for number in ids], np.int64).reshape(-1, 4)
    record: BlockRecord = {
        name: np.searchsorted(ids, edge).astype(np.int32) + (edge > 0) for name, edge in edges.items()
    }
    record["boxes"] = boxes + np.tile(origin, 2)
    record["seeds"] = _first_pixels(record, ids.size, mask.shape) + origin
    return record


def _as_box(window: Window) -> tuple[int, int, int, int]:
    return window[0].start, window[1].start, window[0].stop, window[1].stop


def _first_pixels(edges: BlockRecord, count: int, shape: tuple[int, ...]) -> IntArray:
    """Return for every number a pixel on an edge that has it."""
    height, width = shape
    seeds = np.zeros((count, 2), np.int64)
    places = {
        "top": (np.zeros(width, int), np.arange(width)),
        "bottom": (np.full(width, height - 1), np.arange(width)),
        "left": (np.arange(height), np.zeros(height, int)),
        "right": (np.arange(height), np.full(height, width - 1)),
    }
    for name, (rows, columns) in places.items():
        there = edges[name] > 0
        seeds[edges[name][there] - 1] = np.stack([rows, columns], axis=1)[there]
    return seeds


@dataclass(frozen=True, eq=False)
class Components:
    """Joined components that touch edges of blocks.

    Attributes
    ----------
    owners : int64 array, shape (N,)
        Index of the first block that each has pixels in.
    boxes : int64 array, shape (N, 4)
        First row and column, last row and column plus 1.
    seeds : int64 array, shape (N, 2)
        A pixel of each, in its first block.
    part_blocks, part_components : int64 array, shape (P,)
        For every part of a component in a block: the block, in rising order, and the component, 0…N − 1.
    part_seeds : int64 array, shape (P, 2)
        A pixel of every part.
    """

    owners: IntArray
    boxes: IntArray
    seeds: IntArray
    part_blocks: IntArray
    part_components: IntArray
    part_seeds: IntArray


def join_faces(grid: BlockGrid, read: Callable[[Block], BlockRecord]) -> Components:
    """Join the components of all blocks across the faces between them.

    Parameters
    ----------
    grid : BlockGrid
    read : callable
        Returns the record of a block from `label_faces`. Two rows of blocks are in memory at a time.
    """
    edges: list[IntArray] = []
    parts: list[tuple[IntArray, IntArray, IntArray]] = []
    count = 0
    above: list[_Faces] = []
    for row in range(grid.rows):
        current: list[_Faces] = []
        for column in range(grid.columns):
            record = read(block := grid.block(row, column))
            current.append(_Faces(record, count))
            count += len(record["seeds"])
            owners = np.full(len(record["seeds"]), block.index, np.int64)
            parts.append((owners, record["boxes"], record["seeds"]))
        edges += _pairs_in_row(current) + _pairs_between(above, current)
        above = current
    part_blocks, boxes, seeds = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _group(part_blocks, boxes, seeds, np.concatenate(edges or [np.empty((0, 2), np.int64)]))


class _Faces:
    """Edges of a block, by part numbers that are unique in the image; −1 outside of components."""

    def __init__(self, record: BlockRecord, offset: int) -> None:
        self.top, self.bottom, self.left, self.right = (
            np.where(record[name] > 0, record[name].astype(np.int64) + (offset - 1), -1)
            for name in ("top", "bottom", "left", "right")
        )


def _pairs_in_row(blocks: list[_Faces]) -> list[IntArray]:
    return [_touching(a.right, b.left) for a, b in itertools.pairwise(blocks)]


def _pairs_between(above: list[_Faces], below: list[_Faces]) -> list[IntArray]:
    """Pair the parts that touch across faces and corners between two rows of blocks."""
    pairs = [_touching(a.bottom, b.top) for a, b in zip(above, below, strict=False)]
    corners = [(a.bottom[-1], b.top[0]) for a, b in zip(above, below[1:], strict=False)]
    corners += [(a.bottom[0], b.top[-1]) for a, b in zip(above[1:], below, strict=False)]
    diagonal = np.array(corners, np.int64).reshape(-1, 2)
    return [*pairs, diagonal[(diagonal >= 0).all(axis=1)]]


def _touching(first: IntArray, second: IntArray) -> IntArray:
    """Pair the parts on two sides of a face, neighbours by a corner included."""
    pairs = np.concatenate(
        [
            np.stack([first, second], axis=1),
            np.stack([first[:-1], second[1:]], axis=1),
            np.stack([first[1:], second[:-1]], axis=1),
        ]
    )
    return np.unique(pairs[(pairs >= 0).all(axis=1)], axis=0)


def _group(part_blocks: IntArray, boxes: IntArray, seeds: IntArray, edges: IntArray) -> Components:
    count = len(part_blocks)
    graph = scipy.sparse.coo_array(
        (np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(count, count)
    )
    n_groups, group = (
        scipy.sparse.csgraph.connected_components(graph, directed=False)
        if count
        else (0, np.empty(0, np.int64))
    )
    joined = np.empty((n_groups, 4), np.int64)
    joined[:, :2], joined[:, 2:] = np.iinfo(np.int64).max, 0
    np.minimum.at(joined[:, :2], group, boxes[:, :2])
    np.maximum.at(joined[:, 2:], group, boxes[:, 2:])
    _, first = np.unique(group, return_index=True)  # parts are in the order of their blocks
    return Components(part_blocks[first], joined, seeds[first], part_blocks, group.astype(np.int64), seeds)


def window_of(box: NDArray[Any]) -> Window:
    """Return the window of a box (first row and column, last row and column plus 1)."""
    return slice(int(box[0]), int(box[2])), slice(int(box[1]), int(box[3]))
