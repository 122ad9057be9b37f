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
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True)
class Kind:
    """Kind of an error: what several have in common, which a batch reports together.

    Attributes
    ----------
    trouble : str
        What is wrong, after a number of files: ``"have several channels"``.
    advice : str
        What to do: ``"choose with --channel"``; ``""`` where `trouble` ends with it.
    names : tuple of str
        Names that the file has, to choose from. Errors with other names are of the same kind.
    """

    trouble: str
    advice: str = ""
    names: tuple[str, ...] = field(default=(), compare=False)


class DINOCellError(Exception):
    """Base of all errors of DINOCell: one line that a user can act on.

    Attributes
    ----------
    kind : Kind or None
        None where the message tells it: it is the same for all files but for their names.
    """

    kind: Kind | None = None

    def of_kind(self, trouble: str, advice: str = "", names: Sequence[str] = ()) -> Self:
        """Set the kind of the error, where the message holds values of the file; return the error."""
        self.kind = Kind(trouble, advice, tuple(name for name in names if name))
        return self


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


def kind_of(error: BaseException, message: str, *subjects: str) -> Kind:
    """Return the kind of an error: its own, or its message without the names of what it is about.

    Parameters
    ----------
    error : exception
    message : str
        What is reported of it.
    subjects : str
        Names and paths of the file, longest first where one is part of another.

    Examples
    --------
    >>> kind_of(FileFormatError(), "a.png is empty: copy it again", "a.png").trouble
    'fail alike: … is empty: copy it again'
    """
    own = error.kind if isinstance(error, DINOCellError) else None
    return own or kind_of_message(message, *subjects)


def kind_of_message(message: str, *subjects: str) -> Kind:
    """Return the kind of a message: its text, without the names of what it is about."""
    for subject in filter(None, subjects):
        message = message.replace(subject, "…")
    return Kind(f"fail alike: {message}")


class FailureGroups:
    """Failures of many files, grouped by kind."""

    def __init__(self) -> None:
        self._groups: dict[Kind, dict[str, str]] = {}  # of each kind the files, with their messages
        self._names: dict[Kind, dict[str, None]] = {}

    def add(self, subject: str, message: str, kind: Kind) -> int:
        """Add a failure; return how many files have failed like this one, itself included."""
        group = self._groups.setdefault(kind, {})
        group.setdefault(subject or message, message)
        self._names.setdefault(kind, {}).update(dict.fromkeys(kind.names))
        return len(group)

    def lines(self, *, what: str = "files", above: int = 0) -> list[str]:
        """Return one line a kind: the message of a single file, or the number of files and the first names.

        Parameters
        ----------
        what : str
            What fails, in the plural.
        above : int
            Kinds of no more files than this are left out.
        """
        return [self._line(kind, what) for kind, group in self._groups.items() if len(group) > above]

    def _line(self, kind: Kind, what: str) -> str:
        group, names = self._groups[kind], tuple(self._names[kind])
        if len(group) == 1:
            return next(iter(group.values()))
        parts = [f"{len(group)} {what} {kind.trouble}", *filter(None, [kind.advice])]
        known = f"; names: {name_few(names, most=10)}" if names else ""
        return f"{': '.join(parts)}{known} ({name_few(tuple(group), most=3)})"
