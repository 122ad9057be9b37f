"""Spread tasks over processes and machines: dask schedules them, this gives it few at a time."""

import logging
import os
import pkgutil
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing import resource_tracker
from typing import Any, Protocol, TypeVar

from dinocell.errors import InputError, WorkerError
from dinocell.extras import import_extra
from dinocell.version import __version__

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

RETRIES = 2
"""Times that a task which failed is tried again."""

CONNECT_SECONDS = 10.0
"""For so long a scheduler may leave the first call unanswered."""

PATIENCE_SECONDS = 5.0
"""After so long without a worker it is told what is waited for."""

_TASKS_A_THREAD = 4  # one runs, the others are on their way: none waits for the network
_FEWEST_TASKS = 32
_COUNT_SECONDS = 5.0  # workers come and go; they are counted no more often than this

# The libraries read these once, when they are loaded; OpenCV minds none but its own.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "OPENCV_FOR_THREADS_NUM",
)  # fmt: skip

_LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado.application", "asyncio")

_logger = logging.getLogger(__name__)
_device_lock = threading.Lock()


class Engine(Protocol):
    """Where tasks run.

    Attributes
    ----------
    dashboard : str or None
        Address of a page that shows the tasks.
    """

    dashboard: str | None

    @property
    def workers(self) -> int:
        """How many processes work now."""

    def map(
        self,
        function: Callable[..., ResultT],
        items: Iterable[ItemT],
        *arguments: Any,
        on_device: bool = False,
        given_up: Callable[[ItemT, WorkerError], ResultT] | None = None,
    ) -> Generator[tuple[ItemT, ResultT]]:
        """Yield every item and what the function made of it, as tasks end, in any order.

        Items are taken as they are needed. Closing the generator drops what is left; what another process is
        at goes on to its end. A function may be run on an item again after it failed or its process was lost,
        but never after the item was yielded.

        Parameters
        ----------
        function : callable
            At module level; takes an item and the arguments, and gives back something small.
        items : iterable
        *arguments
            The same for every item, and sent with each: small too.
        on_device : bool
            Whether tasks need a GPU. Workers that have the dask resource ``GPU`` run one such task at a time.
        given_up : callable, optional
            Makes the result of an item over which processes died again and again, from it and the error. The
            item may be innocent: one that waits in a process which dies over another counts as well.

        Raises
        ------
        WorkerError
            If processes die again and again over a task and there is no `given_up`, or the scheduler does.
        InputError
            If a worker has another version of this package.
        """


class HereEngine:
    """The very process that asks, one task after the other; one that ends in an OSError is tried again."""

    dashboard: str | None = None
    workers = 1

    def map(
        self,
        function: Callable[..., ResultT],
        items: Iterable[ItemT],
        *arguments: Any,
        on_device: bool = False,
        given_up: Callable[[ItemT, WorkerError], ResultT] | None = None,
    ) -> Generator[tuple[ItemT, ResultT]]:
        """Yield every item and what the function made of it, in their order: see `Engine.map`."""
        for item in items:
            yield item, _try(function, item, arguments)


def _try(function: Callable[..., ResultT], item: Any, arguments: tuple[Any, ...]) -> ResultT:
    for _ in range(RETRIES):
        try:
            return function(item, *arguments)
        except OSError as error:  # network file systems fail now and then
            _logger.warning("%r failed (%s): trying again", item, error)
    return function(item, *arguments)


class DaskEngine:
    """The workers of a dask scheduler.

    Parameters
    ----------
    client : distributed.Client
        Connected, not asynchronous.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.dashboard: str | None = client.dashboard_link or None
        self._counted_at = -_COUNT_SECONDS

    @property
    def workers(self) -> int:
        """How many processes work now."""
        return self._count()[0]

    def map(
        self,
        function: Callable[..., ResultT],
        items: Iterable[ItemT],
        *arguments: Any,
        on_device: bool = False,
        given_up: Callable[[ItemT, WorkerError], ResultT] | None = None,
    ) -> Generator[tuple[ItemT, ResultT]]:
        """Yield every item and what the function made of it, as tasks end: see `Engine.map`.

        As many tasks are handed over as keep the workers busy, so that neither memory nor the scheduler is
        filled by millions of items.
        """
        distributed = _import_distributed()
        ended = distributed.as_completed(loop=self._client.loop, with_results=True, raise_errors=False)
        handed_over: dict[Any, ItemT] = {}
        rest = iter(items)
        try:
            while True:
                _, threads, has_gpu = self._count()
                room = max(_TASKS_A_THREAD * threads, _FEWEST_TASKS) - len(handed_over)
                resources = {"GPU": 1} if on_device and has_gpu else None
                for item in islice(rest, max(room, 0)):
                    future = self._submit(function, item, arguments, resources)
                    handed_over[future] = item
                    ended.add(future)
                if not handed_over:
                    return
                future, outcome = next(ended)
                result: ResultT = _result_of(outcome, handed_over[future], given_up)
                yield handed_over.pop(future), result
        finally:
            ended.clear()
            if handed_over and self._client.status == "running":
                self._client.cancel(list(handed_over), force=True)

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
    version: str, function: Callable[..., ResultT], item: Any, arguments: tuple[Any, ...]
) -> list[ResultT]:
    """Run a task in a worker, which may have come after the others were asked for their version.

    Returns
    -------
    list of one result
        Which tells it from what dask gives in the place of one: an error, or a tuple with an error.
    """
    if version != __version__:
        raise _differing(socket.gethostname(), __version__, version)
    return [function(item, *arguments)]


def _result_of(outcome: Any, item: Any, given_up: Callable[[Any, WorkerError], Any] | None) -> Any:
    """Return the result of a task that ended, or raise why it has none."""
    if isinstance(outcome, list):
        return outcome[0]
    if not isinstance(outcome, tuple):
        raise _lost_scheduler(outcome)
    _, error, trace = outcome
    if not isinstance(error, _import_distributed().KilledWorker):
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


def _absent(worker: str, error: BaseException) -> InputError:
    return InputError(
        f"the worker {worker} cannot import dinocell ({error}), expected version {__version__} as here: "
        "install it there"
    )


def _differing(worker: str, there: str, here: str) -> InputError:
    return InputError(
        f"the worker {worker} has dinocell {there}, expected {here} as here: install the same version there"
    )


@contextmanager
def device_lock() -> Iterator[None]:
    """Let one thread of this process at a time use the network, whose memory two would double."""
    with _device_lock:
        yield


@contextmanager
def open_engine(
    *, scheduler: str | None = None, workers: int | None = None, threads: int = 1
) -> Iterator[Engine]:
    """Give somewhere to run tasks: this process, processes of this machine, or a dask cluster.

    Processes that were started end with the ``with`` block, or when this process dies; Ctrl-C reaches none of
    them. As they are not forked, a script needs ``if __name__ == "__main__":`` around its work.

    Parameters
    ----------
    scheduler : str, optional
        Address of a dask scheduler that runs, such as ``tcp://10.0.0.1:8786``. If it has no worker yet, the
        first one is waited for.
    workers : int, optional
        Processes to start on this machine, each with an equal share of its memory; one that goes beyond its
        share is ended and started again.
    threads : int
        That the numerical libraries may use in each of these processes.

    Yields
    ------
    Engine

    Raises
    ------
    InputError
        If both are given, or are impossible; if no scheduler answers; if a worker has another version of this
        package, or none.
    WorkerError
        If the processes cannot be started.
    MissingExtraError
        If dask is not installed, and one is given.
    """
    if scheduler is not None and workers is not None:
        raise InputError(
            f"--scheduler {scheduler} and --workers {workers} are both given, expected one: leave out "
            "--workers to use the scheduler's own"
        )
    if scheduler is not None:
        with _attached(scheduler) as client:
            yield DaskEngine(client)
    elif workers is not None:
        for name, value in (("workers", workers), ("threads", threads)):
            if value < 1:
                raise InputError(f"{name} is {value}, expected at least 1")
        with _started(workers, threads) as client:
            yield DaskEngine(client)
    else:
        yield HereEngine()


@contextmanager
def _attached(address: str) -> Iterator[Any]:
    distributed = _import_distributed()
    try:
        distributed.comm.resolve_address(
            address
        )  # as an unfinished client cannot be closed after a ValueError
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no dask scheduler answers at {address} ({error}): start one with `dask scheduler`, or check "
            "the address"
        ) from error
    try:
        _wait_for_worker(client, address)
        _compare_versions(client)
        yield client
    finally:
        with _silence():
            client.close()


def _wait_for_worker(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=PATIENCE_SECONDS)
    except TimeoutError:
        _logger.warning("waiting for a first worker: start one with `dask worker %s`", address)
        client.wait_for_workers(1)


def _compare_versions(client: Any) -> None:
    # A function of the standard library arrives even where this package is missing.
    answers = client.run(pkgutil.resolve_name, "dinocell.version:__version__", on_error="return")
    for worker, answer in answers.items():
        if isinstance(answer, BaseException):
            raise _absent(worker, answer) from answer
        if answer != __version__:
            raise _differing(worker, answer, __version__)


@contextmanager
def _started(workers: int, threads: int) -> Iterator[Any]:
    distributed = _import_distributed()
    dask = import_extra("dask", extra="large", purpose="--workers")
    # Results are small, and a worker that waited for its memory to shrink might wait for ever.
    settings = {f"distributed.worker.memory.{name}": False for name in ("target", "spill", "pause")}
    with dask.config.set(settings), _environment(threads):
        with _interrupts_blocked():
            cluster = distributed.LocalCluster(
                n_workers=0,
                threads_per_worker=1,
                processes=True,
                memory_limit=distributed.system.MEMORY_LIMIT // workers,
                dashboard_address="127.0.0.1:0",
            )
        try:
            client = _start_workers(distributed, cluster, workers)
            try:
                yield client
            finally:
                with _silence():
                    client.close()
        finally:
            with _silence():
                cluster.close()


def _start_workers(distributed: Any, cluster: Any, workers: int) -> Any:
    try:
        cluster.scale(workers)
        cluster.wait_for_workers(workers)
    except RuntimeError as error:
        raise WorkerError(
            f"{workers} processes cannot be started ({error}): start again with fewer --workers; in a "
            'script, put the work under `if __name__ == "__main__":`'
        ) from error
    return distributed.Client(cluster, set_as_default=False)


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Set what processes inherit; it has to stay, as those that die are started again.

    A worker logs every failed task, which is raised here anyway. What is set is set back at the end, with
    what distributed adds of its own.
    """
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)), DASK_LOGGING__DISTRIBUTED="critical")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT in the threads that are started meanwhile, and so in the processes that those start.

    A terminal sends Ctrl-C to all processes; the workers would end with a traceback each and be replaced
    while this one closes them.
    """
    if not hasattr(signal, "pthread_sigmask"):  # not on Windows
        yield
        return
    resource_tracker.ensure_running()  # which unblocks SIGINT in the thread that starts it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what closing connections and cancelled tasks have to say from the log."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)  # a closed connection is critical to dask
    try:
        with suppress(TimeoutError):  # a process that would not end is killed
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _import_distributed() -> Any:
    return import_extra("distributed", extra="large", purpose="spreading work over processes")
