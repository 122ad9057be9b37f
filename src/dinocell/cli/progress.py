"""Progress of long work: bars on a terminal, and elsewhere a plain line a minute on stderr."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.markup import render
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from dinocell.cli.terminal import console, errors, escape_controls

SECONDS = 60.0
"""Time from line to line."""

_PERIOD = 3600.0  # over which the speed is measured: an image may take minutes


def progress_bar(*, keep: bool = False) -> Progress:
    """Return a progress bar with description, count and time left; it vanishes at its end unless kept."""
    return _shown(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        transient=not keep,
    )


def block_bar() -> Progress:
    """Return a display of one bar per stage, with its rate of blocks and the time left; the bars stay."""
    return _shown(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )


@contextmanager
def waiting(title: str) -> Iterator[None]:
    """Show that work goes on whose end is not known."""
    with _shown(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), transient=True) as bar:
        bar.add_task(title, total=None)
        yield


def _shown(*columns: ProgressColumn, transient: bool = False) -> Progress:
    if console.is_terminal and not console.is_dumb_terminal:
        return Progress(*columns, console=console, transient=transient)
    return MinuteLines(keep=not transient)


class MinuteLines(Progress):
    """Progress in plain lines, for logs: ``images 120/300, 40 %, about 6 min left``.

    A thread of its own prints them, so that there is one too where a step takes longer.

    Parameters
    ----------
    keep : bool
        Print what was done at the end, as bars that stay show it.
    get_time : callable, optional
        Clock, in seconds.
    wait : callable, optional
        Waits some seconds; returns whether the work has ended meanwhile.
    """

    def __init__(
        self,
        *,
        keep: bool = False,
        get_time: Callable[[], float] | None = None,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        super().__init__(console=errors, disable=True, get_time=get_time, speed_estimate_period=_PERIOD)
        self._keep = keep
        self._ended = threading.Event()
        self._wait = wait or self._ended.wait
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to print lines."""
        if not console.quiet:
            self._thread = threading.Thread(target=self._print_lines, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Print no more lines."""
        self._ended.set()
        if self._thread is None:
            return
        self._thread.join()
        if self._keep:
            for task in self.tasks:
                if task.completed:
                    console.print(_describe(task), markup=False)

    def _print_lines(self) -> None:
        while not self._wait(SECONDS):
            if self.tasks:
                errors.print(describe(self.tasks), markup=False)


def describe(tasks: Sequence[Task]) -> str:
    """Describe what is at work: the tasks that have begun and not ended, else the first or the last one."""
    open_tasks = [task for task in tasks if task.visible and not task.finished]
    begun = [task for task in open_tasks if task.completed]
    return "; ".join(map(_describe, begun or open_tasks[:1] or [*tasks][-1:]))


def _describe(task: Task) -> str:
    name = escape_controls(render(task.description).plain)
    if not task.total:
        return f"{name}, {_minutes(task.elapsed or 0)} so far"
    counts = f"{name} {task.completed:g}/{task.total:g}, {int(task.percentage)} %"
    if task.finished_time is not None:
        return f"{counts}, in {_minutes(task.finished_time)}"
    if task.time_remaining is None:
        return f"{counts}, {_minutes(task.elapsed or 0)} so far"
    about = "about " if task.time_remaining >= 60 else ""
    return f"{counts}, {about}{_minutes(task.time_remaining)} left"


def _minutes(seconds: float) -> str:
    """Return a time in minutes, or in hours and minutes from 100 minutes on."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return "under a minute"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.3g}/s")
