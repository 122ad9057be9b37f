"""A process for one file, with limits on memory and time: what is uploaded may be anything."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from dinocell.errors import DINOCellError, FileFormatError
from dinocell.web.reading import conversion

_Order = TypeVar("_Order")
_Found = TypeVar("_Found")


class ReaderProcesses:
    """Processes that read files, so many at a time; each reads one file, and ends.

    Parameters
    ----------
    most : int
        Processes at a time; further calls wait.
    memory_bytes : int
        What one may take above what it begins with.
    seconds : float
        What one may take before it is killed.
    """

    def __init__(self, most: int, memory_bytes: int, seconds: float) -> None:
        # A server that forks is a copy of all its threads' locks: a process that does nothing else forks.
        self._context: Any = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
        if os.name == "posix":
            self._context.set_forkserver_preload([conversion.__name__])
        self._places = threading.BoundedSemaphore(most)
        self._memory, self._seconds = memory_bytes, seconds

    def run(self, function: Callable[[_Order], _Found], order: _Order, name: str) -> _Found:
        """Run a function on an order, in a process of its own.

        Parameters
        ----------
        function : callable
            At module level.
        order : object
        name : str
            What messages call the file.

        Raises
        ------
        DINOCellError
            As the function raises it.
        FileFormatError
            If the process takes too long, or dies.
        """
        with self._places:
            here, there = self._context.Pipe(duplex=False)
            process = self._context.Process(
                target=_run, args=(there, function, order, self._memory), daemon=True
            )
            process.start()
            there.close()
            try:
                found: _Found = self._receive(here, name)
                return found
            finally:
                here.close()
                process.kill()
                process.join()

    def _receive(self, connection: Connection, name: str) -> Any:
        if not connection.poll(self._seconds):
            raise FileFormatError(
                f"{name} was not read within {self._seconds:.0f} s, expected less: save it as a plain TIFF"
            )
        try:
            found = connection.recv()
        except EOFError:
            raise FileFormatError(
                f"{name} cannot be read: it takes more memory than is allowed, or breaks what reads it; "
                "expected an image: save it as a plain TIFF"
            ) from None
        if isinstance(found, DINOCellError):
            raise found
        return found


def _run(
    connection: Connection, function: Callable[[_Order], _Found], order: _Order, memory_bytes: int
) -> None:
    _limit_memory(memory_bytes)
    try:
        found: _Found | DINOCellError = function(order)
    except DINOCellError as error:
        found = error
    except MemoryError:
        return  # the other side sees that nothing came
    connection.send(found)


def _limit_memory(more_bytes: int) -> None:
    """Limit what this process may take above what it has; where the system knows no limits, do nothing."""
    try:
        import resource
    except ImportError:  # Windows
        return
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 (no file, but the kernel)
            now = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # another system than Linux
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + more_bytes, hard))
