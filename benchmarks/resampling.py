"""Average precision of sets of images with its bootstrap interval, and of two models on the same images.

A *count* is (matched, true, predicted cells) of an image; those of several images add up. Whole images are
drawn, as cells of one image resemble each other; for a difference, the same ones for both models.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95

Values = NDArray[np.float64]
Count = Sequence[float]
Sets = Mapping[str, Mapping[str, Count]]
"""Counts by set and image."""


@dataclass(frozen=True)
class Estimate:
    """Number with the bounds of its interval; NaN where it is undefined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "–"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]".replace("[nan, nan]", "").strip()


def average_precision(counts: Any) -> Values:
    """Compute matched / (true + predicted - matched) for counts of shape ``(…, 3)``; NaN without cells.

    Examples
    --------
    >>> float(average_precision([3, 5, 4]))
    0.5
    """
    matched, true, predicted = np.moveaxis(np.asarray(counts, float), -1, 0)
    union = true + predicted - matched
    return np.divide(matched, union, out=np.full(union.shape, np.nan), where=union > 0)


def set_precision(counts: Mapping[str, Count]) -> float:
    """Compute the average precision of all cells of a set's images."""
    return float(average_precision(np.sum(list(counts.values()), axis=0))) if counts else np.nan


def resample(name: str, counts: Mapping[str, Count], seed: int) -> Values:
    """Compute the average precision of a set for each time that its images are drawn anew.

    The draws hang on the set's name, its number of images and the seed alone: two models are compared on the
    same ones.
    """
    names = sorted(counts)
    rows = np.array([counts[image] for image in names], float)
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    draws = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    return average_precision(draws @ rows)


def bounds(values: Values) -> tuple[float, float]:
    """Return the bounds of the middle of some values; NaN where all of them are."""
    defined = values[~np.isnan(values)]
    if not defined.size:
        return np.nan, np.nan
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def estimate(sets: Sets, seed: int = 0) -> Estimate:
    """Estimate the mean over sets of the average precision; of one set, that of this set."""
    if not sets:
        return Estimate(np.nan, np.nan, np.nan)
    value = float(np.mean([set_precision(counts) for counts in sets.values()]))
    drawn = np.mean([resample(name, counts, seed) for name, counts in sets.items()], axis=0)
    several = any(len(counts) > 1 for counts in sets.values())
    return Estimate(value, *(bounds(drawn) if several else (np.nan, np.nan)))


def difference(ours: Sets, theirs: Sets, seed: int = 0) -> Estimate:
    """Estimate how far the mean of the first lies above that of the second, on the images that both have."""
    pairs = {name: _common(ours[name], theirs[name]) for name in ours if name in theirs}
    pairs = {name: pair for name, pair in pairs.items() if pair[0]}
    first, second = ({name: pair[side] for name, pair in pairs.items()} for side in (0, 1))
    if not first:
        return Estimate(np.nan, np.nan, np.nan)
    value = estimate(first, seed).value - estimate(second, seed).value
    drawn = [resample(name, first[name], seed) - resample(name, second[name], seed) for name in first]
    several = any(len(counts) > 1 for counts in first.values())
    return Estimate(value, *(bounds(np.mean(drawn, axis=0)) if several else (np.nan, np.nan)))


def _common(
    ours: Mapping[str, Count], theirs: Mapping[str, Count]
) -> tuple[dict[str, Count], dict[str, Count]]:
    names = [name for name in ours if name in theirs]
    return {name: ours[name] for name in names}, {name: theirs[name] for name in names}
