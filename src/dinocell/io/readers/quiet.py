"""Messages that a library logs while it reads: kept from the screen, and passed on to a callback."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def quiet(library: str, on_record: Callable[[logging.LogRecord], object] | None = None) -> Iterator[None]:
    """Keep from the screen what this thread logs while the block runs; other threads' messages pass.

    Parameters
    ----------
    library : str
        Name of its logger.
    on_record : callable, optional
        Called with each record that is kept back.
    """
    thread, logger = threading.get_ident(), logging.getLogger(library)

    def is_of_another_thread(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        if on_record is not None:
            on_record(record)
        return False

    logger.addFilter(is_of_another_thread)
    try:
        yield
    finally:
        logger.removeFilter(is_of_another_thread)
