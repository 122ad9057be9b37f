"""Errors of the server, and the HTTP status of every error."""

from dinocell.errors import (
    DINOCellError,
    FileFormatError,
    InputError,
    MissingExtraError,
    OutputError,
    UnknownModelError,
)


class GoneError(DINOCellError, LookupError):
    """Something with that id is not here."""


class BusyError(InputError):
    """Something is not in the state for what is asked."""


class FullError(InputError):
    """Too many jobs are waiting."""


class TooLargeError(InputError):
    """A request or file is larger than allowed."""


class DiskFullError(OutputError):
    """There is no room left for what should be kept."""


_STATUS: tuple[tuple[type[DINOCellError], int], ...] = (
    (GoneError, 404),
    (UnknownModelError, 404),
    (BusyError, 409),
    (TooLargeError, 413),
    (FileFormatError, 415),
    (FullError, 429),
    (DiskFullError, 507),
    (MissingExtraError, 501),
    (OutputError, 507),
)


def status_of(error: DINOCellError) -> int:
    """Return the HTTP status of an error; 400 for most, as they are about what was asked."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 400)
