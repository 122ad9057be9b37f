"""Output of the commands: results, errors and notes, whole lines where it goes to a file."""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleDimensions
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from dinocell.workers.executor import Executor

_ANY_WIDTH = 100_000


class _Console(Console):
    """Console that wraps nothing in a file or a pipe, where a line may be searched for."""

    @property
    def size(self) -> ConsoleDimensions:
        size = super().size
        return size if self.is_terminal else ConsoleDimensions(_ANY_WIDTH, size.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        Console.size.__set__(self, new_size)  # type: ignore[attr-defined]


console = _Console(highlight=False, soft_wrap=True)
errors = _Console(stderr=True, highlight=False, soft_wrap=True)


def escape_controls(text: str) -> str:
    """Replace control characters by escapes: names of files must not start a line or move the cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


class WarningHandler(logging.Handler):
    """Handler that prints each warning and error of the log once, on one line."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message that has not been shown, with the traceback of a defect."""
        text = f"{record.levelname.lower()}: {escape_controls(record.getMessage())}"
        if text in self._shown:
            return
        self._shown.add(text)
        errors.print(escape(text))
        if record.exc_info:
            errors.print(escape(logging.Formatter().formatException(record.exc_info)))


def print_whole(*tables: Table, least: int = 110) -> None:
    """Print tables whose lines are wrapped by a narrow terminal, and no cell cut: at `least` so wide."""
    (Console(width=least, highlight=False) if console.width < least else console).print(*tables)


def announce(executor: "Executor") -> None:
    """Print the address at which the workers can be watched, if there are any."""
    if executor.dashboard:
        console.print(f"{executor.workers} workers; watch them at {executor.dashboard}")


class Notes:
    """Notes on the data: the first few are printed as they come, at the end the number of the others.

    Parameters
    ----------
    most : int
        Number of notes that are printed.
    """

    def __init__(self, most: int = 5) -> None:
        self._taken: dict[str, None] = {}
        self._most = most

    @property
    def all(self) -> list[str]:
        """All notes, each once."""
        return list(self._taken)

    def add(self, notes: Iterable[str]) -> None:
        """Add notes; print those that are new and among the first."""
        for note in notes:
            if note not in self._taken:
                self._taken[note] = None
                if len(self._taken) <= self._most:
                    console.print(f"note: {escape(escape_controls(note))}")

    def close(self, where: str = "") -> None:
        """Print the number of notes that were not printed, and where to find them."""
        if (left := len(self._taken) - self._most) > 0:
            console.print(f"note: and {left} more like these{where}")
