"""Numbers counted on an image. Scores are ratios of them, and those of several images add up."""

import math
from dataclasses import astuple, dataclass
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.metrics.matching import match_iou, match_majority, match_overlap
from dinocell.metrics.overlaps import count_overlaps

IOU_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""IoU thresholds of AP; F1 and PQ use the first."""


@dataclass(frozen=True)
class Counts:
    """Numbers counted on an image; ``+`` pools images.

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
        FP: predicted cells that are not the majority match of any cell.
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


def count_cells(true: NDArray[Any], predicted: NDArray[Any]) -> Counts:
    """Count what scores are computed from.

    Parameters
    ----------
    true, predicted : integer or boolean array, shape (Y, X)
        As for `dinocell.metrics.scores.evaluate`.

    Returns
    -------
    Counts

    Raises
    ------
    InputError
        If either is not a label image, the shapes differ, or `predicted` holds −1.
    """
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
