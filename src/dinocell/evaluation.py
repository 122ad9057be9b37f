"""Annotated folders × thresholds → scores."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinocell.checkpoint import Thresholds
from dinocell.datasets.folder import find_pairs
from dinocell.distance import labels_to_distance
from dinocell.labels import Labels
from dinocell.metrics import Scores, evaluate
from dinocell.pipeline import DINOCellPipeline
from dinocell.pooling import pool
from dinocell.segmentation import Diameter
from dinocell.watershed import distance_to_labels

GRID: dict[str, tuple[float, ...]] = {
    "cells_max_threshold": (0.2, 0.3, 0.4, 0.45, 0.5, 0.55),
    "merge": (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9),
    "cell_fill_threshold": (0.03, 0.05, 0.07, 0.09, 0.11, 0.13, 0.15, 0.18),
    "regrow": (False, True),
}
"""Values that `search_thresholds` tries."""

_TURNS = (("cells_max_threshold", "merge"), ("cell_fill_threshold", "regrow"))


@dataclass(frozen=True)
class ImageResult:
    """One image's outcome.

    Attributes
    ----------
    name : str
    scores : Scores
        Of the predicted labels.
    ceiling : Scores
        Of labels made from the perfect distance map with the same thresholds: what the representation allows.
    """

    name: str
    scores: Scores
    ceiling: Scores


@dataclass(frozen=True)
class GridPoint:
    """Thresholds and what they score.

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
        """Mean over datasets of the mean of AP@0.5 and AP@0.75."""
        return float(np.nanmean([self.ap50, self.ap75]))


def evaluate_folder(
    pipeline: DINOCellPipeline,
    folder: Path,
    *,
    thresholds: Thresholds | None = None,
    diameter: Diameter = None,
) -> Iterator[ImageResult]:
    """Segment and score every annotated image of a folder.

    Parameters
    ----------
    pipeline : DINOCellPipeline
    folder : Path
        Holds ``NAME_img.*`` and ``NAME_masks.*``.
    thresholds : Thresholds, optional
        The checkpoint's otherwise.
    diameter : float, "auto" or None
        As `DINOCellPipeline.run` takes it.

    Yields
    ------
    ImageResult
        One an image, in the order of names; `pool` their scores for the folder's.
    """
    chosen = thresholds or pipeline.model.config.thresholds
    for pair in find_pairs(folder):
        annotated = pair.read()
        image, true = annotated.pixels, annotated.labels
        found = pipeline.run(image, diameter=diameter, **chosen.model_dump())
        perfect = pipeline.cells_from_dist_map(labels_to_distance(true), thresholds=chosen)
        yield ImageResult(pair.name, evaluate(true, found.labels), evaluate(true, perfect))


def predict_folder(pipeline: DINOCellPipeline, folder: Path) -> Iterator[tuple[Labels, NDArray[np.float32]]]:
    """Yield the true labels and the predicted distance map of every annotated image of a folder."""
    for pair in find_pairs(folder):
        annotated = pair.read()
        yield annotated.labels, pipeline.predict_on_full_img(annotated.pixels)


def search_thresholds(
    maps: Sequence[Sequence[tuple[Labels, NDArray[np.float32]]]],
    grid: Mapping[str, Sequence[float]] = GRID,
    start: Thresholds | None = None,
) -> Iterator[GridPoint]:
    """Look for the thresholds that score best, on maps that were predicted once.

    The two settings that place markers and the two that place rims are searched in turn, each pair on its
    whole grid with the other pair at the best found so far, until a turn finds nothing better.

    Parameters
    ----------
    maps : sequence of sequence of (labels, distance map)
        One sequence a dataset, from `predict_folder`. Use validation data, never a test set.
    grid : mapping
        Values to try, by the names of `Thresholds`.
    start : Thresholds, optional

    Yields
    ------
    GridPoint
        Every combination tried; the best is the one with the highest ``objective``.
    """
    best = _score_thresholds(maps, start or Thresholds())
    yield best
    scored = {best.thresholds: best}
    improved = True
    while improved:
        improved = False
        for names in _TURNS:
            for values in itertools.product(*(grid[name] for name in names)):
                changes = dict(zip(names, values, strict=True))
                candidate = Thresholds.model_validate(best.thresholds.model_dump() | changes)
                if candidate not in scored:
                    scored[candidate] = _score_thresholds(maps, candidate)
                    yield scored[candidate]
            winner = max(scored.values(), key=lambda point: point.objective)
            improved = improved or winner.objective > best.objective
            best = winner


def _score_thresholds(
    maps: Sequence[Sequence[tuple[Labels, NDArray[np.float32]]]], thresholds: Thresholds
) -> GridPoint:
    pooled = [_score_maps(dataset, thresholds) for dataset in maps]
    return GridPoint(
        thresholds, tuple(scores.ap[0.5] for scores in pooled), tuple(scores.ap[0.75] for scores in pooled)
    )


def _score_maps(maps: Sequence[tuple[Labels, NDArray[np.float32]]], thresholds: Thresholds) -> Scores:
    return pool(
        evaluate(true, distance_to_labels(distance, **thresholds.model_dump())) for true, distance in maps
    )
