"""Matching of predicted with true cells: overlapping cells are paired in one of three ways.

`match_majority` is the rule of the Cell Tracking Challenge, `match_iou` the one-to-one rule of AP, F1 and PQ,
`match_overlap` the one-to-one pairing that covers most pixels (MMA). Scores are computed from them in
`dinocell.metrics.counts` and `dinocell.metrics.score_table`.

Three true cells and two predicted ones in a row of pixels::

    true       1 1 1 1 . 2 2 2 2 . 3 3 3 .
    predicted  a a a . . b b b b b b . . .

    pair    shared pixels   share of the true cell   IoU
    1, a          3                  3/4             3 / (4 + 3 - 3) = 3/4
    2, b          4                  4/4             4 / (4 + 6 - 4) = 2/3
    3, b          1                  1/3             1 / (3 + 6 - 1) = 1/8

    match_majority   1-a, 2-b     (3 is missed: b covers less than half of it)
    match_iou(0.5)   1-a, 2-b
    match_iou(0.7)   1-a
    match_overlap    1-a, 2-b     (7 pixels; with 3-b in place of 2-b they would be 4)
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.metrics.overlaps import Integers, Overlaps, Reals


@dataclass(frozen=True, eq=False)
class Matching:
    """Pairs that a rule chose among all overlapping ones.

    Attributes
    ----------
    overlaps : Overlaps
        The pairs that were chosen from.
    rule : {'majority', 'iou', 'overlap'}
        The function that chose: `match_majority`, `match_iou` or `match_overlap`.
    threshold : float or None
        The share of the true cell ('majority', exceeded) or the IoU ('iou', reached) that a pair needed.
    chosen : int64 array, shape (P,)
        Positions of the chosen pairs in the arrays of `overlaps`, ascending.
    """

    overlaps: Overlaps
    rule: Literal["majority", "iou", "overlap"]
    threshold: float | None
    chosen: Integers

    @property
    def true_ids(self) -> Integers:
        """Id of the true cell of each chosen pair, int64 ``(P,)``."""
        return self.overlaps.true_ids[self.overlaps.true_index[self.chosen]]

    @property
    def predicted_ids(self) -> Integers:
        """Id of the predicted cell of each chosen pair, int64 ``(P,)``."""
        return self.overlaps.predicted_ids[self.overlaps.predicted_index[self.chosen]]

    @property
    def pixels(self) -> Integers:
        """Pixels that each chosen pair shares, int64 ``(P,)``."""
        return self.overlaps.pixels[self.chosen]

    @property
    def iou(self) -> Reals:
        """Intersection over union of each chosen pair, float64 ``(P,)``."""
        return self.overlaps.iou[self.chosen]

    @property
    def matches_per_prediction(self) -> Integers:
        """Number of true cells that each predicted cell is matched with, int64 ``(M,)``."""
        overlaps = self.overlaps
        return np.bincount(
            overlaps.predicted_index[self.chosen], minlength=overlaps.predicted_ids.size
        ).astype(np.int64)


def match_majority(overlaps: Overlaps) -> Matching:
    """Match a true cell with the predicted cell that covers more than half of it.

    A true cell has one match at most; a predicted cell may match several true cells (it merged them).

    Parameters
    ----------
    overlaps : Overlaps

    Returns
    -------
    Matching

    References
    ----------
    Matula et al., "Cell tracking accuracy measurement based on comparison of acyclic oriented graphs",
    PLoS ONE 10(12), 2015.
    """
    covered = 2 * overlaps.pixels > overlaps.true_areas[overlaps.true_index]
    return Matching(overlaps, "majority", 0.5, np.flatnonzero(covered).astype(np.int64))


def match_iou(overlaps: Overlaps, threshold: float = 0.5) -> Matching:
    """Match cells one-to-one where their IoU reaches a threshold.

    As many pairs as possible are matched; of several such choices, the one with the largest sum of IoU is
    taken. Above 0.5 only one choice exists; at 0.5 exactly, two halves of one true cell tie and one of them
    is matched.

    Parameters
    ----------
    overlaps : Overlaps
    threshold : float
        The smallest IoU of a pair, in (0, 1].

    Returns
    -------
    Matching

    Raises
    ------
    InputError
        If the threshold is not in (0, 1].
    """
    if not 0 < threshold <= 1:
        raise InputError(f"threshold is {threshold}, expected an IoU above 0 and up to 1, such as 0.5")
    iou = overlaps.iou
    candidates = np.flatnonzero(iou >= threshold).astype(np.int64)
    # All tie-breakers together stay under 1, so no sum of IoU outweighs one more pair.
    weights = 1 + iou[candidates] / (2 * candidates.size + 1)
    return Matching(overlaps, "iou", threshold, _heaviest(overlaps, candidates, weights))


def match_overlap(overlaps: Overlaps) -> Matching:
    """Match cells one-to-one so that the pixels shared by all pairs are as many as possible.

    Parameters
    ----------
    overlaps : Overlaps

    Returns
    -------
    Matching
        Without a threshold. The sum of its `pixels` is unique, the pairs need not be.
    """
    candidates = np.arange(overlaps.pixels.size, dtype=np.int64)
    return Matching(overlaps, "overlap", None, _heaviest(overlaps, candidates, overlaps.pixels))


def _heaviest(overlaps: Overlaps, candidates: Integers, weights: NDArray[Any]) -> Integers:
    """Choose among candidate pairs, one-to-one, for the largest sum of (positive) weights; ascending.

    SciPy assigns a column to every row, but a cell may stay unmatched. So each row (true cell) gets one more
    column of its own, which stands for "unmatched" and weighs nothing. Candidates 1-a (weight 3), 2-a
    (weight 4), 2-b (weight 2) become::

              a   b   1 alone   2 alone
        1     3   .      0         .
        2     4   2      .         0

    of which 1-a and 2-b are chosen: 3 + 2 is more than 4 + 0. In a sparse matrix a stored 0 would count as no
    entry, so 1 is added everywhere; as each row takes one column exactly, this changes no decision.
    """
    if not candidates.size:
        return candidates
    rows, row = np.unique(overlaps.true_index[candidates], return_inverse=True)
    columns, column = np.unique(overlaps.predicted_index[candidates], return_inverse=True)
    own = np.arange(rows.size)
    graph = scipy.sparse.csr_array(
        (
            np.concatenate([weights, np.zeros(rows.size)]) + 1.0,
            (np.concatenate([row, own]), np.concatenate([column, columns.size + own])),
        ),
        shape=(rows.size, columns.size + rows.size),
    )
    _, assigned = scipy.sparse.csgraph.min_weight_full_bipartite_matching(graph, maximize=True)
    chosen: Integers = candidates[assigned[row] == column]
    return chosen
