"""One plane of a batch, once it is read: through the model, and to its files."""

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import replace

from dinocell.batch.findings import summarize_plane
from dinocell.batch.jobs import PlaneJob
from dinocell.batch.outcomes import PlaneOutcome, failed_outcome, record_path, result_files
from dinocell.batch.settings import BatchSettings
from dinocell.batch.writing import write_results
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


class StoppedError(Exception):
    """Raised in planes that are under way when a batch is left."""


class Watched:
    """Callback that remembers what it raised: that ends the batch, and is not a failure of a plane.

    After its ``with`` block it always raises, so that planes in other threads end soon.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.raised: Exception | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.raised = self.raised or StoppedError()

    def check(self) -> None:
        """Raise what was raised before."""
        if self.raised is not None:
            raise self.raised

    def __call__(self, done: TilesDone) -> None:
        """Pass a batch of tiles on, and keep what is raised."""
        self.check()
        try:
            if self._progress is not None:
                self._progress(done)
        except Exception as error:
            self.raised = error
            raise


class Plane:
    """A plane on its way from the model to its files.

    Parameters
    ----------
    job : PlaneJob
    pipeline : DINOCellPipeline
    settings : BatchSettings
    watched : Watched
        What its callback raises, `predict` and `finish` raise; all else is a failed outcome.
    """

    def __init__(
        self, job: PlaneJob, pipeline: DINOCellPipeline, settings: BatchSettings, watched: Watched
    ) -> None:
        self.job, self.pipeline, self.settings, self.watched = job, pipeline, settings, watched
        self._predicted: Prediction | PlaneOutcome | None = None

    def predict(self) -> Prediction | PlaneOutcome:
        """Predict the map, for `finish`; return the outcome where that fails."""
        started, job = time.monotonic(), self.job
        try:
            self.watched.check()
            predicted = self.pipeline.predict(job.pixels, job.inference, gray=job.gray, progress=self.watched)
        except Exception as error:  # (see finish)
            if error is self.watched.raised:
                raise
            self._predicted = failed_plane(job, error, self.settings)
        else:
            self._predicted = predicted
            self.job = replace(job, seconds=job.seconds + time.monotonic() - started)
        return self._predicted

    def finish(self) -> PlaneOutcome:
        """Predict the map unless that is done, find the cells, and write all files."""
        predicted = self.predict() if self._predicted is None else self._predicted
        if isinstance(predicted, PlaneOutcome):
            return predicted
        try:
            result = self.pipeline.finish(self.job.pixels, predicted, self.job.inference)
            return _write(self.pipeline, self.job, result, self.settings)
        except Exception as error:  # noqa: BLE001 (one bad image must not end a batch of ten thousand; it is reported)
            return failed_plane(self.job, error, self.settings)


def failed_plane(job: PlaneJob, error: Exception, settings: BatchSettings) -> PlaneOutcome:
    """Return the outcome of a plane over which an error was raised; a defect is logged."""
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
