"""Executors that spread tasks over processes and machines: dask schedules them, a few at a time."""

import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol, TypeVar

from dinocell.errors import DINOCellError, InputError, WorkerError
from dinocell.extras import import_extra
from dinocell.version import __version__

_ItemT = TypeVar("_ItemT")
_ResultT = TypeVar("_ResultT")

RETRIES = 2
"""Number of times that a failed task is tried again."""

LOST_SECONDS = 60.0
"""Seconds for which all processes started here may be gone before the work is given up."""

_LOOK_SECONDS = 0.02
_TASKS_A_THREAD = 4  # one runs, the others are on their way: none waits for the network
_FEWEST_TASKS = 32
_COUNT_SECONDS = 5.0  # workers come and go; they are counted at most this often

_logger = logging.getLogger(__name__)
_device_lock = threading.Lock()


class Executor(Protocol):
    """Place where tasks run.

    Attributes
    ----------
    dashboard : str or None
        Address of a page that shows the tasks.
    """

    dashboard: str | None

    @property
    def workers(self) -> int:
        """Number of processes that work now."""

    def map(
        self,
        function: Callable[..., _ResultT],
        items: Iterable[_ItemT],
        *arguments: Any,
        on_device: bool = False,
        given_up: Callable[[_ItemT, WorkerError], _ResultT] | None = None,
    ) -> Generator[tuple[_ItemT, _ResultT]]:
        """Yield every item and the result of the function, as tasks end, in any order.

        Items are taken as they are needed. Closing the generator cancels the tasks that are left; one that
        runs in another process goes on to its end. A function may run again on an item after it failed or
        its process was lost, but never after the item was yielded.

        Parameters
        ----------
        function : callable
            At module level; takes an item and the arguments, and returns something small.
        items : iterable
        *arguments
            The same for every item, and sent with each: small too.
        on_device : bool
            Whether tasks need a GPU. Workers that have the dask resource ``GPU`` run one such task at a time.
        given_up : callable, optional
            Returns a result for an item over which processes died again and again, from it and the error. The
            item may not be the cause: one that waits in a process which dies over another counts as well.

        Raises
        ------
        WorkerError
            If processes die again and again over a task, without `given_up`; if all processes started here
            are gone; or if the scheduler is lost.
        InputError
            If a worker has another version of this package.
        """


class HereExecutor:
    """Executor in this process, one task after the other; one that ends in an OSError is tried again."""

    dashboard: str | None = None
    workers = 1

    def map(
        self,
        function: Callable[..., _ResultT],
        items: Iterable[_ItemT],
        *arguments: Any,
        on_device: bool = False,
        given_up: Callable[[_ItemT, WorkerError], _ResultT] | None = None,
    ) -> Generator[tuple[_ItemT, _ResultT]]:
        """Yield every item and the result of the function, in their order: see `Executor.map`."""
        for item in items:
            yield item, _try(function, item, arguments)


def _try(function: Callable[..., _ResultT], item: Any, arguments: tuple[Any, ...]) -> _ResultT:
    for _ in range(RETRIES):
        try:
            return function(item, *arguments)
        except OSError as error:  # network file systems fail now and then
            if isinstance(error, DINOCellError):  # and say so by themselves, not by ours
                raise
            _logger.warning("%s failed (%s): trying again", getattr(item, "name", item), error)
    return function(item, *arguments)


class DaskExecutor:
    """Executor on the workers of a dask scheduler.

    Parameters
    ----------
    client : distributed.Client
        Connected, not asynchronous.
    started_here : bool
        Whether the workers were started by this process, so that nobody else will start new ones.
    """

    def __init__(self, client: Any, *, started_here: bool = False) -> None:
        self._client, self._started_here = client, started_here
        self.dashboard: str | None = client.dashboard_link or None
        self._counted_at = -_COUNT_SECONDS

    @property
    def workers(self) -> int:
        """Number of processes that work now."""
        return self._count()[0]

    def map(
        self,
        function: Callable[..., _ResultT],
        items: Iterable[_ItemT],
        *arguments: Any,
        on_device: bool = False,
        given_up: Callable[[_ItemT, WorkerError], _ResultT] | None = None,
    ) -> Generator[tuple[_ItemT, _ResultT]]:
        """Yield every item and the result of the function, as tasks end: see `Executor.map`.

        Only as many tasks are submitted as keep the workers busy, so that millions of items fill neither
        memory nor the scheduler. With 16 threads in all::

            items 0 … 99         yielded, in the order in which their tasks ended
            items 100 … 163      submitted: 16 run, 48 wait at the workers, so that no thread waits for the
                                 network
            items 164 …          taken one by one, as results are yielded
        """
        distributed = import_distributed()
        ended = distributed.as_completed(loop=self._client.loop, with_results=True, raise_errors=False)
        submitted: dict[Any, _ItemT] = {}
        rest = iter(items)
        try:
            while True:
                _, threads, has_gpu = self._count()
                room = max(_TASKS_A_THREAD * threads, _FEWEST_TASKS) - len(submitted)
                resources = {"GPU": 1} if on_device and has_gpu else None
                for item in islice(rest, max(room, 0)):
                    future = self._submit(function, item, arguments, resources)
                    submitted[future] = item
                    ended.add(future)
                if not submitted:
                    return
                self._wait(ended)
                future, outcome = next(ended)
                result: _ResultT = _result_of(outcome, submitted[future], given_up)
                yield submitted.pop(future), result
        finally:
            ended.clear()
            if submitted and self._client.status == "running":
                self._client.cancel(list(submitted), force=True)

    def _wait(self, ended: Any) -> None:
        """Wait for a task to end, unless all workers are gone for good."""
        lost_at = None
        while not ended.has_ready():
            if self._started_here and not self.workers:
                lost_at = lost_at or time.monotonic()
                if time.monotonic() > lost_at + LOST_SECONDS:
                    raise WorkerError(
                        "all processes have ended and none was started again, expected them to run to the "
                        "end: start again with fewer --workers"
                    )
            else:
                lost_at = None
            time.sleep(_LOOK_SECONDS)

    def _submit(
        self,
        function: Callable[..., Any],
        item: Any,
        arguments: tuple[Any, ...],
        resources: dict[str, int] | None,
    ) -> Any:
        name = getattr(function, "__name__", "task")
        return self._client.submit(
            _run,
            __version__,
            function,
            item,
            arguments,
            key=f"{name}-{uuid.uuid4().hex}",  # the dashboard groups tasks by what stands before the dash
            pure=False,
            retries=RETRIES,
            resources=resources,
        )

    def _count(self) -> tuple[int, int, bool]:
        """Count workers and their threads, and tell whether any has a GPU; the answer may be a moment old."""
        if time.monotonic() > self._counted_at + _COUNT_SECONDS:
            try:
                workers = self._client.scheduler_info()["workers"].values()
            except OSError as error:
                raise _lost_scheduler(error) from error
            threads = sum(worker["nthreads"] for worker in workers)
            has_gpu = any(worker["resources"].get("GPU", 0) >= 1 for worker in workers)
            self._counts = len(workers), threads, has_gpu
            self._counted_at = time.monotonic()
        return self._counts


def _run(
    version: str, function: Callable[..., _ResultT], item: Any, arguments: tuple[Any, ...]
) -> list[_ResultT]:
    """Run a task in a worker, which may have come after the others were asked for their version.

    Returns
    -------
    list of one result
        Which tells it from what dask gives in the place of one: an error, or a tuple with an error.
    """
    if version != __version__:
        raise differing_version(socket.gethostname(), __version__, version)
    return [function(item, *arguments)]


def _result_of(outcome: Any, item: Any, given_up: Callable[[Any, WorkerError], Any] | None) -> Any:
    """Return the result of a task that ended, or raise why it has none."""
    if isinstance(outcome, list):
        return outcome[0]
    if not isinstance(outcome, tuple):
        raise _lost_scheduler(outcome)
    _, error, trace = outcome
    if not isinstance(error, import_distributed().KilledWorker):
        raise error.with_traceback(trace)
    killed = WorkerError(
        f"{error.allowed_failures + 1} workers died over one task ({error.task}), expected it to fit in "
        "their memory: start again with smaller blocks, or fewer --workers on a machine"
    )
    if given_up is None:
        raise killed from error
    return given_up(item, killed)


def _lost_scheduler(error: BaseException) -> WorkerError:
    return WorkerError(
        f"the dask scheduler is lost ({error}), expected it to run to the end: look at what it said last, "
        "and start again"
    )


def absent_package(worker: str, error: BaseException) -> InputError:
    """Return the error for a worker that lacks this package."""
    return InputError(
        f"the worker {worker} cannot import dinocell ({error}), expected version {__version__} as here: "
        "install it there"
    )


def differing_version(worker: str, there: str, here: str) -> InputError:
    """Return the error for a worker with another version of this package."""
    return InputError(
        f"the worker {worker} has dinocell {there}, expected {here} as here: install the same version there"
    )


@contextmanager
def device_lock() -> Iterator[None]:
    """Let one thread of this process at a time use the network, whose memory two would double."""
    with _device_lock:
        yield


def import_distributed() -> Any:
    """Import dask's scheduler, which comes with an extra."""
    return import_extra("distributed", extra="large", purpose="spreading work over processes")
