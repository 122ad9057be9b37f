"""The start of an executor: this process, new processes, or a dask cluster that runs already."""

import logging
import os
import pkgutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any

from dinocell.errors import InputError, WorkerError
from dinocell.extras import import_extra
from dinocell.version import __version__
from dinocell.workers.executor import (
    DaskExecutor,
    Executor,
    HereExecutor,
    absent_package,
    differing_version,
    import_distributed,
)

CONNECT_SECONDS = 10.0
"""Seconds that a scheduler may take to answer the first call."""

PATIENCE_SECONDS = 5.0
"""Seconds without a worker after which a warning says what is waited for."""

# The libraries read these once, when they are loaded; OpenCV minds none but its own.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "OPENCV_FOR_THREADS_NUM",
)  # fmt: skip

_LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado.application", "asyncio")

_logger = logging.getLogger(__name__)


@contextmanager
def open_executor(
    *, scheduler: str | None = None, workers: int | None = None, threads: int = 1
) -> Iterator[Executor]:
    """Open an executor: this process, processes of this machine, or a dask cluster.

    Processes that were started end with the ``with`` block, or when this process dies; Ctrl-C does not reach
    them. As they are not forked, a script needs ``if __name__ == "__main__":`` around its work.

    Parameters
    ----------
    scheduler : str, optional
        Address of a dask scheduler that runs, such as ``tcp://10.0.0.1:8786``. If it has no worker yet, the
        first one is waited for.
    workers : int, optional
        Number of processes to start on this machine, each with an equal share of its memory; one that exceeds
        its share is ended and started again.
    threads : int
        Threads that numerical libraries may use in each of these processes.

    Yields
    ------
    Executor

    Raises
    ------
    InputError
        If both are given, or a number is below 1; if no scheduler answers; if a worker lacks this package or
        has another version.
    WorkerError
        If the processes cannot be started.
    MissingExtraError
        If dask is needed and not installed.
    """
    if scheduler is not None and workers is not None:
        raise InputError(
            f"--scheduler {scheduler} and --workers {workers} are both given, expected one: leave out "
            "--workers to use the scheduler's own"
        )
    if scheduler is not None:
        with _attached(scheduler) as client:
            yield DaskExecutor(client)
    elif workers is not None:
        for name, value in (("workers", workers), ("threads", threads)):
            if value < 1:
                raise InputError(f"{name} is {value}, expected at least 1")
        with _started(workers, threads) as client:
            yield DaskExecutor(client, started_here=True)
    else:
        yield HereExecutor()


@contextmanager
def _attached(address: str) -> Iterator[Any]:
    distributed = import_distributed()
    try:
        # An unfinished client cannot be closed after a ValueError.
        distributed.comm.resolve_address(address)
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
            raise absent_package(worker, answer) from answer
        if answer != __version__:
            raise differing_version(worker, answer, __version__)


@contextmanager
def _started(workers: int, threads: int) -> Iterator[Any]:
    distributed = import_distributed()
    dask = import_extra("dask", extra="large", purpose="--workers")
    # Results are small, and a worker that waited for its memory to shrink might wait for ever.
    settings: dict[str, Any] = {
        f"distributed.worker.memory.{name}": False for name in ("target", "spill", "pause")
    }
    # By default memory goes back to the system in small pieces, which costs a network half of its time.
    settings["distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_"] = None
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
    """Set environment variables for new processes; they stay set, as processes that die are started again.

    Logs of workers are silenced: every failed task is raised here anyway. At the end the whole environment is
    restored, without what distributed added to it.
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
    """Mask SIGINT in the threads that are started meanwhile, and so in the processes that those start.

    A terminal sends Ctrl-C to all processes; workers would end with a traceback each, and be replaced while
    this process closes them.
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
    """Suppress log messages about closing connections and cancelled tasks."""
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
