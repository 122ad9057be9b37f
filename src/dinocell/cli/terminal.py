"""Output of the commands to a terminal: results, errors, progress."""

import logging
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from dinocell.workers.executor import Executor

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


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


def progress_bar(*, keep: bool = False) -> Progress:
    """Return a progress bar with description, count and time left; it vanishes at its end unless kept."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=not keep)


def block_bar() -> Progress:
    """Return a display of one bar per stage, with its rate of blocks and the time left; the bars stay."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    return Progress(*columns, console=console)


def announce(executor: Executor) -> None:
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


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.3g}/s")
