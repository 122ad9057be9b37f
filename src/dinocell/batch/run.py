"""A batch of files: the model predicts while threads read, preprocess and write."""

import contextlib
import logging
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from dinocell.batch.findings import summarize_plane
from dinocell.batch.jobs import LoadEvent, PlaneJob, StackRead, load_jobs
from dinocell.batch.outcomes import PlaneOutcome, SourceRead, failed_outcome, record_path, result_files
from dinocell.batch.settings import BatchSettings
from dinocell.batch.sources import SourceFile
from dinocell.batch.stacks import join_stack
from dinocell.batch.threads import WriteBehind, read_ahead
from dinocell.batch.writing import write_results
from dinocell.datasets.belonging import RECORD_ENDING
from dinocell.errors import DINOCellError, OutputError
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.inference.segmentation import Prediction, Progress, Segmentation, TilesDone
from dinocell.io.pixel_size import plausible_size
from dinocell.io.saving import create_folder, printable
from dinocell.measure.confidence import doubt_about
from dinocell.measure.quality import describe_size, image_quality
from dinocell.postprocess.small_cells import describe_removed
from dinocell.results.formats import PLANE_FORMATS
from dinocell.results.record import ResultRecord, write_record
from dinocell.results.result_format import PlaneResult

logger = logging.getLogger(__name__)

READ_AHEAD = 3
"""Planes that wait to be segmented."""

WRITERS = max(2, min(8, (os.cpu_count() or 1) // 2))
"""Threads that turn maps into labels and files."""

WRITE_BEHIND = 2 * WRITERS
"""Planes that wait to be written."""

_ENDINGS = "|".join(
    re.escape(ending) for ending in (RECORD_ENDING, *(f.ending for f in PLANE_FORMATS.values())) if ending
)
_TEMPORARY = re.compile(rf"\..+({_ENDINGS})\.tmp-(\d+)", re.DOTALL)


def segment_files(
    sources: list[SourceFile],
    settings: BatchSettings,
    pipeline: DINOCellPipeline,
    *,
    progress: Progress = None,
) -> Iterator[PlaneOutcome | SourceRead]:
    """Segment files; a generator, so that a caller can show progress and stop.

    A plane's record is written before its other files, marked unfinished, and again after them: whenever the
    process is killed, the next call knows what to do again. Memory is bounded by a few planes.

    Parameters
    ----------
    sources : list of SourceFile
    settings : BatchSettings
    pipeline : DINOCellPipeline
    progress : callable, optional
        Called with a `TilesDone` after every batch of tiles; what it raises ends the batch.

    Yields
    ------
    PlaneOutcome
        For every plane, in order; a skipped plane may come before one that is still being written. For every
        stack after its planes.
    SourceRead
        When the last plane of a file has gone through the model.
    """
    create_folder(settings.output)
    watched = _Watched(progress)
    failures: Counter[str] = Counter()  # failed planes by the stack that they are part of
    with closing(_segment(sources, settings, pipeline, watched)) as events:
        for event in events:
            if isinstance(event, StackRead):
                joined = join_stack(event.plan, settings, failures[str(event.plan.name)])
                yield joined
                if joined.stops:
                    return
                continue
            if isinstance(event, PlaneOutcome) and event.status == "failed":
                failures[event.part_of] += 1
            yield event


def _segment(
    sources: list[SourceFile], settings: BatchSettings, pipeline: DINOCellPipeline, watched: "_Watched"
) -> Generator[PlaneOutcome | StackRead | SourceRead]:
    """Yield the outcomes of planes; those of a stack before the event of its end."""
    with (
        WriteBehind[PlaneOutcome](WRITERS, WRITE_BEHIND) as writer,
        closing(read_ahead(_prepare(load_jobs(sources, settings), pipeline, settings), READ_AHEAD)) as jobs,
    ):
        for job in jobs:
            if isinstance(job, StackRead):
                yield from writer.rest()
            if not isinstance(job, PlaneJob):
                yield job
                continue
            started = time.monotonic()
            try:
                prediction = pipeline.predict(job.pixels, job.inference, gray=job.gray, progress=watched)
            except Exception as error:  # (see _finisher)
                if error is watched.raised:
                    raise
                yield _failed(job, error, settings)
                continue
            spent = replace(job, seconds=job.seconds + time.monotonic() - started)
            for outcome in writer.submit(_finisher(pipeline, spent, prediction, settings)):
                yield outcome
                if outcome.stops:
                    yield from writer.rest()
                    return
        yield from writer.rest()


class _Watched:
    """Callback that remembers what it raised: that ends the batch, and is not a failure of a plane."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.raised: Exception | None = None

    def __call__(self, done: TilesDone) -> None:
        try:
            if self._progress is not None:
                self._progress(done)
        except Exception as error:
            self.raised = error
            raise


def _prepare(
    jobs: Iterator[LoadEvent], pipeline: DINOCellPipeline, settings: BatchSettings
) -> Iterator[LoadEvent]:
    """Preprocess planes as they are read, while the model is busy with others."""
    for job in jobs:
        if not isinstance(job, PlaneJob):
            yield job
            continue
        started = time.monotonic()
        try:
            gray = pipeline.prepare(job.pixels, job.inference)
        except Exception as error:  # noqa: BLE001 (see _finisher)
            yield _failed(job, error, settings)
            continue
        yield replace(job, gray=gray, seconds=job.seconds + time.monotonic() - started)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed processes left among the results."""
    for parent, _, names in os.walk(folder):
        for name in names:
            found = _TEMPORARY.fullmatch(name)
            if found and not _is_alive(int(found[2])):
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
    pipeline: DINOCellPipeline, job: PlaneJob, prediction: Prediction, settings: BatchSettings
) -> Callable[[], PlaneOutcome]:
    def finish() -> PlaneOutcome:
        try:
            result = pipeline.finish(job.pixels, prediction, job.inference)
            return _write(pipeline, job, result, settings)
        except Exception as error:  # noqa: BLE001 (one bad image must not end a batch of ten thousand; it is reported)
            return _failed(job, error, settings)

    return finish


def _failed(job: PlaneJob, error: Exception, settings: BatchSettings) -> PlaneOutcome:
    if not isinstance(error, DINOCellError | MemoryError):
        logger.exception("%s: a defect of DINOCell", job.source.path, exc_info=error)
    outcome = failed_outcome(job.source.path, job.name, error)
    stops = outcome.stops or not settings.output.is_dir()
    return replace(outcome, stops=stops, part_of=job.part_of)


def _write(
    pipeline: DINOCellPipeline, job: PlaneJob, result: Segmentation, settings: BatchSettings
) -> PlaneOutcome:
    """Write all files of a plane; its record is written first, and again last."""
    started = time.monotonic()
    target = result.parameters.target
    best = pipeline.config.targets[target].diameter_range
    plane = _plane_result(job, result, settings)
    scaled = None if best is None else (best[0] / result.parameters.scale, best[1] / result.parameters.scale)
    quality = image_quality(plane.gray, result.labels, diameter_range=scaled)
    size = _size_warning(job, result, best)
    record = record_path(settings, job.name)
    if not settings.output.is_dir():  # not created again: that would hide that earlier results are lost
        raise OutputError(
            f"{settings.output} was removed or moved while results were written to it, expected it to stay: "
            "start again"
        )
    create_folder(record.parent)
    files = result_files(settings, job.name)
    begun = ResultRecord(
        provenance=job.provenance,
        source=printable(os.path.realpath(job.source.path)),
        stem=stem if (stem := job.source.name.name) == printable(stem) else "",  # JSON holds Unicode only
        part_of=printable(job.part_of),
    )

    def write(name: str) -> None:
        PLANE_FORMATS[name].write(files.get(name, plane.source), plane)

    written = write_results(record, begun, files, settings.formats, write, shown=settings.shown)
    measured = any(PLANE_FORMATS[name].needs_channels for name in settings.formats)
    sure = plane.confidence
    mean = round(float(sure.mean()), 4) if sure is not None and result.count else None
    found = {
        "target": target,
        "cells": result.count,
        "min_size": result.parameters.min_size,
        "removed": result.parameters.removed,
        "scale": result.parameters.scale,
        "device": result.parameters.device,
        "engine": result.parameters.engine,
        "precision": result.parameters.precision,
        "confidence": mean,
        "quality": list(quality.flags),
        "warnings": [] if size is None else [size],
        **summarize_plane(plane, measured=measured),
        "channel": job.provenance["source"]["channel"],
    }
    write_record(record, written.model_copy(update={"result": found, "finished": True}))
    seconds = job.seconds + time.monotonic() - started
    last = files.get("tif") or next(iter(files.values()), record)
    doubts = [*quality.flags, *filter(None, [doubt_about(mean)])]
    several = "," in str(settings.selection.channel)  # the first that the image has was taken
    summary = _summary(job, result, doubts, several=several)
    warning = "" if size is None else f"; warning: {size}"
    where, to = (f" ({job.place.suffix.strip('_')})", "") if job.part_of else ("", f" → {last}")
    message = f"{job.source.path}{where}: {summary}{to}{warning}"
    names = sorted(file.name for file in files.values())
    details = found | {"seconds": round(seconds, 3), "files": names}
    return PlaneOutcome(job.source.path, str(job.name), "done", message, details, part_of=job.part_of)


def _plane_result(job: PlaneJob, result: Segmentation, settings: BatchSettings) -> PlaneResult:
    return PlaneResult(
        source=job.source.path,
        scene=job.info.scene,
        t=job.place.t,
        z=job.place.z,
        kind=job.info.format,
        counts=job.info.shape[:3],
        pixels=job.pixels,
        channels=job.channels,
        pixel_size_yx_um=plausible_size(job.info.pixel_size_yx_um),
        overwrite=settings.overwrite,
        overlay=settings.overlay,
        labels=result.labels,
        distance_map=result.distance_map,
        provenance=job.provenance | result.parameters.found(),
    )


def _size_warning(job: PlaneJob, result: Segmentation, best: tuple[float, float] | None) -> str | None:
    """Return the warning of cells of an unusual size in the words of the command line."""
    made = result.parameters
    asked = job.inference.diameter
    return describe_size(made.median_diameter, made.scale, best, asked, option="--diameter {}")


def _summary(job: PlaneJob, result: Segmentation, doubts: Sequence[str], *, several: bool) -> str:
    made = result.parameters
    parts = [f"{result.count} cells"]
    if several:
        parts.append(f"channel {job.provenance['source']['channel']}")
    if job.inference.target == "auto":
        parts.append(f"target {made.target}")
    if not made.trained:
        parts.append("meaningless, the model is untrained")
    if job.inference.diameter not in (None, "auto"):
        parts.append(f"scale {made.scale:.2f}")
    elif made.scale != 1:
        parts.append(f"scale {made.scale:.2f}, as the cells are large")
    if made.removed:
        parts.append(describe_removed(made.removed, made.min_size))
    if made.nonfinite_pixels:
        parts.append(f"{made.nonfinite_pixels} NaN or infinite values taken as the lowest finite one")
    if job.unmeasured:
        parts.append(f"not measured in {', '.join(job.unmeasured)}, which the file does not have")
    return ", ".join([*parts, *doubts])
