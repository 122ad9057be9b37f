"""Fields, scene and camera: noise, blur, depth and nuclei are what they are said to be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from dinocell.postprocess import labels_to_distance
from dinocell.synthesis import camera, fields, layouts
from dinocell.synthesis.scene import Scene
from tests.cases import disk


@pytest.mark.parametrize("sigma", [0.5, 3, 9, 25])
def test_a_blur_is_a_gaussian_at_any_width(sigma):
    image = np.zeros((200, 240), np.float32)
    image[60:120, 70:180] = 1
    expected = gaussian_filter(image, sigma, mode="mirror")
    np.testing.assert_allclose(fields.blur(image, sigma), expected, atol=0.03)


def test_a_blur_too_narrow_to_be_seen_changes_nothing():
    image = np.random.default_rng(0).random((9, 9), np.float32)
    assert fields.blur(image, 0.2) is image


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.5, 12))
def test_noise_has_mean_0_and_deviation_1_and_grains_of_its_scale(seed, scale):
    noise = fields.smooth_noise(np.random.default_rng(seed), (250, 250), scale)
    assert abs(noise.mean()) < 0.3
    assert 0.7 < noise.std() < 1.3
    step = np.abs(np.diff(noise, axis=1)).mean()
    assert step < 2.5 / max(scale, 1)


def test_each_doubling_is_as_likely():
    rng = np.random.default_rng(0)
    values = np.array([fields.log_uniform(rng, 8, 128) for _ in range(2000)])
    counts = np.histogram(values, [8, 16, 32, 64, 128])[0]
    assert values.min() >= 8
    assert values.max() <= 128
    assert counts.min() > 400


def test_the_depth_of_a_scene_is_its_distance_map():
    labels = layouts.tidy(layouts.mixed_cells(np.random.default_rng(1), 120, 24), 20)
    scene = Scene(labels, 24)
    np.testing.assert_allclose(scene.relative_depth, labels_to_distance(labels), atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_a_nucleus_lies_in_its_own_cell_and_takes_its_share(seed):
    rng = np.random.default_rng(seed)
    labels = layouts.tidy(layouts.round_cells(rng, 160, 36), 200)
    nuclei = Scene(labels, 36).nuclei(rng, (0.2, 0.3))
    assert (nuclei[nuclei > 0] == labels[nuclei > 0]).all()
    assert 0 < np.count_nonzero(nuclei) < 0.4 * np.count_nonzero(labels)


def test_the_line_along_a_boundary_is_highest_at_the_outermost_pixels_of_a_cell():
    labels = np.zeros((9, 12), np.int32)
    labels[2:7, 1:6], labels[2:7, 6:11] = 1, 2
    line = Scene(labels, 5).line(1.0)
    assert not line[labels == 0].any()
    np.testing.assert_allclose(line[4, 1:11], [1, np.exp(-1), np.exp(-4), np.exp(-1), 1] * 2, rtol=1e-5)


def test_a_scene_without_cells_has_no_nuclei():
    assert not Scene(np.zeros((20, 20), np.int32), 10).nuclei(np.random.default_rng(0), (0.1, 0.2)).any()


def test_a_nucleus_lies_along_the_long_axis_of_its_cell():
    y, x = np.indices((60, 120))
    labels = (((x - 60) / 50) ** 2 + ((y - 30) / 14) ** 2 < 1).astype(np.int32)
    rows, columns = np.nonzero(Scene(labels, 50).nuclei(np.random.default_rng(3), (0.15, 0.2)))
    assert np.ptp(columns) >= np.ptp(rows)


def test_photons_scatter_as_the_root_of_their_number():
    """With 400 photons the deviation is a twentieth."""
    rng = np.random.default_rng(5)
    ratios = []
    for _ in range(20):
        counted = camera.count_photons(rng, np.ones((100, 100), np.float32), fewest=3000)
        ratios.append(counted.std() / counted.mean())
    assert min(ratios) == pytest.approx(1 / np.sqrt(3000), rel=0.1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_outside_the_field_of_view_is_constant(seed):
    rng = np.random.default_rng(seed)
    seen = camera.field_of_view(rng, (100, 100))
    values = camera.finish(rng, np.full((100, 100), 0.5, np.float32), seen)
    assert seen.mean() > 0.2
    outside = np.unique(values[~seen])
    assert set(outside) <= {0, 255}  # a scale bar may lie there


def test_a_blank_field_of_view_is_a_disc_or_a_border_in_some_images():
    seen = [camera.field_of_view(np.random.default_rng(seed), (64, 64)) for seed in range(200)]
    cut = [each for each in seen if not each.all()]
    assert 10 < len(cut) < 50
    assert any(np.array_equal(each, each & disk(each.shape, (32, 32), 45)) for each in cut)
