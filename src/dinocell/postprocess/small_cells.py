"""Cells that are too small to be cells: removed below a number of pixels, or a share of the median cell."""

import math
from typing import Literal

import numpy as np

from dinocell.labels import Labels, Target, cell_areas

MinSize = int | Literal["auto"]
"""Number of pixels below which cells are removed; ``auto`` takes a share of the image's median cell."""

SMALLEST_PART: dict[Target, int] = {"cells": 10, "nuclei": 50}
"""With ``auto``, a cell has at least this part of the median area: a tenth of whole cells; of nuclei a
fiftieth, as micronuclei and fragments are nuclei, too. Measured by ``benchmarks/min_size.py``."""


def find_min_size(min_size: MinSize, median_area: float | None, target: Target) -> int:
    """Return the number of pixels below which cells are removed.

    Parameters
    ----------
    min_size : int or "auto"
    median_area : float, optional
        Of all cells found in the image, in pixels; None without any.
    target : {"cells", "nuclei"}

    Examples
    --------
    >>> find_min_size("auto", 400.0, "cells"), find_min_size("auto", 401.0, "nuclei")
    (40, 9)
    >>> find_min_size(7, 400.0, "cells")
    7
    """
    if min_size != "auto":
        return min_size
    return 0 if median_area is None else math.ceil(median_area / SMALLEST_PART[target])


def remove_small(labels: Labels, min_size: MinSize, target: Target) -> tuple[Labels, int, int]:
    """Remove cells that are too small, and renumber the others.

    Parameters
    ----------
    labels : int32 array, shape (Y, X)
        Cells 1…N without gaps.
    min_size : int or "auto"
    target : {"cells", "nuclei"}

    Returns
    -------
    labels : int32 array, shape (Y, X)
        Cells 1…M in the order of their ids; the same array where nothing is removed.
    min_size : int
        Pixels below which cells were removed.
    removed : int
        Number of those.
    """
    areas = cell_areas(labels)[1:]
    least = find_min_size(min_size, float(np.median(areas)) if areas.size else None, target)
    stays = np.concatenate([[False], areas >= least])
    removed = areas.size - int(stays.sum())
    if not removed:
        return labels, least, 0
    return np.where(stays, np.cumsum(stays), 0).astype(np.int32)[labels], least, removed


def describe_removed(removed: int, min_size: int) -> str:
    """Return what was removed, for a message.

    Examples
    --------
    >>> describe_removed(3, 40)
    '3 objects under 40 px removed'
    """
    return f"{removed} object{'' if removed == 1 else 's'} under {min_size} px removed"
