"""Outcomes of planes and stacks, and the files that their results are."""

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dinocell.batch.settings import BatchSettings
from dinocell.datasets.belonging import RECORD_ENDING
from dinocell.errors import DINOCellError, Kind, OutputError, kind_of
from dinocell.results.formats import PLANE_FORMATS

Status = Literal["done", "skipped", "failed", "planned"]

_STOPPING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class PlaneOutcome:
    """Outcome of one plane, or of a file that could not be opened.

    Attributes
    ----------
    source : Path
    name : str
        Path of the results, relative and without ending.
    status : "done", "skipped", "failed" or "planned"
    message : str
        The reason, or what was found, in one line.
    details : dict
        Values for the log, ready for JSON.
    stops : bool
        Whether all later planes would fail in the same way, as on a full disk.
    kind : Kind or None
        Of a failure: what it has in common with others.
    part_of : str
        Name of the results of the stack that the plane becomes a part of; empty for one on its own.
    """

    source: Path
    name: str
    status: Status
    message: str
    details: dict[str, Any]
    stops: bool = False
    kind: Kind | None = None
    part_of: str = ""


@dataclass(frozen=True)
class SourceRead:
    """Event after the last plane of a file."""

    source: Path


def failed_outcome(path: Path, name: Path, error: BaseException) -> PlaneOutcome:
    """Return the outcome of an error."""
    reason = "the memory is not enough for it" if isinstance(error, MemoryError) else str(error)
    if not isinstance(error, DINOCellError | MemoryError):
        reason = f"{type(error).__name__}: {error}"
    message = reason if str(path) in reason else f"{path}: {reason}"
    cause = error.__cause__
    stops = isinstance(error, OutputError) and isinstance(cause, OSError) and cause.errno in _STOPPING
    kind = kind_of(error, message, str(path), str(name))
    return PlaneOutcome(path, str(name), "failed", message, {}, stops, kind)


def record_path(settings: BatchSettings, name: Path) -> Path:
    """Return the path of the record of a plane."""
    return settings.output / f"{name}{RECORD_ENDING}"


def result_files(settings: BatchSettings, name: Path) -> dict[str, Path]:
    """Return the files of the results of a plane, by format; formats written into the source have none."""
    endings = {key: PLANE_FORMATS[key].ending for key in settings.formats}
    return {key: settings.output / f"{name}{ending}" for key, ending in endings.items() if ending}
