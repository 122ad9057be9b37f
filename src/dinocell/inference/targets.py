"""Choice between the targets of a model: what an image shows best, whole cells or nuclei.

The network predicts a map for each target. On images of a kind that it learned a target from, that target's
map has clear hills; the other map is faint, or much the same. So the map with the higher *clarity* is taken:
its mean, weighted by itself. Equal maps are of the first target.

All that is looked at is sums over pixels, so that the choice for a large image or for many images together
needs no map of all of them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dinocell.labels import Target

Evidence = NDArray[np.float64]
"""Sums over pixels by target and quantity, ``(T, 2)``; those of several images can be added."""


def weigh_maps(maps: Mapping[Target, NDArray[np.float32]]) -> Evidence:
    """Compute the sums by which a target is chosen.

    Parameters
    ----------
    maps : mapping of str to float32 array
        In [0, 1], one a target, all of one shape.

    Returns
    -------
    float64 array, shape (T, 2)
        For each target the sum of its map, and of the map's square.
    """
    sums = [(one.sum(dtype=np.float64), np.square(one).sum(dtype=np.float64)) for one in maps.values()]
    return np.array(sums, np.float64)


def choose_target(evidence: Evidence, targets: Sequence[Target]) -> Target:
    """Choose the target whose map is clearest.

    Parameters
    ----------
    evidence : float64 array, shape (T, 2)
        From `weigh_maps`, or the sum of several.
    targets : sequence of str
        As many, in the same order.

    Returns
    -------
    str
        The first one where no map has a hill.

    Examples
    --------
    >>> clear = np.array([[0.0, 0.5, 1.0, 0.5]], np.float32)
    >>> choose_target(weigh_maps({"cells": clear / 2, "nuclei": clear}), ("cells", "nuclei"))
    'nuclei'
    """
    total, squares = evidence.T
    clarity = np.divide(squares, total, out=np.zeros_like(total), where=total > 0)
    return targets[int(np.argmax(clarity))]
