"""Scores over a set of images: pooled over cells, their mean over images, and their bootstrap interval."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.metrics.counts import IOU_THRESHOLDS, Counts
from dinocell.metrics.score_table import SCORES
from dinocell.metrics.scores import Scores


@dataclass(frozen=True)
class ImageMean:
    """Mean of a score over images.

    Attributes
    ----------
    mean : float
        Over the images where the score is defined; NaN without any.
    images : int
        Number of those images.
    undefined : int
        Number of images that were left out.
    """

    mean: float
    images: int
    undefined: int


@dataclass(frozen=True)
class Interval:
    """Bootstrap confidence interval of a pooled score, and how it was computed.

    Attributes
    ----------
    name : str
        The score's key in `SCORES`.
    low, high : float
        Its bounds; NaN with fewer than two images or where the score is undefined.
    level : float
        The confidence, such as 0.95.
    images, resamples, seed : int
        The number of images, how often they were drawn anew, and from which seed.
    """

    name: str
    low: float
    high: float
    level: float
    images: int
    resamples: int
    seed: int


def pool(scores: Iterable[Scores]) -> Scores:
    """Score all cells of several images together: the headline of a set.

    Predictions on images without a true cell count as spurious here like any other.

    Parameters
    ----------
    scores : iterable of Scores
        One an image.

    Returns
    -------
    Scores

    Raises
    ------
    InputError
        If there is none.
    """
    counts = [each.counts for each in scores]
    if not counts:
        raise InputError("scores is empty, expected the scores of at least one image")
    return Scores.from_counts(reduce(add, counts))


def mean_over_images(scores: Iterable[Scores]) -> dict[str, ImageMean]:
    """Average each score over images, whatever their number of cells.

    Parameters
    ----------
    scores : iterable of Scores
        One an image.

    Returns
    -------
    dict of str to ImageMean
        By the keys of `SCORES`. Images where a score is undefined are left out of it and counted.

    Raises
    ------
    InputError
        If there is none.
    """
    rows = [each.by_name() for each in scores]
    if not rows:
        raise InputError("scores is empty, expected the scores of at least one image")
    return {name: _mean([row[name] for row in rows]) for name in rows[0]}


def bootstrap_interval(
    scores: Sequence[Scores], name: str, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Estimate the confidence interval of a pooled score by drawing whole images with replacement.

    Images are drawn, not cells, because cells of one image resemble each other. The bounds are percentiles.

    Parameters
    ----------
    scores : sequence of Scores
        One an image.
    name : str
        Key of the score in `SCORES`: 'seg', 'ap50', …
    level : float
        The confidence, in (0, 1).
    resamples : int
        How often to draw as many images as there are.
    seed : int
        Same seed, same interval.

    Returns
    -------
    Interval

    Raises
    ------
    InputError
        If images or resamples are missing, the score is unknown, or the level is not in (0, 1).

    References
    ----------
    Efron & Tibshirani, "An introduction to the bootstrap", 1993, chapter 13.
    """
    _validate_bootstrap(scores, name, level, resamples)
    images = len(scores)
    rows = np.array([_flat(each.counts) for each in scores])
    draws = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=resamples)
    compute = SCORES[name].compute
    values = np.array([compute(_unflat(row)) for row in draws @ rows])
    values = values[~np.isnan(values)]
    low, high = math.nan, math.nan
    if images > 1 and values.size:
        low, high = map(float, np.quantile(values, [(1 - level) / 2, (1 + level) / 2]))
    return Interval(name, low, high, level, images, resamples, seed)


def _mean(values: list[float]) -> ImageMean:
    defined = [value for value in values if not math.isnan(value)]
    mean = math.fsum(defined) / len(defined) if defined else math.nan
    return ImageMean(mean, len(defined), len(values) - len(defined))


def _flat(counts: Counts) -> list[float]:
    true_positives, *numbers = astuple(counts)
    return [*true_positives, *numbers]


def _unflat(row: NDArray[np.float64]) -> Counts:
    numbers: list[Any] = row.tolist()
    cut = len(IOU_THRESHOLDS)
    return Counts(tuple(numbers[:cut]), *numbers[cut:])


def _validate_bootstrap(scores: Sequence[Scores], name: str, level: float, resamples: int) -> None:
    if not scores:
        raise InputError("scores is empty, expected the scores of at least one image")
    if name not in SCORES:
        raise InputError(f"name is {name!r}, expected one of {', '.join(SCORES)}")
    if not 0 < level < 1:
        raise InputError(f"level is {level}, expected a confidence between 0 and 1, such as 0.95")
    if resamples < 1:
        raise InputError(f"resamples is {resamples}, expected at least 1")
