"""Points inside of cells, against a search spelled out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dinocell.measure.inside_points import inside_points
from tests.cases import CASES


def check(labels):
    found = inside_points(labels)
    assert found.ids.tolist() == [cell for cell in np.unique(labels).tolist() if cell > 0]
    padded = np.pad(np.maximum(labels, 0), 1)
    for cell, (row, column), radius in zip(found.ids, found.points, found.radii, strict=True):
        assert labels[row, column] == cell
        outside = np.argwhere(padded != cell) - 1
        away = [np.hypot(*(outside - place).T).min() for place in np.argwhere(np.asarray(labels) == cell)]
        assert radius == pytest.approx(max(away), rel=1e-5)
        assert np.hypot(*(outside - [row, column]).T).min() == pytest.approx(radius, rel=1e-5)


@pytest.mark.parametrize("name", ["empty", "one", "nested", "split", "concave", "border"])
def test_the_point_is_in_its_cell_and_as_deep_as_any(name):
    check(CASES[name])


@given(
    arrays(
        np.int32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([-1, 0, 3, 8])
    )
)
@settings(deadline=None)
def test_points_of_random_labels(labels):
    check(labels)


def test_of_many_deepest_pixels_the_middle_one_is_taken():
    bar = np.zeros((3, 11), np.int32)
    bar[1, 1:10] = 4
    assert inside_points(bar).points.tolist() == [[1, 5]]
