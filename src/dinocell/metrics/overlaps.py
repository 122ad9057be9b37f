"""Overlaps of true and predicted cells: the numbers of pixels that they share, counted once."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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
