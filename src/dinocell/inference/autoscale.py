"""Find the zoom at which the network is surest of what it sees.

A network that is shown cells too large or too small for it predicts low, blurred hills. So an image is tried
at several zooms, and the one with the clearest hills is taken; no true cell size is needed for that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.inference.prediction import Predictor
from dinocell.inference.segmentation import Progress
from dinocell.labels import Target, median_diameter
from dinocell.postprocess.thresholds import Thresholds
from dinocell.postprocess.watershed import distance_to_labels

ZOOMS = (0.5, 0.7, 1.0, 1.4, 2.0)
"""Factors on both sides of the image that are tried."""

MARGIN = 1.03
"""Another zoom than 1 must be clearer by this factor."""

WINDOW = 512
"""Side in pixels of the part of a large image that is tried."""

_STEP = 64


@dataclass(frozen=True)
class Trial:
    """Result of trying one zoom.

    Attributes
    ----------
    zoom : float
        Factor on both sides of the image.
    clarity : float
        See `clarity`.
    diameter : float
        Median diameter of the cells found, in pixels of the original image; NaN without cells.
    """

    zoom: float
    clarity: float
    diameter: float


def predict_at_best_scale(
    predictor: Predictor,
    image: NDArray[Any],
    target: Target,
    thresholds: Thresholds,
    distance: NDArray[np.float32],
    *,
    progress: Progress = None,
) -> tuple[float, NDArray[np.float32]]:
    """Try several zooms on the part with most cells, and predict the image at the best.

    Parameters
    ----------
    predictor : Predictor
    image : array, shape (Y, X) or (Y, X, C)
    target : str
    thresholds : Thresholds
        By these a map becomes the cells whose size is looked at.
    distance : float32 array, shape (Y, X)
        The target's map at zoom 1.
    progress : callable, optional
        Called after every batch of tiles, which start anew at every zoom.

    Returns
    -------
    scale : float
        Factor on both sides of the image.
    distance : float32 array, shape (Y, X)
        In [0, 1], at the image's own size.
    """
    window = busiest_window(distance)
    trials = []
    for zoom in ZOOMS:
        if zoom == 1.0:
            part = distance[window]
        else:
            maps = predictor.predict_rescaled(image, zoom, [target], window=window, progress=progress)
            part = maps[target]
        labels = distance_to_labels(part, thresholds=thresholds)
        trials.append(Trial(zoom, clarity(part), median_diameter(labels)))
    scale = choose_scale(trials, predictor.model.config.targets[target].diameter_range)
    if scale != 1.0:
        distance = predictor.predict_rescaled(image, scale, [target], progress=progress)[target]
    return scale, distance


def clarity(distance: NDArray[np.float32]) -> float:
    """Compute how clear the hills of a distance map are: its mean, weighted by itself.

    Parameters
    ----------
    distance : float32 array, shape (Y, X)
        In [0, 1].

    Returns
    -------
    float
        In [0, 1]; 0 for an empty map. Cones reach 0.5.

    Examples
    --------
    >>> clarity(np.array([[0.0, 0.5, 1.0, 0.5]], np.float32))
    0.75
    """
    total = float(distance.sum(dtype=np.float64))
    return float(np.square(distance).sum(dtype=np.float64)) / total if total > 0 else 0.0


def busiest_window(distance: NDArray[np.float32], side: int = WINDOW) -> tuple[slice, slice]:
    """Find the part of an image with most cells in it.

    Parameters
    ----------
    distance : float32 array, shape (Y, X)
    side : int
        Its side in pixels; less where the image is smaller.

    Returns
    -------
    (slice, slice)
        Rows and columns of the square whose map sums to most, the first one of equals.
    """
    sums = np.pad(distance.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = (min(side, length) for length in distance.shape)
    tops = np.unique([*range(0, distance.shape[0] - height, _STEP), distance.shape[0] - height])
    lefts = np.unique([*range(0, distance.shape[1] - width, _STEP), distance.shape[1] - width])
    corner = [sums[np.ix_(tops + down, lefts + right)] for down in (0, height) for right in (0, width)]
    inside = corner[3] - corner[1] - corner[2] + corner[0]
    row, column = np.unravel_index(np.argmax(inside), inside.shape)
    top, left = int(tops[row]), int(lefts[column])
    return slice(top, top + height), slice(left, left + width)


def choose_scale(trials: Sequence[Trial], best: tuple[float, float] | None) -> float:
    """Choose the scale to segment at.

    Zooms at which the cells come out far smaller or larger than the model knows are left out: there it sees
    cells in noise, or loses them. Of the others the clearest is taken, or 1 where none is clearer by
    `MARGIN`; then cells still outside the best sizes are brought to the nearest of them.

    Parameters
    ----------
    trials : sequence of Trial
        One of them at zoom 1.
    best : (float, float), optional
        Diameters in pixels that the model is best at.

    Returns
    -------
    float
        1 where no trial can be trusted.
    """
    low, high = best or (0.0, np.inf)
    trusted = [trial for trial in trials if low / 2 <= trial.diameter * trial.zoom <= high * 1.5]
    if not trusted:
        return 1.0
    chosen = max(trusted, key=lambda trial: trial.clarity)
    for trial in trusted:
        if trial.zoom == 1.0 and chosen.clarity <= MARGIN * trial.clarity:
            chosen = trial
    return (
        chosen.zoom
        if best is None
        else float(np.clip(chosen.diameter * chosen.zoom, *best)) / chosen.diameter
    )
