"""What the commands print to: results, errors, progress."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def one_line(text: str) -> str:
    """Show control characters as escapes: a file's name starts no new line and moves no cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def progress_bar(*, keep: bool = False) -> Progress:
    """Make a progress bar with description, count and time left; it vanishes at its end unless kept."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=not keep)
