"""Estimate how large cells are from two small views of an image, and choose the scale to segment it at.

A network splits cells that are much larger than those it learned from, and knows them again when the image is
shrunk. So an image is first seen at a third of its size at most, and at half of that, which together cost a
sixth of what the image costs. Cells that need shrinking are large enough to be found in both views, and come
out alike; what is found in one alone, or differs, is cells too small to be seen there, or no cells::

    image of 1024 px → views of 358 and 179 px → cells of 40 px and of 21 px: 114 and 120 px in the image
                                                 cells of 9 px, and nothing:  not sure, so the image stays

A colony of small cells looks like a large cell from afar, in both views. So before an image is shrunk, a few
tiles of it are seen at full size, where the views show large cells. Small ones that are found there, and are
surer than those in the view, mean that the image stays::

    yeast of 21 px in colonies of 130 px → the finer view: 4 cells, confidence 0.7
                                           4 tiles:      111 cells, confidence 0.8: the image stays

All that is looked at is sums over pixels and cells, so that windows of a large image, or the images of a
series, are judged together by adding them.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dinocell.io.planes import Window
from dinocell.labels import Labels, Target, cell_areas
from dinocell.measure.confidence import cell_confidence
from dinocell.postprocess.thresholds import Thresholds
from dinocell.postprocess.watershed import distance_to_labels

Range = tuple[float, float]

Sizes = NDArray[np.float64]
"""Sums ``(3, 4 + bins)`` by view (finer, coarser, tiles) and quantity: of the map, its square, cells, their
confidences, and diameters by diameter."""

FINEST = 0.35
"""Zoom of the finer view, at most."""

SEEN = 24.0
"""Diameter, in pixels of the finer view, of the largest cells that the model is best at."""

LEAST = 5.0
"""Cells of a smaller diameter, in pixels of the view, are not looked at."""

FEWEST = 3
"""A view of fewer cells shows nothing."""

CLEAR = 0.25
"""A view whose map is fainter shows nothing: of its mean, weighted by itself."""

AGREEMENT = 1.6
"""Diameters in two views agree if they differ by this factor at most."""

BEYOND = 1.15
"""Share of the largest trained diameter beyond which images shrink; estimates of some nuclei run high."""

TILES, TILE = 4, 256
"""Tiles that are seen at full size before an image is shrunk, at most, and their side in pixels."""

NESTED = 3.0
"""Cells of the tiles are others than those of the views if they are smaller by this factor."""

INSIDE = 0.7
"""Cells that are too large are brought to this share of the largest diameter that the model is best at."""

_THRESHOLDS = Thresholds(cells_max_threshold=0.5, cell_fill_threshold=0.09, merge=0.6, regrow=True)
_CLEARER = 0.8  # the finer view is taken unless it is fainter than this share of the coarser one
_PER_OCTAVE, _OCTAVES = 8, 12  # bins of diameters, from 1 px


def view_zooms(ranges: Mapping[Target, Range | None]) -> tuple[float, ...]:
    """Return the zooms of the views of an image, the finer one first; none where no sizes are known.

    Parameters
    ----------
    ranges : mapping of str to (float, float) or None
        Diameters in pixels that the model is best at, by target.

    Examples
    --------
    >>> view_zooms({"cells": (8.0, 96.0), "nuclei": None})
    (0.25, 0.125)
    """
    largest = [best[1] for best in ranges.values() if best is not None]
    if not largest:
        return ()
    zoom = min(FINEST, SEEN / min(largest))
    return zoom, zoom / 2


def weigh_sizes(views: Sequence[NDArray[np.float32]], tiles: Sequence[NDArray[np.float32]] = ()) -> Sizes:
    """Find the cells in views of an image, and add up what their size is estimated from.

    The thresholds are always the same, so that others do not change the scale.

    Parameters
    ----------
    views : sequence of float32 array, shape (Y, X)
        Distance maps in [0, 1], of both zooms.
    tiles : sequence of float32 array, shape (Y, X)
        Those of parts of the image at full size, see `choose_tiles`.

    Returns
    -------
    float64 array, shape (3, 4 + bins)
    """
    none = np.zeros(4 + _PER_OCTAVE * _OCTAVES)
    return np.array([*(_weigh_view(view) for view in views), sum(map(_weigh_view, tiles), none)])


def weigh_closely(
    views: Sequence[NDArray[np.float32]],
    zooms: Sequence[float],
    best: Range | None,
    look_closely: Callable[[], Sequence[NDArray[np.float32]]],
) -> Sizes:
    """Compute the sums of `weigh_sizes`, with tiles where the image would be shrunk without them.

    Parameters
    ----------
    views, zooms, best
        As for `weigh_sizes`, `estimate_diameter` and `choose_scale`.
    look_closely : callable
        Returns the maps of the windows that `choose_tiles` chooses.
    """
    sizes = weigh_sizes(views)
    if not zooms or choose_scale(estimate_diameter(sizes, zooms), best) == 1:
        return sizes
    return weigh_sizes(views, look_closely())


def may_shrink(view: NDArray[np.float32], zoom: float, best: Range | None) -> bool:
    """Return whether an image could be shrunk, by its coarser view: if not, it needs no finer one.

    The diameter in the finer view must agree with that in this one, and be beyond the range::

        in the coarser view    40 px    nothing    60 px
        in the finer view     ≤ 64 px      ?      ≤ 96 px
        shrunk beyond 80 px      no       no       maybe

    Parameters
    ----------
    view : float32 array, shape (Y, X)
        Map of the coarser view, in [0, 1].
    zoom : float
        Of the view.
    best : (float, float), optional
        Diameters in pixels that the model is best at.
    """
    # NaN, which is not beyond anything, where the view shows nothing.
    return best is not None and AGREEMENT * _median(_weigh_view(view)) / zoom > BEYOND * best[1]


def _weigh_view(view: NDArray[np.float32]) -> NDArray[np.float64]:
    labels, diameters = _find_cells(view)
    seen = diameters >= LEAST
    confidence = cell_confidence(labels, view)[seen].sum(dtype=np.float64)
    diameters = diameters[seen]
    bins = np.floor(_PER_OCTAVE * np.log2(diameters)).astype(int).clip(max=_PER_OCTAVE * _OCTAVES - 1)
    by_diameter = np.bincount(bins, weights=diameters, minlength=_PER_OCTAVE * _OCTAVES)
    total, squares = view.sum(dtype=np.float64), np.square(view).sum(dtype=np.float64)
    return np.array([total, squares, diameters.size, confidence, *by_diameter])


def _find_cells(view: NDArray[np.float32]) -> tuple[Labels, NDArray[np.float64]]:
    labels = distance_to_labels(view, thresholds=_THRESHOLDS)
    return labels, 2 * np.sqrt(cell_areas(labels)[1:] / math.pi)


def choose_tiles(view: NDArray[np.float32], zoom: float, shape: tuple[int, int]) -> list[Window]:
    """Choose parts of an image to look at in full size: around the larger cells of a view.

    Parameters
    ----------
    view : float32 array, shape (Y, X)
        Map of the finer view.
    zoom : float
        Of the view.
    shape : (int, int)
        Height and width of the image.

    Returns
    -------
    list of (slice, slice)
        Rows and columns, `TILES` at most.
    """
    labels, diameters = _find_cells(view)
    seen = diameters >= LEAST
    if not seen.any():
        return []
    larger = 1 + np.flatnonzero(seen & (diameters >= np.median(diameters[seen])))
    chosen = larger[np.linspace(0, larger.size - 1, min(TILES, larger.size)).round().astype(int)]
    windows = []
    for cell in chosen.tolist():
        centre = [float(np.mean(places)) / zoom for places in np.nonzero(labels == cell)]
        starts = [
            int(min(max(0.0, at - TILE / 2), max(0, side - TILE)))
            for at, side in zip(centre, shape, strict=True)
        ]
        rows, columns = (slice(at, min(at + TILE, side)) for at, side in zip(starts, shape, strict=True))
        windows.append((rows, columns))
    return windows


def estimate_diameter(sizes: Sizes, zooms: Sequence[float]) -> float | None:
    """Estimate the diameter of cells in the image: the median, weighed so that specks count little.

    Parameters
    ----------
    sizes : float64 array, shape (Z, 3 + bins)
        From `weigh_sizes`, or the sum of several.
    zooms : sequence of float
        Of the views, the finer one first.

    Returns
    -------
    float or None
        In pixels of the image; None where the views do not agree on it, or tiles show surer, smaller cells.
    """
    *views, tiles = sizes
    fine, coarse = ((_clarity(view), _median(view) / zoom) for view, zoom in zip(views, zooms, strict=True))
    ratio = fine[1] / coarse[1]
    if not 1 / AGREEMENT <= ratio <= AGREEMENT:  # NaN, too
        return None
    found = fine[1] if fine[0] >= _CLEARER * coarse[0] else coarse[1]
    are_others = _median(tiles) * NESTED < found  # False for NaN, so for tiles that show nothing
    return None if are_others and _surety(tiles) > _surety(views[0]) else found


def _clarity(view: NDArray[np.float64]) -> float:
    return float(view[1] / view[0]) if view[0] > 0 else 0.0


def _surety(view: NDArray[np.float64]) -> float:
    return float(view[3] / view[2])


def _median(view: NDArray[np.float64]) -> float:
    """Return the weighted median of the diameters in a view; NaN for too little."""
    if view[2] < FEWEST or _clarity(view) < CLEAR:
        return math.nan
    below = view[4:].cumsum()
    at = int(np.searchsorted(below, below[-1] / 2))
    within = 1 - (below[at] - below[-1] / 2) / view[4 + at]
    return float(2 ** ((at + within) / _PER_OCTAVE))


def choose_scale(diameter: float | None, best: Range | None) -> float:
    """Choose the scale for cells of an estimated diameter.

    Cells that are larger than what the model is best at are brought well into it, so that an estimate may err
    by 40 % either way. Others stay: enlarging an image costs more than it helps.

    Parameters
    ----------
    diameter : float, optional
        From `estimate_diameter`.
    best : (float, float), optional
        Diameters in pixels that the model is best at.

    Returns
    -------
    float
        Factor on both sides of the image, at most 1.

    Examples
    --------
    >>> [choose_scale(diameter, (10.0, 100.0)) for diameter in (160.0, 99.0, None)]
    [0.4375, 1.0, 1.0]
    """
    if diameter is None or best is None or diameter <= BEYOND * best[1]:
        return 1.0
    return max(best[0], INSIDE * best[1]) / diameter


def choose_scales(
    sizes: Mapping[Target, Sizes], ranges: Mapping[Target, Range | None]
) -> dict[Target, float]:
    """Choose the scale for each target.

    Parameters
    ----------
    sizes : mapping of str to float64 array
        From `weigh_sizes`, or the sums of several, of views at the zooms of `view_zooms`.
    ranges : mapping of str to (float, float) or None
        As for `view_zooms`.
    """
    zooms = view_zooms(ranges)
    if not zooms:
        return dict.fromkeys(ranges, 1.0)
    return {name: choose_scale(estimate_diameter(sizes[name], zooms), best) for name, best in ranges.items()}
