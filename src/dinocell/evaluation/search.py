"""Thresholds that score best on validation data: one prediction an image, then many watersheds."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dinocell.labels import Labels
from dinocell.metrics.pooling import pool
from dinocell.metrics.scores import Scores, score_labels
from dinocell.postprocess.thresholds import Thresholds
from dinocell.postprocess.watershed import distance_to_labels
from dinocell.workers.pool import OrderedPool

ThresholdGrid = Mapping[str, Sequence[float]]

COARSE: ThresholdGrid = {
    "cells_max_threshold": (0.2, 0.35, 0.5, 0.65),
    "cell_fill_threshold": (0.05, 0.09, 0.13, 0.17),
    "merge": (0.5, 0.6, 0.7, 0.85),
}
"""Values that are tried first, in every combination: they are the surface in the report."""

FINE: ThresholdGrid = {
    "cells_max_threshold": (0.2, 0.3, 0.4, 0.45, 0.5, 0.55),
    "merge": (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9),
    "cell_fill_threshold": (0.03, 0.05, 0.07, 0.09, 0.11, 0.13, 0.15, 0.18),
    "regrow": (False, True),
}
"""Values that are tried around the best of the coarse grid."""

_TURNS = (("cells_max_threshold", "merge"), ("cell_fill_threshold", "regrow"))

PredictedImage = tuple[Labels, NDArray[np.float32]]
"""True labels and predicted distance map of an image."""


@dataclass(frozen=True)
class GridPoint:
    """Thresholds and their scores.

    Attributes
    ----------
    thresholds : Thresholds
    ap50, ap75 : tuple of float
        AP at an IoU of 0.5 and 0.75 pooled over the cells of each dataset.
    """

    thresholds: Thresholds
    ap50: tuple[float, ...]
    ap75: tuple[float, ...]

    @property
    def objective(self) -> float:
        """Mean over datasets of the mean of AP@0.5 and AP@0.75; −1 without any cell."""
        values = np.array([self.ap50, self.ap75])
        return float(np.nanmean(values)) if not np.isnan(values).all() else -1.0


def search_thresholds(
    maps: Sequence[Sequence[PredictedImage]],
    *,
    coarse: ThresholdGrid = COARSE,
    fine: ThresholdGrid = FINE,
    start: Thresholds | None = None,
    workers: int = 0,
) -> Iterator[GridPoint]:
    """Search the thresholds that score best, on maps that were predicted once.

    Every combination of the coarse grid is tried. Then, from the best, two pairs of settings are tried in
    turn: the pair that places markers, and the pair that places boundaries. Each pair is tried on its whole
    fine grid, with the other pair at the best found so far, until a turn finds nothing better.

    Parameters
    ----------
    maps : sequence of sequence of (labels, distance map)
        One sequence a dataset. Use validation data, never a test set.
    coarse, fine : mapping
        Values to try, by the names of `Thresholds`.
    start : Thresholds, optional
        Source of the settings that the coarse grid leaves open; tried first.
    workers : int
        Processes that run watersheds; 0 works in this one.

    Yields
    ------
    GridPoint
        Every combination tried; the best is the one with the highest ``objective``.
    """
    start = start or Thresholds()
    with OrderedPool(workers) as workers_pool:
        scored: dict[Thresholds, GridPoint] = {}

        def score(candidates: Iterable[Thresholds]) -> list[GridPoint]:
            new = [c for c in dict.fromkeys(candidates) if c not in scored]
            points = _score(maps, new, workers_pool)
            scored.update(zip(new, points, strict=True))
            return points

        yield from score([start, *_vary(start, coarse, tuple(coarse))])
        best = max(scored.values(), key=lambda point: point.objective)
        while True:
            before = best
            for names in _TURNS:
                yield from score(_vary(best.thresholds, fine, names))
                best = max(scored.values(), key=lambda point: point.objective)
            if best.objective <= before.objective:
                return


def _vary(start: Thresholds, grid: ThresholdGrid, names: tuple[str, ...]) -> Iterator[Thresholds]:
    """Yield every combination of the values of some settings, the others as they are."""
    for values in itertools.product(*(grid[name] for name in names)):
        yield Thresholds.model_validate(start.model_dump() | dict(zip(names, values, strict=True)))


def _score(
    maps: Sequence[Sequence[PredictedImage]], candidates: list[Thresholds], workers_pool: OrderedPool
) -> list[GridPoint]:
    if not candidates:
        return []
    per_dataset = []
    for dataset in maps:
        images = [scores for _, scores in workers_pool.map(_score_image, dataset, candidates)]
        per_dataset.append([pool(image_scores) for image_scores in zip(*images, strict=True)])
    return [
        GridPoint(
            candidate,
            tuple(scores[number].ap[0.5] for scores in per_dataset),
            tuple(scores[number].ap[0.75] for scores in per_dataset),
        )
        for number, candidate in enumerate(candidates)
    ]


def _score_image(image: PredictedImage, candidates: list[Thresholds]) -> list[Scores]:
    true, distance = image
    return [score_labels(true, distance_to_labels(distance, thresholds=c)) for c in candidates]
