"""Memory that is not enough: one error for all engines and devices."""

import contextlib
from collections.abc import Iterator

from dinocell.errors import DeviceMemoryError

_WORDS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "ALLOC_FAILED",
    "Failed to allocate memory",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory is short: engines have no class of their own for it."""
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


@contextlib.contextmanager
def explain_out_of_memory(message: str) -> Iterator[None]:
    """Turn an out-of-memory error into one that says what to do.

    Raises
    ------
    DeviceMemoryError
        With the message.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceMemoryError(message) from error
