"""What the commands print to: results, errors, progress."""

from typing import TYPE_CHECKING

from rich.console import Console
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

if TYPE_CHECKING:
    from dinocell.cluster.executor import Executor

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def one_line(text: str) -> str:
    """Show control characters as escapes: a file's name starts no new line and moves no cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def progress_bar(*, keep: bool = False) -> Progress:
    """Make a progress bar with description, count and time left; it vanishes at its end unless kept."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=not keep)


def block_bar() -> Progress:
    """Make a bar a stage, each with its rate of blocks and the time left; they stay."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    return Progress(*columns, console=console)


def announce(executor: "Executor") -> None:
    """Say where one can watch the workers, if there are any."""
    if executor.dashboard:
        console.print(f"{executor.workers} workers; watch them at {executor.dashboard}")


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.3g}/s")
