"""Ellipses and perimeters of cells: by hand, and where scikit-image's rules for ties decide."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage.measure import perimeter_crofton

from dinocell.labels import Labels, relabel
from dinocell.measure.moments import crofton_perimeters, find_extents, measure_ellipses
from dinocell.measure.runs import find_runs, sort_runs
from tests.cases import CASES


def ellipse_of(labels: NDArray[np.int32]) -> dict[str, float]:
    runs = sort_runs(find_runs(labels))
    return {name: float(column[0]) for name, column in measure_ellipses(runs, find_extents(runs)).items()}


def test_extents_by_hand() -> None:
    extents = find_extents(
        sort_runs(find_runs(np.array([[0, 1, 1, 2], [1, 0, 0, 1], [0, 0, 1, 0]], np.int32)))
    )
    assert extents.area.tolist() == [5, 1]
    assert [sums.tolist() for sums in extents.sums] == [[0 + 0 + 1 + 1 + 2, 0], [1 + 2 + 0 + 3 + 2, 3]]
    assert [side.tolist() for side in extents.begin] == [[0, 0], [0, 3]]
    assert [side.tolist() for side in extents.end] == [[3, 1], [4, 4]]


@pytest.mark.parametrize(
    ("rows", "degrees"),
    [
        (["11"], 0),
        (["1", "1"], 90),
        (["01", "10"], 45),
        (["10", "01"], 135),
        # Round cells: scikit-image says −π/4 from the row axis, which is 45° from X.
        (["1"], 45),
        (["11", "11"], 45),
        (["111", "101", "111"], 45),
        (["010", "111", "010"], 45),
    ],
)
def test_orientation_by_hand(rows: list[str], degrees: float) -> None:
    labels = np.array([[int(letter) for letter in row] for row in rows], np.int32)
    assert ellipse_of(labels)["orientation"] == pytest.approx(degrees, abs=1e-12)


@given(
    hnp.arrays(
        np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 1)
    ).filter(np.any)
)
@settings(deadline=None)
def test_a_cell_turned_by_90_degrees(labels: NDArray[np.int32]) -> None:
    here, turned = ellipse_of(labels), ellipse_of(np.rot90(labels).copy())
    for name in ("eccentricity", "major_axis"):
        assert turned[name] == pytest.approx(here[name], rel=1e-12, abs=1e-7)
    if here["eccentricity"] > 1e-3:
        assert (turned["orientation"] - here["orientation"]) % 180 == pytest.approx(90, abs=1e-6)


def test_a_round_cell_has_eccentricity_0_and_no_rounding_gives_it_another() -> None:
    """Take cells where sums about the first row and column of 301 would leave differences of 1e-13."""
    y, x = np.mgrid[-150:151, -150:151]
    assert ellipse_of((y**2 + x**2 <= 150**2).astype(np.int32))["eccentricity"] == 0


def test_a_line_has_no_width() -> None:
    labels = np.zeros((200, 200), np.int32)
    labels[np.arange(200), np.arange(200)] = 1
    ellipse = ellipse_of(labels)
    assert (ellipse["minor_axis"], ellipse["eccentricity"]) == (0, 1)
    # The variance of 0…199 is (200² − 1)/12 along either axis.
    assert ellipse["major_axis"] == pytest.approx(4 * np.sqrt(2 * (200**2 - 1) / 12), rel=1e-14)


def check_perimeters(labels: Labels) -> None:
    count = int(labels.max(initial=0))
    expected = [perimeter_crofton(labels == number) for number in range(1, count + 1)]
    np.testing.assert_allclose(crofton_perimeters(labels, count), expected, rtol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_perimeters_of_named_cases(name: str) -> None:
    check_perimeters(CASES[name])


@given(
    hnp.arrays(
        np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 4)
    ).map(relabel)
)
@settings(deadline=None)
def test_perimeters_of_any_cells(labels: Labels) -> None:
    check_perimeters(labels)
