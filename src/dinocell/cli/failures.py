"""Failures of many files: the first few of each kind in full, and all of them by kind at the end."""

from pathlib import Path

from rich.markup import escape

from dinocell.cli.terminal import errors, escape_controls
from dinocell.errors import FailureGroups, Kind


class Failures:
    """Failures of a command, which prints the first few of every kind as they come.

    Parameters
    ----------
    what : str
        What fails, in the plural.
    where : str
        Where the others are listed, ``"OUT/segment.jsonl"``, once it is there; ``""`` for nowhere.
    title : str
        Begins every line.
    most : int
        Number of failures of a kind that are printed in full.
    """

    def __init__(self, what: str = "files", *, where: str = "", title: str = "error", most: int = 3) -> None:
        self._groups = FailureGroups()
        self._what, self._where, self._title, self._most = what, where, title, most

    def add(self, subject: str, message: str, kind: Kind) -> None:
        """Add a failure; print it if it is one of the first of its kind."""
        number = self._groups.add(subject, message, kind)
        if number <= self._most:
            _print(f"{self._title}: {message}")
        elif number == self._most + 1:
            listed = f", and listed in {self._where}" if Path(self._where).is_file() else ""
            _print(f"{self._title}: more {self._what} fail as {subject} does: counted at the end{listed}")

    def close(self) -> None:
        """Print one line for every kind of which not all were printed in full."""
        for line in self._groups.lines(what=self._what, above=self._most):
            _print(f"{self._title}: {line}")


def _print(line: str) -> None:
    errors.print(escape(escape_controls(line)))
