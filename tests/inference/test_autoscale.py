import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dinocell.inference.autoscale import MARGIN, Trial, busiest_window, choose_scale, clarity
from dinocell.postprocess.distance import labels_to_distance
from tests.cases import CASES


def test_clarity_by_hand():
    # (0.5² + 1² + 0.5²) / (0.5 + 1 + 0.5) = 1.5 / 2
    assert clarity(np.array([[0, 0.5, 1, 0.5]], np.float32)) == pytest.approx(0.75)
    assert clarity(np.zeros((3, 4), np.float32)) == 0.0


def test_a_perfect_map_is_clearer_than_a_blurred_or_a_faint_one():
    from scipy.ndimage import gaussian_filter

    perfect = labels_to_distance(CASES["many"])
    assert clarity(perfect) > clarity(gaussian_filter(perfect, 3)) > 0
    assert clarity(perfect) > clarity(perfect * np.float32(0.6))
    assert clarity(perfect) == pytest.approx(0.5, abs=0.1)  # cones


@given(
    hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.floats(0, 1, width=32)
    ),
    st.integers(1, 50),
)
def test_the_window_lies_inside_and_has_its_size(distance, side):
    rows, columns = busiest_window(distance, side)
    assert distance[rows, columns].shape == tuple(min(side, length) for length in distance.shape)


def test_the_window_is_where_the_cells_are():
    distance = np.zeros((900, 700), np.float32)
    distance[640:660, 500:520] = 1
    distance[10:15, 10:15] = 1
    rows, columns = busiest_window(distance, 200)
    assert rows.start <= 640 < 660 <= rows.stop
    assert columns.start <= 500 < 520 <= columns.stop


def trials(*rows):
    return [Trial(zoom, clear, diameter) for zoom, clear, diameter in rows]


def test_another_zoom_must_be_clearly_better():
    low = trials((1.0, 0.3, 30), (2.0, 0.3 * MARGIN * 0.999, 30))
    assert choose_scale(low, (25, 70)) == 1.0
    high = trials((1.0, 0.3, 30), (2.0, 0.3 * MARGIN * 1.001, 30))
    assert choose_scale(high, (25, 70)) == 2.0


def test_cells_are_brought_to_the_best_sizes():
    assert choose_scale(trials((1.0, 0.5, 14)), (28, 70)) == pytest.approx(2.0)
    assert choose_scale(trials((0.5, 0.5, 200), (1.0, 0.2, 190)), (25, 70)) == pytest.approx(70 / 200)
    assert choose_scale(trials((1.0, 0.4, 14), (2.0, 0.5, 14)), (56, 70)) == pytest.approx(4.0)
    assert choose_scale(trials((0.5, 0.5, 14), (1.0, 0.4, 14)), None) == 0.5


def test_cells_seen_in_noise_are_not_trusted():
    # An empty, noisy image: nothing at 1×, crisp specks of 4 px (8 px as the network sees them) at 2×.
    assert choose_scale(trials((1.0, 0.1, float("nan")), (2.0, 0.5, 4)), (25, 70)) == 1.0
    assert choose_scale(trials((1.0, 0.3, 5), (2.0, 0.2, 9)), (25, 70)) == pytest.approx(25 / 9)
