"""Flood of a watershed: every pixel of a mask goes to the marker that reaches it first.

Nearly every pixel is reached first from its highest neighbour, which array operations find for all pixels at
once. Only where that leaves a doubt (on a plateau, on a bump that rises again, and below them) does the order
of a queue decide, and only such pixels are flooded with one. One row as an example::

    height   .9 .7 .4 .3 .3 .3 .4 .6 .8
    marker    A  A                 B  B
    step up         ←  ←  ?  →  →           ?: no neighbour is higher, so there is a doubt
    found     A  A  A  A  ?  B  B  B  B     the queue decides about this pixel alone

Four stages: follow the steps up to a marker (`_tops`); fill regions of doubtful pixels that border on one
basin alone (`_fill_clear`); mark the pixels that the others may be reached through (`_with_forebears`); and
flood those with a queue (`QueueFlood`).
"""

from collections.abc import Iterator
from itertools import product
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell.labels import Labels
from dinocell.postprocess.queue import QueueFlood

Heights = NDArray[np.floating[Any]]
"""Values of a distance map."""

Value = TypeVar("Value", bound=np.generic)
Box = tuple[slice, slice]
"""Rows and columns of a part of an image."""

PixelIndices = NDArray[np.intp]
"""Pixels by their index in a flattened array with a border of one pixel."""


def flood(distance: Heights, markers: Labels, mask: NDArray[np.bool_]) -> Labels:
    """Flood a mask downhill from markers.

    Parameters
    ----------
    distance : float array, shape (Y, X)
        Finite heights. Every marker pixel is higher than every other pixel of the mask.
    markers : int32 array, shape (Y, X)
        8-connected pieces of equal id; 0 is background.
    mask : bool array, shape (Y, X)
        What may be flooded, 8-connected. Markers outside it are left out.

    Returns
    -------
    int32 array, shape (Y, X)
        The id of the marker that reached each pixel, 0 where none did. Of the pixels reached, the highest
        goes on first; of equal ones, markers in row-major order, the rest in order of arrival. Neighbours are
        reached up, left, right, down, then by the diagonals in row-major order. A pixel that rises above the
        flood counts as level with it.
    """
    heights = _bordered(distance, mask, -np.inf)
    seeds = _bordered(markers, mask, 0)
    found = seeds.copy()
    steps = _steps(heights.shape[1])
    flat, labels = heights.ravel(), found.ravel()
    band = np.flatnonzero((flat > -np.inf) & (labels == 0))
    upward = _steps_up(flat, band, steps)
    labels[band] = labels[_tops(band, upward, labels.size)]
    lost = band[labels[band] == 0]
    doubtful = _fill_clear(found, lost, steps)
    if doubtful.size:
        needed = _with_forebears(doubtful, labels, band, upward, steps).reshape(found.shape)
        np.copyto(found, QueueFlood(heights, seeds, needed).run(), where=needed)
    return found[1:-1, 1:-1].copy()


def _bordered(values: NDArray[Value], mask: NDArray[np.bool_], outside: float) -> NDArray[Value]:
    """Copy with a border of one pixel, `outside` there and wherever the mask is not."""
    rows, columns = values.shape
    bordered = np.full((rows + 2, columns + 2), outside, values.dtype)
    np.copyto(bordered[1:-1, 1:-1], values, where=mask)
    return bordered


def _steps(width: int) -> list[int]:
    return [down * width + right for down, right in product((-1, 0, 1), repeat=2) if down or right]


def _steps_up(heights: Heights, band: PixelIndices, steps: list[int]) -> NDArray[np.int32]:
    """Find the step from every pixel of the band to its highest neighbour; 0 where that is not certain.

    A pixel strictly below one highest neighbour, which is itself reached at its own height, is reached first
    from there: no flood is ever higher than the pixel that it stands on, so all other neighbours go on later.
    """
    own = heights[band]
    highest = np.full_like(own, -np.inf)
    upward = np.zeros(band.size, np.int32)
    tied = np.zeros(band.size, bool)
    for step in steps:
        height = heights[band + step]
        higher = height > highest
        tied &= ~higher
        tied |= height == highest
        np.copyto(highest, height, where=higher)
        np.copyto(upward, step, where=higher)
    upward[tied | (highest <= own)] = 0
    return upward


def _tops(band: PixelIndices, upward: NDArray[np.int32], size: int) -> PixelIndices:
    """Follow the steps up from every pixel of the band to where they end.

    Each round doubles the reach: of a → b → c → d → e it makes a → c, then a → e.
    """
    ends = np.arange(size)
    ends[band] += upward
    climbing = band
    while climbing.size:
        near = ends[climbing]
        far = ends[near]
        moved = far != near
        climbing = climbing[moved]
        ends[climbing] = far[moved]
    return ends[band]


def _fill_clear(found: Labels, lost: PixelIndices, steps: list[int]) -> PixelIndices:
    """Fill regions of lost pixels that border on one basin alone, and give the pixels that border on more."""
    image = np.zeros(found.shape, np.uint8)
    image.ravel()[lost] = 1
    count, numbers = cv2.connectedComponents(image, connectivity=8)
    regions = numbers.ravel()[lost].astype(np.intp)
    labels = found.ravel()
    none = np.iinfo(labels.dtype).max
    low, high = np.full(lost.size, none, labels.dtype), np.zeros(lost.size, labels.dtype)
    for step in steps:
        label = labels[lost + step]
        np.maximum(high, label, out=high)
        np.minimum(low, np.where(label > 0, label, none), out=low)
    lowest, highest = np.full(count, none, labels.dtype), np.zeros(count, labels.dtype)
    np.minimum.at(lowest, regions, low)
    np.maximum.at(highest, regions, high)
    labels[lost] = np.where(lowest == highest, highest, 0)[regions]
    doubtful: PixelIndices = lost[(lowest < highest)[regions]]
    return doubtful


def _with_forebears(
    doubtful: PixelIndices, labels: Labels, band: PixelIndices, upward: NDArray[np.int32], steps: list[int]
) -> NDArray[np.bool_]:
    """Mark the doubtful pixels and all those that they may have been reached through.

    A pixel through which none of these is reached can be left out of the flood: the others are reached in the
    order in which they were, ties among them too.
    """
    needed = np.zeros(labels.size, bool)
    needed[doubtful] = True
    front = np.concatenate([doubtful + step for step in steps])
    front = front[labels[front] > 0]
    while front.size:
        needed[front] = True
        at = np.searchsorted(band, front).clip(max=band.size - 1)
        front = np.where(band[at] == front, front + upward[at], front)  # marker pixels stay
        front = front[~needed[front]]
    return needed


def pieces_by_tile(mask: NDArray[np.bool_], side: int) -> Iterator[tuple[Box, NDArray[np.bool_]]]:
    """Divide a mask into groups of 8-connected pieces, by the tile that a piece's bounding box begins in.

    Parameters
    ----------
    mask : bool array, shape (Y, X)
    side : int
        Of a tile, in pixels.

    Yields
    ------
    window : tuple of two slices
        What holds a group; larger than a tile where a piece is.
    inside : bool array
        The group's pixels in the window. Every pixel of the mask is in one group.
    """
    _, pieces, boxes, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    left, top, width, height = boxes[:, :4].T
    tiles = top // side * mask.shape[1] + left // side
    tiles[0] = -1  # what is not in the mask
    for tile in np.unique(tiles[1:]):
        members = tiles == tile
        window = (
            slice(int(top[members].min()), int((top + height)[members].max())),
            slice(int(left[members].min()), int((left + width)[members].max())),
        )
        yield window, members[pieces[window]]
