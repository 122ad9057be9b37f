"""How good a segmentation is: SEG, DET, OP_CSB, AP, F1, PQ and MMA, of one image or pooled over a set.

Every score is a ratio of `Counts` that add up over images, so a pooled score is the score of the summed
counts: each cell weighs the same, whichever image it is in.
"""

import logging
import math
from dataclasses import astuple, dataclass
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.labels import validate_labels
from dinocell.metrics.matching import count_overlaps, match_iou, match_majority, match_overlap
from dinocell.metrics.pieces import CLASSES, find_pieces

logger = logging.getLogger(__name__)

IOU_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""The IoU thresholds of AP; F1 and PQ use the first."""

SPLIT_WEIGHT, MISSED_WEIGHT, SPURIOUS_WEIGHT = 5, 10, 1
"""What DET charges for separating merged cells, adding a missed one, deleting a spurious one."""


@dataclass(frozen=True)
class Counts:
    """What is counted on an image; ``+`` pools images.

    Attributes
    ----------
    true_positives : tuple of int
        The number of one-to-one matches at each of `IOU_THRESHOLDS`.
    images : int
        The number of images.
    images_without_cells : int
        Those with no true cell, where SEG, DET and OP_CSB are undefined.
    true_cells, predicted_cells : int
        The numbers of cells, without predicted ones that lie mostly inside ignored pixels.
    splits : int
        NS: over the predicted cells, the matched true cells beyond the first.
    missed : int
        FN: true cells without a majority match.
    spurious : int
        FP: predicted cells that are no cell's majority match.
    overlap_pixels : int
        Pixels shared by the pairs of the heaviest one-to-one matching.
    union_pixels : int
        Pixels of the union of true and predicted foreground.
    jaccard_sum : float
        Sum of the IoU of the majority matches.
    iou_sum : float
        Sum of the IoU of the one-to-one matches at an IoU of 0.5.
    """

    true_positives: tuple[int, ...]
    images: int
    images_without_cells: int
    true_cells: int
    predicted_cells: int
    splits: int
    missed: int
    spurious: int
    overlap_pixels: int
    union_pixels: int
    jaccard_sum: float
    iou_sum: float

    def __add__(self, other: "Counts") -> "Counts":
        our_positives, *ours = astuple(self)
        their_positives, *theirs = astuple(other)
        return Counts(tuple(map(add, our_positives, their_positives)), *map(add, ours, theirs))


@dataclass(frozen=True)
class Scores:
    """The scores of one image, or of a pool of images. Each is in [0, 1], or NaN where it is undefined.

    SEG, DET and OP_CSB are undefined without a true cell; the others without any cell, true or predicted.

    Attributes
    ----------
    seg : float
        Mean over the true cells of the IoU with the majority match, 0 where there is none.
    det : float
        1 − min(D, D0) / D0 with D = 5·NS + 10·FN + 1·FP and D0 = 10·(number of true cells).
    op_csb : float
        (SEG + DET) / 2.
    ap : dict of float to float
        For each of `IOU_THRESHOLDS`: TP / (TP + FP + FN), matched one-to-one.
    f1 : float
        2·TP / (2·TP + FP + FN) at an IoU of 0.5.
    pq : float
        Panoptic quality: sum of the IoU of the matches / (TP + FP/2 + FN/2) at an IoU of 0.5.
    mma : float
        Pixels shared by the heaviest one-to-one matching / pixels of true or predicted foreground.
    counts : Counts
        What the scores were made from.
    """

    seg: float
    det: float
    op_csb: float
    ap: dict[float, float]
    f1: float
    pq: float
    mma: float
    counts: Counts

    @classmethod
    def from_counts(cls, counts: Counts) -> "Scores":
        """Turn counts into scores."""
        cells = counts.true_cells + counts.predicted_cells  # 2·TP + FP + FN of any one-to-one matching
        seg, det = _ratio(counts.jaccard_sum, counts.true_cells), _detection(counts)
        return cls(
            seg=seg,
            det=det,
            op_csb=_defined((seg + det) / 2),
            ap={
                threshold: _ratio(positives, cells - positives)
                for threshold, positives in zip(IOU_THRESHOLDS, counts.true_positives, strict=True)
            },
            f1=_ratio(2 * counts.true_positives[0], cells),
            pq=_ratio(2 * counts.iou_sum, cells),
            mma=_ratio(counts.overlap_pixels, counts.union_pixels),
            counts=counts,
        )

    def by_name(self) -> dict[str, float]:
        """Every score under its own name: seg, det, op_csb, ap50 … ap95, f1, pq, mma."""
        ap = {f"ap{round(100 * threshold)}": value for threshold, value in self.ap.items()}
        ctc = {"seg": self.seg, "det": self.det, "op_csb": self.op_csb}
        return {**ctc, **ap, "f1": self.f1, "pq": self.pq, "mma": self.mma}


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
    return Scores.from_counts(_count(true, predicted))


def _warn_of_mask(labels: NDArray[Any], name: str) -> None:
    found = find_pieces(validate_labels(labels))
    if found.is_mask:
        logger.warning(
            "%s labels are %s, expected an id a cell: number the pieces, as skimage.measure.label does",
            name,
            found,
        )


def _count(true: NDArray[Any], predicted: NDArray[Any]) -> Counts:
    overlaps = count_overlaps(true, predicted)
    majority = match_majority(overlaps)
    one_to_one = [match_iou(overlaps, threshold) for threshold in IOU_THRESHOLDS]
    per_prediction = majority.matches_per_prediction
    true_cells = overlaps.true_ids.size
    return Counts(
        true_positives=tuple(matching.chosen.size for matching in one_to_one),
        images=1,
        images_without_cells=int(true_cells == 0),
        true_cells=true_cells,
        predicted_cells=overlaps.predicted_ids.size,
        splits=int(np.maximum(per_prediction - 1, 0).sum()),
        missed=true_cells - majority.chosen.size,
        spurious=int((per_prediction == 0).sum()),
        overlap_pixels=int(match_overlap(overlaps).pixels.sum()),
        union_pixels=overlaps.union_pixels,
        jaccard_sum=math.fsum(majority.iou),
        iou_sum=math.fsum(one_to_one[0].iou),
    )


def _detection(counts: Counts) -> float:
    errors = SPLIT_WEIGHT * counts.splits + MISSED_WEIGHT * counts.missed + SPURIOUS_WEIGHT * counts.spurious
    errors_of_nothing = MISSED_WEIGHT * counts.true_cells
    return _defined(1 - _ratio(min(errors, errors_of_nothing), errors_of_nothing))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _defined(value: float) -> float:
    """Give every NaN as `math.nan`, so that equal counts make scores that compare equal."""
    return math.nan if math.isnan(value) else value
