from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from dinocell.errors import InputError
from dinocell.metrics.matching import Matching, match_iou, match_majority, match_overlap
from dinocell.metrics.overlaps import Overlaps, count_overlaps
from tests.cases import CASES

SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9)


@st.composite
def label_pairs(draw: st.DrawFn, lowest: int = 0) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Draw a true and a predicted label image of equal shape, with ids that have gaps."""
    shape = draw(SHAPES)
    true_ids = st.sampled_from([i for i in (-1, 0, 0, 1, 2, 5, 2**31 - 1) if i >= lowest])
    predicted_ids = st.sampled_from([0, 0, 1, 3, 4, 9, 2**31 - 1])
    return (
        draw(arrays(np.int32, shape, elements=true_ids)),
        draw(arrays(np.int32, shape, elements=predicted_ids)),
    )


def row(*ids: int) -> NDArray[np.int32]:
    return np.array([ids], np.int32)


def pairs_of(matching: Matching) -> list[tuple[int, int]]:
    return list(zip(matching.true_ids.tolist(), matching.predicted_ids.tolist(), strict=True))


def dense(overlaps: Overlaps, values: NDArray[Any]) -> NDArray[Any]:
    table = np.zeros((overlaps.true_ids.size, overlaps.predicted_ids.size))
    table[overlaps.true_index, overlaps.predicted_index] = values
    return table


# Cells 1, 2, 3 of areas 4, 4, 3; predictions 10, 20, 40 of areas 3, 7, 1.
# Shared: 1 & 10: 3 px, IoU 3/(4+3-3) = 3/4; 2 & 20: 4 px, IoU 4/(4+7-4) = 4/7; 3 & 20: 2 px, 2/(3+7-2) = 1/4.
TRUE = row(1, 1, 1, 1, 0, 2, 2, 2, 2, 0, 3, 3, 3, 0, 0)
PREDICTED = row(10, 10, 10, 0, 0, 20, 20, 20, 20, 20, 20, 20, 0, 0, 40)


def test_overlaps_by_hand() -> None:
    overlaps = count_overlaps(TRUE, PREDICTED)
    assert overlaps.true_ids.tolist() == [1, 2, 3]
    assert overlaps.true_areas.tolist() == [4, 4, 3]
    assert overlaps.predicted_ids.tolist() == [10, 20, 40]
    assert overlaps.predicted_areas.tolist() == [3, 7, 1]
    assert overlaps.true_index.tolist() == [0, 1, 2]
    assert overlaps.predicted_index.tolist() == [0, 1, 1]
    assert overlaps.pixels.tolist() == [3, 4, 2]
    assert overlaps.iou.tolist() == [3 / 4, 4 / 7, 1 / 4]
    assert overlaps.union_pixels == 13  # 4 of cell 1, 8 from cell 2 to cell 3, 1 of prediction 40
    assert overlaps.ignored_pixels == 0
    assert overlaps.removed_ids.size == 0


def test_majority_may_match_one_prediction_twice() -> None:
    matching = match_majority(count_overlaps(TRUE, PREDICTED))
    # 3 of 4, 4 of 4 and 2 of 3 px are covered: all more than half.
    assert pairs_of(matching) == [(1, 10), (2, 20), (3, 20)]
    assert matching.matches_per_prediction.tolist() == [1, 2, 0]
    assert (matching.rule, matching.threshold) == ("majority", 0.5)


def test_majority_needs_more_than_half() -> None:
    half, more = row(1, 1, 1, 1, 0), row(1, 1, 1, 1, 1)
    assert pairs_of(match_majority(count_overlaps(half, row(0, 0, 3, 3, 3)))) == []
    assert pairs_of(match_majority(count_overlaps(more, row(0, 0, 3, 3, 3)))) == [(1, 3)]


def test_iou_threshold_is_reached_not_exceeded() -> None:
    overlaps = count_overlaps(TRUE, PREDICTED)
    assert pairs_of(match_iou(overlaps, 0.5)) == [(1, 10), (2, 20)]
    assert pairs_of(match_iou(overlaps, 0.75)) == [(1, 10)]
    assert pairs_of(match_iou(overlaps, 0.76)) == []
    assert match_iou(overlaps, 0.75).threshold == 0.75


def test_two_halves_of_a_cell_tie_at_one_half() -> None:
    # Each half has IoU 2/4; one of them is matched.
    halves = row(8, 8, 9, 9)
    assert match_iou(count_overlaps(row(1, 1, 1, 1), halves), 0.5).chosen.size == 1
    assert match_iou(count_overlaps(halves, row(1, 1, 1, 1)), 0.5).chosen.size == 1


def test_cardinality_comes_before_iou() -> None:
    # 1 & 7: 3/(5+5-3) = 3/7; 1 & 8: 2/(5+2-2) = 2/5; 2 & 7: 2/(2+5-2) = 2/5.
    # At 0.4 the best single pair (3/7) would block the two others, which make two matches.
    overlaps = count_overlaps(row(1, 1, 1, 1, 1, 2, 2), row(8, 8, 7, 7, 7, 7, 7))
    assert pairs_of(match_iou(overlaps, 0.4)) == [(1, 8), (2, 7)]


def test_overlap_is_heaviest_not_greedy() -> None:
    # 1 & 7: 5 px, 1 & 8: 4 px, 2 & 7: 4 px. Taking 5 first leaves nothing else; 4 + 4 = 8.
    overlaps = count_overlaps(row(*[1] * 9, *[2] * 4), row(*[8] * 4, *[7] * 9))
    matching = match_overlap(overlaps)
    assert pairs_of(matching) == [(1, 8), (2, 7)]
    assert matching.pixels.tolist() == [4, 4]
    assert (matching.rule, matching.threshold) == ("overlap", None)


def test_overlap_may_leave_a_cell_unmatched_for_weight() -> None:
    # 1 & 7: 5 px, 1 & 8: 1 px, 2 & 7: 1 px: one pair of 5 px beats two of 1 px.
    overlaps = count_overlaps(row(*[1] * 6, 2), row(8, *[7] * 6))
    assert pairs_of(match_overlap(overlaps)) == [(1, 7)]


def test_ignored_pixels_and_predictions_mostly_inside_count_for_nothing() -> None:
    true = row(1, 1, 1, 1, -1, -1, -1, -1, 2, 2, 0)
    predicted = row(4, 4, 4, 4, 4, 5, 5, 5, 5, 2, 0)
    # 4 has 1 of 5 px ignored and keeps 4; 5 has 3 of 4 px ignored and goes; the pixel that 5 shared with
    # cell 2 stays cell 2's. The union is 4 + 2 px.
    overlaps = count_overlaps(true, predicted)
    assert overlaps.removed_ids.tolist() == [5]
    assert overlaps.ignored_pixels == 4
    assert overlaps.predicted_ids.tolist() == [2, 4]
    assert overlaps.predicted_areas.tolist() == [1, 4]
    assert overlaps.true_areas.tolist() == [4, 2]
    assert overlaps.union_pixels == 6
    assert overlaps.iou.tolist() == [1.0, 1 / 2]


def test_a_prediction_half_inside_ignored_pixels_stays() -> None:
    overlaps = count_overlaps(row(-1, -1, 0, 0), row(3, 3, 3, 3))
    assert overlaps.removed_ids.size == 0
    assert overlaps.predicted_areas.tolist() == [2]


def test_ids_up_to_the_largest_int32() -> None:
    top = 2**31 - 1
    overlaps = count_overlaps(row(top, top, -1, 1), row(top, 1, 1, top))
    assert overlaps.true_ids.tolist() == [1, top]
    assert overlaps.predicted_ids.tolist() == [1, top]
    assert overlaps.pixels.tolist() == [1, 1, 1]


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (4, 4)])
def test_images_without_cells(shape: tuple[int, int]) -> None:
    overlaps = count_overlaps(np.zeros(shape, int), np.zeros(shape, int))
    for matching in (match_majority(overlaps), match_iou(overlaps), match_overlap(overlaps)):
        assert matching.chosen.size == 0
        assert matching.matches_per_prediction.size == 0
    assert overlaps.union_pixels == 0


def test_refusals() -> None:
    with pytest.raises(InputError, match=r"true has shape \(1, 2\) and predicted \(1, 3\)"):
        count_overlaps(row(0, 1), row(0, 1, 1))
    with pytest.raises(InputError, match="predicted holds −1"):
        count_overlaps(row(0, 1), row(0, -1))
    with pytest.raises(InputError, match="true has dtype float64"):
        count_overlaps(np.zeros((2, 2)), row(0, 1))
    for threshold in (0.0, 1.01, float("nan")):
        with pytest.raises(InputError, match="threshold is"):
            match_iou(count_overlaps(TRUE, PREDICTED), threshold)


@pytest.mark.parametrize("name", CASES)
def test_every_case_matches_itself(name: str) -> None:
    labels = CASES[name]
    overlaps = count_overlaps(labels, labels)
    for matching in (match_majority(overlaps), match_iou(overlaps, 1.0), match_overlap(overlaps)):
        assert np.array_equal(matching.true_ids, np.unique(labels[labels > 0]))
        assert np.array_equal(matching.true_ids, matching.predicted_ids)
        assert np.all(matching.iou == 1)


@given(label_pairs(lowest=-1))
def test_overlaps_are_what_counting_pixel_by_pixel_gives(
    pair: tuple[NDArray[np.int32], NDArray[np.int32]],
) -> None:
    true, predicted = pair[0].copy(), pair[1].copy()
    overlaps = count_overlaps(*pair)
    assert np.array_equal(pair[0], true)
    assert np.array_equal(pair[1], predicted)
    for cell in np.unique(predicted[predicted > 0]):
        inside = predicted == cell
        removed = (inside & (true == -1)).sum() > inside.sum() / 2
        assert removed == (cell in overlaps.removed_ids)
        predicted[inside & (removed | (true == -1))] = 0
    assert overlaps.union_pixels == ((true > 0) | (predicted > 0)).sum()
    expected = dense(overlaps, overlaps.pixels)
    assert np.array_equal(overlaps.true_ids, np.unique(true[true > 0]))
    assert np.array_equal(overlaps.predicted_ids, np.unique(predicted[predicted > 0]))
    for i, true_id in enumerate(overlaps.true_ids):
        assert overlaps.true_areas[i] == (true == true_id).sum()
        for j, predicted_id in enumerate(overlaps.predicted_ids):
            assert overlaps.predicted_areas[j] == (predicted == predicted_id).sum()
            assert expected[i, j] == ((true == true_id) & (predicted == predicted_id)).sum()


@given(label_pairs(), st.sampled_from([0.05, 0.2, 0.25, 0.5, 0.55, 1.0]))
@settings(max_examples=200)
def test_one_to_one_matchings_equal_a_dense_assignment(
    pair: tuple[NDArray[np.int32], NDArray[np.int32]], threshold: float
) -> None:
    overlaps = count_overlaps(*pair)
    shared = dense(overlaps, overlaps.pixels)
    heaviest = shared[linear_sum_assignment(shared, maximize=True)].sum()
    assert match_overlap(overlaps).pixels.sum() == heaviest

    iou = dense(overlaps, overlaps.iou)
    value = np.where(iou >= threshold, 100 + iou, 0)
    best = value[linear_sum_assignment(value, maximize=True)].sum()
    matching = match_iou(overlaps, threshold)
    assert 100 * matching.chosen.size + matching.iou.sum() == pytest.approx(best, abs=1e-9)


@given(label_pairs(), st.sampled_from([0.1, 0.3, 0.5, 0.8]))
def test_one_to_one_means_one_to_one(
    pair: tuple[NDArray[np.int32], NDArray[np.int32]], threshold: float
) -> None:
    overlaps = count_overlaps(*pair)
    for matching in (match_iou(overlaps, threshold), match_overlap(overlaps)):
        assert np.unique(matching.true_ids).size == matching.chosen.size
        assert np.unique(matching.predicted_ids).size == matching.chosen.size
    assert np.all(match_iou(overlaps, threshold).iou >= threshold)


def test_a_large_component_of_touching_cells() -> None:
    # 20 × 20 squares of 6 × 6 px against the same grid moved 2 px down and 1 px right: every cell touches its
    # neighbours and overlaps up to four predictions, so all are one component. The heaviest matching is each
    # square with its own copy, (6 − 2)·(6 − 1) = 20 px.
    grid = np.kron(np.arange(1, 401).reshape(20, 20), np.ones((6, 6), int))
    moved = np.zeros_like(grid)
    moved[2:, 1:] = grid[:-2, :-1]
    overlaps = count_overlaps(grid, moved)
    assert match_overlap(overlaps).pixels.sum() == 400 * 20
    # IoU 20/(36 + 36 − 20) = 0.385. The image cuts copies in the last row to 4·6 px, 20/(36 + 24 − 20) = 0.5,
    # in the last column to 6·5 px, 20/(36 + 30 − 20) = 0.43, in the corner to 4·5 px, 20/36 = 0.56.
    assert match_iou(overlaps, 0.38).chosen.size == 400
    assert match_iou(overlaps, 0.5).chosen.size == 20
