"""Report of a batch on the screen: a line an image, failures by kind, and a table at the end."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from dinocell.batch.outcomes import PlaneOutcome, Status
from dinocell.batch.sources import FoundSources
from dinocell.cli.failures import Failures
from dinocell.cli.terminal import console, errors, escape_controls
from dinocell.datasets.belonging import describe_left_out
from dinocell.errors import FailureGroups, Kind, kind_of_message

_LISTED = 20  # kinds of failures that are listed at the end
_TITLES: dict[Status, str] = {"planned": "to do", "done": "done", "skipped": "skipped, done before"}


class BatchReport:
    """Report of a batch.

    Parameters
    ----------
    found : FoundSources
        Which files are left out, and which arguments match nothing, is printed at once.
    log : Path or None
        The file that lists every failure.
    """

    def __init__(self, found: FoundSources, log: Path | None = None) -> None:
        self._found, self._log = found, log
        self._failures = Failures(where="" if log is None else str(log))
        if line := describe_left_out(found.left_out):
            console.print(escape(escape_controls(line)))
        for message in found.failures:
            subject = self._argument_in(message)
            self._failures.add(subject, message, kind_of_message(message, subject))

    def add(self, outcome: PlaneOutcome) -> None:
        """Print the outcome of a plane."""
        if outcome.status == "failed":
            self._failures.add(*_failure(outcome))
        else:
            console.print(escape(escape_controls(outcome.message)))

    def close(self, outcomes: Sequence[PlaneOutcome]) -> None:
        """Print the closing table; exit with 1 unless all is well."""
        counts = Counter(outcome.status for outcome in outcomes)
        failed = counts["failed"] + len(self._found.failures)
        total = len(outcomes) + len(self._found.failures)
        if total > 1:
            self._print_table(counts, failed)
            self._print_failures(outcomes)
        if any(outcome.stops for outcome in outcomes):
            errors.print(
                "stopped: nothing more can be written there; the same command goes on where it stopped"
            )
        warned = sum(bool(outcome.details.get("warnings")) for outcome in outcomes)
        if warned and total > 1:
            errors.print(f"{warned} of {len(outcomes)} images have a warning, see above or the log")
        if failed:
            errors.print(f"{failed} of {total} inputs failed")
            raise typer.Exit(1)

    def _print_table(self, counts: Counter[Status], failed: int) -> None:
        table = Table("", "images", box=None, pad_edge=False)
        for status, title in _TITLES.items():
            if counts[status]:
                table.add_row(title, str(counts[status]))
        if failed:
            table.add_row("failed", str(failed))
        console.print(table)

    def _print_failures(self, outcomes: Iterable[PlaneOutcome]) -> None:
        """Print one line for every kind of failure."""
        groups = FailureGroups()
        for message in self._found.failures:
            subject = self._argument_in(message)
            groups.add(subject, message, kind_of_message(message, subject))
        for outcome in outcomes:
            if outcome.status == "failed":
                groups.add(*_failure(outcome))
        lines = groups.lines()
        for line in lines[:_LISTED]:
            console.print(f"  {escape(escape_controls(line))}")
        if len(lines) > _LISTED:
            where = "above" if self._log is None else str(self._log)
            console.print(f"  and {len(lines) - _LISTED} more kinds of failures, see {escape(where)}")

    def _argument_in(self, message: str) -> str:
        """Return the argument that a message is about; ``""`` where it is about a file below it."""
        found = [argument for argument in self._found.arguments if message.startswith(f"{argument} ")]
        return max(found, key=len, default="")


def _failure(outcome: PlaneOutcome) -> tuple[str, str, Kind]:
    subject = str(outcome.source)
    return subject, outcome.message, outcome.kind or kind_of_message(outcome.message, subject)
