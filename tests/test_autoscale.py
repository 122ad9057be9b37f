import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dinocell.autoscale import MARGIN, busiest_window, choose_zoom, clarity
from dinocell.distance import labels_to_distance
from tests.cases import CASES


def test_clarity_by_hand():
    # (0.5² + 1² + 0.5²) / (0.5 + 1 + 0.5) = 1.5 / 2
    assert clarity(np.array([[0, 0.5, 1, 0.5]], np.float32)) == pytest.approx(0.75)
    assert clarity(np.zeros((3, 4), np.float32)) == 0.0
    assert clarity(np.array([[0, 0.5, 0.4]], np.float32), marker=0.5) == 0.0  # no cell in it


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


def test_another_zoom_must_be_clearly_better():
    assert choose_zoom({0.5: 0.2, 1.0: 0.3, 2.0: 0.3 * MARGIN * 1.001}) == 2.0
    assert choose_zoom({0.5: 0.2, 1.0: 0.3, 2.0: 0.3 * MARGIN * 0.999}) == 1.0
    assert choose_zoom({0.5: 0.0, 1.0: 0.0, 2.0: 0.0}) == 1.0
