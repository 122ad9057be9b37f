"""A last look, when a batch ends, at results that were written: those that have vanished have failed."""

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from dinocell.batch.jobs import Outcome
from dinocell.datasets.belonging import RECORD_ENDING


def confirmed(outcomes: Iterable[Outcome], output: Path) -> list[Outcome]:
    """Return what became of every plane, "failed" where its results have vanished since.

    Somebody may have removed or moved the output folder, or emptied it, while results were written to it.

    Parameters
    ----------
    outcomes : iterable of Outcome
    output : Path
        Folder of the results.
    """
    listed = lru_cache(maxsize=None)(_names_in)  # one look a folder, however many files are in it
    return [_confirm(outcome, output / outcome.name, listed) for outcome in outcomes]


def _confirm(outcome: Outcome, where: Path, listed: Callable[[Path], frozenset[str]]) -> Outcome:
    if outcome.status not in ("done", "skipped"):
        return outcome
    expected = {f"{where.name}{RECORD_ENDING}", *outcome.details.get("files", ())}
    unseen = sorted(expected - listed(where.parent))
    missing = [name for name in unseen if not where.with_name(name).exists()]  # listed in another spelling
    if not missing:
        return outcome
    message = (
        f"{outcome.source}: {where.with_name(missing[0])} is gone, written before and removed or moved while "
        "the batch went on, expected it to stay: the same command does it again"
    )
    return replace(outcome, status="failed", message=message)


def _names_in(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208 (names alone)
    except OSError:
        return frozenset()
