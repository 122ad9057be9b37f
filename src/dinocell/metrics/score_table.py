"""Table of all scores: how each is computed, what it is called, and where it is shown."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from dinocell.metrics.counts import IOU_THRESHOLDS, Counts

SPLIT_WEIGHT, MISSED_WEIGHT, SPURIOUS_WEIGHT = 5, 10, 1
"""Costs in DET of separating merged cells, adding a missed one, deleting a spurious one."""

View = Literal["evaluate", "report", "compare", "comparison.csv", "finetune"]
"""Places that show some of the scores: what a command prints, the report, a file.

The tables `images.csv` and `summary.csv` of `dinocell evaluate` and those of fine-tuning hold all scores.
"""


@dataclass(frozen=True)
class Score:
    """Definition of a score: how it is computed, and where it is shown.

    Attributes
    ----------
    key : str
        Name of its column in tables and its key in records.
    title : str
        Its name for people.
    compute : callable
        From `Counts` to a number, NaN where it is undefined.
    meaning : str
        Its definition in one sentence.
    shown : tuple of str
        The views that show it.
    term : str
        What the report explains it as; the title unless several scores share an explanation.
    higher_is_better : bool
    interval : bool
        Whether summaries give its bootstrap interval.
    """

    key: str
    title: str
    compute: Callable[[Counts], float]
    meaning: str
    shown: tuple[View, ...] = ()
    term: str = ""
    higher_is_better: bool = True
    interval: bool = True

    def is_better(self, value: float, other: float) -> bool:
        """Return whether a value of this score is better than another one; False where either is NaN."""
        return value > other if self.higher_is_better else value < other


def _seg(counts: Counts) -> float:
    return _ratio(counts.jaccard_sum, counts.true_cells)


def _det(counts: Counts) -> float:
    errors = SPLIT_WEIGHT * counts.splits + MISSED_WEIGHT * counts.missed + SPURIOUS_WEIGHT * counts.spurious
    errors_of_nothing = MISSED_WEIGHT * counts.true_cells
    return _defined(1 - _ratio(min(errors, errors_of_nothing), errors_of_nothing))


def _op_csb(counts: Counts) -> float:
    return op_csb_of(_seg(counts), _det(counts))


def _ap(place: int, counts: Counts) -> float:
    positives = counts.true_positives[place]
    return _ratio(positives, _cells(counts) - positives)


def _f1(counts: Counts) -> float:
    return _ratio(2 * counts.true_positives[0], _cells(counts))


def _pq(counts: Counts) -> float:
    return _ratio(2 * counts.iou_sum, _cells(counts))


def _mma(counts: Counts) -> float:
    return _ratio(counts.overlap_pixels, counts.union_pixels)


def _cells(counts: Counts) -> int:
    """Return 2·TP + FP + FN of any one-to-one matching."""
    return counts.true_cells + counts.predicted_cells


def op_csb_of(seg: float, det: float) -> float:
    """Return OP_CSB, the mean of SEG and DET; NaN where either is."""
    return _defined((seg + det) / 2)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _defined(value: float) -> float:
    """Return every NaN as `math.nan`, so that equal counts make scores that compare equal."""
    return math.nan if math.isnan(value) else value


def _ap_rows() -> list[Score]:
    """List AP at every threshold; two of them are shown."""
    meaning = "TP / (TP + FP + FN), true and predicted cells matched one to one at an IoU of at least t."
    rows = []
    for place, threshold in enumerate(IOU_THRESHOLDS):
        chosen = threshold in (0.5, 0.75)
        shown: tuple[View, ...] = ("evaluate", "report", "compare", "comparison.csv", "finetune")
        rows.append(
            Score(
                ap_key(threshold),
                f"AP@{threshold:g}",
                partial(_ap, place),
                meaning,
                shown if chosen else (),
                term="AP@t",
                interval=chosen,
            )
        )
    return rows


def ap_key(threshold: float) -> str:
    """Return the key of AP at an IoU threshold, such as ap50."""
    return f"ap{round(100 * threshold)}"


SCORES: dict[str, Score] = {
    score.key: score
    for score in (
        Score(
            "seg",
            "SEG",
            _seg,
            "mean over true cells of the IoU with the prediction on more than half of the cell, else 0.",
            ("evaluate", "report", "compare", "comparison.csv", "finetune"),
        ),
        Score(
            "det",
            "DET",
            _det,
            "1 − cost of mending the detections (5 a merged cell, 10 a missed, 1 a spurious one) / cost of "
            "adding every cell by hand.",
            ("evaluate", "report", "compare", "comparison.csv", "finetune"),
        ),
        Score(
            "op_csb",
            "OP_CSB",
            _op_csb,
            "(SEG + DET) / 2, as in the Cell Tracking Challenge.",
            ("evaluate", "report", "compare", "comparison.csv"),
        ),
        *_ap_rows(),
        Score(
            "f1",
            "F1",
            _f1,
            "2·TP / (2·TP + FP + FN) at an IoU of 0.5.",
            ("report", "comparison.csv", "finetune"),
        ),
        Score(
            "pq",
            "PQ",
            _pq,
            "panoptic quality: sum of the IoU of the matches / (TP + FP/2 + FN/2) at an IoU of 0.5.",
            ("report", "comparison.csv"),
        ),
        Score(
            "mma",
            "MMA",
            _mma,
            "pixels shared by the heaviest one-to-one matching / pixels of true or predicted cells.",
            ("report", "compare", "comparison.csv"),
        ),
    )
}
"""Every score by its key, in the order of tables. A new one is a row here, and the function that it names."""


HEADLINE = SCORES["ap50"]
"""The score that says whether a model is better, and that images are ranked by."""


def scores_shown(view: View) -> tuple[Score, ...]:
    """Return the scores that a view shows, in the order of `SCORES`."""
    return tuple(score for score in SCORES.values() if view in score.shown)
