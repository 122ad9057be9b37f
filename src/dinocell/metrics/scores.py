"""Scores of a segmentation, of one image or pooled over a set.

Every score is a ratio of `Counts` that add up over images, so a pooled score is the score of the summed
counts: each cell weighs the same, whichever image it is in.
"""

import logging
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from dinocell.labels import validate_labels
from dinocell.metrics.counts import IOU_THRESHOLDS, Counts, count_cells
from dinocell.metrics.pieces import CLASSES, find_pieces
from dinocell.metrics.score_table import HEADLINE, SCORES, ap_key, op_csb_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scores:
    """Scores of one image, or of a pool of images. Each is NaN where it is undefined.

    SEG, DET and OP_CSB are undefined without a true cell; the others without any cell, true or predicted.

    Attributes
    ----------
    values : dict of str to float
        Every score by its key in `SCORES`.
    counts : Counts
        What the scores were computed from.
    """

    values: dict[str, float]
    counts: Counts

    @classmethod
    def from_counts(cls, counts: Counts) -> "Scores":
        """Compute every score from counts."""
        return cls({key: score.compute(counts) for key, score in SCORES.items()}, counts)

    def with_detection(self, detection: "Scores") -> "Scores":
        """Return these scores with DET, and so OP_CSB, from other scores."""
        det = detection.det
        return Scores(self.values | {"det": det, "op_csb": op_csb_of(self.seg, det)}, self.counts)

    def by_name(self) -> dict[str, float]:
        """Return every score under its key: seg, det, op_csb, ap50 … ap95, f1, pq, mma."""
        return dict(self.values)

    @property
    def headline(self) -> float:
        """Value of `HEADLINE`, by which models are compared and images are ranked."""
        return self.values[HEADLINE.key]

    @property
    def seg(self) -> float:
        """Mean over the true cells of the IoU with the majority match, 0 where there is none."""
        return self.values["seg"]

    @property
    def det(self) -> float:
        """1 − min(D, D0) / D0 with D = 5·NS + 10·FN + 1·FP and D0 = 10·(number of true cells)."""
        return self.values["det"]

    @property
    def op_csb(self) -> float:
        """(SEG + DET) / 2."""
        return self.values["op_csb"]

    @property
    def ap(self) -> dict[float, float]:
        """TP / (TP + FP + FN) for each of `IOU_THRESHOLDS`, matched one-to-one."""
        return {threshold: self.values[ap_key(threshold)] for threshold in IOU_THRESHOLDS}

    @property
    def f1(self) -> float:
        """2·TP / (2·TP + FP + FN) at an IoU of 0.5."""
        return self.values["f1"]

    @property
    def pq(self) -> float:
        """Panoptic quality: sum of the IoU of the matches / (TP + FP/2 + FN/2) at an IoU of 0.5."""
        return self.values["pq"]

    @property
    def mma(self) -> float:
        """Pixels shared by the heaviest one-to-one matching / pixels of true or predicted foreground."""
        return self.values["mma"]


def evaluate(true: NDArray[Any], predicted: NDArray[Any]) -> Scores:
    """Score predicted cells against true ones.

    A warning is logged for labels that look like a binary mask: one id in many pieces.

    Parameters
    ----------
    true : integer or boolean array, shape (Y, X)
        0 is background. Where it is −1, pixels count for nothing, and so do predicted cells that have more
        than half of their area there.
    predicted : integer or boolean array, shape (Y, X)
        0 is background. Ids need not be consecutive in either.

    Returns
    -------
    Scores

    Raises
    ------
    InputError
        If either is not a label image, the shapes differ, or `predicted` holds −1.

    References
    ----------
    SEG, DET, OP_CSB: Cell Tracking Challenge, https://celltrackingchallenge.net/evaluation-methodology;
    Matula et al., PLoS ONE 10(12), 2015. PQ: Kirillov et al., "Panoptic segmentation", CVPR 2019.

    Examples
    --------
    >>> import numpy as np
    >>> scores = evaluate(np.array([[1, 1, 1, 1, 0, 2]]), np.array([[0, 5, 5, 5, 0, 0]]))
    >>> scores.seg, scores.det, scores.ap[0.5]
    (0.375, 0.5, 0.5)
    """
    scores = score_labels(true, predicted)
    if scores.counts.true_cells <= CLASSES:
        _warn_of_mask(true, "true")
    if scores.counts.predicted_cells <= CLASSES:
        _warn_of_mask(predicted, "predicted")
    return scores


def score_labels(true: NDArray[Any], predicted: NDArray[Any]) -> Scores:
    """Score predicted cells against true ones as `evaluate` does, whatever the ids look like."""
    return Scores.from_counts(count_cells(true, predicted))


def _warn_of_mask(labels: NDArray[Any], name: str) -> None:
    found = find_pieces(validate_labels(labels))
    if found.is_mask:
        logger.warning(
            "%s labels are %s, expected an id a cell: number the pieces: dinocell.labels.number_pieces",
            name,
            found,
        )
