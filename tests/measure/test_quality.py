from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.measure.quality import BLUR_LIMIT, clipped_share, describe_size, edge_width, image_quality
from tests.cases import CASES, disk

LABELS = CASES["many"]


def scene(blur: float, *, noise: float = 0.0, gain: float = 1.0, offset: float = 0.0) -> NDArray[np.float64]:
    """Draw 324 disks of uneven brightness, blurred, then noisy."""
    rng = np.random.default_rng(1)
    brightness = np.append(0, rng.uniform(0.7, 1, LABELS.max()))
    sharp = brightness[LABELS]
    blurred = cv2.GaussianBlur(sharp, (0, 0), blur) if blur else sharp
    return offset + gain * (blurred + rng.normal(0, noise, sharp.shape))


def step(blur: float) -> NDArray[np.float64]:
    image = np.zeros((128, 128))
    image[:, 64:] = 1
    return cv2.GaussianBlur(image, (0, 0), blur)


@pytest.mark.parametrize("blur", [1.0, 1.5, 2.0, 3.0, 4.0])
def test_a_step_has_the_width_of_its_blur(blur: float) -> None:
    # A slope is a difference over two pixels, which adds a little width.
    assert edge_width(step(blur)) == pytest.approx(blur, abs=0.25)


@pytest.mark.parametrize("blur", [1.0, 2.0, 4.0])
def test_noise_hardly_moves_the_width(blur: float) -> None:
    image = step(blur)
    noisy = image + np.random.default_rng(0).normal(0, 0.02, image.shape)
    assert edge_width(noisy) == pytest.approx(edge_width(image), rel=0.2)


@pytest.mark.parametrize(
    ("gain", "offset"), [(1, 0), (1e-6, 0), (4000, 100), (-1, 5), (1e12, 1e12), (10, 1e6)]
)
def test_contrast_does_not_move_the_width(gain: float, offset: float) -> None:
    assert edge_width(scene(1.5, gain=gain, offset=offset)) == pytest.approx(edge_width(scene(1.5)), rel=1e-3)


def test_the_width_grows_with_the_blur() -> None:
    widths = [edge_width(scene(blur, noise=0.02)) for blur in (0, 1, 2, 3, 4)]
    assert widths == sorted(widths)
    assert widths[0] < 1.2
    assert widths[-1] > BLUR_LIMIT


def test_a_lone_cell_in_focus_is_no_blurred_image() -> None:
    labels = disk((256, 256), (120, 130), 24).astype(np.int32)
    glow = cv2.GaussianBlur(labels * 1.0, (0, 0), 12)
    image = cv2.GaussianBlur(labels * (0.5 + glow), (0, 0), 1.2)
    assert image_quality(image, labels).flags == ()
    assert image_quality(cv2.GaussianBlur(image, (0, 0), 4), labels).flags == ("out of focus",)


def test_a_good_image_has_no_flag_and_its_numbers() -> None:
    image = np.rint(scene(1, noise=0.02, gain=1000, offset=100).clip(0)).astype(np.uint16)
    quality = image_quality(image, LABELS, diameter_range=(9, 14))
    assert quality.flags == ()
    assert 0.8 < quality.focus < 2
    assert quality.saturated == 0
    areas = np.bincount(LABELS.ravel())[1:]
    assert quality.diameter == pytest.approx(np.median(2 * np.sqrt(areas / np.pi)))


def test_a_blurred_image_is_out_of_focus() -> None:
    assert image_quality(scene(4, noise=0.01), LABELS).flags == ("out of focus",)


@pytest.mark.parametrize(
    ("top", "dtype"), [(255, np.uint8), (4095, np.uint16), (65535, np.uint16), (1, np.float32)]
)
def test_clipping_at_any_value_is_saturation(top: float, dtype: type) -> None:
    image = scene(1.5, noise=0.02)
    exposed = (image.clip(0) / image.max() * top).astype(dtype)
    assert image_quality(exposed, LABELS).saturated < 0.005
    over = (image / np.quantile(image, 0.95) * top).clip(0, top).astype(dtype)
    quality = image_quality(over, LABELS)
    assert quality.flags == ("saturated",)
    assert quality.saturated == pytest.approx(0.05, abs=0.01)


def test_the_clipped_share_by_hand() -> None:
    ramp = np.arange(100).repeat(2)
    assert clipped_share(ramp) == 0
    assert clipped_share(np.append(ramp, [99] * 7)) == 0  # 9 at the top, 2 on each level below: not above 5 ×
    assert clipped_share(np.append(ramp, [99] * 10)) == 12 / 210
    assert clipped_share(np.linspace(0, 1, 500)) == 0
    assert clipped_share(np.array([0, 0, 0, 7, 7, 7, 7, 7, 7, 7])) == 0.7  # nothing is nearby


@pytest.mark.parametrize(
    ("factor", "flagged"), [(0.45, True), (0.55, False), (1, False), (1.45, False), (1.55, True)]
)
def test_cells_far_from_the_trained_size(factor: float, flagged: bool) -> None:
    diameter = image_quality(scene(1), LABELS).diameter
    # The range that makes the cells `factor` times as large as the nearer end of it.
    low, high = (diameter / factor, 10 * diameter) if factor < 1 else (diameter / 10, diameter / factor)
    flags = image_quality(scene(1), LABELS, diameter_range=(low, high)).flags
    assert flags == (("cells far from the trained size",) if flagged else ())


def test_a_warning_of_sizes_names_them_and_what_to_do() -> None:
    best = (10.0, 40.0)
    for inside in (10.0, 8.8, 45.0, 25.0):
        assert describe_size(inside, 1.0, best, "auto") is None
    for nothing in (None, float("nan")):
        assert describe_size(nothing, 1.0, best, "auto") is None
    assert describe_size(2.0, 1.0, None, "auto") is None
    for outside, asked, remedy in [
        (8.0, "auto", "diameter=8"),
        (50.0, None, "diameter='auto'"),
        (50.0, 30.0, "diameter=50"),
        (50.0, 50.0, "look at the outlines"),
    ]:
        text = str(describe_size(outside, 1.0, best, asked))
        assert remedy in text
        assert f"{outside:.0f} px wide, outside of the 10 to 40 px" in text
    assert describe_size(8.0, 2.0, best, 8.0) is None
    assert "80 px wide (50 px as" in str(describe_size(80.0, 0.625, best, "auto"))


def test_empty_images() -> None:
    nothing = np.zeros_like(LABELS)
    quality = image_quality(scene(1), nothing, diameter_range=(10, 20))
    assert quality.flags == ("empty",)
    assert np.isnan(quality.diameter)
    for constant in (np.full(LABELS.shape, 7, np.uint16), np.full(LABELS.shape, np.nan)):
        quality = image_quality(constant, LABELS)
        assert quality.flags == ("empty",)
        assert np.isnan(quality.focus)
        assert quality.saturated == 0


def test_holes_in_an_image_count_for_nothing() -> None:
    image = scene(1.5)
    whole = image_quality(image, LABELS)
    image[:3, :3], image[5, 5], image[6, 6] = np.nan, np.inf, -np.inf
    before = image.copy()
    quality = image_quality(image, LABELS)
    assert quality.flags == whole.flags
    assert quality.focus == pytest.approx(whole.focus, rel=0.02)
    np.testing.assert_array_equal(image, before)


@settings(max_examples=80, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from(
            [np.bool_, np.uint8, np.int16, np.uint16, np.int32, np.uint64, np.float32, np.float64]
        ),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    )
)
def test_every_image_gets_a_judgement(pixels: NDArray[Any]) -> None:
    quality = image_quality(pixels, np.ones(pixels.shape, np.int32))
    assert quality.focus >= 0 or np.isnan(quality.focus)
    assert 0 <= quality.saturated <= 1
    assert ("out of focus" in quality.flags) == (quality.focus > BLUR_LIMIT)


@pytest.mark.parametrize("pixels", [np.zeros((3, 4)), np.zeros((4, 3, 3)), np.zeros((4, 3), complex)])
def test_what_is_refused(pixels: NDArray[Any]) -> None:
    with pytest.raises(InputError, match=r"pixels are .* expected real numbers of shape \(4, 3\) as labels"):
        image_quality(pixels, np.ones((4, 3), int))


@pytest.mark.parametrize("value", [0, 4095, np.nan])
def test_margins_count_for_nothing(value: float) -> None:
    image = np.rint(scene(1.5, noise=0.02, gain=1000, offset=100))
    whole = image_quality(image, LABELS)
    pad = ((128, 128), (0, 90))
    framed = np.pad(image, pad, constant_values=value)
    assert image_quality(framed, np.pad(LABELS, pad)) == whole
