"""Pixels of a crop: those that inference would see in an image of that zoom."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from dinocell.preprocess.preprocessing import LUMINANCE, Preprocessing, preprocess
from dinocell.training.annotated import Annotated, annotate
from dinocell.training.augmentation import NO_AUGMENTATION, Augmentation
from dinocell.training.gray_mix import GrayMix, draw_mix
from dinocell.training.placement import Placement, place
from dinocell.training.rendering import choose_rendering, render

SMALL_WINDOWS = Preprocessing(clahe_window=16)


def smooth_image(shape, seed=0):
    """Draw an image whose structures are wide enough to survive shrinking."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    return ndimage.gaussian_filter(noise, (4, 4) + (0,) * (len(shape) - 2), mode="reflect")


def item_of(pixels, preprocessing=SMALL_WINDOWS):
    return annotate("a", pixels, np.zeros(pixels.shape[:2], np.int32), preprocessing)


def moved(zoom, x=0.0, y=0.0):
    """Return the place of an upright crop whose first pixel is pixel (x, y) of the zoomed image."""
    return Placement(np.array([[zoom, 0, (zoom - 1) / 2 - x], [0, zoom, (zoom - 1) / 2 - y]]), zoom)


@given(st.sampled_from([0.2, 0.25, 0.5, 2, 3, 4]), st.integers(0, 5))
@settings(deadline=None, max_examples=30)
def test_a_crop_is_cut_from_the_image_that_inference_sees_at_that_zoom(zoom, seed):
    # The sides are a multiple of 20, so that no zoomed side is rounded.
    pixels = smooth_image((100, 120), seed)
    whole = preprocess(pixels, SMALL_WINDOWS, scale=zoom)
    item = item_of(pixels)
    chosen = choose_rendering(item, zoom, NO_AUGMENTATION, np.random.default_rng(0))
    crop = render(chosen, moved(zoom), min(whole.shape), item.preprocessing)
    side = min(whole.shape)
    assert np.abs(crop.astype(int) - whole[:side, :side]).max() <= 1


@pytest.mark.parametrize("zoom", [0.37, 0.5, 0.9, 1.7, 3])
def test_inside_an_image_too_up_to_the_phase_of_the_windows(zoom):
    pixels = smooth_image((400, 400))
    whole = preprocess(pixels, scale=zoom)
    item = item_of(pixels, Preprocessing())
    chosen = choose_rendering(item, zoom, NO_AUGMENTATION, np.random.default_rng(0))
    at = round(150 * zoom)
    crop = render(chosen, moved(zoom, at, at), 40, item.preprocessing)
    there = whole[at : at + 40, at : at + 40].astype(float)
    assert np.corrcoef(crop.ravel(), there.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("zoom", [0.2, 0.31, 0.5, 0.83, 1.3, 2.9])
@pytest.mark.parametrize("clahe", [True, False])
def test_image_and_labels_stay_aligned_at_every_zoom(zoom, clahe):
    """Check the centres of dots in the crop, against where the matrix puts them."""
    dots = np.zeros((301, 287), np.uint8)
    centres = np.array([(60, 70), (150, 160), (230, 90), (90, 220), (222, 210)])
    y, x = np.indices(dots.shape)
    for cy, cx in centres:
        dots[(y - cy) ** 2 + (x - cx) ** 2 <= 12**2] = 255
    item = item_of(dots, Preprocessing(clahe=clahe))
    turned = Augmentation(flip=1, rotate=1, scale=(zoom, zoom), stretch=1.3)
    seen = 0
    for seed in range(12):
        placement = place(dots.shape, 96, turned, np.random.default_rng(seed))
        chosen = choose_rendering(item, zoom, NO_AUGMENTATION, np.random.default_rng(0))
        crop = render(chosen, placement, 96, item.preprocessing) > 127
        there = placement.matrix[:, :2] @ centres[:, ::-1].T + placement.matrix[:, 2:]
        found, _ = ndimage.label(crop)
        for cx, cy in there.T:
            margin = 12 * zoom * 1.3 + 2
            if margin <= min(cx, cy) and max(cx, cy) <= 95 - margin:
                number = found[round(cy), round(cx)]
                assert number
                where = ndimage.center_of_mass(found == number)
                assert np.hypot(where[0] - cy, where[1] - cx) < 0.5
                seen += 1
    assert seen > 0 or zoom > 2


def test_shrinking_averages_instead_of_skipping_pixels():
    stripes = np.tile(np.array([0, 255], np.uint8), (256, 128))
    item = Annotated("a", stripes, np.zeros(stripes.shape, np.int32))  # as of a store: no gray before CLAHE
    for zoom in (0.25, 0.5):
        chosen = choose_rendering(item, zoom, NO_AUGMENTATION, np.random.default_rng(0))
        crop = render(chosen, moved(zoom, 10, 10), 32, item.preprocessing)
        assert np.abs(crop.astype(int) - 128).max() <= 1


def test_without_clahe_half_of_the_crops_where_half_are_wanted():
    item = item_of(smooth_image((90, 90)))
    chosen = Augmentation(no_clahe=0.5)
    rng = np.random.default_rng(0)
    drawn = [choose_rendering(item, 1.0, chosen, rng).plane for _ in range(60)]
    assert 15 < sum(plane is item.gray for plane in drawn) < 45
    assert all(plane is item.gray or plane is item.image for plane in drawn)
    np.testing.assert_array_equal(item.gray, preprocess(smooth_image((90, 90)), Preprocessing(clahe=False)))


def test_an_image_that_never_gets_clahe_is_the_same_with_and_without():
    item = item_of(smooth_image((64, 64)), Preprocessing(clahe=False))
    assert np.array_equal(item.image, item.gray)
    assert not choose_rendering(item, 2.0, NO_AUGMENTATION, np.random.default_rng(0)).clahe


def test_colours_are_kept_only_where_there_are_some():
    gray = np.random.default_rng(0).integers(0, 255, (20, 20), np.uint8)
    assert item_of(gray).colour is None
    assert item_of(np.stack([gray] * 3, axis=2)).colour is None
    coloured = np.stack([gray, gray.T, gray], axis=2)
    assert item_of(coloured).colour.shape == (20, 20, 3)
    assert item_of(np.dstack([coloured, gray])).colour.shape == (20, 20, 3)


# ---------------------------------------------------------------- gray mixes


def test_the_luminance_is_one_of_the_mixes():
    colour = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    plain = Preprocessing(clahe=False, low_percentile=0, high_percentile=100)
    mix = GrayMix(LUMINANCE, density=False)
    sums = mix.sums(colour)
    mix = replace(mix, bottom=float(sums.min()), top=float(sums.max()))
    assert np.abs(mix.apply(colour).astype(int) - preprocess(colour, plain)).max() <= 1


def test_haematoxylin_is_dark_and_eosin_nearly_white_by_hand():
    # Light that a layer of either dye lets pass: 255 · exp(-density).
    dyes = np.exp(-np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0, 0, 0]]))
    colour = np.rint(255 * dyes).astype(np.uint8)[None]
    from dinocell.training.gray_mix import HAEMATOXYLIN

    haematoxylin, eosin, glass = GrayMix(HAEMATOXYLIN, density=True).sums(colour)[0]
    assert haematoxylin < 0.4 * 255
    assert abs(eosin - glass) < 0.05 * 255


def test_a_mix_changes_what_is_seen_and_stays_in_place():
    pixels = np.rint(60 * np.abs(smooth_image((128, 128, 3), 3)) * 10).clip(0, 255).astype(np.uint8)
    item = item_of(pixels)
    chosen = Augmentation(gray_mix=1)
    crops = []
    for seed in range(6):
        rendering = choose_rendering(item, 1.0, chosen, np.random.default_rng(seed))
        assert rendering.plane is item.colour
        crops.append(render(rendering, moved(1.0), 128, item.preprocessing))
        assert crops[-1].min() < 60
        assert crops[-1].max() > 190
    assert len({crop.tobytes() for crop in crops}) == 6
    constant = np.full((8, 8, 3), 7, np.uint8)
    assert not draw_mix(constant, SMALL_WINDOWS, np.random.default_rng(0)).apply(constant).any()


# ---------------------------------------------------------------- sizes


def test_the_median_cell_becomes_as_large_as_drawn():
    wanted = Augmentation(scale=(1, 1), diameter=(10, 90))
    rng = np.random.default_rng(0)
    zooms = np.array([place((500, 500), 192, wanted, rng, diameter=30).zoom for _ in range(400)])
    assert zooms.min() >= 10 / 30
    assert zooms.max() <= 3
    # Log-uniform: half of the diameters are below the geometric mean, 30 px.
    assert 0.4 < (zooms < 1).mean() < 0.6
    assert {place((500, 500), 192, wanted, rng, diameter=4000).zoom for _ in range(9)} == {0.2}
    assert {place((500, 500), 192, wanted, rng, diameter=1).zoom for _ in range(9)} == {4.0}
    assert {place((500, 500), 192, wanted, rng, diameter=np.nan).zoom for _ in range(9)} == {1.0}


def test_scale_is_a_factor_on_the_diameter():
    wanted = Augmentation(scale=(2, 2), diameter=(20, 20))
    assert place((500, 500), 192, wanted, np.random.default_rng(0), diameter=40).zoom == pytest.approx(1)
