"""The worker: a process that does jobs one after the other, and keeps its model loaded."""

import os
import queue
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from dinocell.errors import DINOCellError
from dinocell.web.jobs.job_kind import Order, Reported, StoppedError
from dinocell.web.jobs.kinds import KINDS


@dataclass(frozen=True)
class Ended:
    """End of a job: what it made, or why it failed; neither where it was cancelled."""

    outcome: dict[str, Any] | None = None
    problem: str | None = None


CANCEL = "cancel"
"""Message to a worker: end the job at its next report."""


def work(connection: Connection) -> None:
    """Do the orders that come over a connection, until it closes with the server.

    Sends a `Reported` again and again, and an `Ended` for each order.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then closes the connection
    orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
    cancelled = threading.Event()
    threading.Thread(target=_listen, args=(connection, orders, cancelled), daemon=True).start()
    while True:
        order = orders.get()
        connection.send(_do(order, connection, cancelled))


def _listen(connection: Connection, orders: "queue.SimpleQueue[Order]", cancelled: threading.Event) -> None:
    """Take messages while a job runs; end the process when the server is gone, even by a kill."""
    while True:
        try:
            message = connection.recv()
        except (EOFError, OSError):
            os._exit(0)
        if message == CANCEL:
            cancelled.set()
        else:
            cancelled.clear()
            orders.put(message)


def _do(order: Order, connection: Connection, cancelled: threading.Event) -> Ended:
    def report(event: Reported) -> None:
        if cancelled.is_set():
            raise StoppedError
        connection.send(event)

    try:
        return Ended(KINDS[order.kind].run(order, report))
    except StoppedError:
        return Ended()
    except DINOCellError as error:
        return Ended(problem=" ".join(str(error).split()))
    except MemoryError:
        return Ended(
            problem="there is not enough memory for it: close other programs, or take a smaller image"
        )
