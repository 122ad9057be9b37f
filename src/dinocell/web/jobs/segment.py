"""The job *segment*: an image in memory, as `dinocell segment` does it."""

import shutil
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from dinocell.errors import InputError
from dinocell.inference.inputs import InputImage
from dinocell.inference.remote_model import RemoteModel
from dinocell.inference.segmentation import TilesDone
from dinocell.web.archive.archive import Archive, bytes_in
from dinocell.web.archive.ids import new_id, now
from dinocell.web.archive.records import LABELS, MAP, ResultRecord
from dinocell.web.doubts import describe_doubts
from dinocell.web.jobs.job_kind import ImageRequest, JobKind, JobRequest, Order, Report, Reported
from dinocell.web.jobs.segmentation_settings import check_settings
from dinocell.web.messages import JobName
from dinocell.web.reading.conversion import open_plane
from dinocell.web.reading.inputs import input_of
from dinocell.web.settings import Limits


class SegmentRequest(ImageRequest):
    """Request to segment an image."""

    kind: Literal["segment"]


class SegmentJob(JobKind):
    """Segmentation of an image in memory."""

    name: ClassVar[JobName] = "segment"
    request: ClassVar[type[JobRequest]] = SegmentRequest

    def prepare(
        self, request: SegmentRequest, archive: Archive, limits: Limits
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Check the settings, and that the image is not too large."""
        image = archive.image(request.image)
        if image.shape[0] * image.shape[1] > limits.memory_pixels:
            raise InputError(
                f"{image.name} has {image.shape[0]} × {image.shape[1]} pixels, expected at most "
                f"{limits.memory_pixels} for a job of kind segment: use segment-large"
            )
        return check_settings(request.settings, image, archive), {}

    def run(self, order: Order, report: Report) -> dict[str, Any]:
        """Segment, and write labels and map."""
        settings = order.settings
        report(Reported("loading the model"))
        remote = RemoteModel.named(settings["model"], device=order.device, **settings["options"])
        pipeline = remote.load_pipeline()
        if pipeline.predictor.device == "cpu":
            pipeline.predictor.batch_size = 1  # batches gain little there, and this way Cancel need not wait
        source = read_input(order)

        def show(done: TilesDone) -> None:
            report(Reported("segmenting", done.done, done.total))

        report(Reported("preparing the image"))
        prediction = pipeline.predict(source.pixels, pipeline.settings, progress=show)
        report(Reported("finding cells"))
        result = pipeline.finish(source.pixels, prediction, pipeline.settings, source=source)
        order.work.mkdir(parents=True, exist_ok=True)
        np.save(order.work / LABELS, result.labels)
        np.save(order.work / MAP, result.distance_map)
        parameters = result.parameters
        return {
            "target": parameters.target,
            "count": result.count,
            "thresholds": parameters.thresholds,
            "min_size": pipeline.settings.min_size,
            "fill_holes": pipeline.settings.fill_holes,
            "own_thresholds": pipeline.config.targets[parameters.target].thresholds,
            "provenance": parameters.recorded(),
            "warnings": parameters.warnings,
            "doubts": describe_doubts(
                result.labels, result.distance_map, parameters.removed, parameters.min_size
            ),
        }

    def keep(self, order: Order, outcome: dict[str, Any], archive: Archive) -> dict[str, Any]:
        """Move labels and map to a new result."""
        return keep_result(order, archive, kind="map", **outcome)


def read_input(order: Order) -> InputImage:
    """Read the plane of an order as `dinocell.inference.inputs.open_input` reads files."""
    image, folder = order.image, order.image_folder
    if image is None or folder is None:
        raise InputError("the job has no image, expected one: start it again")
    planes, settings = open_plane(folder, is_rgb=image.rgb), order.settings
    return input_of(image, planes, settings["channel"], settings["pixel_size_um"])


def keep_result(order: Order, archive: Archive, *, kind: str, **found: Any) -> dict[str, Any]:
    """Move the work folder of an order to a new result, and add its record."""
    image, result = order.image, new_id()
    if image is None:
        raise InputError("the job has no image, expected one: start it again")
    folder = archive.result_folder(result)
    shutil.move(order.work, folder)
    settings = order.settings
    record = ResultRecord(
        id=result,
        image=image.id,
        job=order.job,
        created=now(),
        model=Path(settings.get("model", "")).name,
        kind=kind,
        shape=image.shape,
        channel=settings.get("channel"),
        pixel_size_um=settings.get("pixel_size_um"),
        **found,
    )
    archive.add_result(record, bytes_in(folder))
    return {"result": result}
