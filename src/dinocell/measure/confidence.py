"""Confidence in a cell: how well the hill in the distance map fits the cell that was cut out of it.

A perfect map rises evenly from 0 at the boundary of a cell to 1 where that is farthest. Three numbers a cell
describe how far the map is from that, and a logistic curve turns them into one in [0, 1]. On the kinds of
image that the model card lists it is the probability that the cell is right. On all others it
only ranks cells: it does not notice a model that is sure of what it never saw.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import edt
import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.labels import Labels, validate_labels

_Values = NDArray[np.float64]

FITTED_WITH = "3d293c1b7330"
"""Hash of the weights whose predictions they were fitted on; `benchmarks/ship.py` writes all of these."""

INTERCEPT = -1.05
AGREEMENT_WEIGHT = 2.14
SPILL_WEIGHT = -5.69
SADDLE_WEIGHT = -2

LOW_MEAN = 0.7
"""Below it, the mean over an image's cells is low; chosen by `python benchmarks/calibration.py --low`."""

CERTAIN = 0.99
"""Agreement counts within 1 − this and this only, as its logit grows without bound."""


class Evidence(NamedTuple):
    """Numbers that the distance map gives for every cell.

    Attributes
    ----------
    agreement : float64 array, shape (N,)
        Volume that the map's hill shares with the perfect hill of the cell, over the volume of both
        together, in [0, 1].
    spill : float64 array, shape (N,)
        Mean of the map over the pixels outside that the boundary touches, each counted once a touching pair:
        high where the boundary is unclear or another cell begins.
    saddle : float64 array, shape (N,)
        The highest pass to a cell that it touches, as a share of its own peak; 0 where it touches none.
    """

    agreement: _Values
    spill: _Values
    saddle: _Values


def cell_confidence(labels: NDArray[Any], distance_map: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Estimate for every cell how sure it is that it matches a true cell at an IoU of 0.5.

    Parameters
    ----------
    labels : integer array, shape (Y, X)
        0 is background, cells are 1…N without gaps.
    distance_map : float array, shape (Y, X)
        The map that the labels were cut from, in [0, 1].

    Returns
    -------
    float32 array, shape (N,)
        In [0, 1], in the order of the ids. A probability with the shipped model, its own thresholds, and the
        kinds of image that its card lists: on other images, models and thresholds it ranks cells, and
        `benchmarks/calibration.py` measures how well.

    Raises
    ------
    InputError
        If shapes differ, ids have gaps, or the map is not finite.
    """
    evidence = measure_evidence(labels, distance_map)
    score = INTERCEPT + evidence_matrix(evidence) @ (AGREEMENT_WEIGHT, SPILL_WEIGHT, SADDLE_WEIGHT)
    return np.asarray(1 / (1 + np.exp(-score)), np.float32)


def doubt_about(mean: float | None) -> str | None:
    """Return a word on the mean confidence of an image's cells where it is below `LOW_MEAN`; else None.

    Examples
    --------
    >>> doubt_about(0.5), doubt_about(0.95), doubt_about(None)
    ('low confidence (mean 0.50)', None, None)
    """
    return None if mean is None or mean >= LOW_MEAN else f"low confidence (mean {mean:.2f})"


def evidence_matrix(evidence: Evidence) -> _Values:
    """Compute the terms that the weights multiply, float64 ``(N, 3)``: logit of agreement, spill, saddle."""
    agreement = np.clip(evidence.agreement, 1 - CERTAIN, CERTAIN)
    return np.stack([np.log(agreement / (1 - agreement)), evidence.spill, evidence.saddle], axis=1)


def measure_evidence(labels: NDArray[Any], distance_map: NDArray[np.floating[Any]]) -> Evidence:
    """Measure how far the map is from a perfect one around every cell.

    Parameters
    ----------
    labels : integer array, shape (Y, X)
        Cells are 1…N without gaps.
    distance_map : float array, shape (Y, X)

    Returns
    -------
    Evidence

    Raises
    ------
    InputError
        As `cell_confidence`.
    """
    cells = _validate(labels, distance_map)
    inside = cells > 0
    ids, height = cells[inside], distance_map[inside].astype(np.float64)
    peak = _highest(ids, height, int(cells.max(initial=0)) + 1)
    spill, pass_height = _measure_boundaries(cells, distance_map, peak.size)
    with np.errstate(divide="ignore", invalid="ignore"):  # a peak of 0 has no hill
        saddle = np.where(peak > 0, pass_height / peak, 0)
    return Evidence(_measure_agreement(cells, inside, height, peak.size), spill[1:], saddle[1:])


def _validate(labels: NDArray[Any], distance_map: NDArray[np.floating[Any]]) -> Labels:
    cells = np.maximum(validate_labels(labels), 0)
    if distance_map.shape != cells.shape or distance_map.dtype.kind != "f":
        raise InputError(
            f"distance_map is {distance_map.dtype} of shape {distance_map.shape}, expected floats of shape "
            f"{cells.shape} as labels"
        )
    if not np.isfinite(distance_map).all():
        raise InputError("distance_map holds NaN or infinite values, expected values in [0, 1]")
    highest = int(cells.max(initial=0))
    # Ids beyond the number of pixels have gaps, and would take memory without bound to count.
    if highest > cells.size or (np.bincount(cells.ravel(), minlength=1)[1:] == 0).any():
        raise InputError(
            f"labels have gaps below id {highest}, expected cells 1…N: number them with "
            "dinocell.labels.relabel"
        )
    return cells


def _highest(ids: NDArray[Any], values: NDArray[Any], count: int) -> _Values:
    """Find the largest value of every id, 0 at least."""
    highest = np.zeros(count)
    np.maximum.at(highest, ids, values)
    return highest


def _measure_agreement(cells: Labels, inside: NDArray[np.bool_], height: _Values, count: int) -> _Values:
    """Compare volumes with the perfect hill: distance to the cell's boundary over its largest distance."""
    ids = cells[inside]
    limit = math.hypot(*cells.shape)  # a cell that fills the image has no boundary
    away = np.minimum(edt.edt(np.ascontiguousarray(cells), black_border=False)[inside], limit)
    perfect = away / _highest(ids, away, count)[ids]
    shared = np.bincount(ids, weights=np.minimum(height, perfect), minlength=count)[1:]
    together = np.bincount(ids, weights=np.maximum(height, perfect), minlength=count)[1:]
    return np.asarray(shared / together)


def _measure_boundaries(
    cells: Labels, distance_map: NDArray[np.floating[Any]], count: int
) -> tuple[_Values, _Values]:
    """Compute spill and height of the highest pass to a touching cell, by id; entry 0 has no meaning."""
    total, pairs, pass_height = np.zeros(count), np.zeros(count), np.zeros(count)
    for own, other, own_height, other_height in _boundary_pairs(cells, distance_map):
        total += np.bincount(own, weights=other_height, minlength=count)
        pairs += np.bincount(own, minlength=count)
        between = other > 0
        height = np.minimum(own_height, other_height)[between]
        np.maximum.at(pass_height, own[between], height)
    return total / np.maximum(pairs, 1), pass_height


def _boundary_pairs(
    cells: Labels, distance_map: NDArray[np.floating[Any]]
) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Yield pairs of neighbouring pixels of different id, from either side: both ids, then both heights."""
    ahead, back, all_ = slice(1, None), slice(None, -1), slice(None)
    for here, there in (
        ((all_, back), (all_, ahead)),
        ((back, all_), (ahead, all_)),
        ((back, back), (ahead, ahead)),
        ((back, ahead), (ahead, back)),
    ):
        first, second = cells[here], cells[there]
        boundary = first != second
        sides = [
            (first[boundary], distance_map[here][boundary]),
            (second[boundary], distance_map[there][boundary]),
        ]
        for (own, own_height), (other, other_height) in (sides, sides[::-1]):
            yield own, other, own_height, other_height
