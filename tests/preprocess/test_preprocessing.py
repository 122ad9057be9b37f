from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from dinocell.errors import InputError
from dinocell.preprocess.intensity_range import (
    IntensityRange,
    count_nonfinite,
    find_range,
    scale_to_uint8,
    to_uint8,
)
from dinocell.preprocess.preprocessing import (
    Preprocessing,
    apply_clahe,
    field_of,
    preprocess,
    preprocess_window,
    to_grayscale,
)
from dinocell.preprocess.resampling import resize, scaled_field, scaled_shape
from tests.examples import examples
from tests.fakes.planes import on_x86, reader, texture, windows

PLAIN = Preprocessing(clahe=False)
FULL_RANGE = Preprocessing(low_percentile=0, high_percentile=100, clahe=False)


# ---------------------------------------------------------------- grayscale


def test_luminance_by_hand() -> None:
    colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30], [255, 255, 255], [0, 0, 0]]
    # 0.299·255, 0.587·255, 0.114·255 and 2.99 + 11.74 + 3.42
    expected = [76.245, 149.685, 29.07, 18.15, 255, 0]
    for dtype in (np.uint8, np.uint16, np.int32, np.float32, np.float64):
        gray = to_grayscale(np.array([colours], dtype))
        np.testing.assert_allclose(gray, [expected], rtol=1e-6)


def test_luminance_agrees_with_opencv() -> None:
    colour = np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype(np.float32)
    np.testing.assert_allclose(to_grayscale(colour), cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY), atol=1e-3)


def test_alpha_is_dropped() -> None:
    rng = np.random.default_rng(0)
    colour, alpha = texture((20, 30, 3)), rng.integers(0, 256, (20, 30, 1), np.uint8)
    assert np.array_equal(to_grayscale(np.concatenate([colour, alpha], axis=2)), to_grayscale(colour))
    gray = colour[:, :, :1]
    assert np.array_equal(to_grayscale(gray), gray[:, :, 0])


def test_gray_keeps_its_dtype_and_a_mask_becomes_numbers() -> None:
    assert to_grayscale(np.zeros((2, 2), np.int16)).dtype == np.int16
    assert to_grayscale(np.array([[True, False]])).tolist() == [[1, 0]]
    assert preprocess(np.array([[True, False]]), FULL_RANGE).tolist() == [[255, 0]]


def test_gray_in_three_equal_channels_is_the_same_image() -> None:
    gray = texture((70, 90))
    colour = np.repeat(gray[:, :, None], 3, axis=2)
    difference = preprocess(colour, PLAIN).astype(int) - preprocess(gray, PLAIN)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 2)), "2 channels"),
        (np.zeros((4, 4, 5)), "5 channels"),
        (np.zeros((2, 4, 4, 3)), r"shape \(2, 4, 4, 3\)"),
        (np.zeros(4), r"shape \(4,\)"),
        (np.zeros((0, 4)), "holds no pixels"),
        (np.zeros((4, 4, 0)), "holds no pixels"),
        (np.zeros((4, 4), complex), "dtype complex128"),
        (np.array([["a"]]), "dtype <U1"),
    ],
)
def test_what_is_no_image_is_refused(image: NDArray[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        preprocess(image)


# ---------------------------------------------------------------- scaling to 8 bits


def test_percentiles_by_hand() -> None:
    # Of 0…1000 the 0.1 and 99.9 percentiles are 1 and 999.
    ramp = np.arange(1001).reshape(7, 143)
    expected = np.clip((ramp - 1) / 998, 0, 1) * 255
    assert np.abs(scale_to_uint8(ramp) - expected).max() <= 0.5 + 1e-9
    assert scale_to_uint8(ramp).dtype == np.uint8
    # The quartiles are 250 and 750.
    expected = np.clip((ramp - 250) / 500, 0, 1) * 255
    for quartiles in (
        scale_to_uint8(ramp, low=25, high=75),
        preprocess(ramp, Preprocessing(25, 75, clahe=False)),
    ):
        assert np.abs(quartiles - expected).max() <= 0.5 + 1e-9


def test_hot_and_dead_pixels_do_not_dim_the_rest() -> None:
    image = texture((100, 100)).astype(np.uint16)
    hot = image.copy()
    hot[3, 4:9], hot[50, 60] = 65535, 0
    difference = scale_to_uint8(hot).astype(int) - scale_to_uint8(image)
    assert np.abs(np.delete(difference, [3, 50], axis=0)).max() <= 6


def test_what_hardly_differs_stays_visible() -> None:
    image = np.zeros((100, 100))
    image[5, 5] = 7  # under the 99.9 percentile everything is 0
    assert np.argwhere(scale_to_uint8(image)).tolist() == [[5, 5]]
    assert scale_to_uint8(image)[5, 5] == 255


@pytest.mark.parametrize("value", [0, 1, 255, 65535, -3, 0.1, 1e30, np.float32(1 / 3)])
@pytest.mark.parametrize("shape", [(1, 1), (37, 53), (37, 53, 3), (64, 64, 4)])
def test_a_constant_image_is_zero(value: float, shape: tuple[int, ...]) -> None:
    assert not preprocess(np.full(shape, value)).any()


@given(st.tuples(*[st.floats(0, 1e6, width=32)] * 3), st.integers(1, 40), st.integers(1, 40))
@settings(deadline=None, max_examples=50)
def test_a_constant_colour_is_zero(colour: tuple[float, float, float], rows: int, columns: int) -> None:
    assert not preprocess(np.broadcast_to(np.float32(colour), (rows, columns, 3))).any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nan_and_infinity_are_the_lowest_pixel_and_sway_no_percentile(dtype: type) -> None:
    ramp = np.arange(1001, dtype=dtype).reshape(7, 143)
    holes = np.concatenate([ramp, np.full((4, 143), np.nan)]).astype(dtype)
    holes[9], holes[10] = np.inf, -np.inf
    assert count_nonfinite(holes) == 4 * 143
    result = scale_to_uint8(holes)
    assert np.array_equal(result[:7], scale_to_uint8(ramp))
    assert not result[7:].any()


def test_colours_of_opposite_infinities_are_holes() -> None:
    image = np.random.default_rng(0).random((5, 6, 3))
    image[2, 3] = np.inf, -np.inf, 0
    image[0, 0] = np.inf
    assert preprocess(image, FULL_RANGE)[2, 3] == preprocess(image, FULL_RANGE)[0, 0] == 0


def test_mostly_nan_is_refused_and_half_is_not() -> None:
    image = np.arange(10.0).reshape(2, 5)
    image[0] = np.nan
    assert preprocess(image, FULL_RANGE).tolist() == [[0] * 5, [0, 64, 128, 191, 255]]
    image[1, 0] = np.inf
    with pytest.raises(InputError, match="60% of the pixels are NaN or infinite"):
        preprocess(image)
    with pytest.raises(InputError, match="100%"):
        preprocess(np.full((3, 3), np.nan))


def test_integers_have_no_holes() -> None:
    assert count_nonfinite(np.array([[1, 2]])) == 0
    assert count_nonfinite(np.array([[1, np.nan], [np.inf, -np.inf]])) == 3


@given(
    arrays(np.uint16, array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.integers(0, 4095)),
    st.integers(1, 15),
    st.integers(0, 4000),
    st.floats(1e-3, 1e3),
    st.floats(-1e3, 1e3),
)
@settings(deadline=None, max_examples=150)
def test_gain_and_offset_change_nothing(
    image: NDArray[np.uint16], gain: int, offset: int, factor: float, shift: float
) -> None:
    expected = scale_to_uint8(image).astype(int)
    brighter = (image * np.uint16(gain) + np.uint16(offset)).astype(np.uint16)
    for other in (brighter, image.astype(np.float32), image.astype(np.float64) * factor + shift):
        assert np.abs(scale_to_uint8(other) - expected).max() <= 1


@given(
    arrays(
        np.float64,
        array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.floats(allow_nan=False, allow_infinity=False),
    )
)
@example(np.array([[0, 5e-324, 0]]))
@example(np.array([[-1.7e308, 1.7e308, 0, 1e-300]]))
@example(np.array([[*np.linspace(0, 1e-200, 2000), 1e200]]))
@settings(deadline=None, max_examples=200)
def test_brighter_stays_brighter(image: NDArray[np.float64]) -> None:
    """Whatever the floats: the smallest denormals and the largest number beside its negative."""
    before = image.copy()
    result = scale_to_uint8(image)
    order = np.argsort(image, axis=None)
    assert (np.diff(result.ravel()[order].astype(int)) >= 0).all()
    if np.ptp(image / 4) > 1e-300:
        assert result.min() == 0
        assert result.max() == 255
    assert np.array_equal(image, before)


# ---------------------------------------------------------------- range, and the bits apart from it


def test_ranges_by_hand() -> None:
    ramp = np.arange(1001).reshape(7, 143)
    assert find_range(ramp, low=10, high=75) == IntensityRange(100, 750, 0)
    assert find_range(ramp.astype(np.int16) - 500, low=25, high=75) == IntensityRange(-250, 250, -500)
    holes = np.where(ramp == 3, np.inf, np.where(ramp == 0, np.nan, ramp))
    assert find_range(holes, low=0, high=100) == IntensityRange(1, 1000, 1)
    lone = np.zeros((50, 50))
    lone[3, 4] = 7
    assert find_range(lone) == IntensityRange(0, 7, 0, extremes=True)
    assert find_range(lone, low=0, high=100) == IntensityRange(0, 7, 0)
    assert not find_range(lone).constant
    assert find_range(np.full((3, 3), 0.1)).constant
    assert find_range(np.array([[0, 5e-324, 0]])).constant  # half of it is 0


def test_a_range_maps_any_part_by_hand() -> None:
    found = IntensityRange(10, 20, 5)
    part = np.array([[5, 10, 12, 15, 20, 90], [np.nan, np.inf, -np.inf, 11, 18, 1e300]])
    assert to_uint8(part, found).tolist() == [[0, 0, 51, 128, 255, 255], [0, 0, 0, 26, 204, 255]]
    assert to_uint8(np.array([[11, 18]], np.uint8), found).tolist() == [[26, 204]]
    assert not to_uint8(part, IntensityRange(3, 3, 3)).any()


def test_extremes_are_computed_with_in_the_precision_of_pixels() -> None:
    """33086 of 33151 is at 254.500015, which is 254.5 in single precision, and that is even 254."""
    gray = np.zeros((50, 60), np.uint16)  # fewer than one in a thousand of these differ from 0
    gray[3, :2] = 33086, 33151
    assert find_range(gray) == IntensityRange(0, 33151, 0, extremes=True)
    assert scale_to_uint8(gray)[3, :3].tolist() == [254, 255, 0]
    assert scale_to_uint8(gray, low=0, high=100)[3, :3].tolist() == [255, 255, 0]
    assert to_uint8(gray[3:4, :2], find_range(gray)).tolist() == [[254, 255]]


# ---------------------------------------------------------------- scaling


@pytest.mark.parametrize("scale", [0, -1, np.nan, np.inf])
def test_impossible_scales_are_refused(scale: float) -> None:
    with pytest.raises(InputError, match="scale is"):
        preprocess(np.zeros((4, 4)), scale=scale)


@pytest.mark.parametrize("scale", [0.3, 0.5, 1, 1.7, 2])
def test_preprocess_scales_the_picture(scale: float) -> None:
    image = texture((50, 83))
    result = preprocess(image, PLAIN, scale=scale)
    assert result.shape == scaled_shape((50, 83), scale)
    back = cv2.resize(gaussian_filter(result, 1), (83, 50)).astype(float)
    assert np.corrcoef(gaussian_filter(preprocess(image, PLAIN), 3).ravel(), back.ravel())[0, 1] > 0.8


def test_clahe_comes_after_resizing() -> None:
    image = texture((96, 160))
    doubled = resize(preprocess(image, PLAIN), (192, 320))
    assert np.array_equal(preprocess(image, scale=2), apply_clahe(doubled))


# ---------------------------------------------------------------- CLAHE


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (4, 1)])
def test_clahe_agrees_with_opencv_on_whole_windows(rows: int, columns: int) -> None:
    image = texture((64 * rows, 64 * columns))
    expected = cv2.createCLAHE(3.0, (columns, rows)).apply(image)
    assert np.array_equal(apply_clahe(image), expected)
    assert np.array_equal(preprocess(image), apply_clahe(scale_to_uint8(image)))
    stronger = cv2.createCLAHE(8.0, (2 * columns, 2 * rows)).apply(image)
    assert np.array_equal(apply_clahe(image, clip_limit=8, window=32), stronger)
    assert not np.array_equal(stronger, expected)


def known(start: int, stop: int, length: int) -> slice:
    """Return where a crop along one axis equals the whole image, in the crop's pixels.

    A pixel blends the four windows whose centres surround it: it needs the crop to hold all four in full.
    """
    first = 0 if start == 0 else 32
    last = stop - start if stop == length and length % 64 == 0 else (stop - start) // 64 * 64 - 32
    return slice(first, last)


@pytest.mark.parametrize(
    ("top", "bottom", "left", "right"),
    [(64, 320, 128, 384), (0, 256, 0, 192), (64, 301, 0, 411), (192, 384, 256, 448), (128, 256, 64, 192)],
)
def test_clahe_of_an_aligned_crop_is_the_crop_of_the_whole(
    top: int, bottom: int, left: int, right: int
) -> None:
    whole = texture((384, 448))
    of_whole, of_crop = apply_clahe(whole)[top:bottom, left:right], apply_clahe(whole[top:bottom, left:right])
    same = known(top, bottom, 384), known(left, right, 448)
    assert of_crop[same].size >= 64 * 64
    assert np.array_equal(of_crop[same], of_whole[same])


def test_clahe_outside_of_the_known_part_may_differ() -> None:
    whole = texture((384, 448))
    of_whole, of_crop = apply_clahe(whole)[64:320, 128:384], apply_clahe(whole[64:320, 128:384])
    for border in (np.s_[:31], np.s_[225:], np.s_[:, :31], np.s_[:, 225:]):
        assert not np.array_equal(of_crop[border], of_whole[border])


@pytest.mark.parametrize(
    "settings",
    [
        {"clahe_window": 10**9}, {"clahe_window": 1}, {"clahe_window": 64.5}, {"clahe_window": "64"},
        {"clahe_clip_limit": float("inf")}, {"clahe_clip_limit": float("nan")}, {"clahe_clip_limit": 0},
        {"low_percentile": float("nan")},
    ],
)  # fmt: skip
def test_settings_out_of_bounds_are_refused_before_memory_is_taken(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected"):
        Preprocessing(**settings)


def test_clahe_is_once_and_local() -> None:
    image = texture((200, 150))
    once = preprocess(image)
    assert once.shape == image.shape
    assert not np.array_equal(once, apply_clahe(once))
    changed = image.copy()
    changed[:40, :40] = 255 - changed[:40, :40]
    # One window is touched, and its neighbours' blending reaches 32 px further.
    assert np.array_equal(apply_clahe(changed)[96:, :], apply_clahe(image)[96:, :])
    assert np.array_equal(apply_clahe(changed)[:, 96:], apply_clahe(image)[:, 96:])


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (65, 2), (63, 129)])
def test_any_size_has_contrast(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 50, shape)
    result = preprocess(image)
    assert result.shape == shape
    assert result.dtype == np.uint8
    assert (np.ptp(result) > 100) == (image.size > 1)


# ---------------------------------------------------------------- window by window


def preprocessed(
    image: NDArray[Any], window: tuple[slice, slice], preprocessing: Preprocessing, scale: float = 1
) -> NDArray[np.uint8]:
    found = find_range(
        to_grayscale(image), low=preprocessing.low_percentile, high=preprocessing.high_percentile
    )
    shape = (image.shape[0], image.shape[1])
    return preprocess_window(reader(image, []), shape, window, preprocessing, found, scale=scale)


@given(
    st.data(),
    st.tuples(st.integers(1, 150), st.integers(1, 150)),
    st.sampled_from([(), (1,), (3,), (4,)]),
    st.sampled_from([np.uint8, np.uint16, np.int32, np.float16, np.float32, np.float64]),
    st.sampled_from([2, 8, 16, 32, 64]),
    st.sampled_from([0.5, 3.0, 40.0]),
)
@examples(60, search=300)
def test_a_window_is_that_of_the_whole(
    data: st.DataObject,
    extent: tuple[int, int],
    colours: tuple[int, ...],
    dtype: type,
    side: int,
    limit: float,
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    image = (rng.random((*extent, *colours)) ** 3 * 255).astype(dtype)
    if np.dtype(dtype).kind == "f" and image.size > 4:
        image.ravel()[data.draw(st.integers(0, image.size - 1))] = np.nan
    preprocessing = Preprocessing(1, 98, clahe_clip_limit=limit, clahe_window=side)
    window = data.draw(windows(extent))
    found = preprocessed(image, window, preprocessing)
    assert np.array_equal(found, preprocess(image, preprocessing)[window])


@pytest.mark.parametrize("shape", [(333, 514), (129, 70), (64, 400), (65, 65)])
def test_windows_put_together_are_the_whole(shape: tuple[int, int]) -> None:
    """Edges that leave one row, and a few, of the last CLAHE window; blocks that share no grid with it."""
    image = texture(shape).astype(np.uint16) * 37
    whole = preprocess(image)
    found = np.zeros_like(whole)
    for top in range(0, shape[0], 50):
        for left in range(0, shape[1], 77):
            window = slice(top, min(top + 50, shape[0])), slice(left, min(left + 77, shape[1]))
            found[window] = preprocessed(image, window, Preprocessing())
    assert np.array_equal(found, whole)


@on_x86
@pytest.mark.parametrize("scale", [0.3, 0.5, 0.77, 1.25, 2, 2.9])
@pytest.mark.parametrize("clahe", [True, False])
def test_a_window_of_a_scaled_image_is_that_of_the_whole(scale: float, clahe: bool) -> None:
    image = texture((411, 530))
    height, width = scaled_shape((411, 530), scale)
    preprocessing = Preprocessing(clahe=clahe)
    whole = preprocess(image, preprocessing, scale=scale)
    for window in (
        (slice(0, height // 2), slice(width // 3, width // 2)),
        (slice(height - 40, height), slice(width - 33, width)),
    ):
        assert np.array_equal(preprocessed(image, window, preprocessing, scale), whole[window])


def test_clahe_windows_that_are_no_power_of_two_differ_by_rounding() -> None:
    image = texture((700, 900))
    preprocessing = Preprocessing(clahe_window=50)
    window = slice(330, 612), slice(420, 777)
    difference = (
        preprocessed(image, window, preprocessing).astype(int) - preprocess(image, preprocessing)[window]
    )
    assert np.abs(difference).max() <= 1
    assert (difference != 0).mean() < 1e-3


def test_a_window_reads_one_clahe_window_more_on_each_side() -> None:
    image = texture((640, 640))
    extents: list[int] = []
    window = slice(256, 320), slice(130, 190)
    preprocess_window(reader(image, extents), (640, 640), window, Preprocessing(), find_range(image))
    assert extents == [(3 * 64) ** 2]


@pytest.mark.parametrize("rows", [slice(3, 3), slice(-1, 4), slice(2, 9), slice(0, 8, 2)])
def test_windows_outside_are_refused(rows: slice) -> None:
    image = texture((8, 8))
    window = (slice(0, 8), rows)
    with pytest.raises(InputError, match="on an axis of 8 pixels"):
        preprocess_window(reader(image, []), (8, 8), window, PLAIN, find_range(image))


def test_clahe_reaches_dark_parts_and_constant_images_stay_zero() -> None:
    image = np.zeros((300, 300), np.uint8)
    image[250:, 250:] = 200
    window = slice(0, 50), slice(0, 50)
    dark = preprocessed(image, window, Preprocessing())
    assert np.array_equal(dark, preprocess(image)[window])
    assert dark.any()  # CLAHE lifts the blackest of the parts that it works on
    assert not preprocessed(np.full((300, 300), 7.5), window, Preprocessing()).any()


# ---------------------------------------------------------------- as a whole


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(70, 90), (70, 90, 1), (70, 90, 3), (70, 90, 4)])
def test_input_is_never_changed_and_output_repeats(shape: tuple[int, ...], dtype: type) -> None:
    image = texture(shape).astype(dtype)
    if dtype is np.float64:
        image[3, 3] = np.nan
    before = image.copy()
    image.setflags(write=False)
    results = [preprocess(image), preprocess(image, scale=0.5), preprocess(np.asfortranarray(image))]
    assert np.array_equal(image, before, equal_nan=dtype is np.float64)
    assert np.array_equal(results[0], results[2])
    assert not any(np.shares_memory(result, image) for result in results)


# ---------------------------------------------------------------- margins

MARGINS = [((128, 128), (128, 128)), ((37, 0), (0, 5)), ((0, 1), (0, 0)), ((0, 0), (90, 3))]


@pytest.mark.parametrize("depths", MARGINS)
@pytest.mark.parametrize("value", [0, 255, 1000, np.nan])
@pytest.mark.parametrize("colours", [(), (3,)])
def test_margins_count_for_nothing(
    depths: tuple[tuple[int, int], ...], value: float, colours: tuple[int, ...]
) -> None:
    image = texture((150, 170, *colours)).astype(np.float32)
    whole = np.pad(image, [*depths, *[(0, 0)] * len(colours)], constant_values=value)
    for scale in (1.0, 0.5, 1.3):
        result, alone = preprocess(whole, scale=scale), preprocess(image, scale=scale)
        assert result.shape == scaled_shape((whole.shape[0], whole.shape[1]), scale)
        (top, _), (left, _) = depths
        place = scaled_field((slice(top, top + 150), slice(left, left + 170)), whole.shape[:2], scale)
        assert np.array_equal(result[place], alone)
        assert abs(place[0].start - scale * top) <= 1
        result[place] = 0
        assert not result.any()


@given(
    st.integers(0, 99),
    st.tuples(*[st.tuples(st.integers(0, 40), st.integers(0, 40))] * 2),
    st.sampled_from([np.uint8, np.uint16, np.float32]),
    st.sampled_from([0.4, 1.0, 1.7]),
)
@examples(30, search=300)
def test_the_field_is_preprocessed_as_if_it_were_the_image(
    seed: int, depths: tuple[tuple[int, int], tuple[int, int]], dtype: type, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    image = (rng.gamma(2, 20, (64 + seed, 64 + seed // 3)) + 3).clip(0, 250).astype(dtype)
    whole = np.pad(image, depths, constant_values=rng.choice([0, 251]))
    field = field_of(whole)
    assert field == tuple(slice(low, low + n) for (low, _), n in zip(depths, image.shape, strict=True))
    place = scaled_field(field, (whole.shape[0], whole.shape[1]), scale)
    assert np.array_equal(preprocess(whole, scale=scale)[place], preprocess(image, scale=scale))


def test_an_image_whose_frame_is_mostly_nan_is_no_longer_refused() -> None:
    image = texture((70, 70)).astype(float)
    framed = np.pad(image, 60, constant_values=np.nan)
    assert np.array_equal(preprocess(framed)[60:130, 60:130], preprocess(image))
    assert count_nonfinite(framed[field_of(framed)]) == 0


def test_a_dark_field_with_a_few_empty_rows_hardly_changes() -> None:
    image = texture((200, 200)).astype(np.uint16) + 20
    clipped = image.copy()
    clipped[:3] = 0
    difference = preprocess(clipped, PLAIN)[3:].astype(int) - preprocess(image, PLAIN)[3:]
    assert np.abs(difference).max() <= 2


@pytest.mark.parametrize(("dtype", "side"), [(np.uint8, 20), (np.uint16, 300), (">u2", 300)])
def test_values_that_are_looked_up_are_those_that_are_computed(dtype, side):
    image = np.random.default_rng(0).integers(0, 250, (side, side)).astype(dtype)
    image[0, :3] = np.iinfo(dtype).max, 251, 0
    found = find_range(image)
    np.testing.assert_array_equal(to_uint8(image, found), to_uint8(image.astype(np.float32), found))
