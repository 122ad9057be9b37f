"""Movies and z-stacks: planes are segmented one by one, and their files are joined when all are done.

Until then they lie in a folder of their own, so that a call that was stopped goes on where it was::

    OUT/movie_planes/movie_t0000_labels.tif, …_cells.csv, …_provenance.json, movie_t0001_labels.tif, …
    OUT/movie_labels.tif, movie_cells.csv, …, movie_provenance.json        all times in one file each
"""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dinocell.batch.outcomes import PlaneOutcome, failed_outcome, record_path, result_files
from dinocell.batch.settings import BatchSettings
from dinocell.batch.sources import SourceFile
from dinocell.batch.writing import write_results
from dinocell.errors import DINOCellError, InputError
from dinocell.io.pixel_size import plausible_size
from dinocell.io.readers.lazy import ImageInfo
from dinocell.io.saving import create_folder, printable
from dinocell.io.selection import SelectedPlane
from dinocell.io.stacks import StackAxes
from dinocell.results.formats import PLANE_FORMATS
from dinocell.results.record import PARTS_ENDING, ResultRecord, read_record, write_record
from dinocell.results.result_format import Stack, StackPart

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class StackPlan:
    """Planes of one scene of a file, whose results become one file a format.

    Attributes
    ----------
    source : SourceFile
    name : Path
        Folders and stem of the results, relative.
    ending : str
        What follows the stem in the name of each part, as ``_untrained``.
    places : tuple of SelectedPlane
    stack : Stack
    """

    source: SourceFile
    name: Path
    ending: str
    places: tuple[SelectedPlane, ...]
    stack: Stack

    def part_name(self, place: SelectedPlane) -> Path:
        """Return the name of the results of one plane."""
        folder = self.name.with_name(f"{self.name.name}{PARTS_ENDING}")
        return folder / f"{self.source.name.name}{place.suffix}{self.ending}"


def describe_axes(info: ImageInfo, places: Sequence[SelectedPlane]) -> StackAxes:
    """Return the axes of a stack of some planes of a scene."""
    slices = {place.z for place in places}
    return StackAxes(
        len({place.t for place in places}),
        len(slices),
        plausible_size(info.pixel_size_yx_um),
        _plausible(info.z_step_um),
        _plausible(info.time_step_s),
    )


def _plausible(step: float | None) -> float | None:
    return step if step and 1e-9 < step < 1e9 else None


def stack_files(settings: BatchSettings, name: Path) -> dict[str, Path]:
    """Return the files of the results of a stack, by format; formats written into the source have none."""
    files = result_files(settings, name)
    own = {key: PLANE_FORMATS[key].stack_ending for key in files}
    return {key: settings.output / f"{name}{own[key]}" if own[key] else path for key, path in files.items()}


def check_joins(plan: StackPlan, settings: BatchSettings) -> None:
    """Raise InputError for a format that holds one plane a file."""
    for name in settings.formats:
        if PLANE_FORMATS[name].ending and not PLANE_FORMATS[name].can_join():
            raise InputError(
                f"{name} holds one plane a file, but {len(plan.places)} planes of {plan.source.path} are "
                "chosen: choose another --format, or a file a plane with --separate-planes"
            )


def join_stack(plan: StackPlan, settings: BatchSettings, failed: int) -> PlaneOutcome:
    """Join the files of all planes of a stack, and remove those of the planes.

    Parameters
    ----------
    plan : StackPlan
    settings : BatchSettings
    failed : int
        Number of its planes that failed: without them there is no stack.

    Returns
    -------
    PlaneOutcome
        "failed" where planes or the joining failed; the planes' files are kept then.
    """
    if failed:
        message = (
            f"{plan.source.path}: {failed} of {len(plan.places)} planes failed, expected all for a stack of "
            "them: the same command does these alone, and joins all"
        )
        return PlaneOutcome(plan.source.path, str(plan.name), "failed", message, {})
    try:
        return _join(plan, settings)
    except Exception as error:  # planes' files may be edited: one stack must not end a batch
        if not isinstance(error, DINOCellError | MemoryError | OSError):
            logger.exception("%s: its planes cannot be joined", plan.source.path)
        return failed_outcome(plan.source.path, plan.name, error)


def _join(plan: StackPlan, settings: BatchSettings) -> PlaneOutcome:
    started = time.monotonic()
    names = [plan.part_name(place) for place in plan.places]
    records = [read_record(record_path(settings, name)) for name in names]
    if any(record is None or not record.finished for record in records):
        raise InputError(f"{plan.source.path}: results of its planes were removed meanwhile: start again")
    found = [record.result for record in records if record is not None]
    files, record = stack_files(settings, plan.name), record_path(settings, plan.name)
    result = _summarize(plan.places, found)
    begun = ResultRecord(
        provenance=dict(plan.stack.provenance),
        source=printable(os.path.realpath(plan.source.path)),
        stem=stem if (stem := plan.source.name.name) == printable(stem) else "",
    )

    def write(name: str) -> None:
        if name in files:
            parts = [
                StackPart(result_files(settings, part)[name], place.t, place.z)
                for part, place in zip(names, plan.places, strict=True)
            ]
            PLANE_FORMATS[name].join(files[name], parts, plan.stack)

    create_folder(record.parent)
    written = write_results(record, begun, files, settings.formats, write, shown=settings.shown)
    write_record(record, written.model_copy(update={"result": result, "finished": True}))
    _remove_parts(plan, settings)
    last = files.get("tif") or next(iter(files.values()), record)
    message = f"{plan.source.path}: {len(names)} planes, {result['cells']} cells → {last}"
    details = {
        "planes": len(names),
        "cells": result["cells"],
        "seconds": round(time.monotonic() - started, 3),
        "files": sorted(file.name for file in files.values()),
    }
    return PlaneOutcome(plan.source.path, str(plan.name), "done", message, details)


def _summarize(places: Sequence[SelectedPlane], found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the record of a stack says of it: all its cells, and what was found in each plane."""
    targets = sorted({str(one["target"]) for one in found if "target" in one})
    sure = [one["confidence"] for one in found if one.get("confidence") is not None]
    planes = [{"t": place.t, "z": place.z, **one} for place, one in zip(places, found, strict=True)]
    return {
        "target": targets[0] if len(targets) == 1 else targets,
        "cells": sum(int(one.get("cells", 0)) for one in found),
        "confidence": round(float(np.mean(sure)), 4) if sure else None,
        "quality": sorted({flag for one in found for flag in one.get("quality", ())}),
        "planes": planes,
    }


def _remove_parts(plan: StackPlan, settings: BatchSettings) -> None:
    """Remove the files of the planes; whatever else lies in their folder stays."""
    for place in plan.places:
        record_file = record_path(settings, plan.part_name(place))
        record = read_record(record_file)
        for name in () if record is None else record.files:
            with suppress(OSError):
                record_file.with_name(name).unlink()
        with suppress(OSError):
            record_file.unlink()
    with suppress(OSError):
        record_path(settings, plan.part_name(plan.places[0])).parent.rmdir()
