"""Work on many items in several processes: in order, and a few items ahead, so that memory is bounded."""

import contextlib
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Self, TypeVar

import cv2

from dinocell.errors import InputError, WorkerError

_ItemT = TypeVar("_ItemT")
_ResultT = TypeVar("_ResultT")

_LAST_SECONDS = 5.0  # in which a process whose pipe has ended is gone

_Outcome = tuple[BaseException | None, Any]
"""Exception that a function raised, or else its result."""


class OrderedPool:
    """Processes that apply a function to items; results come in the order of the items.

    They start when there is work for them, and end when the ``with`` block does or this process dies. As
    they are not forked, a script that uses them needs ``if __name__ == "__main__":`` around its work.

    Every process has a pipe of its own, one item at a time, and is killed when it is no longer needed. The
    processes of a `concurrent.futures.ProcessPoolExecutor` share one pipe for their results: if one is killed
    while it writes, for lack of memory or after Ctrl-C, the executor waits for the rest for ever.

    With two workers, five items at most are on their way::

        items    0  1  2  3  4  5  6  7 …
                 │  └──┬──┘  │  └ taken when the result of item 0 was yielded
                 │     │     └ at work in the other process
                 │     └ results that are kept until that of item 0 is there
                 └ at work in one process

    Parameters
    ----------
    workers : int
        Processes; 0 works in this one.

    Raises
    ------
    InputError
        If `workers` is below 0.
    """

    def __init__(self, workers: int) -> None:
        if workers < 0:
            raise InputError(f"workers is {workers}, expected a number of processes, or 0 for none")
        self._limit = workers
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill([*self._idle, *self._busy])

    def map(
        self, function: Callable[..., _ResultT], items: Iterable[_ItemT], *arguments: Any
    ) -> Iterator[tuple[_ItemT, _ResultT]]:
        """Yield every item and the result of the function.

        At most ``2 · workers + 1`` items are taken whose results were not yet yielded. One map goes on at a
        time.

        Parameters
        ----------
        function : callable
            At module level; takes an item and the arguments. What it raises is raised here, in its turn.
        items : iterable
        *arguments
            The same for every item.

        Raises
        ------
        WorkerError
            If a process dies.
        """
        if not self._limit:
            for item in items:
                yield item, function(item, *arguments)
            return
        taken: dict[int, _ItemT] = {}
        outcomes: dict[int, _Outcome] = {}
        try:
            for number, item in enumerate(items):
                taken[number] = item
                self._send(number, (function, item, arguments), outcomes)
                while taken and (len(taken) > 2 * self._limit or next(iter(taken)) in outcomes):
                    yield self._next_result(taken, outcomes)
            while taken:
                yield self._next_result(taken, outcomes)
        finally:
            self._kill([*self._busy])

    def _next_result(self, taken: dict[int, _ItemT], outcomes: dict[int, _Outcome]) -> tuple[_ItemT, Any]:
        number = next(iter(taken))
        while number not in outcomes:
            self._receive(outcomes)
        error, result = outcomes.pop(number)
        if error is not None:
            raise error
        return taken.pop(number), result

    def _send(self, number: int, task: Any, outcomes: dict[int, _Outcome]) -> None:
        """Send a task to a worker that has none, which is ready to read: neither can wait for the other."""
        while not self._idle and len(self._busy) >= self._limit:
            self._receive(outcomes)
        with _death_explained():
            worker = self._idle.pop() if self._idle else _start_worker()
        with _death_explained(worker):
            self._busy[worker] = number
            worker.connection.send(task)

    def _receive(self, outcomes: dict[int, _Outcome]) -> None:
        """Wait for the outcome of a worker, and take in all that are there."""
        ready = wait([worker.connection for worker in self._busy])
        for worker in [worker for worker in self._busy if worker.connection in ready]:
            with _death_explained(worker):
                outcomes[self._busy[worker]] = worker.connection.recv()
            del self._busy[worker]
            self._idle.append(worker)

    def _kill(self, workers: "list[_Worker]") -> None:
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.join()
            worker.connection.close()
            self._busy.pop(worker, None)
        self._idle = [worker for worker in self._idle if worker not in workers]


@dataclass(frozen=True, eq=False)
class _Worker:
    process: BaseProcess
    connection: Connection


def _start_worker() -> _Worker:
    context = get_context("spawn")  # a forked child would inherit the locks of the parent's threads
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()  # so that the death of the process ends the pipe
    return _Worker(process, ours)


def _serve(connection: Connection) -> None:
    """Serve tasks in another process, until the pipe ends, which it does when the parent dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent ends its workers
    cv2.setNumThreads(0)
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(_apply(*connection.recv()))


def _apply(function: Callable[..., Any], item: Any, arguments: tuple[Any, ...]) -> _Outcome:
    try:
        return None, function(item, *arguments)
    except Exception as error:  # noqa: BLE001 (raised again by the parent)
        error.add_note(f"In another process:\n{traceback.format_exc()}")
        return error, None


@contextlib.contextmanager
def _death_explained(worker: _Worker | None = None) -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        if worker is not None:
            worker.process.join(_LAST_SECONDS)
            if worker.process.exitcode == -signal.SIGTERM:
                raise WorkerError("a process was ended by SIGTERM, as all may be: start again") from error
        raise WorkerError(
            "a process died: for lack of memory, start again with fewer --workers; in a script, put the work "
            'under `if __name__ == "__main__":`'
        ) from error
