import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinocell.errors import InputError
from dinocell.preprocess.resampling import resize, resize_window, scaled_shape
from tests.examples import examples
from tests.fakes.planes import on_x86, reader, texture, windows


def test_scaled_shapes_by_hand() -> None:
    assert scaled_shape((101, 53), 0.75) == (76, 40)  # 75.75 and 39.75
    assert scaled_shape((3, 200), 0.1) == (1, 20)
    assert scaled_shape((1, 1), 1e-9) == (1, 1)
    assert scaled_shape((7, 9), 3) == (21, 27)


@pytest.mark.parametrize("scale", [0, -1, np.nan, np.inf])
def test_impossible_scales_are_refused(scale: float) -> None:
    with pytest.raises(InputError, match="scale is"):
        scaled_shape((4, 4), scale)


def test_shrinking_averages_and_growing_interpolates() -> None:
    image = texture((40, 60))
    means = image.reshape(20, 2, 30, 2).mean(axis=(1, 3))
    assert np.abs(resize(image, (20, 30)) - means).max() <= 0.5
    # Pixel centres: 0.25 and 0.75 of the way between neighbours, the ends repeated.
    assert resize(np.array([[0.0, 8.0]], np.float32), (1, 4)).tolist() == [[0, 2, 6, 8]]
    assert resize(image, (40, 60)) is image


sides = st.integers(1, 90)
shapes = st.tuples(sides, sides)


@given(st.data(), shapes, shapes | st.floats(0.02, 4), st.integers(0, 9))
@examples(100, search=400)
def test_a_window_of_a_resized_plane(
    data: st.DataObject, shape: tuple[int, int], to: tuple[int, int] | float, seed: int
) -> None:
    """Shrinking and growing, one axis each, whole factors: as OpenCV does with the whole plane."""
    target = scaled_shape(shape, to) if isinstance(to, float) else to
    window = data.draw(windows(target))
    light = np.random.default_rng(seed).random(shape, np.float32)
    found = resize_window(reader(light, []), shape, target, window)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, resize(light, target)[window], rtol=0, atol=1e-5)
    gray = (light * 255.9).astype(np.uint8)
    levels = resize_window(reader(gray, []), shape, target, window)
    assert levels.dtype == np.uint8
    assert np.abs(levels.astype(int) - resize(gray, target)[window]).max() <= 1


@on_x86
@pytest.mark.parametrize("shape", [(300, 420), (301, 397), (256, 512)])
@pytest.mark.parametrize(
    "to", [0.5, 0.25, (100, 140), 0.37, 0.81, 0.999, 1.004, 1.3, 2, 3.7, (600, 90), (310, 30), (20, 500)]
)
def test_a_resized_window_of_gray_levels_is_equal(
    shape: tuple[int, int], to: float | tuple[int, int]
) -> None:
    target = to if isinstance(to, tuple) else scaled_shape(shape, to)
    gray = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    window = slice(target[0] // 3, target[0] * 2 // 3), slice(target[1] // 5, target[1])
    assert np.array_equal(
        resize_window(reader(gray, []), shape, target, window), resize(gray, target)[window]
    )


def test_a_long_axis_is_resized_as_by_opencv() -> None:
    light = np.random.default_rng(0).random((1, 30_000), np.float32)
    for length in (41_234, 60_000, 29_990, 11_111, 100):
        window = slice(0, 1), slice(length * 9 // 10, length)
        found = resize_window(reader(light, []), (1, 30_000), (1, length), window)
        np.testing.assert_allclose(found, resize(light, (1, length))[window], rtol=0, atol=1e-5)


def test_a_window_reads_what_it_needs_and_is_itself_without_resizing() -> None:
    image = texture((80, 100))
    for target, most in (((160, 200), 12 * 12), ((40, 50), 40 * 40), ((27, 34), 61 * 61)):
        extents: list[int] = []
        found = resize_window(reader(image, extents), (80, 100), target, (slice(3, 23), slice(10, 30)))
        assert found.shape == (20, 20)
        assert len(extents) == 1
        assert extents[0] <= most
    same = resize_window(reader(image, []), (80, 100), (80, 100), (slice(3, 23), slice(10, 30)))
    assert np.shares_memory(same, image)


@pytest.mark.parametrize("rows", [slice(3, 3), slice(-1, 4), slice(2, 9), slice(0, 8, 2)])
def test_windows_outside_are_refused(rows: slice) -> None:
    image = texture((8, 8))
    window = (slice(0, 8), rows)
    with pytest.raises(InputError, match="on an axis of 8 pixels"):
        resize_window(reader(image, []), (8, 8), (8, 8), window)
