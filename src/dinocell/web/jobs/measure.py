"""The job *measure*: cells of labels that were made elsewhere, in an image."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from dinocell.errors import InputError
from dinocell.labels import relabel, validate_labels
from dinocell.postprocess.thresholds import Thresholds
from dinocell.version import __version__
from dinocell.web.archive.archive import Archive
from dinocell.web.archive.records import LABELS, LARGEST_ID
from dinocell.web.jobs.job_kind import ImageRequest, JobKind, JobRequest, Order, Report, Reported
from dinocell.web.jobs.segment import keep_result
from dinocell.web.messages import JobName
from dinocell.web.reading.conversion import open_plane
from dinocell.web.settings import Limits


class MeasureRequest(ImageRequest):
    """Request to take an uploaded label image as the cells of an image."""

    kind: Literal["measure"]
    labels: str


class MeasureJob(JobKind):
    """Result of labels that were made elsewhere."""

    name: ClassVar[JobName] = "measure"
    request: ClassVar[type[JobRequest]] = MeasureRequest

    def prepare(
        self, request: MeasureRequest, archive: Archive, limits: Limits
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Check that image and labels fit each other."""
        image, labels = archive.image(request.image), archive.image(request.labels)
        if request.settings:
            raise InputError(f"unknown key {next(iter(request.settings))!r:.60}: measure has no settings")
        if image.shape != labels.shape:
            raise InputError(
                f"{labels.name} has {labels.shape[0]} × {labels.shape[1]} pixels, expected "
                f"{image.shape[0]} × {image.shape[1]} as {image.name}: choose the labels of that image"
            )
        if len(labels.channels) > 1:
            raise InputError(f"{labels.name} has {len(labels.channels)} channels, expected ids in gray")
        if image.shape[0] * image.shape[1] > limits.memory_pixels:
            raise InputError(
                f"{image.name} has more than {limits.memory_pixels} pixels, expected fewer: use "
                "`dinocell measure`"
            )
        folder = str(archive.image_folder(labels.id))
        return {"pixel_size_um": image.pixel_size_um}, {"labels": folder, "name": labels.name}

    def run(self, order: Order, report: Report) -> dict[str, Any]:
        """Check the ids, and write them."""
        report(Reported("reading the labels"))
        pixels = open_plane(Path(order.details["labels"]), is_rgb=False)[0]
        name = order.details["name"]
        if pixels.dtype.kind == "f" and not np.array_equal(pixels, np.floor(pixels)):
            raise InputError(
                f"{name} holds values that are not whole, expected ids: save it as a 16-bit gray TIFF"
            )
        labels = validate_labels(pixels.astype(np.int64) if pixels.dtype.kind == "f" else pixels, name=name)
        warnings: tuple[str, ...] = ()
        if labels.max(initial=0) > LARGEST_ID:
            labels, warnings = relabel(labels), (f"ids above {LARGEST_ID} were numbered anew",)
        order.work.mkdir(parents=True, exist_ok=True)
        np.save(order.work / LABELS, labels)
        ids = np.unique(labels)
        return {
            "target": "cells",
            "count": int((ids > 0).sum()),
            "thresholds": Thresholds(),
            "own_thresholds": Thresholds(),
            "provenance": {"dinocell": __version__, "labels": name},
            "warnings": warnings,
        }

    def keep(self, order: Order, outcome: dict[str, Any], archive: Archive) -> dict[str, Any]:
        """Move the labels to a new result."""
        return keep_result(order, archive, kind="labels", **outcome)
