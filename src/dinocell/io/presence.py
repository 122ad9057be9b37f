"""Last check of files that were written: they may have been removed or moved since."""

import os
from collections.abc import Iterable
from pathlib import Path

from dinocell.errors import OutputError


def find_lost(files: Iterable[Path]) -> list[Path]:
    """Return those of some files or folders that are not there.

    Every folder is listed once, however many of the files are in it.
    """
    listed: dict[Path, frozenset[str]] = {}
    lost = []
    for file in files:
        if file.parent not in listed:
            listed[file.parent] = _names_in(file.parent)
        # A file system that ignores case may list it in another spelling.
        if file.name not in listed[file.parent] and not file.exists():
            lost.append(file)
    return lost


def check_still_there(files: Iterable[Path]) -> None:
    """Raise if a file or folder that was written has vanished since.

    Raises
    ------
    OutputError
        With the first, and how many more there are.
    """
    if lost := find_lost(files):
        more = f", and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise OutputError(
            f"{lost[0]} is gone{more}, removed or moved meanwhile: start again in another output"
        )


def _names_in(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208 (names alone)
    except OSError:
        return frozenset()
