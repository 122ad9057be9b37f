"""Reading ahead and writing behind in threads: a bounded number of items, in order."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Self, TypeVar

_ValueT = TypeVar("_ValueT")

_PATIENCE = 0.1  # seconds between two looks whether the thread is still wanted


def read_ahead(items: Iterable[_ValueT], depth: int) -> Generator[_ValueT]:
    """Iterate in another thread, up to some items ahead.

    What the iteration raises is raised here, in its turn. When the generator is closed, the thread ends after
    the item that it is at::

        thread      reads 3 → [2][1] → 0        the queue holds ``depth`` items, 2
        this one                       └ is at work on item 0

    A full queue holds the thread up, an empty one holds this one up. A queue cannot be closed, so the thread
    waits for room with a timeout, and looks in between whether it is still wanted.

    Parameters
    ----------
    items : iterable
        Used by the thread only.
    depth : int
        Items that may wait in the queue.

    Examples
    --------
    >>> list(read_ahead(range(3), depth=2))
    [0, 1, 2]
    """
    waiting: queue.Queue[tuple[bool, _ValueT | BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()
    thread = threading.Thread(target=_fill, args=(items, waiting, stopped), name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            is_item, item = waiting.get()
            if isinstance(item, BaseException):
                raise item
            if not is_item:
                return
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()


def _fill(
    items: Iterable[_ValueT],
    waiting: "queue.Queue[tuple[bool, _ValueT | BaseException | None]]",
    stopped: threading.Event,
) -> None:
    end: BaseException | None = None
    try:
        for item in items:
            if not _put(waiting, (True, item), stopped):
                break
    except BaseException as error:  # noqa: BLE001 (raised again by the thread that takes the items)
        end = error
    finally:
        if isinstance(items, Generator):
            items.close()
    _put(waiting, (False, end), stopped)


def _put(
    waiting: "queue.Queue[tuple[bool, _ValueT | BaseException | None]]",
    item: tuple[bool, _ValueT | BaseException | None],
    stopped: threading.Event,
) -> bool:
    while not stopped.is_set():
        try:
            waiting.put(item, timeout=_PATIENCE)
        except queue.Full:
            continue
        return True
    return False


class WriteBehind(Generic[_ValueT]):
    """Threads that work on tasks; results are yielded in the order in which tasks were submitted.

    At the end of the ``with`` block all submitted tasks are finished, also when the block is left by an
    error or by Ctrl-C: nothing is left half written.

    With ``depth=3``, the fourth call waits for the oldest task, so that memory stays bounded::

        submit(a)   a…            yields nothing
        submit(b)   a… b…         yields nothing
        submit(c)   a… b✓ c…      yields nothing: b is finished, but a comes first
        submit(d)   a✓ b✓ c… d…   waits for a; yields the results of a and b
        rest()      c✓ d✓         waits, and yields the results of c and d

    Parameters
    ----------
    threads : int
    depth : int
        Tasks that may be under way; submitting one more waits for the oldest.
    """

    def __init__(self, threads: int, depth: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="write-behind")
        self._depth = depth
        self._tasks: deque[Future[_ValueT]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True)

    def submit(self, task: Callable[[], _ValueT]) -> Iterator[_ValueT]:
        """Start a task, and yield the results of those that are finished.

        What a task raised is raised here, in its turn.
        """
        self._tasks.append(self._pool.submit(task))
        while self._tasks and (len(self._tasks) > self._depth or self._tasks[0].done()):
            yield self._tasks.popleft().result()

    def rest(self) -> Iterator[_ValueT]:
        """Yield the results of all that is still under way."""
        while self._tasks:
            yield self._tasks.popleft().result()
