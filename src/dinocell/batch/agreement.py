"""One target and scale for all images of a call: chosen by a sample, and kept when the call is repeated."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from dinocell.batch.log import recorded_scale, recorded_target
from dinocell.batch.settings import BatchSettings
from dinocell.batch.sources import SourceFile
from dinocell.errors import DINOCellError
from dinocell.inference.autoscale import Sizes, choose_scales
from dinocell.inference.overview import look_for_sizes, look_over
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.inference.targets import SUMS, choose_target
from dinocell.io.images import open_image
from dinocell.io.planes import Pixels
from dinocell.io.selected_planes import read_selected_plane
from dinocell.io.selection import Selection, select_planes
from dinocell.labels import Target

logger = logging.getLogger(__name__)

MOST_PLANES = 12
"""Planes that are looked at."""

_ItemT = TypeVar("_ItemT")


def agree_on_target(
    sources: Sequence[SourceFile], settings: BatchSettings, pipeline: DINOCellPipeline
) -> Target:
    """Choose one target for many files, by planes that are spread evenly over them.

    Parameters
    ----------
    sources : sequence of SourceFile
        Files that cannot be read are passed over.
    settings : BatchSettings
    pipeline : DINOCellPipeline

    Returns
    -------
    str
        That of an earlier call for the same folder of results with the same model and preprocessing; of a
        sample otherwise; the model's first one where nothing can be read.
    """
    targets = settings.inference.targets
    if len(targets) == 1:
        return targets[0]
    if (earlier := recorded_target(settings)) in targets:
        return earlier
    evidence = np.zeros(SUMS)
    for pixels in _sample(sources, settings.selection):
        try:
            seen = look_over(pipeline.predictor, pixels, settings.inference).evidence
        except DINOCellError as error:
            logger.info("an image is passed over in the choice of the target: %s", error)
            continue
        evidence += 0 if seen is None else seen
    return choose_target(evidence, targets)


def agree_on_scale(
    sources: Sequence[SourceFile], settings: BatchSettings, pipeline: DINOCellPipeline
) -> float:
    """Choose one scale for many files of one target, by planes that are spread evenly over them.

    Returns
    -------
    float
        That of an earlier call, as for `agree_on_target`; 1 where nothing shows that cells are large.
    """
    if (earlier := recorded_scale(settings)) is not None:
        return earlier
    target, predictor = settings.inference.targets[0], pipeline.predictor
    sizes: list[Sizes] = []
    for pixels in _sample(sources, settings.selection):
        try:
            sizes.append(look_for_sizes(predictor, pixels, [target])[target])
        except DINOCellError as error:
            logger.info("an image is passed over in the choice of the scale: %s", error)
    if not sizes:
        return 1.0
    return choose_scales({target: np.sum(sizes, axis=0)}, predictor.diameter_ranges([target]))[target]


def _sample(sources: Sequence[SourceFile], selection: Selection) -> Iterator[Pixels]:
    """Read planes that are spread over the files, and within each over times and slices."""
    each = max(1, MOST_PLANES // max(1, len(sources)))
    for source in _spread(sources, MOST_PLANES):
        try:
            yield from _read(source.path, selection, each)
        except (DINOCellError, OSError, MemoryError) as error:
            logger.info("%s is passed over in a choice for all images: %s", source.path, error)


def _read(path: Path, selection: Selection, count: int) -> Iterator[Pixels]:
    scene = 0 if selection.scene in (None, "all") else selection.scene
    with open_image(path, scene=scene) as image:
        for place in _spread(list(select_planes(image, selection)), count):
            yield read_selected_plane(image, place, selection.channel)


def _spread(items: Sequence[_ItemT], count: int) -> list[_ItemT]:
    """Return some of the items, as many as there are up to a number, evenly spaced."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places.tolist()]
