"""A batch from its first file to its last: the model predicts while threads read and write."""

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from dinocell.batch.jobs import Job, Outcome, SourceRead, failed, load_jobs, record_path, result_files
from dinocell.batch.record import Record, hash_file, write_record
from dinocell.batch.settings import BatchSettings
from dinocell.batch.sources import Source
from dinocell.batch.threads import WriteBehind, read_ahead
from dinocell.errors import DINOCellError, OutputError
from dinocell.labels import median_diameter
from dinocell.pipeline import DINOCellPipeline
from dinocell.quality import image_quality
from dinocell.results.formats import FORMATS, PlaneResult
from dinocell.segmentation import Prediction, Segmentation, TilesDone

READ_AHEAD = 3
"""Planes that wait to be segmented."""

WRITE_BEHIND = 4
"""Planes that wait to be written."""

WRITERS = 2
"""Threads that turn maps into labels and files."""

_TEMPORARY = re.compile(r"\..+\.tmp-(\d+)", re.DOTALL)


def segment_files(
    sources: list[Source], settings: BatchSettings, pipeline: DINOCellPipeline
) -> Iterator[Outcome | SourceRead | TilesDone]:
    """Segment files; a generator, so that a caller can show progress and stop.

    A plane's record is written before its other files, marked unfinished, and again after them: whenever the
    process is killed, the next call knows what to do again. Memory is bounded by a few planes.

    Parameters
    ----------
    sources : list of Source
    settings : BatchSettings
    pipeline : DINOCellPipeline

    Yields
    ------
    TilesDone
        After every batch of tiles.
    Outcome
        Of every plane; in order, though what is skipped may come before what is still being written.
    SourceRead
        When the last plane of a file has gone through the model.
    """
    with (
        WriteBehind[Outcome](WRITERS, WRITE_BEHIND) as writer,
        closing(read_ahead(load_jobs(sources, settings), READ_AHEAD)) as jobs,
    ):
        for job in jobs:
            if not isinstance(job, Job):
                yield job
                continue
            try:
                prediction = yield from pipeline.predict_steps(
                    job.pixels, diameter=job.diameter, thresholds=settings.thresholds
                )
            except (DINOCellError, MemoryError) as error:
                yield failed(job.source.path, job.name, error)
                continue
            for outcome in writer.submit(_finisher(pipeline, job, prediction, settings)):
                yield outcome
                if outcome.stops:
                    yield from writer.rest()
                    return
        yield from writer.rest()


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed processes left among the results."""
    for parent, _, names in os.walk(folder):
        for name in names:
            found = _TEMPORARY.fullmatch(name)
            if found and not _is_alive(int(found[1])):
                with contextlib.suppress(OSError):
                    Path(parent, name).unlink()


def _is_alive(process: int) -> bool:
    if sys.platform == "win32":  # where signal 0 would end it
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass
    return True


def _finisher(
    pipeline: DINOCellPipeline, job: Job, prediction: Prediction, settings: BatchSettings
) -> Callable[[], Outcome]:
    def finish() -> Outcome:
        try:
            result = pipeline.finish(
                job.pixels, prediction, thresholds=settings.thresholds, min_size=settings.min_size
            )
            return _write(pipeline, job, result, settings)
        except (DINOCellError, MemoryError) as error:
            return failed(job.source.path, job.name, error)

    return finish


def _write(pipeline: DINOCellPipeline, job: Job, result: Segmentation, settings: BatchSettings) -> Outcome:
    """Write all files of a plane, its record first and last."""
    best = pipeline.model.config.diameter_range
    plane = _plane_result(job, result)
    scaled = None if best is None else (best[0] / result.parameters.scale, best[1] / result.parameters.scale)
    quality = image_quality(plane.gray, result.labels, diameter_range=scaled)
    record = record_path(settings, job.name)
    _make_folder(record.parent)
    write_record(record, Record(provenance=job.provenance))
    files = result_files(settings, job.name)
    for name in settings.formats:
        FORMATS[name].write(files.get(name, job.source.path), plane)
    found = {
        "cells": result.count,
        "scale": result.parameters.scale,
        "device": result.parameters.device,
        "confidence": round(float(plane.confidence.mean()), 4) if result.count else None,
        "quality": list(quality.flags),
    }
    hashes = {file.name: hash_file(file) for file in files.values()}
    complete = Record(
        provenance=job.provenance, result=found, formats=settings.formats, files=hashes, finished=True
    )
    write_record(record, complete)
    seconds = time.monotonic() - job.started
    last = files.get("tif") or next(iter(files.values()), record)
    message = f"{job.source.path}: {_summary(job, result, quality.flags)} → {last}{_hint(job, result, best)}"
    details = found | {"seconds": round(seconds, 3), "files": sorted(hashes)}
    return Outcome(job.source.path, str(job.name), "done", message, details)


def _plane_result(job: Job, result: Segmentation) -> PlaneResult:
    return PlaneResult(
        source=job.source.path,
        scene=job.info.scene,
        t=job.place.t,
        z=job.place.z,
        in_stack=job.info.shape[0] * job.info.shape[2] > 1,
        pixels=job.pixels,
        channels=job.channels,
        pixel_size_um=job.info.pixel_size_um,
        labels=result.labels,
        distance_map=result.distance_map,
        provenance=job.provenance,
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"folder {folder} cannot be made ({error.strerror}), expected a writable place: choose another -o"
        ) from error


def _hint(job: Job, result: Segmentation, best: tuple[float, float] | None) -> str:
    """Say what helps when the cells found are far from the sizes that the model is best at."""
    if job.diameter is not None or best is None or not result.count:
        return ""
    found = median_diameter(result.labels)
    if best[0] / 2 <= found <= best[1] * 1.5:
        return ""
    return f" (cells of {found:.0f} px; the model is best at {best[0]:g} to {best[1]:g}: try --diameter auto)"


def _summary(job: Job, result: Segmentation, flags: tuple[str, ...]) -> str:
    made = result.parameters
    parts = [f"{result.count} cells"]
    if not made.trained:
        parts.append("meaningless, the model is untrained")
    if job.diameter == "auto":
        found = "no cells to measure" if made.diameter is None else f"diameter {made.diameter:.1f} px found"
        parts.append(found)
    if job.diameter is not None:
        parts.append(f"scale {made.scale:.2f}")
    if made.nonfinite_pixels:
        parts.append(f"{made.nonfinite_pixels} NaN or infinite values taken as the lowest finite one")
    return ", ".join([*parts, *flags])
