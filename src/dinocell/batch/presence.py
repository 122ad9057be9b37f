"""A last look, when a batch ends, at results that were written: those that have vanished have failed."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from dinocell.batch.outcomes import PlaneOutcome
from dinocell.datasets.belonging import RECORD_ENDING
from dinocell.io.presence import find_lost


def confirm_outcomes(outcomes: Iterable[PlaneOutcome], output: Path) -> list[PlaneOutcome]:
    """Return all outcomes; those whose results have vanished since become "failed".

    Somebody may have removed or moved the output folder, or emptied it, while results were written to it.

    Parameters
    ----------
    outcomes : iterable of PlaneOutcome
    output : Path
        Folder of the results.
    """
    outcomes = list(outcomes)
    written = [_files_of(outcome, output) for outcome in outcomes]
    lost = set(find_lost(file for files in written for file in files))
    return [
        _confirm_one(outcome, [file for file in files if file in lost])
        for outcome, files in zip(outcomes, written, strict=True)
    ]


def _files_of(outcome: PlaneOutcome, output: Path) -> list[Path]:
    """List the files that must be there: the record and the results; those of a stack's parts are joined."""
    if outcome.status not in ("done", "skipped") or outcome.part_of:
        return []
    where = output / outcome.name
    names = {f"{where.name}{RECORD_ENDING}", *outcome.details.get("files", ())}
    return [where.with_name(name) for name in sorted(names)]


def _confirm_one(outcome: PlaneOutcome, lost: list[Path]) -> PlaneOutcome:
    if not lost:
        return outcome
    message = (
        f"{outcome.source}: {lost[0]} is gone, written before and removed or moved while the batch went on, "
        "expected it to stay: the same command does it again"
    )
    return replace(outcome, status="failed", message=message)
