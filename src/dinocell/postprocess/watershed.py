"""Distance map to labels: a marker-controlled watershed, with split cells joined again."""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import cv2
import edt
import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.labels import Labels, cell_areas
from dinocell.machine import thread_count
from dinocell.postprocess.flooding import Box, Heights, flood, pieces_by_tile
from dinocell.postprocess.thresholds import Thresholds

_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Half of the 8 neighbours (row, column): the other half are the same pairs seen from the other side."""

_TILE = 512
"""Pieces of the mask are flooded tile by tile of this side, in pixels, so that several threads have work."""

_MOST_THREADS = 4

_SEARCHED_BY_STEP = 4
"""Width in pixels up to which boundaries are grown step by step; beyond, the steps are too many."""


def distance_to_labels(
    distance: Heights,
    *,
    thresholds: Thresholds | None = None,
    cells_max_threshold: float | None = None,
    cell_fill_threshold: float | None = None,
    merge: float | None = None,
    regrow: bool | None = None,
    min_size: int = 0,
    fill_holes: bool = False,
) -> Labels:
    """Turn a distance map into cells.

    Pixels above `cells_max_threshold` form markers (8-connected); the map is flooded from them downhill over
    the pixels above `cell_fill_threshold` (8-connected). Of pixels of equal height, markers go in row-major
    order, the rest in the order in which the flood reaches them: first up, left, right, down of the pixel it
    comes from, then the diagonals in row-major order. A pixel that rises above the flood counts as level
    with it. Regions without a marker are dropped.

    Parameters
    ----------
    distance : float array, shape (Y, X)
        Values in [0, 1].
    thresholds : Thresholds, optional
        The four numbers that follow; those that are given as well replace its own.
    cells_max_threshold, cell_fill_threshold : float, optional
        Exclusive thresholds of marker and mask: 0.47 and 0.09.
    merge : float, optional
        Split ↔ merge: two basins are one cell when the saddle between them is at least this share of the
        lower of their peaks: 0.5. 1 joins nothing, 0 joins all that touch.
    regrow : bool, optional
        Grow every cell back by the boundary that `cell_fill_threshold` cut: the threshold is a share of the
        cell's inner radius, so that boundary is wider on larger cells.
    min_size : int
        Cells of fewer pixels are removed.
    fill_holes : bool
        Whether background enclosed by one cell becomes part of it.

    Returns
    -------
    int32 array, shape (Y, X)
        0 is background, cells are 1…N in row-major order of their first marker pixel.

    Raises
    ------
    InputError
        If `distance` is not a finite two-dimensional map, or a setting is out of bounds.
    """
    _validate(distance, min_size)
    # Plain floats, as these are, are compared in the map's own precision; NumPy's float64 would not be.
    chosen = (thresholds or Thresholds()).replaced(
        cells_max_threshold=cells_max_threshold,
        cell_fill_threshold=cell_fill_threshold,
        merge=merge,
        regrow=regrow,
    )
    markers = _number_markers(distance > chosen.cells_max_threshold)
    if not markers.any():
        return np.zeros(distance.shape, np.int32)
    mask = distance > chosen.cell_fill_threshold
    labels = _flood_and_join(distance, markers, mask, chosen.merge)
    if chosen.regrow:
        labels = grow_boundaries(labels, boundary_widths(labels, chosen.cell_fill_threshold))
    if fill_holes:
        labels = _fill_holes(labels)
    return _number(labels, max(min_size, 1))


def _validate(distance: Heights, min_size: int) -> None:
    if distance.ndim != 2 or distance.dtype.kind != "f":
        raise InputError(
            f"distance is {distance.dtype} of shape {distance.shape}, expected a float map (Y, X)"
        )
    if not np.isfinite(distance).all():
        raise InputError("distance holds NaN or infinite values, expected values in [0, 1]")
    if min_size < 0:
        raise InputError(f"min_size is {min_size}, expected 0 or more pixels")


def _number_markers(pixels: NDArray[np.bool_]) -> Labels:
    """Return the 8-connected pieces of a mask as 1…N, in row-major order of their first pixels."""
    # Of OpenCV's algorithms, this one goes by rows; others go by blocks, and number in another order.
    numbers = cv2.connectedComponentsWithAlgorithm(pixels.view(np.uint8), 8, cv2.CV_32S, cv2.CCL_WU)[1]
    return np.asarray(numbers, np.int32)


def _flood_and_join(distance: Heights, markers: Labels, mask: NDArray[np.bool_], merge: float) -> Labels:
    """Flood and join in threads: connected pieces of the mask do not depend on each other.

    A marker that reaches beyond the mask may lie in several pieces, but then it fills each of them: where
    `cells_max_threshold` is the lower one, nothing in a piece is left to be flooded or joined.
    """
    labels = np.zeros(distance.shape, np.int32)

    def work(window: Box, inside: NDArray[np.bool_]) -> None:
        basins = flood(distance[window], markers[window], inside)
        np.copyto(labels[window], _join_split_cells(basins, distance[window], merge), where=inside)

    with ThreadPoolExecutor(min(_MOST_THREADS, thread_count()), thread_name_prefix="flood") as pool:
        for done in [pool.submit(work, *piece) for piece in pieces_by_tile(mask, _TILE)]:
            done.result()
    return labels


def _join_split_cells(labels: Labels, distance: Heights, merge: float) -> Labels:
    """Join basins, that is give them one id, when the saddle between them is high relative to their peaks.

    For example, these two are one cell where `merge` is at most 0.4 / 0.6, the saddle by the lower peak::

        0.9    ╱╲
        0.6   ╱  ╲    ╱╲
        0.4  ╱    ╲__╱  ╲

    Joining goes on along chains: where a joins b and b joins c, all three are one cell.
    """
    first, second, saddles = _saddles(labels, distance)
    peaks = _peaks(distance, labels)
    joined = saddles >= merge * np.minimum(peaks[first], peaks[second])
    # A group is named by its lowest id, which keeps the row-major order.
    names = _lowest_linked(peaks.size, first[joined], second[joined])
    return names.astype(np.int32)[labels] if joined.any() else labels


def _lowest_linked(count: int, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find the lowest id that every id is linked to, directly or by others.

    In every round an id takes the lowest of its neighbours', and then what that one has, so that chains are
    halved::

        links 1–2, 2–3, 3–4, 4–5      1 2 3 4 5 → 1 1 1 2 3 → 1 1 1 1 1
    """
    lowest = np.arange(count)
    while True:
        lower = np.minimum(lowest[first], lowest[second])
        if (lower == lowest[first]).all() and (lower == lowest[second]).all():
            return lowest
        np.minimum.at(lowest, first, lower)
        np.minimum.at(lowest, second, lower)
        lowest = lowest[lowest]


def _peaks(values: Heights, labels: Labels) -> Heights:
    """Find the highest value in every cell, by id; 0 for the background."""
    peaks = np.zeros(int(labels.max(initial=0)) + 1, values.dtype)
    ids = labels.ravel()
    # Runs of one id are fast to go through; what is left to gather by id is one value a run.
    begins = np.ones(ids.size, bool)
    np.not_equal(ids[1:], ids[:-1], out=begins[1:])
    runs = np.flatnonzero(begins)
    np.maximum.at(peaks, ids[runs], np.maximum.reduceat(values.ravel(), runs))
    peaks[0] = 0
    return peaks


def _saddles(labels: Labels, distance: Heights) -> tuple[NDArray[np.int64], NDArray[np.int64], Heights]:
    """Find the height of the pass between every two basins that touch.

    Returns
    -------
    first, second : int64 arrays, shape (P,)
        Ids of the two basins, ``first < second``.
    heights : float array, shape (P,)
        The highest of ``min(distance[p], distance[q])`` over the neighbouring pixels p, q of the two.
    """
    firsts, seconds, heights = [], [], []
    rows, columns = labels.shape
    for down, right in _NEIGHBOURS:
        here = np.s_[: rows - down, max(0, -right) : columns - max(0, right)]
        there = np.s_[down:, max(0, right) : columns + min(0, right)]
        a, b = labels[here], labels[there]
        touching = (a != b) & (a > 0) & (b > 0)
        a, b = a[touching], b[touching]
        firsts.append(np.minimum(a, b))
        seconds.append(np.maximum(a, b))
        heights.append(np.minimum(distance[here][touching], distance[there][touching]))
    first, second, height = np.concatenate(firsts), np.concatenate(seconds), np.concatenate(heights)
    span = int(second.max(initial=0)) + 1
    # One number a pair: to sort numbers is many times as fast as to sort pairs.
    pairs, inverse = np.unique(first.astype(np.int64) * span + second, return_inverse=True)
    highest = np.zeros(pairs.size, height.dtype)
    np.maximum.at(highest, inverse, height)
    return pairs // span, pairs % span, highest


def boundary_widths(labels: Labels, cell_fill_threshold: float) -> NDArray[np.float32]:
    """Compute the width of the boundary that the threshold cut off every cell.

    A cell of inner radius R lost the pixels at distance 1…⌊tR⌋ from its outside; what is left has inner
    radius R − ⌊tR⌋. Where two R fit, the larger is taken: such a cell may grow by a pixel that it never lost.
    With t = 0.09, for example, an inner radius of 21 px is left of R = 22, which lost 1 px, and of R = 23,
    which lost 2 px: the width is 2.

    Parameters
    ----------
    labels : int32 array, shape (Y, X)
        Cells as the flood left them.
    cell_fill_threshold : float
        The t of the flood; from 1 on nothing is left of a cell, and the width is 0.

    Returns
    -------
    float32 array, shape (max id + 1,)
        Whole pixels by id; of background 0.
    """
    radii = _peaks(distance_in_pixels(labels), labels)
    if cell_fill_threshold >= 1:
        return np.zeros_like(radii)
    widths = np.floor(cell_fill_threshold * radii / (1 - cell_fill_threshold) + 1e-4)
    return np.asarray(widths, np.float32)


def grow_boundaries(labels: Labels, widths: NDArray[np.float32]) -> Labels:
    """Grow every cell by the boundary that it lost, into background that is nearer to it than to others.

    Parameters
    ----------
    labels : int32 array, shape (Y, X)
    widths : float32 array, shape (max id + 1,)
        From `boundary_widths`.

    Returns
    -------
    int32 array, shape (Y, X)
        Pixels farther from an edge of the array than the widest boundary do not depend on what lies
        beyond.
    """
    if not widths.any():
        return labels
    widest = float(widths.max())
    if widest <= _SEARCHED_BY_STEP:
        return _grow_by_step(labels, widths, math.floor(widest))
    import scipy.ndimage  # here, as it takes as long to import as to find the cells

    away, nearest = scipy.ndimage.distance_transform_edt(labels == 0, return_indices=True)
    candidates = labels[tuple(nearest)]
    return np.where(away <= widths[candidates], candidates, labels)


def _grow_by_step(labels: Labels, widths: NDArray[np.float32], reach: int) -> Labels:
    """Grow by looking for the nearest cell step by step, up to `reach`, and only near cells that grow."""
    around = np.pad(labels, reach)
    near = np.pad(_near(widths[labels] > 0, reach), reach)
    pixels, grown = around.ravel(), around.copy()
    searching = np.flatnonzero(near & (around == 0))
    for away, step in _steps_outward(reach, around.shape[1]):
        cells = pixels[searching + step]
        met = cells > 0
        taken = met & (widths[cells] >= away)
        grown.ravel()[searching[taken]] = cells[taken]
        searching = searching[~met]
    return grown[reach : reach + labels.shape[0], reach : reach + labels.shape[1]].copy()


def _near(pixels: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Mark the squares of side 2 · `reach` + 1 around pixels."""
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return cv2.dilate(pixels.astype(np.uint8), square).astype(bool)


def _steps_outward(reach: int, width: int) -> list[tuple[np.float64, int]]:
    """List the distances up to `reach`, and steps in an array flattened from rows of `width` pixels.

    Nearest first, then left to right, then top to bottom: of pixels equally near, that is the one that
    `scipy.ndimage.distance_transform_edt` finds.
    """
    offsets = itertools.product(range(-reach, reach + 1), repeat=2)
    ordered = sorted((right**2 + down**2, right, down) for right, down in offsets)
    return [
        (np.sqrt(square), down * width + right) for square, right, down in ordered if 0 < square <= reach**2
    ]


def distance_in_pixels(labels: Labels) -> NDArray[np.float32]:
    """Compute the distance of every cell pixel to the nearest pixel outside its cell, float32 ``(Y, X)``."""
    distance: NDArray[np.float32] = edt.edt(
        np.ascontiguousarray(labels), black_border=False, parallel=min(_MOST_THREADS, thread_count())
    )
    limit = math.hypot(*labels.shape)  # a cell that fills the image has no outside
    np.minimum(distance, limit, out=distance)
    return distance


def _fill_holes(labels: Labels) -> Labels:
    import scipy.ndimage  # here, see `grow_boundaries`

    filled = labels.copy()
    for number, box in enumerate(scipy.ndimage.find_objects(labels), start=1):
        if box is not None:
            whole = scipy.ndimage.binary_fill_holes(labels[box] == number)
            filled[box][whole & (labels[box] == 0)] = number
    return filled


def _number(labels: Labels, min_size: int) -> Labels:
    """Renumber the cells of at least `min_size` pixels 1…N in the order of their ids; the others become 0."""
    stays = cell_areas(labels) >= min_size
    stays[0] = False
    return np.where(stays, np.cumsum(stays), 0).astype(np.int32)[labels]
