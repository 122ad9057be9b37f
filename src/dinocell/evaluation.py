"""Annotated folders × thresholds → scores."""

import itertools
from collections.abc import Iterator, Sequence
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
        return float(np.mean([self.ap50, self.ap75]))


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
        image, true = pair.read()
        found = pipeline.run(image, diameter=diameter, **chosen.model_dump())
        perfect = pipeline.cells_from_dist_map(labels_to_distance(true), thresholds=chosen)
        yield ImageResult(pair.name, evaluate(true, found.labels), evaluate(true, perfect))


def predict_folder(pipeline: DINOCellPipeline, folder: Path) -> Iterator[tuple[Labels, NDArray[np.float32]]]:
    """Yield the true labels and the predicted distance map of every annotated image of a folder."""
    for pair in find_pairs(folder):
        image, true = pair.read()
        yield true, pipeline.predict_on_full_img(image)


def search_thresholds(
    maps: Sequence[Sequence[tuple[Labels, NDArray[np.float32]]]],
    *,
    cells_max: Sequence[float],
    cell_fill: Sequence[float],
    merge: Sequence[float],
    regrow: Sequence[bool],
) -> Iterator[GridPoint]:
    """Score every combination of thresholds on maps that were predicted once.

    Parameters
    ----------
    maps : sequence of sequence of (labels, distance map)
        One sequence a dataset, from `predict_folder`. Use validation data, never a test set.
    cells_max, cell_fill, merge, regrow : sequence
        The values to combine.

    Yields
    ------
    GridPoint
    """
    for values in itertools.product(cells_max, cell_fill, merge, regrow):
        names = ("cells_max_threshold", "cell_fill_threshold", "merge", "regrow")
        thresholds = Thresholds.model_validate(dict(zip(names, values, strict=True)))
        pooled = [_score_maps(dataset, thresholds) for dataset in maps]
        yield GridPoint(
            thresholds,
            tuple(scores.ap[0.5] for scores in pooled),
            tuple(scores.ap[0.75] for scores in pooled),
        )


def _score_maps(maps: Sequence[tuple[Labels, NDArray[np.float32]]], thresholds: Thresholds) -> Scores:
    return pool(
        evaluate(true, distance_to_labels(distance, **thresholds.model_dump())) for true, distance in maps
    )
