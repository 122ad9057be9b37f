from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from dinocell.errors import InputError
from dinocell.measure.outlines import PALETTE, draw_outlines, outermost_pixels
from tests.cases import CASES


def outermost(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Find the pixels of a cell with another value above, below, left or right of them, spelled out."""
    padded = np.pad(labels, 1, mode="edge")
    inner = padded[1:-1, 1:-1]
    sides = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return (inner > 0) & np.any([side != inner for side in sides], axis=0)


def gray_of(labels: NDArray[Any]) -> NDArray[np.uint8]:
    return np.random.default_rng(labels.shape).integers(0, 256, labels.shape, np.uint8)


def check(labels: NDArray[Any]) -> None:
    gray = gray_of(labels)
    before = gray.copy(), labels.copy()
    picture = draw_outlines(gray, labels)
    assert picture.shape == (*labels.shape, 3)
    assert picture.dtype == np.uint8
    edge = outermost(np.maximum(labels, 0))
    assert np.array_equal(picture[~edge], np.repeat(gray[~edge][:, None], 3, axis=1))
    assert np.array_equal(picture[edge], PALETTE[labels[edge] % len(PALETTE)])
    assert np.array_equal(gray, before[0])
    assert np.array_equal(labels, before[1])


@pytest.mark.parametrize("name", CASES)
def test_only_the_outermost_pixels_are_coloured(name: str) -> None:
    check(CASES[name])


@given(
    arrays(
        np.int32,
        array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.sampled_from([-1, 0, 0, 1, 1, 2, 9, 2**31 - 1]),
    )
)
@settings(deadline=None)
def test_only_the_outermost_pixels_of_random_labels_are_coloured(labels: NDArray[np.int32]) -> None:
    check(labels)


@pytest.mark.parametrize("name", CASES)
def test_outermost_pixels_of_cases_are_those_of_scikit_image(name: str) -> None:
    for labels in (CASES[name], CASES[name].T, CASES[name] % 3):
        assert np.array_equal(outermost_pixels(labels), find_boundaries(labels, mode="inner"))


@given(
    arrays(
        np.int32,
        array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.sampled_from([0, 0, 1, 1, 2, 9, 2**31 - 1]),
    )
)
@settings(deadline=None)
def test_outermost_pixels_are_those_of_scikit_image(labels: NDArray[np.int32]) -> None:
    assert np.array_equal(outermost_pixels(labels), find_boundaries(labels, mode="inner"))


def test_a_square_by_hand() -> None:
    labels = np.zeros((5, 5), np.int32)
    labels[1:4, 1:4] = 2
    picture = draw_outlines(np.full((5, 5), 100, np.uint8), labels)
    coloured = (picture != 100).any(axis=2)
    assert coloured.astype(int).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 1, 0, 1, 0],
        [0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0],
    ]
    assert picture[1, 1].tolist() == PALETTE[2].tolist()


@pytest.mark.parametrize("number", [1, 6, 7, 8, 15, 300])
def test_neighbours_in_number_differ_in_colour(number: int) -> None:
    labels = np.array([[number, number, number + 1, number + 1]])
    picture = draw_outlines(np.zeros((1, 4), np.uint8), labels)
    assert picture[0, 1].tolist() != picture[0, 2].tolist()


def test_colours_differ_and_none_is_gray() -> None:
    assert len({tuple(colour) for colour in PALETTE.tolist()}) == len(PALETTE)
    assert (np.ptp(PALETTE.astype(int), axis=1) > 100).all()


def test_wider_outlines_are_a_third_of_the_radius_at_most() -> None:
    labels = np.zeros((60, 90), np.int32)
    labels[5:50, 5:50], labels[10:14, 60:64] = 2**31 - 1, 1
    picture = draw_outlines(np.full(labels.shape, 100, np.uint8), labels, width=3)
    coloured = (picture != 100).any(axis=2)
    inner = np.zeros(labels.shape, bool)
    inner[8:47, 8:47], inner[11:13, 61:63] = True, True  # three pixels of the large cell, one of the small
    assert np.array_equal(coloured, (labels > 0) & ~inner)


@pytest.mark.parametrize(("side", "width"), [(40, 1), (1300, 1), (1800, 2)])
def test_outlines_grow_with_the_image(side: int, width: int) -> None:
    labels = np.zeros((40, side), np.int32)
    labels[5:35, 5:35] = 1
    picture = draw_outlines(np.zeros(labels.shape, np.uint8), labels)
    assert np.array_equal(picture, draw_outlines(np.zeros(labels.shape, np.uint8), labels, width=width))
    assert picture.any(axis=2)[20].sum() == 2 * width


def test_an_image_in_colour_keeps_its_colours() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    labels = np.zeros((7, 9), np.int32)
    labels[2:6, 2:7] = 3
    picture = draw_outlines(colours, labels)
    edge = outermost(labels)
    assert np.array_equal(picture[~edge], colours[~edge])
    assert (picture[edge] == PALETTE[3]).all()


def test_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"image has shape \(4, 5, 2\), expected \(4, 5\)"):
        draw_outlines(np.zeros((4, 5, 2), np.uint8), np.zeros((4, 5), int))
    with pytest.raises(InputError, match=r"image has shape \(5, 4\)"):
        draw_outlines(np.zeros((5, 4), np.uint8), np.zeros((4, 5), int))
