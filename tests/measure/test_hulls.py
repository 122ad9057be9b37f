"""Pixels of hulls: by hand, and as many as scikit-image draws."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage.morphology import convex_hull_image

from dinocell.labels import Labels, relabel
from dinocell.measure.hulls import convex_areas, floor_sums
from dinocell.measure.runs import find_runs, sort_runs
from tests.cases import CASES, disk


def areas_of(labels: Labels) -> list[int]:
    areas: list[int] = convex_areas(sort_runs(find_runs(labels))).tolist()
    return areas


def drawn_areas(labels: Labels) -> list[int]:
    # Pixels outside of the cell's rows and columns are never in its hull.
    return [int(convex_hull_image(labels == number).sum()) for number in range(1, labels.max(initial=0) + 1)]


@pytest.mark.parametrize("name", CASES)
def test_named_cases(name: str) -> None:
    assert areas_of(CASES[name]) == drawn_areas(CASES[name])


@given(
    hnp.arrays(
        np.int32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=14),
        elements=st.sampled_from([0, 0, 0, 1, 2]),
    ).map(relabel)
)
@settings(deadline=None)
def test_any_pieces(labels: Labels) -> None:
    assert areas_of(labels) == drawn_areas(labels)


@pytest.mark.parametrize("seed", range(8))
def test_two_far_pixels_and_a_disk(seed: int) -> None:
    """Try long sides of any slope, which pass close by the centres of pixels."""
    rng = np.random.default_rng(seed)
    labels = disk((150, 130), (60, 70), 20).astype(np.int32)
    labels[tuple(rng.integers(0, (150, 130), (2, 2)).T)] = 1
    assert areas_of(labels) == drawn_areas(labels)


def test_by_hand() -> None:
    labels = np.zeros((9, 20), np.int32)
    labels[0, 0] = 1
    labels[2, 3:9] = 2
    labels[4:9, 0] = 3
    labels[[4, 5, 6], [4, 5, 6]] = 4
    labels[[4, 6], [10, 12]] = 5  # the line between them passes the pixel in the middle
    # From (3.5, 14) to (4.5, 16) a side passes the centre of (4, 15), and one below that of (5, 15).
    labels[[4, 5], [14, 16]] = 6
    # From (6.5, 14) to (7.5, 19) one reaches column 16.5 in row 7: 3 pixels; row 8 is the same, turned.
    labels[[7, 8], [14, 19]] = 7
    assert areas_of(labels) == drawn_areas(labels) == [1, 6, 5, 3, 3, 4, 6]


def test_a_horseshoe_and_its_mirror_images_have_hulls_of_the_same_size() -> None:
    labels = CASES["concave"]
    turned = {tuple(areas_of(np.ascontiguousarray(image))) for image in (labels, labels[::-1], labels.T)}
    assert len(turned) == 1
    assert turned.pop()[0] > np.sum(labels)


def test_a_long_chain_beside_short_ones() -> None:
    """Take a pixel in a corner: it removes the sides of a disk one by one, after other cells are done."""
    labels = CASES["many"].copy()
    labels = np.pad(labels, ((0, 0), (0, 420)))
    labels[disk(labels.shape, (150, 500), 140)] = labels.max() + 1
    labels[323, 330] = labels.max()
    assert areas_of(labels)[-1] == drawn_areas((labels == labels.max()).astype(np.int32))[0]
    assert areas_of(labels)[:-1] == areas_of(CASES["many"])


numbers = st.integers(-(10**6), 10**6)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 10**6), numbers, numbers), max_size=5))
def test_sums_of_floors_are_those_one_by_one(rows: list[tuple[int, int, int, int]]) -> None:
    columns: NDArray[np.int64] = np.array(rows, np.int64).reshape(-1, 4).T
    assert floor_sums(*columns).tolist() == [
        sum(floor(Fraction(slope * i + start, divisor)) for i in range(count))
        for count, divisor, slope, start in rows
    ]
