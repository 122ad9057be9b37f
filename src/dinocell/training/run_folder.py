"""Folder of a run of any kind: its settings, and a row of metrics an epoch."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol

from dinocell.errors import CheckpointError, OutputError
from dinocell.io.saving import atomic_path
from dinocell.io.settings_files import commented_yaml
from dinocell.settings import Section

SETTINGS_FILE = "config.yaml"
METRICS_FILE = "metrics.csv"


class EpochRow(Protocol):
    """A dataclass of numbers, one of them the epoch."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def epoch(self) -> int:
        """Number of the epoch, from 1."""


def create_run_folder(folder: Path, results: Sequence[str], *, resume: bool) -> None:
    """Create the folder of a run.

    Parameters
    ----------
    folder : Path
    results : sequence of str
        Names of files and folders in it that only a run leaves there.
    resume : bool
        Whether such results may be there.

    Raises
    ------
    OutputError
        If the folder holds a run and `resume` is False, or cannot be created.
    """
    if not resume and any((folder / name).exists() for name in results):
        raise OutputError(f"{folder} holds a run already: go on with --resume, or choose another output")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make run folder {folder}: {error.strerror}. Choose another output"
        ) from error


def write_settings(folder: Path, config: Section) -> None:
    """Write the settings of a run, each with its meaning beside it.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    with atomic_path(folder / SETTINGS_FILE) as temporary:
        temporary.write_text(commented_yaml(config), encoding="utf-8")


def forget_later_rows(folder: Path, kind: type[EpochRow], epoch: int) -> None:
    """Keep the rows of ``metrics.csv`` up to an epoch: those that the state to resume from knows."""
    _write_rows(folder / METRICS_FILE, kind, _rows_until(folder / METRICS_FILE, epoch))


def add_row(folder: Path, row: EpochRow) -> None:
    """Write the row of an epoch after those before it, whether or not it was written already."""
    cells = {key: str(value) for key, value in asdict(row).items()}
    path = folder / METRICS_FILE
    _write_rows(path, type(row), [*_rows_until(path, row.epoch - 1), cells])


def _rows_until(path: Path, epoch: int) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if int(row["epoch"]) <= epoch]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} has no row an epoch any more ({error}): undo what was changed in it, or move it away"
        ) from error


def _write_rows(path: Path, kind: type[EpochRow], rows: Sequence[Mapping[str, str]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(kind.__dataclass_fields__), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
