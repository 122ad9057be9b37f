"""The job *segment-large*: an image block by block, as `dinocell segment-large` does it."""

import importlib.util
from typing import Any, ClassVar, Literal

from dinocell.errors import InputError
from dinocell.extras import require_extra
from dinocell.inference.remote_model import RemoteModel
from dinocell.io.selection import SelectedPlane
from dinocell.large.plan import LargeResult, read_provenance
from dinocell.large.run import segment_large
from dinocell.large.settings import LargeSettings, LargeTarget, SourcePlane
from dinocell.measure.confidence import doubt_about
from dinocell.postprocess.small_cells import describe_removed
from dinocell.web.archive.archive import Archive
from dinocell.web.archive.records import LARGE_LABELS
from dinocell.web.jobs.job_kind import ImageRequest, JobKind, JobRequest, Order, Report, Reported
from dinocell.web.jobs.segment import keep_result
from dinocell.web.jobs.segmentation_settings import check_settings
from dinocell.web.messages import JobName
from dinocell.web.reading.conversion import PLANE
from dinocell.web.settings import Limits
from dinocell.workers.cluster_start import open_executor
from dinocell.workers.executor import Executor

_BLOCK = 1024  # smaller than on the command line, so that Cancel need not wait


class SegmentLargeRequest(ImageRequest):
    """Request to segment an image block by block."""

    kind: Literal["segment-large"]


class SegmentLargeJob(JobKind):
    """Segmentation of an image of any size; interrupted, it goes on where it was."""

    name: ClassVar[JobName] = "segment-large"
    request: ClassVar[type[JobRequest]] = SegmentLargeRequest

    def prepare(
        self, request: SegmentLargeRequest, archive: Archive, limits: Limits
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Check the settings."""
        for package in ("zarr", "filelock"):
            require_extra(package, extra="large", purpose="segmenting large images")
        if "fill_holes" in request.settings:
            raise InputError("fill_holes is given, which segment-large does not have: leave it out")
        return check_settings(request.settings, archive.image(request.image), archive), {}

    def run(self, order: Order, report: Report) -> dict[str, Any]:
        """Segment into the work folder."""
        settings, folder = order.settings, order.image_folder
        if folder is None:
            raise InputError("the job has no image, expected one: start it again")
        report(Reported("loading the model"))
        remote = RemoteModel.named(settings["model"], device=order.device, **settings["options"])
        formats = ("parquet",) if importlib.util.find_spec("pyarrow") else ()
        large = LargeSettings(
            LargeTarget.of_model(remote), min_size=remote.settings.min_size, block=_BLOCK, formats=formats
        )
        plane = SelectedPlane(0, 0, None, "")
        source = SourcePlane(folder / PLANE, 0, plane, settings["channel"], settings["pixel_size_um"])
        order.work.mkdir(parents=True, exist_ok=True)
        with open_executor(scheduler=order.scheduler) as executor:
            result = _follow(source, order, remote, large, executor, report)
        return _describe(result, remote, order)

    def keep(self, order: Order, outcome: dict[str, Any], archive: Archive) -> dict[str, Any]:
        """Move labels and tables to a new result."""
        return keep_result(order, archive, kind="large", **outcome)


def _follow(
    source: SourcePlane,
    order: Order,
    remote: RemoteModel,
    large: LargeSettings,
    executor: Executor,
    report: Report,
) -> LargeResult:
    for event in segment_large(source, order.work / LARGE_LABELS, remote, large, executor):
        if isinstance(event, LargeResult):
            return event
        report(Reported(event.title, event.done, event.total))
    raise InputError("the run ended without labels: start the job again")


def _describe(result: LargeResult, remote: RemoteModel, order: Order) -> dict[str, Any]:
    removed = (describe_removed(result.removed, result.min_size),) if result.removed else ()
    doubt = doubt_about(result.confidence)
    own = remote.load_pipeline().config.targets[result.target].thresholds
    return {
        "target": result.target,
        "count": result.cells,
        "thresholds": remote.settings.thresholds_of[result.target],
        "own_thresholds": own,
        "provenance": dict(read_provenance(order.work / LARGE_LABELS) or {}),
        "warnings": (*removed, *((doubt,) if doubt else ())),
    }
