from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dinocell.io.field import MIN_SIDE, find_field, intersect, move, search_field
from tests.examples import examples
from tests.fakes.planes import reader, texture

Depths = tuple[tuple[int, int], tuple[int, int]]

WHOLE = (slice(0, 80), slice(0, 90))


def bordered(image: NDArray[Any], depths: Depths, value: float) -> NDArray[Any]:
    return np.pad(image, depths, constant_values=value)


def expected(image: NDArray[Any], depths: Depths) -> tuple[slice, slice]:
    (top, _), (left, _) = depths
    return slice(top, top + image.shape[0]), slice(left, left + image.shape[1])


depths_of = st.tuples(*[st.tuples(*[st.integers(0, 30) | st.sampled_from([1, 128])] * 2)] * 2)


@given(
    st.sampled_from([np.uint8, np.uint16, np.int16, np.uint64, np.float16, np.float32, np.float64]),
    depths_of,
    st.sampled_from(["least", "greatest", "within", "nan"]),
    st.integers(0, 99),
)
@examples(60, search=400)
def test_a_margin_of_any_value_at_any_sides_is_found(
    dtype: Any, depths: Depths, what: str, seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 127, (MIN_SIDE + seed % 9, MIN_SIDE + 3)).astype(dtype)
    value = {"least": 0, "greatest": 200, "within": image[9, 9], "nan": np.nan}[what]
    assume(image.dtype.kind == "f" or what != "nan")
    assert find_field(bordered(image, depths, value)) == expected(image, depths)


def test_sides_of_several_values_and_margins_in_margins() -> None:
    image = texture((80, 90))
    sides = bordered(bordered(image, ((9, 0), (0, 0)), 255), ((0, 0), (0, 12)), 0)
    assert find_field(sides) == (slice(9, 89), slice(0, 90))
    nested = bordered(bordered(image, ((20, 20), (20, 20)), 0), ((5, 5), (5, 5)), 255)
    assert find_field(nested) == (slice(25, 105), slice(25, 115))
    holes = bordered(bordered(image.astype(float), ((6, 6), (6, 6)), 3.0), ((4, 4), (0, 0)), np.nan)
    holes[12, 7] = holes[3, 50] = np.inf
    assert find_field(holes) == (slice(10, 90), slice(6, 96))


def test_a_turned_image_has_a_turned_field() -> None:
    image = bordered(texture((100, 70)), ((3, 40), (0, 11)), 7)
    rows, columns = find_field(image)
    assert find_field(image.T) == (columns, rows)
    assert find_field(image[::-1]) == (slice(40, 140), columns)
    assert find_field(image[:, ::-1]) == (rows, slice(11, 81))


@pytest.mark.parametrize(
    "image",
    [
        texture((80, 90)),
        np.full((80, 90), 7),
        np.full((80, 90), np.nan),
        np.tile(np.arange(90.0), (80, 1)) // 30 * 30,  # three bars: constant columns, and nothing within
        np.pad(np.full((70, 70), 200), 5)[:, 5:],  # a bright square on nothing
        np.pad(texture((30, 40)), ((25, 25), (25, 25)), constant_values=3),  # too small for an image
        np.hypot(*np.ogrid[-50:30, -45:45]) < 30,  # a drawn disk, whose background is margin and corner
        np.pad(np.where(texture((70, 80)) < 90, 90, texture((70, 80))), 5, constant_values=90),  # clipped
    ],
    ids=["none", "constant", "nan", "bars", "square", "small", "disk", "clipped"],
)
def test_what_is_no_margin(image: NDArray[Any]) -> None:
    assert find_field(image) == tuple(slice(0, length) for length in image.shape)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (MIN_SIDE - 1, 500), (500, MIN_SIDE - 1)])
def test_lines_that_are_short_are_constant_by_chance(shape: tuple[int, int]) -> None:
    image = np.ones(shape)
    image[shape[0] // 2, shape[1] // 2] = 2
    assert find_field(image) == (slice(0, shape[0]), slice(0, shape[1]))


def test_a_background_that_fills_the_field_is_kept_and_other_sides_are_not() -> None:
    image = np.maximum(texture((80, 90)), 90)  # the least value is common
    margin = bordered(bordered(image, ((7, 0), (0, 0)), 90), ((0, 5), (0, 0)), 255)
    assert find_field(margin) == (slice(0, 87), slice(0, 90))


def test_only_margins_are_read_and_a_sample() -> None:
    image = bordered(texture((1200, 1300)), ((700, 0), (0, 0)), 0)
    extents: list[int] = []
    read = reader(image, extents)
    assert search_field(read, (1900, 1300)) == (slice(700, 1900), slice(0, 1300))
    # Two strips of the margin, the outermost line elsewhere and of what is within, and patches.
    assert sum(extents) <= 1024 * 1300 + 7 * 1900 + 16**2 * 64**2
    extents.clear()
    assert search_field(reader(image[700:], extents), (1200, 1300)) == (slice(0, 1200), slice(0, 1300))
    assert sum(extents) == 2 * (1200 + 1300)


def test_shared_windows_and_moved_ones() -> None:
    assert intersect((slice(0, 50), slice(70, 90)), (slice(40, 60), slice(0, 75))) == (
        slice(40, 50),
        slice(70, 75),
    )
    assert intersect((slice(0, 40), slice(0, 9)), (slice(40, 60), slice(0, 9))) is None
    assert move(WHOLE, (3, -2)) == (slice(3, 83), slice(-2, 88))
