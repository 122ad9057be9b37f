"""Work on many items in several processes, in order and a few ahead, so that memory stays flat."""

import contextlib
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any, Self, TypeVar

import cv2

from dinocell.errors import InputError, WorkerError

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class OrderedPool:
    """Processes that apply a function to items; results come in the order of the items.

    They start with the first items, and end when the ``with`` block does or this process dies. As they are
    not forked, a script that uses them needs ``if __name__ == "__main__":`` around its work.

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
        self._workers = workers
        # Not forked: the parent may have threads, whose locks a child would inherit.
        self._executor = (
            ProcessPoolExecutor(workers, get_context("spawn"), _begin_worker) if workers else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def map(
        self, function: Callable[..., ResultT], items: Iterable[ItemT], *arguments: Any
    ) -> Iterator[tuple[ItemT, ResultT]]:
        """Yield every item and what the function made of it.

        At most ``2 · workers + 1`` items are taken and not yet given back.

        Parameters
        ----------
        function : callable
            At module level; takes an item and the arguments. What it raises is raised here.
        items : iterable
        *arguments
            The same for every item.

        Raises
        ------
        WorkerError
            If a process dies.
        """
        if self._executor is None:
            for item in items:
                yield item, function(item, *arguments)
            return
        ahead: deque[tuple[ItemT, Future[ResultT]]] = deque()
        try:
            for item in items:
                with _explained():
                    ahead.append((item, self._executor.submit(function, item, *arguments)))
                if len(ahead) > 2 * self._workers:
                    yield _next_result(ahead)
            while ahead:
                yield _next_result(ahead)
        finally:
            for _, future in ahead:
                future.cancel()


def _next_result(ahead: deque[tuple[ItemT, Future[ResultT]]]) -> tuple[ItemT, ResultT]:
    item, future = ahead.popleft()
    with _explained():
        return item, future.result()


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise WorkerError(
            "a process died: for lack of memory, start again with fewer --workers; in a script, put the work "
            'under `if __name__ == "__main__":`'
        ) from error


def _begin_worker() -> None:
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait for the parent's death: a worker that waits for work would never learn of a kill."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
