"""One target for all images of a call: chosen by a sample of them, and kept when the call is repeated."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dinocell.batch.settings import BatchSettings
from dinocell.batch.sources import SourceFile
from dinocell.datasets.belonging import LOG_FILE
from dinocell.errors import DINOCellError
from dinocell.inference.overview import look_over
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.inference.targets import choose_target
from dinocell.io.images import open_image
from dinocell.io.planes import Pixels
from dinocell.io.selected_planes import read_selected_plane
from dinocell.io.selection import Selection, select_planes
from dinocell.labels import TARGETS, Target

logger = logging.getLogger(__name__)

MOST_PLANES = 12
"""Planes that are looked at."""

_AGREED = "same_target"  # in the log, true where the target of a call was chosen for all files

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
    evidence = np.zeros((len(targets), 2))
    for pixels in _sample(sources, settings.selection):
        try:
            seen = look_over(pipeline.predictor, pixels, settings.inference).evidence
        except DINOCellError as error:
            logger.info("an image is passed over in the choice of the target: %s", error)
            continue
        evidence += 0 if seen is None else seen
    return choose_target(evidence, targets)


def describe_start(settings: BatchSettings) -> dict[str, Any]:
    """Return what the log records of the start of a call: its settings, and whether it agreed on a target."""
    return settings.described() | {_AGREED: settings.same_target}


def recorded_target(settings: BatchSettings) -> Target | None:
    """Read from a folder of results what its last call with the same model agreed on; None without one."""
    found: Target | None = None
    with suppress(OSError), (settings.output / LOG_FILE).open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if _AGREED not in line:
                continue
            with suppress(ValueError, AttributeError, KeyError, TypeError):
                values = json.loads(line)
                if values[_AGREED] is True and values["model"]["sha256"] == settings.model_sha256:
                    found = values["target"]
    return found if found in TARGETS else None


def _sample(sources: Sequence[SourceFile], selection: Selection) -> Iterator[Pixels]:
    """Read planes that are spread over the files, and within each over times and slices."""
    each = max(1, MOST_PLANES // max(1, len(sources)))
    for source in _spread(sources, MOST_PLANES):
        try:
            yield from _read(source.path, selection, each)
        except (DINOCellError, OSError, MemoryError) as error:
            logger.info("%s is passed over in the choice of the target: %s", source.path, error)


def _read(path: Path, selection: Selection, count: int) -> Iterator[Pixels]:
    scene = 0 if selection.scene in (None, "all") else selection.scene
    with open_image(path, scene=scene) as image:
        for place in _spread(list(select_planes(image, selection)), count):
            yield read_selected_plane(image, place, selection.channel)


def _spread(items: Sequence[_ItemT], count: int) -> list[_ItemT]:
    """Return some of the items, as many as there are up to a number, evenly spaced."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places.tolist()]
