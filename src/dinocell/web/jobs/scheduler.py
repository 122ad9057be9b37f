"""The scheduler: gives waiting jobs to workers, one worker process a device, and keeps what they report."""

import logging
import multiprocessing
import shutil
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from pydantic import ValidationError

from dinocell.errors import DINOCellError, InputError
from dinocell.settings import first_problem
from dinocell.web.archive.archive import Archive
from dinocell.web.archive.ids import now
from dinocell.web.failures import GoneError
from dinocell.web.jobs.job_kind import Order, Reported
from dinocell.web.jobs.kinds import KINDS, REQUESTS
from dinocell.web.jobs.worker import CANCEL, Ended, work
from dinocell.web.messages import CurvePoint, Job, Progress
from dinocell.web.settings import ServerSettings

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
_REST_SECONDS = 5.0
_PATIENCE_SECONDS = 20.0
"""Time after which a worker that does not end a cancelled job is killed."""

_DIED = (
    "the process that worked on it died, most likely as memory ran out: close other programs, or continue it"
)


class Scheduler:
    """Threads, one a device, that take jobs from the archive and hand them to a worker process.

    Parameters
    ----------
    archive : Archive
    settings : ServerSettings
    """

    def __init__(self, archive: Archive, settings: ServerSettings) -> None:
        self._archive, self._settings = archive, settings
        self._wake = threading.Condition()
        self._cancelled: set[str] = set()
        self._stopping = False
        self._lanes = [_Lane(self, device) for device in settings.devices]

    def start(self) -> None:
        """Start to hand out jobs."""
        for lane in self._lanes:
            lane.start()

    def stop(self) -> None:
        """End the workers; their jobs are marked as interrupted."""
        self._stopping = True
        self.wake()
        for lane in self._lanes:
            lane.join()

    def wake(self) -> None:
        """Look for jobs now."""
        with self._wake:
            self._wake.notify_all()

    def rest(self) -> None:
        """Wait a moment, or until somebody wakes it."""
        with self._wake:
            self._wake.wait(timeout=_REST_SECONDS)

    def cancel(self, job: str) -> Job:
        """Cancel a job that waits, at once, or one that runs, soon.

        Raises
        ------
        GoneError
            If there is none.
        BusyError
            If it is over.
        """
        found = self._archive.jobs.find(job)
        if found.state == "running":
            self._cancelled.add(job)
            return found
        waiting = self._archive.jobs.change(
            job, only_in=("queued", "interrupted"), state="cancelled", ended=now()
        )
        shutil.rmtree(self._archive.work_folder(job), ignore_errors=True)
        return waiting

    def is_cancelled(self, job: str) -> bool:
        """Return whether somebody cancelled a job that runs."""
        return job in self._cancelled

    @property
    def is_stopping(self) -> bool:
        """True once the workers shall end."""
        return self._stopping

    def next_job(self) -> Job | None:
        """Wait for a job, and take it; None where the scheduler stops."""
        while not self._stopping:
            job = self._archive.jobs.take()
            if job is not None:
                self._cancelled.discard(job.id)
                return job
            with self._wake:
                self._wake.wait(timeout=_LOOK_SECONDS)
        return None

    def order_of(self, job: Job, device: str) -> Order:
        """Return the order of a job, checked again: what it needs may be gone, and so may its settings."""
        try:
            request = REQUESTS.validate_json(self._archive.jobs.request_of(job.id))
        except ValidationError as error:
            raise InputError(
                f"{first_problem(error)}; the job was asked for in another version, expected one of this: "
                "start it again"
            ) from error
        settings, details = KINDS[job.kind].prepare(request, self._archive, self._settings.limits)
        image = None if job.image is None else self._archive.image(job.image)
        return Order(
            job=job.id,
            kind=job.kind,
            image=image,
            image_folder=None if image is None else self._archive.image_folder(image.id),
            work=self._archive.work_folder(job.id),
            device=device,
            settings=settings,
            details=details,
            scheduler=self._settings.scheduler,
        )

    def keep_progress(self, job: str, event: Reported, curve: list[CurvePoint]) -> None:
        """Keep how far a job is."""
        progress = Progress(stage=event.stage, done=event.done, total=event.total)
        self._archive.jobs.change(job, progress=progress, curve=list(curve))

    def keep_end(self, order: Order, end: Ended) -> None:
        """Keep what a job made, or why it failed."""
        changes: dict[str, Any] = {"state": "cancelled"}
        if end.problem is not None:
            changes = {"state": "failed", "problem": end.problem}
        elif end.outcome is not None:
            changes = self._keep_outcome(order, end.outcome)
        if changes["state"] == "cancelled":
            shutil.rmtree(order.work, ignore_errors=True)
        self.keep_state(order.job, **changes)

    def _keep_outcome(self, order: Order, outcome: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"state": "done", **KINDS[order.kind].keep(order, outcome, self._archive)}
        except (DINOCellError, OSError) as error:
            logger.warning("the outcome of job %s cannot be kept: %s", order.job, error)
            return {"state": "failed", "problem": f"what it made cannot be kept: {error}"}

    def keep_state(self, job: str, **changes: Any) -> None:
        """Keep the state of a job that ended, unless it was removed."""
        try:
            self._archive.jobs.change(job, ended=now(), **changes)
        except GoneError:
            logger.info("job %s was removed while it ran", job)


class _KeptProgress:
    """Progress of a job on its way to the archive, which need not hear of every tile."""

    def __init__(self, scheduler: Scheduler, job: str) -> None:
        self._scheduler, self._job = scheduler, job
        self._curve: list[CurvePoint] = []
        self._last: Reported | None = None
        self._kept_at = 0.0

    def add(self, event: Reported) -> None:
        """Take what a worker reports."""
        self._last = event
        if event.loss is not None:
            self._curve.append(CurvePoint(step=event.done, loss=event.loss))
        if time.monotonic() - self._kept_at > _LOOK_SECONDS:
            self.keep()

    def keep(self) -> None:
        """Keep the last report."""
        if self._last is not None:
            self._scheduler.keep_progress(self._job, self._last, self._curve)
            self._kept_at, self._last = time.monotonic(), None


class _Lane(threading.Thread):
    """Thread of a device, with its worker process."""

    def __init__(self, scheduler: Scheduler, device: str) -> None:
        super().__init__(name=f"jobs on {device}", daemon=True)
        self._scheduler, self._device = scheduler, device
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None
        self._connection: Connection | None = None
        self._left: str | None = None  # a job that nobody works on, which could not be told to the archive

    def run(self) -> None:
        """Do jobs until the scheduler stops."""
        while not self._scheduler.is_stopping:
            try:
                self._do_next()
            except DINOCellError as error:  # of the archive: jobs wait until there is room again
                logger.warning("%s", error)
                self._scheduler.rest()
        self._end_worker()

    def _do_next(self) -> None:
        if self._left is not None:
            self._scheduler.keep_state(self._left, state="interrupted")
            self._left = None
        job = self._scheduler.next_job()
        if job is None:
            return
        try:
            order = self._scheduler.order_of(job, self._device)
        except DINOCellError as error:
            self._scheduler.keep_state(job.id, state="failed", problem=str(error))
            return
        self._do(order)

    def _do(self, order: Order) -> None:
        try:
            end = self._end_of(order)
            if end is None:
                self._scheduler.keep_state(order.job, state="interrupted")
            else:
                self._scheduler.keep_end(order, end)
        except DINOCellError:  # of the archive: the worker may still be at it, and nobody would listen
            self._end_worker()
            self._left = order.job
            raise

    def _end_of(self, order: Order) -> Ended | None:
        """Let the worker do an order; return how that ended, None where the scheduler stops before."""
        try:
            connection = self._worker()
            connection.send(order)
            return self._follow(order, connection)
        except DINOCellError:
            raise  # some are OSErrors, too
        except (EOFError, OSError):  # of the connection, or of a system that starts no process now
            self._end_worker()
            return Ended() if self._scheduler.is_cancelled(order.job) else Ended(problem=_DIED)

    def _follow(self, order: Order, connection: Connection) -> Ended | None:
        """Keep what a worker reports until it ends; None where the scheduler stops before."""
        progress, asked = _KeptProgress(self._scheduler, order.job), None
        while not self._scheduler.is_stopping:
            if connection.poll(_LOOK_SECONDS):
                event = connection.recv()
                if isinstance(event, Ended):
                    progress.keep()
                    return event
                progress.add(event)
            if not self._scheduler.is_cancelled(order.job):
                continue
            if asked is None:
                connection.send(CANCEL)
                asked = time.monotonic()
            elif time.monotonic() - asked > _PATIENCE_SECONDS:
                self._end_worker()
                return Ended()
        self._end_worker()
        return None

    def _worker(self) -> Connection:
        """Return the connection to the worker, which is started where it is not there."""
        if self._connection is None or not self._process.is_alive():
            self._end_worker()
            here, there = self._context.Pipe()
            self._process = self._context.Process(target=work, args=(there,), daemon=True)
            self._process.start()
            there.close()
            self._connection = here
        return self._connection

    def _end_worker(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None
