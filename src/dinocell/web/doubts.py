"""Doubts about cells, in words: what was removed as too small, and how sure the rest is."""

import numpy as np
from numpy.typing import NDArray

from dinocell.labels import Labels
from dinocell.measure.confidence import cell_confidence, doubt_about
from dinocell.postprocess.small_cells import describe_removed


def describe_doubts(
    labels: Labels, distance_map: NDArray[np.float32], removed: int, min_size: int
) -> tuple[str, ...]:
    """Return doubts about the cells of a distance map.

    Parameters
    ----------
    labels : int32 array, shape (Y, X)
        Cells 1…N without gaps.
    distance_map : float array, shape (Y, X)
    removed : int
        Cells that were removed as too small.
    min_size : int
        Pixels below which they were.
    """
    sure = cell_confidence(labels, distance_map)
    doubt = doubt_about(float(sure.mean())) if sure.size else None
    words = (describe_removed(removed, min_size) if removed else None, doubt)
    return tuple(each for each in words if each)
