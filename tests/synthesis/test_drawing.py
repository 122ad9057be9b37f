"""Images drawn by rules: the labels keep what they promise, and the light shows the cells."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.ndimage import label as components

from dinocell.labels import TARGETS, median_diameter
from dinocell.synthesis import RECIPES, SynthesisSettings, draw
from dinocell.synthesis.recipes import DIAMETERS

RECIPE = st.sampled_from(sorted(RECIPES))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RECIPE, st.integers(0, 2**40), st.integers(64, 160), st.floats(8, 100), st.floats(1, 2))
def test_labels_are_consecutive_and_each_is_one_piece(recipe, index, size, smallest, span):
    drawn = SynthesisSettings(recipe=recipe, size=size, diameters=(smallest, smallest * span))
    image, labels = draw(drawn, index)
    assert image.dtype == np.uint8
    assert image.shape == ((size, size, 3) if recipe == "histology" else (size, size))
    assert image.min() < image.max()
    assert labels.dtype == np.int32
    assert set(np.unique(labels)) | {0} == set(range(labels.max() + 1))
    assert labels.max() >= 1
    assert all(components(labels == each)[1] == 1 for each in range(1, labels.max() + 1))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_seed_gives_the_same_image_whatever_was_drawn_before(recipe):
    seeded = SynthesisSettings(recipe=recipe, size=96, seed=3)
    image, labels = draw(seeded, 5)
    draw(seeded, 0)
    again, labels_again = draw(seeded, 5)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(labels, labels_again)
    others = (draw(seeded, 6), draw(SynthesisSettings(recipe=recipe, size=96, seed=4), 5))
    assert all((image != other).any() for other, _ in others)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("diameter", [12, 40])
def test_cells_have_the_diameter_that_was_asked_for(recipe, diameter):
    """Cells cover each other and are cut by the border, so half of them are a little smaller."""
    asked = SynthesisSettings(recipe=recipe, size=200, diameters=(diameter, diameter))
    medians = [median_diameter(draw(asked, index)[1]) for index in range(3)]
    assert 0.75 * diameter < np.median(medians) < 1.25 * diameter


def test_an_image_is_as_likely_to_have_small_cells_as_large_ones():
    drawn = SynthesisSettings(recipe="fluorescence_nuclei", size=160)
    medians = [median_diameter(draw(drawn, index)[1]) for index in range(30)]
    middle = math.sqrt(DIAMETERS[0] * 80)  # at most half of the side
    assert 8 <= sum(diameter < middle for diameter in medians) <= 22


@pytest.mark.parametrize(
    ("recipe", "brighter"), [("fluorescence_cells", True), ("fluorescence_nuclei", True), ("qpi", True)]
)
def test_cells_that_shine_are_brighter_than_their_surroundings(recipe, brighter):
    assert all((contrast(recipe, index) > 0) == brighter for index in range(8))


def test_nuclei_in_tissue_are_darker_than_it():
    assert all(contrast("histology", index) < 0 for index in range(8))


def test_membranes_are_brighter_than_what_they_enclose():
    shown = SynthesisSettings(recipe="membrane", size=128, diameters=(40, 40))
    for index in range(6):
        image, labels = draw(shown, index)
        inner = labels > 0
        for _ in range(8):
            inner &= np.roll(inner, 1, 0) & np.roll(inner, 1, 1) & np.roll(inner, -1, 0)
        edge = np.zeros(labels.shape, bool)
        edge[:, 1:] = (labels[:, 1:] != labels[:, :-1]) & (labels[:, 1:] > 0)
        edge[:, :3] = edge[:, -3:] = edge[:3] = edge[-3:] = False
        if inner.sum() > 50 and edge.sum() > 50:
            assert image[edge].mean() > image[inner & ~edge].mean()


def contrast(recipe, index):
    """Return the mean of the pixels of cells less that of the others, of an image of middle-sized cells."""
    image, labels = draw(SynthesisSettings(recipe=recipe, size=128, seed=1, diameters=(30, 40)), index)
    gray = image.reshape(*labels.shape, -1).mean(axis=2)
    seen = (gray > 0) & (gray < 255)  # without frames
    return gray[seen & (labels > 0)].mean() - gray[seen & (labels == 0)].mean()


def test_every_recipe_annotates_one_target_and_belongs_to_a_group():
    for recipe in RECIPES.values():
        assert recipe.annotates in TARGETS
        assert recipe.group in {"fluorescence", "transmitted", "qpi", "histology"}
        assert all(weight > 0 for weight in recipe.layouts.values())
