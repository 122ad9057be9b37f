"""Divide pixels among clicks: every pixel goes to the click from which the way to it is cheapest.

A way costs little where the distance map is high and much where it is low, so that two ways meet in the
valley between two cells. Where the map has no valley they meet half-way::

    map     .2 .6 .9 .6 .3 .6 .9 .7 .2
    click          A           B
    goes to  A  A  A  A  ↑  B  B  B  B      ↑: the pixel that costs most, where the ways meet

That follows a valley as a flood does, but a flood that finds a low pass runs through it and takes all that
lies behind; here the length of a way counts as well.
"""

from collections.abc import Sequence
from itertools import combinations

import edt
import numpy as np
from numpy.typing import NDArray

from dinocell.labels import Labels
from dinocell.models.clicks import Pixel

_LEAST = 0.01
"""Added to the square of the height, so that a way over 0 costs a hundred times what it costs over 1."""

_VALLEY = 0.9
"""A valley is where the straight way between two clicks falls below this share of the lower one."""


def divide(
    mask: NDArray[np.bool_], heights: NDArray[np.floating] | None, groups: Sequence[Sequence[Pixel]]
) -> Labels:
    """Divide the pixels of a mask among groups of clicks.

    Parameters
    ----------
    mask : bool array, shape (Y, X)
        8-connected or in pieces; a piece without a click goes to the group that has the nearest pixel.
    heights : float array, shape (Y, X), optional
        The distance map. Where it has no valley between two clicks of different groups, the mean of it and
        of the mask's own distance counts; without a map, the mask's distance.
    groups : sequence of sequence of (int, int)
        Rows and columns of pixels of the mask, at least one a group.

    Returns
    -------
    int32 array, shape (Y, X)
        1…N by the order of the groups; 0 outside the mask.
    """
    limit = float(sum(mask.shape))  # a mask that fills the window has no outside
    own = np.minimum(edt.edt(np.ascontiguousarray(mask, np.uint8), black_border=False), limit)
    own = own / own[mask].max()
    if heights is None:
        heights = own
    elif not _has_valleys(heights, groups):
        heights = (heights + own) / 2
    labels = _cheapest(mask, 1 / (np.maximum(heights, 0) ** 2 + _LEAST), groups)
    return fill_from_nearest(labels, mask)


def _has_valleys(heights: NDArray[np.floating], groups: Sequence[Sequence[Pixel]]) -> bool:
    """Return whether the straight way between any two clicks of different groups leads through a valley."""
    return all(
        heights[_line(a, b)].min() <= _VALLEY * min(heights[a], heights[b])
        for first, second in combinations(groups, 2)
        for a in first
        for b in second
    )


def _line(start: Pixel, end: Pixel) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    count = max(abs(end[0] - start[0]), abs(end[1] - start[1])) + 1
    rows, columns = (np.rint(np.linspace(start[axis], end[axis], count)).astype(np.int64) for axis in (0, 1))
    return rows, columns


def _cheapest(
    mask: NDArray[np.bool_], costs: NDArray[np.floating], groups: Sequence[Sequence[Pixel]]
) -> Labels:
    """Find for every pixel of the mask that a way leads to the group with the cheapest one.

    Of groups that cost the same, the first one gets it, whatever the order in which a queue took them.
    """
    from scipy.sparse import coo_array  # here, as both take long to import
    from scipy.sparse.csgraph import dijkstra

    numbers = np.full(mask.shape, -1)
    count = int(mask.sum())
    numbers[mask] = np.arange(count)
    begins, ends, lengths = [], [], []
    height, width = mask.shape
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = np.s_[: height - down, max(0, -right) : width - max(0, right)]
        there = np.s_[down:, max(0, right) : width + min(0, right)]
        both = mask[here] & mask[there]
        begins.append(numbers[here][both])
        ends.append(numbers[there][both])
        lengths.append((costs[here][both] + costs[there][both]) / 2 * np.hypot(down, right))
    ways = coo_array(
        (np.concatenate(lengths), (np.concatenate(begins), np.concatenate(ends))), shape=(count, count)
    )
    costs_by_group = [
        dijkstra(
            ways.tocsr(), directed=False, indices=[int(numbers[pixel]) for pixel in group], min_only=True
        )
        for group in groups
    ]
    cheapest = np.argmin(costs_by_group, axis=0)
    reached = np.isfinite(np.min(costs_by_group, axis=0))
    labels = np.zeros(mask.shape, np.int32)
    labels[mask] = np.where(reached, cheapest + 1, 0)
    return labels


def fill_from_nearest(labels: Labels, mask: NDArray[np.bool_]) -> Labels:
    """Fill pixels of a mask that have no label with that of the nearest pixel that has one."""
    lost = mask & (labels == 0)
    if not lost.any():
        return labels
    from scipy.ndimage import distance_transform_edt  # here, as it takes long to import

    nearest = distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    return np.where(lost, labels[tuple(nearest)], labels)
