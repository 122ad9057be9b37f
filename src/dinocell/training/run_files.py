"""What every kind of run keeps in its folder: a row of metrics an epoch, and a state to go on from."""

import contextlib
import csv
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol

from dinocell.errors import CheckpointError, OutputError
from dinocell.io.saving import atomic_path

METRICS_FILE = "metrics.csv"

# What torch raises on damaged files, and on states of another model or layout.
_UNREADABLE = (
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    EOFError,
    OSError,
    pickle.UnpicklingError,
)


class Record(Protocol):
    """A dataclass of numbers, one of them the epoch."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def epoch(self) -> int:
        """Counted from 1."""


def make_run_folder(folder: Path) -> None:
    """Make the folder of a run.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make run folder {folder}: {error.strerror}. Choose another output"
        ) from error


def check_written(*files: Path) -> None:
    """Raise where a file that a run has written is no longer there when it ends.

    Raises
    ------
    OutputError
        Naming the first.
    """
    lost = [file for file in files if not file.is_file()]
    if lost:
        raise OutputError(
            f"{lost[0]} is gone, removed or moved while the run went on: start again in another output"
        )


def forget_later_rows(folder: Path, kind: type[Record], epoch: int) -> None:
    """Keep the rows of ``metrics.csv`` up to an epoch: those that the state to go on from knows."""
    _write_rows(folder / METRICS_FILE, kind, _known_rows(folder / METRICS_FILE, epoch))


def add_row(folder: Path, record: Record) -> None:
    """Write the row of an epoch after those before it, whether or not it was written already."""
    row = {key: str(value) for key, value in asdict(record).items()}
    path = folder / METRICS_FILE
    _write_rows(path, type(record), [*_known_rows(path, record.epoch - 1), row])


def _known_rows(path: Path, epoch: int) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if int(row["epoch"]) <= epoch]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} has no row an epoch any more ({error}): undo what was changed in it, or move it away"
        ) from error


def _write_rows(path: Path, kind: type[Record], rows: Sequence[Mapping[str, str]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(kind.__dataclass_fields__), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


@contextlib.contextmanager
def explain_unreadable_state(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a state is restored into an error that says what to do.

    Raises
    ------
    CheckpointError
    """
    try:
        yield
    except CheckpointError:
        raise
    except _UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{path} cannot be resumed ({reason}): resume with the settings the run was started with, "
            "or start anew in another output"
        ) from error


def refuse_other_settings(path: Path, saved: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuse to go on from a state that was made with other settings.

    Parameters
    ----------
    path : Path
        Of the state.
    saved, asked : mapping
        Those that decide the result; sections are mappings in them.

    Raises
    ------
    CheckpointError
        With the dotted names of those that differ.
    """
    before = _flat(saved)
    changed = [name for name, value in _flat(asked).items() if before.get(name) != value]
    if changed:
        raise CheckpointError(
            f"{path} was made with another {', '.join(changed)}: "
            "resume with the settings the run was started with, or start anew in another output"
        )


def _flat(settings: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """Give the settings of all sections their dotted names."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{section}{key}.") if isinstance(value, dict) else {section + key: value}
    return flat
