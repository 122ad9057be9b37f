"""Errors that DINOCell raises on purpose.

A message says what went wrong, where, what was expected, and what to do. Each class also derives from the
builtin that a caller would expect, so ``except ValueError`` works as well as ``except DINOCellError``::

    DINOCellError
    ├── InputError           ValueError         an argument or array that cannot be used
    ├── ConfigError          ValueError         settings with an unknown key or a value out of bounds
    ├── FileMissingError     FileNotFoundError  a file that does not exist
    ├── FileFormatError      ValueError         a file that cannot be read as what it should be
    ├── OutputError          OSError            a result that cannot be written
    ├── CheckpointError      ValueError         a damaged model folder
    ├── UnknownModelError    LookupError        a model that nobody knows
    ├── UntrainedModelError  RuntimeError       a model that was never trained
    ├── TrainingError        ArithmeticError    a loss that is not finite any more
    ├── DownloadError        OSError            weights that cannot be fetched
    ├── DeviceMemoryError    MemoryError        a device with too little memory
    ├── MissingExtraError    ImportError        a package that is not installed
    └── WorkerError          RuntimeError       a process that died
"""

from collections.abc import Sequence


class DINOCellError(Exception):
    """Base of all errors of DINOCell: one line that a user can act on."""


class InputError(DINOCellError, ValueError):
    """An argument or an array has a shape, type or value that cannot be used."""


class FileMissingError(DINOCellError, FileNotFoundError):
    """A file or folder that was named does not exist."""


class FileFormatError(DINOCellError, ValueError):
    """A file exists but cannot be read as what it should be."""


class OutputError(DINOCellError, OSError):
    """A result cannot be written where it was asked for."""


class CheckpointError(DINOCellError, ValueError):
    """A model folder or weight file is incomplete, damaged or of another design."""


class UnknownModelError(DINOCellError, LookupError):
    """No model has that name, and no folder either."""


class UntrainedModelError(DINOCellError, RuntimeError):
    """The model's decoder was never trained, so its output means nothing."""


class TrainingError(DINOCellError, ArithmeticError):
    """A training run went astray: its loss is no longer finite."""


class ConfigError(DINOCellError, ValueError):
    """A configuration has an unknown key or a value out of bounds."""


class DownloadError(DINOCellError, OSError):
    """Weights cannot be fetched: gated, unknown, offline or interrupted."""


class DeviceMemoryError(MemoryError, DINOCellError):  # in this order, or it does not survive pickling
    """The device's memory is not enough, even for the least that can be tried."""


class MissingExtraError(DINOCellError, ImportError):
    """A package that only some features need is not installed; the message gives the command."""


class WorkerError(DINOCellError, RuntimeError):
    """A process that worked on a part died."""


def name_few(names: Sequence[str], most: int = 5) -> str:
    """Return the first of some names for a message, and how many more there are.

    Examples
    --------
    >>> name_few(["a", "b", "c", "d"], most=2)
    'a, b and 2 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
