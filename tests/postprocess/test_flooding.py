"""The flood agrees with scikit-image's queue, which goes through every pixel, ties and all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from dinocell.labels import Labels
from dinocell.postprocess import flooding
from dinocell.postprocess import queue as queues
from dinocell.postprocess.distance import labels_to_distance
from dinocell.postprocess.flooding import flood
from tests.cases import CASES

EIGHT = np.ones((3, 3), int)

Map = NDArray[np.floating]


def queue(distance: Map, markers: Labels, mask: NDArray[np.bool_]) -> Labels:
    """Flood with scikit-image, which takes equal pixels in no order: their ranks make them unequal."""
    places = np.lexsort((np.arange(distance.size), -distance.ravel()))
    depths = -distance.astype(np.float64)
    depths.ravel()[places] = np.where(
        markers.ravel()[places] > 0, np.arange(-distance.size, 0) - 1, depths.ravel()[places]
    )
    return watershed(depths, markers, mask=mask, connectivity=2)


def both(distance: Map, marker: float, fill: float) -> tuple[Labels, Labels]:
    markers = ndimage.label(distance > marker, EIGHT)[0].astype(np.int32)
    mask = distance > fill
    return flood(distance, markers, mask), queue(distance, markers, mask)


def hills(seed: int, shape: tuple[int, int], smooth: float, levels: int | None) -> NDArray[np.float32]:
    """Draw bumps from 0 to 1; the fewer levels, the more plateaus and ties."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), smooth)
    field = (field - field.min()) / np.ptp(field)
    return (field if levels is None else np.rint(field * levels) / levels).astype(np.float32)


thresholds = st.sampled_from([0.0, 0.09, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9])
# 0.2 leaves white noise, 3 leaves hills that hold nothing but slopes.
smoothness = st.sampled_from([0.2, 0.6, 1.0, 1.5, 3.0])


@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(2, 60), st.integers(1, 60)),
    smoothness,
    st.sampled_from([None, 2, 4, 8, 16, 64, 255, 1000]),
    thresholds,
    thresholds,
)
@settings(deadline=None, max_examples=300)
def test_hills_are_flooded_as_by_a_queue(
    seed: int, shape: tuple[int, int], smooth: float, levels: int | None, marker: float, fill: float
) -> None:
    found, expected = both(hills(seed, shape, smooth, levels), marker, fill)
    assert np.array_equal(found, expected)


@given(
    arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
        elements=st.sampled_from([0, 0.125, 0.25, 0.375, 0.5, 0.75, 1]),
    ),
    thresholds,
    thresholds,
)
@settings(deadline=None, max_examples=300)
def test_plateaus_are_flooded_as_by_a_queue(distance: Map, marker: float, fill: float) -> None:
    found, expected = both(distance, marker, fill)
    assert np.array_equal(found, expected)


@given(
    st.integers(0, 10**6), st.tuples(st.integers(2, 40), st.integers(1, 40)), smoothness, st.integers(1, 9)
)
@settings(deadline=None, max_examples=100)
def test_any_mask_will_do(seed: int, shape: tuple[int, int], smooth: float, levels: int) -> None:
    distance = hills(seed, shape, smooth, levels)
    markers = ndimage.label(distance > 0.6, EIGHT)[0].astype(np.int32)
    mask = np.random.default_rng(seed).random(shape) < 0.8
    assert np.array_equal(flood(distance, markers, mask), queue(distance, markers, mask))


@pytest.mark.parametrize("name", CASES)
def test_symmetric_cells_are_flooded_as_by_a_queue(name: str) -> None:
    found, expected = both(labels_to_distance(CASES[name]), 0.6, 0.05)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("levels", [1, 3, 255])
def test_plateaus_of_cells_are_flooded_as_by_a_queue(name: str, levels: int) -> None:
    distance = (np.rint(labels_to_distance(CASES[name]) * levels) / levels).astype(np.float32)
    found, expected = both(distance, 0.6, -1)  # background is a plateau too
    assert np.array_equal(found, expected)


@given(st.integers(0, 10**6), st.sampled_from([None, 3, 30, 255]), st.integers(1, 3))
@settings(deadline=None, max_examples=10)
def test_a_front_goes_on_as_its_pixels_do_one_by_one(seed: int, levels: int | None, times: int) -> None:
    """Pixels enlarged to squares are fronts of a few pixels; large plateaus are fronts of many."""
    distance = hills(seed, (24, 30), 1.0, levels).repeat(times, axis=0).repeat(times, axis=1)
    markers = ndimage.label(distance > 0.75, EIGHT)[0].astype(np.int32)
    allowed = distance > 0.2
    allowed[[0, -1]] = allowed[:, [0, -1]] = False
    markers *= allowed
    expected = queue(distance, markers, allowed)
    for few, many in ((0, 1), (0, 7), (0, 1000), (5, 20), (1000, 1000)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(queues, "_FEW", few)
            patch.setattr(queues, "_MANY", many)
            assert np.array_equal(queues.QueueFlood(distance, markers, allowed).run(), expected)


@pytest.mark.parametrize("side", [1, 5, 16, 1000])
def test_pieces_of_a_mask_are_divided_whole_and_once(side: int) -> None:
    mask = hills(4, (70, 90), 1.5, None) > 0.5
    pieces, count = ndimage.label(mask, EIGHT)
    found = np.zeros(mask.shape, int)
    groups = list(flooding.pieces_by_tile(mask, side))
    for number, (window, inside) in enumerate(groups, start=1):
        assert not found[window][inside].any()
        found[window][inside] = number
    assert np.array_equal(found > 0, mask)
    for piece in range(1, count + 1):
        assert np.unique(found[pieces == piece]).size == 1
    assert len(groups) == 1 if side == 1000 else 1 < len(groups) <= count


def test_a_bump_between_two_floods_goes_to_the_one_that_enters_first() -> None:
    # The bump at 0.45 is entered over 0.3 from the right before the left flood has sunk to 0.2.
    ridge = np.array([[0.9, 0.2, 0.45, 0.3, 0.9]], np.float32)
    assert both(ridge, 0.6, 0)[0].tolist() == [[1, 1, 2, 2, 2]]
    # On level ground the floods go on in turn, the higher marker first.
    level = np.array([[0.8, 0.3, 0.3, 0.3, 0.3, 0.3, 0.9]], np.float32)
    assert both(level, 0.6, 0)[0].tolist() == [[1, 1, 1, 2, 2, 2, 2]]


def test_nothing_is_flooded_without_markers_or_mask() -> None:
    distance = hills(0, (20, 30), 1.5, None)
    markers = (distance > 0.6).astype(np.int32)
    assert not flood(distance, np.zeros_like(markers), distance > 0).any()
    assert not flood(distance, markers, np.zeros(distance.shape, bool)).any()
    assert not flood(distance[:0], markers[:0], distance[:0] > 0).size


def test_inputs_stay_as_they_are() -> None:
    distance = hills(1, (40, 50), 1.0, 8)
    markers, mask = ndimage.label(distance > 0.6, EIGHT)[0].astype(np.int32), distance > 0.2
    before = distance.copy(), markers.copy(), mask.copy()
    flood(distance, markers, mask)
    for array, copy in zip((distance, markers, mask), before, strict=True):
        assert np.array_equal(array, copy)
