"""Settings that suit a few annotated images of the user's own; no network is trained.

Every image is segmented with every combination of channel, size, target and thresholds. The best on all
images is the result; how good it is to be expected is measured by leaving out each image in turn: settings
are chosen on the others, and scored on it.
"""

import itertools
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.datasets.items import AnnotatedImage, Item
from dinocell.errors import InputError
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.labels import Labels, Target, median_diameter
from dinocell.metrics.pooling import pool
from dinocell.metrics.scores import Scores, score_labels
from dinocell.postprocess.small_cells import remove_small
from dinocell.postprocess.thresholds import Thresholds
from dinocell.postprocess.watershed import distance_to_labels
from dinocell.workers.pool import OrderedPool

SCALES = (0.5, 0.7, 1.0, 1.4, 2.0)
"""Factors on both sides of the images that are tried, beside the one that their cells ask for."""

GRID = {
    "cells_max_threshold": (0.3, 0.4, 0.5, 0.6),
    "cell_fill_threshold": (0.05, 0.09, 0.13),
    "merge": (0.5, 0.6, 0.75),
}
"""Thresholds that are tried, in every combination, beside the model's own."""


@dataclass(frozen=True)
class Choice:
    """Combination of settings.

    Attributes
    ----------
    channel : int or None
    scale : float
        On both sides of the image.
    target : {"cells", "nuclei"}
    thresholds : Thresholds
    """

    channel: int | None
    scale: float
    target: Target
    thresholds: Thresholds


@dataclass(frozen=True)
class MapDone:
    """Progress: the number of distance maps that are predicted and scored."""

    done: int
    total: int


@dataclass(frozen=True)
class TuneResult:
    """Result of tuning.

    Attributes
    ----------
    best : Choice
        On all images.
    diameter : float or None
        Diameter to pass to `DINOCellPipeline.run` for the best scale; None for the image as it is.
    before, after : Scores
        Pooled over the images: with the model's own settings, and with the best. The latter is optimistic.
    cross_validated : Scores or None
        Every image scored with what was chosen on the others; None with a single image.
    notes : tuple of str
        Remarks on the label images.
    """

    best: Choice
    diameter: float | None
    before: Scores
    after: Scores
    cross_validated: Scores | None
    notes: tuple[str, ...] = ()


def tune(
    pipeline: DINOCellPipeline, items: Sequence[Item], *, target: Target | None = None, workers: int = 0
) -> Iterator[MapDone | TuneResult]:
    """Find the settings that suit annotated images.

    Parameters
    ----------
    pipeline : DINOCellPipeline
    items : sequence of Item
        One to five are enough.
    target : {"cells", "nuclei"}, optional
        Target that the labels are of; otherwise all of the model's are tried.
    workers : int
        Processes that run watersheds; 0 works in this one.

    Yields
    ------
    MapDone
        After every map.
    TuneResult
        Last.

    Raises
    ------
    InputError
        If the images have no cells, their numbers of channels differ, or the model lacks the target.
    """
    images = [item.read() for item in items]
    if not any((image.labels > 0).any() for image in images):
        raise InputError("no image has an annotated cell, expected one at least: annotate some")
    targets = pipeline.settings_for(target=target or "auto").targets
    channels = _channels(images)
    pairs = list(itertools.product(channels, _scales(pipeline, images, targets)))
    with OrderedPool(workers) as watersheds:
        tried = yield from _score_all(pipeline, images, pairs, targets, watersheds)
    best = _best(tried, range(len(images)))
    yield TuneResult(
        best=best,
        diameter=_diameter_for(pipeline, best),
        before=pool(_score_untuned(pipeline, image, channels[0]) for image in images),
        after=pool(tried[best]),
        cross_validated=_cross_validate(tried, len(images)),
        notes=tuple(note for image in images for note in image.notes),
    )


def _score_untuned(pipeline: DINOCellPipeline, image: AnnotatedImage, channel: int | None) -> Scores:
    """Score an image with the settings of the pipeline, which may choose the target themselves."""
    return score_labels(image.labels, pipeline.run(_plane(image.pixels, channel)).labels)


def _score_all(
    pipeline: DINOCellPipeline,
    images: Sequence[AnnotatedImage],
    pairs: Sequence[tuple[int | None, float]],
    targets: Sequence[Target],
    watersheds: OrderedPool,
) -> Generator[MapDone, None, dict[Choice, list[Scores]]]:
    """Score every image with every combination; one pass of the network serves all targets."""
    own = pipeline.settings.thresholds_of
    grids = {target: _thresholds(own[target]) for target in targets}
    tried: dict[Choice, list[Scores]] = {}
    jobs = (
        (
            image.labels,
            pipeline.predictor.predict_rescaled(_plane(image.pixels, channel), scale, targets),
        )
        for channel, scale in pairs
        for image in images
    )
    total = len(pairs) * len(images)
    for done, (_, scores) in enumerate(watersheds.map(_score_one, jobs, grids), 1):
        channel, scale = pairs[(done - 1) // len(images)]
        for (target, thresholds), image_scores in scores.items():
            tried.setdefault(Choice(channel, scale, target, thresholds), []).append(image_scores)
        yield MapDone(done, total)
    return tried


def _score_one(
    job: tuple[Labels, dict[Target, NDArray[np.float32]]], grids: dict[Target, list[Thresholds]]
) -> dict[tuple[Target, Thresholds], Scores]:
    true, maps = job
    return {
        (target, each): score_labels(
            true, remove_small(distance_to_labels(maps[target], thresholds=each), "auto", target)[0]
        )
        for target, grid in grids.items()
        for each in grid
    }


def _thresholds(own: Thresholds) -> list[Thresholds]:
    """Return the model's own thresholds, and the grid around them."""
    grid = [
        own.model_copy(update=dict(zip(GRID, values, strict=True)))
        for values in itertools.product(*GRID.values())
    ]
    return list(dict.fromkeys([own, *grid]))


def _channels(images: Sequence[AnnotatedImage]) -> list[int | None]:
    """List the channels to try: None (the image as it is) where that is gray or colour, and single ones."""
    counts = {1 if image.pixels.ndim == 2 else image.pixels.shape[2] for image in images}
    if len(counts) > 1 and counts <= {1, 3, 4}:
        return [None]  # gray and colour mixed: as they are
    if len(counts) > 1:
        raise InputError(f"the images have {sorted(counts)} channels, expected the same number in all")
    (count,) = counts
    if count == 1:
        return [None]
    if any(image.needs_channel for image in images):
        return list(range(count))
    colours = min(count, 3) if count in (3, 4) else count
    return [*([None] if count in (3, 4) else []), *range(colours)]


def _plane(pixels: NDArray[Any], channel: int | None) -> NDArray[Any]:
    return pixels if channel is None else pixels[:, :, channel]


def _scales(
    pipeline: DINOCellPipeline, images: Sequence[AnnotatedImage], targets: Sequence[Target]
) -> list[float]:
    """List the scales to try, the image as it is first; no other where a diameter could not express them."""
    if any(pipeline.config.targets[target].diameter_range is None for target in targets):
        return [1.0]
    found = float(np.nanmedian([median_diameter(image.labels) for image in images if image.labels.max() > 0]))
    own = {round(pipeline.predictor.scale_for(found, target), 3) for target in targets}
    return sorted({*SCALES, *own}, key=lambda scale: abs(math.log(scale)))


def _diameter_for(pipeline: DINOCellPipeline, choice: Choice) -> float | None:
    """Find the diameter that `Predictor.scale_for` turns into the scale of a choice."""
    best = pipeline.config.targets[choice.target].diameter_range
    if choice.scale == 1 or best is None:
        return None
    return best[0] / choice.scale if choice.scale > 1 else best[1] / choice.scale


def _best(tried: dict[Choice, list[Scores]], chosen_on: Sequence[int]) -> Choice:
    """Choose the settings that score best on some images; among equals the first, so the simplest."""
    return max(tried, key=lambda choice: _objective(pool(tried[choice][i] for i in chosen_on)))


def _objective(scores: Scores) -> float:
    """Compute the mean of AP@0.5 and AP@0.75; either is 1 where it is undefined: nothing is wrong then."""
    return float(np.nan_to_num([scores.ap[0.5], scores.ap[0.75]], nan=1.0).mean())


def _cross_validate(tried: dict[Choice, list[Scores]], count: int) -> Scores | None:
    if count < 2:
        return None
    return pool(
        tried[_best(tried, [i for i in range(count) if i != left_out])][left_out] for left_out in range(count)
    )
