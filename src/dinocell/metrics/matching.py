"""Matching of predicted with true cells: overlaps are counted once, then paired in one of three ways.

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
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from dinocell.errors import InputError
from dinocell.labels import IGNORE, Labels, validate_labels

Integers = NDArray[np.int64]
Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Numbers of pixels that true cells share with predicted cells.

    Ignored pixels, and predicted cells that lie mostly inside them, are already left out of every number.

    Attributes
    ----------
    true_ids, true_areas : int64 array, shape (N,)
        The true cells in the order of their ids, and their areas in pixels.
    predicted_ids, predicted_areas : int64 array, shape (M,)
        The same of the predicted cells.
    true_index, predicted_index : int64 array, shape (K,)
        One entry for each pair of cells that share pixels: positions in `true_ids` and in `predicted_ids`.
    pixels : int64 array, shape (K,)
        The number of pixels that the two share, at least 1.
    union_pixels : int
        The pixels that are true or predicted foreground.
    ignored_pixels : int
        The pixels that count for nothing.
    removed_ids : int64 array, shape (R,)
        The predicted cells that were left out.
    """

    true_ids: Integers
    true_areas: Integers
    predicted_ids: Integers
    predicted_areas: Integers
    true_index: Integers
    predicted_index: Integers
    pixels: Integers
    union_pixels: int
    ignored_pixels: int
    removed_ids: Integers

    @property
    def iou(self) -> Reals:
        """Intersection over union of each pair, float64 ``(K,)`` in (0, 1]."""
        areas = self.true_areas[self.true_index] + self.predicted_areas[self.predicted_index]
        return self.pixels / (areas - self.pixels)


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


def count_overlaps(true: NDArray[Any], predicted: NDArray[Any]) -> Overlaps:
    """Count the pixels that true and predicted cells share.

    Where `true` is `IGNORE` (−1) the pixels count for nothing, and a predicted cell with more than half of
    its pixels there is left out altogether: what it covers elsewhere becomes background.

    Parameters
    ----------
    true : integer or boolean array, shape (Y, X)
        0 is background, −1 is ignored. Ids may have gaps.
    predicted : integer or boolean array, shape (Y, X)
        0 is background. Ids may have gaps.

    Returns
    -------
    Overlaps

    Raises
    ------
    InputError
        If either is not a label image, the shapes differ, or `predicted` holds −1.

    Examples
    --------
    >>> overlaps = count_overlaps(np.array([[1, 1, 1, 0]]), np.array([[0, 7, 7, 7]]))
    >>> overlaps.pixels, overlaps.iou
    (array([2]), array([0.5]))
    """
    pairs = _count_pairs(*_validate_pair(true, predicted))
    removed = _mostly_ignored(pairs)
    counted = pairs.true != IGNORE
    true_id, pixels = pairs.true[counted], pairs.pixels[counted]
    predicted_id = np.where(np.isin(pairs.predicted, removed), 0, pairs.predicted)[counted]

    true_ids, true_areas = _sum_by_id(true_id, pixels)
    predicted_ids, predicted_areas = _sum_by_id(predicted_id, pixels)
    both = (true_id > 0) & (predicted_id > 0)
    return Overlaps(
        true_ids=true_ids,
        true_areas=true_areas,
        predicted_ids=predicted_ids,
        predicted_areas=predicted_areas,
        true_index=np.searchsorted(true_ids, true_id[both]).astype(np.int64),
        predicted_index=np.searchsorted(predicted_ids, predicted_id[both]).astype(np.int64),
        pixels=pixels[both],
        union_pixels=int(pixels[(true_id > 0) | (predicted_id > 0)].sum()),
        ignored_pixels=int(pairs.pixels[~counted].sum()),
        removed_ids=removed,
    )


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


class _Pairs(NamedTuple):
    """Distinct (true id, predicted id) of an image's pixels, sorted, and the number of pixels of each."""

    true: Integers
    predicted: Integers
    pixels: Integers


def _validate_pair(true: NDArray[Any], predicted: NDArray[Any]) -> tuple[Labels, Labels]:
    true, predicted = validate_labels(true, name="true"), validate_labels(predicted, name="predicted")
    if true.shape != predicted.shape:
        raise InputError(
            f"true has shape {true.shape} and predicted {predicted.shape}, expected the same: "
            "resize or crop the labels (nearest neighbour), not the scores"
        )
    if predicted.size and predicted.min() < 0:
        raise InputError("predicted holds −1 (ignore), which only true labels may: set those pixels to 0")
    return true, predicted


def _count_pairs(true: Labels, predicted: Labels) -> _Pairs:
    keys = (true.ravel().astype(np.int64) << 32) | predicted.ravel()
    # Neighbours along a row mostly agree: sorting runs instead of pixels is what makes this fast.
    starts = np.flatnonzero(np.diff(keys, prepend=~keys[:1]))
    lengths = np.diff(starts, append=keys.size)
    distinct, run = np.unique(keys[starts], return_inverse=True)
    pixels = np.bincount(run, weights=lengths, minlength=distinct.size).astype(np.int64)
    return _Pairs(distinct >> 32, distinct & 0xFFFFFFFF, pixels)


def _mostly_ignored(pairs: _Pairs) -> Integers:
    """Return the ids of the predicted cells with more than half of their pixels ignored."""
    ids, areas = _sum_by_id(pairs.predicted, pairs.pixels)
    _, ignored = _sum_by_id(pairs.predicted, pairs.pixels * (pairs.true == IGNORE))
    return ids[2 * ignored > areas]


def _sum_by_id(ids: Integers, values: Integers) -> tuple[Integers, Integers]:
    """Return the cells (ids above 0) in order, and the sum of the values of each."""
    distinct, index = np.unique(ids, return_inverse=True)
    sums = np.bincount(index, weights=values, minlength=distinct.size).astype(np.int64)
    return distinct[distinct > 0], sums[distinct > 0]


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
    graph = csr_array(
        (
            np.concatenate([weights, np.zeros(rows.size)]) + 1.0,
            (np.concatenate([row, own]), np.concatenate([column, columns.size + own])),
        ),
        shape=(rows.size, columns.size + rows.size),
    )
    _, assigned = min_weight_full_bipartite_matching(graph, maximize=True)
    chosen: Integers = candidates[assigned[row] == column]
    return chosen
