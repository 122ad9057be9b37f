import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.metrics.counts import IOU_THRESHOLDS
from dinocell.metrics.matching import match_iou
from dinocell.metrics.overlaps import count_overlaps
from dinocell.metrics.pooling import bootstrap_interval, mean_over_images, pool
from dinocell.metrics.score_table import HEADLINE, SCORES, scores_shown
from dinocell.metrics.scores import Scores, evaluate
from tests.cases import CASES
from tests.metrics.test_matching import label_pairs, row

Pair = tuple[NDArray[np.int32], NDArray[np.int32]]

# Worked by hand in test_matching: IoU 1 & 10: 3/4, 2 & 20: 4/7, 3 & 20: 1/4; 40 is nobody's.
MERGED = (
    row(1, 1, 1, 1, 0, 2, 2, 2, 2, 0, 3, 3, 3, 0, 0),
    row(10, 10, 10, 0, 0, 20, 20, 20, 20, 20, 20, 20, 0, 0, 40),
)
PERFECT = (row(1, 1, 0, 0), row(4, 4, 0, 0))
SPURIOUS = (row(0, 0, 0), row(1, 0, 2))
MISSED = (row(1, 0, 2), row(0, 0, 0))
NOTHING = (row(0, 0, 0), row(0, 0, 0))


def random_pair(seed: int) -> Pair:
    """Draw rectangles that touch, and a copy with cells merged, halved, moved, dropped or made up.

    Pixel (0, 0) is background in both, and both have a cell.
    """
    rng = np.random.default_rng(seed)
    true = np.zeros((40, 40), np.int32)
    for cell in range(1, rng.integers(2, 14)):
        y, x = 2 * rng.integers(0, 18, 2)
        height, width = 2 * rng.integers(1, 6, 2)
        true[y : y + height, x : x + width] = cell
    predicted = true.copy()
    for cell in range(1, true.max() + 1):
        _disturb(predicted, cell, rng)
    true[0, 0] = predicted[0, 0] = 0
    true[20, 20] = predicted[20, 20] = 1
    return true, predicted


def _disturb(labels: NDArray[np.int32], cell: int, rng: np.random.Generator) -> None:
    ys, xs = np.nonzero(labels == cell)
    if not ys.size:
        return
    change = rng.choice(["keep", "merge", "merge", "halve", "move", "drop", "shrink", "new"])
    if change == "merge":
        labels[ys, xs] = rng.choice(labels[labels > 0])
    elif change == "halve":
        lower = ys > np.median(ys)
        labels[ys[lower], xs[lower]] = 100 + cell
    elif change == "move":
        labels[ys, xs] = 0
        labels[np.clip(ys + rng.integers(-2, 3), 0, 39), np.clip(xs + rng.integers(-2, 3), 0, 39)] = cell
    elif change == "drop":
        labels[ys, xs] = 0
    elif change == "shrink":
        outermost = (ys == ys.min()) | (xs == xs.min())
        labels[ys[outermost], xs[outermost]] = 0
    elif change == "new":
        y, x = rng.integers(1, 34, 2)
        labels[y : y + 5, x : x + 5] = 200 + cell


def test_scores_by_hand() -> None:
    scores = evaluate(*MERGED)
    # Majority matches 1-10, 2-20, 3-20: SEG = (3/4 + 4/7 + 1/4)/3 = 11/21.
    assert scores.seg == pytest.approx(11 / 21)
    # 20 joins two cells: NS 1; FN 0; 40: FP 1. D = 5 + 1 = 6, D0 = 30.
    assert scores.det == pytest.approx(1 - 6 / 30)
    assert scores.op_csb == pytest.approx((11 / 21 + 4 / 5) / 2)
    # 0.5, 0.55: TP 2, FP 1, FN 1 → 2/4. 0.6 … 0.75: only 3/4 is left, TP 1, FP 2, FN 2 → 1/5. Then none.
    assert list(scores.ap) == list(IOU_THRESHOLDS)
    assert list(scores.ap.values()) == [1 / 2] * 2 + [1 / 5] * 4 + [0] * 4
    assert scores.f1 == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    # (3/4 + 4/7) / (2 + 1/2 + 1/2) = (37/28)/3.
    assert scores.pq == pytest.approx(37 / 84)
    # Prediction 20 goes to cell 2 (4 px), not 3 (2 px): (3 + 4) of 13 px.
    assert scores.mma == pytest.approx(7 / 13)
    counts = scores.counts
    assert (counts.splits, counts.missed, counts.spurious) == (1, 0, 1)
    assert (counts.true_cells, counts.predicted_cells) == (3, 3)
    assert (counts.images, counts.images_without_cells) == (1, 0)


def test_det_never_falls_below_zero() -> None:
    # One cell missed and 3 made up: D = 10 + 3 > D0 = 10.
    assert evaluate(row(1, 0, 0, 0, 0, 0), row(0, 1, 0, 2, 0, 3)).det == 0


def test_det_of_three_cells_merged() -> None:
    # One prediction for three cells of 1 px: NS = 3 − 1 = 2, D = 10, D0 = 30.
    assert evaluate(row(1, 2, 3), row(9, 9, 9)).det == pytest.approx(1 - 10 / 30)


def test_no_true_cell() -> None:
    scores = evaluate(*SPURIOUS)
    assert math.isnan(scores.seg)
    assert math.isnan(scores.det)
    assert math.isnan(scores.op_csb)
    assert set(scores.ap.values()) == {0.0}
    assert (scores.f1, scores.pq, scores.mma) == (0, 0, 0)
    assert scores.counts.images_without_cells == 1


def test_no_predicted_cell() -> None:
    assert set(evaluate(*MISSED).by_name().values()) == {0.0}


def test_no_cell_at_all_is_undefined() -> None:
    assert all(math.isnan(value) for value in evaluate(*NOTHING).by_name().values())


def test_ignored_pixels() -> None:
    # Prediction 7 has 3 of 4 px ignored: gone. Prediction 4 loses its ignored pixel and fits exactly.
    true = row(1, 1, 1, 1, -1, -1, -1, -1, 0, 0)
    scores = evaluate(true, row(4, 4, 4, 4, 4, 7, 7, 7, 7, 0))
    assert set(scores.by_name().values()) == {1.0}
    # With 2 of 4 px ignored it stays, with 2 px: FP 1, D = 1, D0 = 10; MMA 4 of 6 px.
    scores = evaluate(true, row(4, 4, 4, 4, 4, 0, 7, 7, 7, 7))
    assert scores.det == pytest.approx(1 - 1 / 10)
    assert scores.mma == pytest.approx(4 / 6)
    assert scores.ap[0.5] == pytest.approx(1 / 2)


def test_everything_ignored_is_undefined() -> None:
    scores = evaluate(row(-1, -1), row(1, 1))
    assert all(math.isnan(value) for value in scores.by_name().values())
    assert scores.counts.predicted_cells == 0


def test_names() -> None:
    names = "seg det op_csb ap50 ap55 ap60 ap65 ap70 ap75 ap80 ap85 ap90 ap95 f1 pq mma"
    assert list(evaluate(*PERFECT).by_name()) == names.split()


def test_pool_weighs_cells_and_mean_weighs_images() -> None:
    scores = [evaluate(*pair) for pair in (MERGED, PERFECT, SPURIOUS)]
    pooled = pool(iter(scores))
    # SEG: (11/7 + 1) / 4 cells. DET: D = 6 + 0 + 2 spurious = 8, D0 = 40. AP50: TP 3, FP 1 + 2, FN 1 → 3/7.
    assert pooled.seg == pytest.approx((11 / 7 + 1) / 4)
    assert pooled.det == pytest.approx(1 - 8 / 40)
    assert pooled.op_csb == pytest.approx(((11 / 7 + 1) / 4 + 0.8) / 2)
    assert pooled.ap[0.5] == pytest.approx(3 / 7)
    # F1: 6/(6 + 3 + 1). PQ: (37/28 + 1)/(3 + 3/2 + 1/2). MMA: (7 + 2 + 0)/(13 + 2 + 2).
    assert pooled.f1 == pytest.approx(6 / 10)
    assert pooled.pq == pytest.approx((37 / 28 + 1) / 5)
    assert pooled.mma == pytest.approx(9 / 17)
    assert (pooled.counts.images, pooled.counts.images_without_cells) == (3, 1)

    means = mean_over_images(iter(scores))
    # Two images have a SEG: (11/21 + 1)/2; all three have an AP50: (1/2 + 1 + 0)/3.
    assert means["seg"].mean == pytest.approx((11 / 21 + 1) / 2)
    assert (means["seg"].images, means["seg"].undefined) == (2, 1)
    assert means["ap50"].mean == pytest.approx(1 / 2)
    assert (means["ap50"].images, means["ap50"].undefined) == (3, 0)


def test_mean_of_nothing_defined_is_nan() -> None:
    mean = mean_over_images([evaluate(*NOTHING)])["seg"]
    assert math.isnan(mean.mean)
    assert (mean.images, mean.undefined) == (0, 1)


def test_pooling_equals_one_image_beside_the_other() -> None:
    pairs = [random_pair(seed) for seed in range(8)]
    true = np.concatenate([np.where(true > 0, true + 1000 * i, 0) for i, (true, _) in enumerate(pairs)])
    predicted = np.concatenate(
        [np.where(predicted > 0, predicted + 1000 * i, 0) for i, (_, predicted) in enumerate(pairs)]
    )
    together = evaluate(true, predicted).by_name()
    assert pool(evaluate(*pair) for pair in pairs).by_name() == pytest.approx(together)


def test_bootstrap_interval() -> None:
    scores = [evaluate(*random_pair(seed)) for seed in range(12)]
    interval = bootstrap_interval(scores, "seg", resamples=300, seed=3)
    assert interval == bootstrap_interval(scores, "seg", resamples=300, seed=3)
    assert interval != bootstrap_interval(scores, "seg", resamples=300, seed=4)
    assert interval.low < pool(scores).seg < interval.high
    narrow = bootstrap_interval(scores, "seg", level=0.5, resamples=300, seed=3)
    assert interval.low < narrow.low < narrow.high < interval.high
    assert (interval.images, interval.resamples, interval.seed, interval.level) == (12, 300, 3, 0.95)


def test_bootstrap_of_two_images_by_hand() -> None:
    # One cell each, SEG 1 and 0. Two drawn: both 0 (p 1/4), one of each (1/2), both 1 (1/4). The bounds of a
    # 40 % interval, the quantiles 0.3 and 0.7, are one of each: (1 + 0)/2; those of 70 % are not.
    scores = [evaluate(*PERFECT), evaluate(row(1, 0), row(0, 0))]
    interval = bootstrap_interval(scores, "seg", level=0.4)
    assert (interval.low, interval.high) == (0.5, 0.5)
    wide = bootstrap_interval(scores, "seg", level=0.7)
    assert (wide.low, wide.high) == (0, 1)


def test_bootstrap_where_nothing_can_be_said() -> None:
    for scores in ([evaluate(*PERFECT)], [evaluate(*NOTHING)] * 3):
        interval = bootstrap_interval(scores, "seg", resamples=10)
        assert math.isnan(interval.low)
        assert math.isnan(interval.high)


def test_refusals() -> None:
    scores = [evaluate(*PERFECT)]
    for call in (pool, mean_over_images):
        with pytest.raises(InputError, match="scores is empty"):
            call([])
    with pytest.raises(InputError, match="scores is empty"):
        bootstrap_interval([], "seg")
    with pytest.raises(InputError, match="name is 'dice', expected one of seg, det"):
        bootstrap_interval(scores, "dice")
    with pytest.raises(InputError, match="level is 95"):
        bootstrap_interval(scores, "seg", level=95)
    with pytest.raises(InputError, match="resamples is 0"):
        bootstrap_interval(scores, "seg", resamples=0)
    with pytest.raises(InputError, match="true has shape"):
        evaluate(row(1), row(1, 1))


@pytest.mark.parametrize("name", CASES)
def test_every_case_scores_one_against_itself(name: str) -> None:
    expected = {1.0} if CASES[name].any() else set()
    values = evaluate(CASES[name], CASES[name]).by_name().values()
    assert {value for value in values if not math.isnan(value)} == expected


@pytest.mark.parametrize("name", CASES)
def test_every_case_scores_zero_against_nothing(name: str) -> None:
    values = evaluate(CASES[name], np.zeros_like(CASES[name])).by_name().values()
    assert {value for value in values if not math.isnan(value)} <= {0.0}


@pytest.mark.parametrize("name", CASES)
def test_every_case_loses_when_moved(name: str) -> None:
    labels = CASES[name]
    moved = np.zeros_like(labels)
    moved[1:] = labels[:-1]
    if labels.any():
        scores = evaluate(labels, moved)
        assert 0 <= scores.seg < 1
        assert 0 < scores.mma < 1


def test_the_dumbbell_split_and_merged() -> None:
    # One prediction for two cells: both matched, NS 1, D = 5, D0 = 20.
    merged = evaluate(CASES["split"], CASES["merged"])
    assert (merged.counts.splits, merged.counts.missed, merged.counts.spurious) == (1, 0, 0)
    assert merged.det == pytest.approx(1 - 5 / 20)
    # Two predictions for one cell: the larger one matched, FP 1, D = 1, D0 = 10.
    split = evaluate(CASES["merged"], CASES["split"])
    assert (split.counts.splits, split.counts.missed, split.counts.spurious) == (0, 0, 1)
    assert split.det == pytest.approx(1 - 1 / 10)


@given(label_pairs(lowest=-1))
def test_scores_stay_in_range_and_inputs_as_they_are(pair: Pair) -> None:
    true, predicted = pair[0].copy(), pair[1].copy()
    scores = evaluate(*pair)
    assert np.array_equal(true, pair[0])
    assert np.array_equal(predicted, pair[1])
    assert all(math.isnan(value) or 0 <= value <= 1 for value in scores.by_name().values())
    assert list(scores.ap.values()) == sorted(scores.ap.values(), reverse=True)
    assert scores == evaluate(*pair)


@given(label_pairs(lowest=-1))
def test_identity_scores_one(pair: Pair) -> None:
    true, _ = pair
    values = evaluate(true, np.maximum(true, 0)).by_name().values()
    assert all(value == 1 or (math.isnan(value) and not (true > 0).any()) for value in values)


@given(label_pairs(lowest=-1), st.randoms(use_true_random=False))
def test_ids_do_not_matter(pair: Pair, random: Any) -> None:
    renamed = [
        np.vectorize(_renaming(labels, random).__getitem__, otypes=[np.int32])(labels) for labels in pair
    ]
    assert evaluate(*renamed) == evaluate(*pair)


def _renaming(labels: NDArray[np.int32], random: Any) -> dict[int, int]:
    old = [int(i) for i in np.unique(labels) if i > 0]
    return {-1: -1, 0: 0} | dict(zip(old, random.sample(range(1, 10**6), len(old)), strict=True))


@given(label_pairs(lowest=-1))
def test_a_prediction_inside_ignored_pixels_changes_nothing(pair: Pair) -> None:
    true, predicted = pair
    clear = np.where(true == -1, 0, predicted).astype(np.int32)
    filled = np.where(true == -1, 77, predicted).astype(np.int32)
    assert evaluate(true, filled) == evaluate(true, clear)


@pytest.mark.slow
def test_agrees_with_stardist() -> None:
    oracle = pytest.importorskip("stardist.matching")
    for seed in range(200):
        true, predicted = random_pair(seed)
        overlaps, scores = count_overlaps(true, predicted), evaluate(true, predicted)
        # Below 0.5 only the number of matches is unique, which is what AP needs.
        for theirs in oracle.matching(true, predicted, thresh=(0.1, 0.3, *IOU_THRESHOLDS)):
            positives = match_iou(overlaps, theirs.thresh).chosen.size
            assert positives == theirs.tp, (seed, theirs.thresh)
            assert overlaps.predicted_ids.size - positives == theirs.fp
            assert overlaps.true_ids.size - positives == theirs.fn
            if theirs.thresh in scores.ap:
                assert scores.ap[theirs.thresh] == pytest.approx(theirs.accuracy)
            if theirs.thresh == 0.5:
                assert scores.pq == pytest.approx(theirs.panoptic_quality, abs=1e-6)
                assert scores.f1 == pytest.approx(theirs.f1)


def test_agrees_with_ctcmetrics(tmp_path: Path) -> None:
    pytest.importorskip("ctc_metrics")
    totals = np.zeros(3, int)
    for seed in range(200):
        pair = random_pair(seed)
        scores, (seg, det, *operations) = evaluate(*pair), _ctc_scores(*pair, tmp_path)
        counts = scores.counts
        assert [counts.splits, counts.missed, counts.spurious] == operations, seed
        assert scores.seg == pytest.approx(seg)
        assert scores.det == pytest.approx(det)
        totals += operations
    assert np.all(totals > 100)  # the pairs do contain merged, missed and made-up cells


def _ctc_scores(true: NDArray[np.int32], predicted: NDArray[np.int32], folder: Path) -> list[float]:
    """Compute SEG, DET, NS, FN, FP by py-ctcmetrics, which reads files that need a background pixel."""
    from ctc_metrics.metrics import det, seg
    from ctc_metrics.utils.representations import count_acyclic_graph_correction_operations, match

    paths = [str(folder / name) for name in ("true.tif", "predicted.tif")]
    for path, labels in zip(paths, (true, predicted), strict=True):
        tifffile.imwrite(path, labels)
    *matched, iou = match(*paths)
    operations = count_acyclic_graph_correction_operations(None, None, *([each] for each in matched))
    return [seg([matched[0]], [iou]), det(**operations), *(operations[name] for name in ("NS", "FN", "FP"))]


def test_scores_of_equal_counts_are_equal() -> None:
    counts = evaluate(*MERGED).counts
    assert Scores.from_counts(counts) == evaluate(*MERGED)
    assert (counts + counts).true_positives[0] == 2 * counts.true_positives[0]


def test_every_score_of_the_table_is_computed_and_the_headline_is_one():
    scores = evaluate(*NOTHING)
    assert list(scores.by_name()) == list(SCORES)
    assert all(key == score.key for key, score in SCORES.items())
    assert SCORES[HEADLINE.key] is HEADLINE


@pytest.mark.parametrize(
    ("view", "titles"),
    [
        ("evaluate", "SEG DET OP_CSB AP@0.5 AP@0.75"),
        ("report", "SEG DET OP_CSB AP@0.5 AP@0.75 F1 PQ MMA"),
        ("compare", "SEG DET OP_CSB AP@0.5 AP@0.75 MMA"),
        ("comparison.csv", "SEG DET OP_CSB AP@0.5 AP@0.75 F1 PQ MMA"),
        ("finetune", "SEG DET AP@0.5 AP@0.75 F1"),
    ],
)
def test_views_show_the_scores_that_name_them(view, titles):
    assert [score.title for score in scores_shown(view)] == titles.split()


def test_a_score_knows_what_is_better():
    errors = replace(HEADLINE, higher_is_better=False)
    assert HEADLINE.is_better(0.6, 0.5)
    assert errors.is_better(0.5, 0.6)
    assert not HEADLINE.is_better(0.5, 0.5)
    assert not HEADLINE.is_better(math.nan, 0.5)
