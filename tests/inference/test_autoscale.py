"""The size of cells from two views, and what an image is segmented at then."""

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dinocell.inference.autoscale import (
    BEYOND,
    CLEAR,
    FEWEST,
    FINEST,
    INSIDE,
    LEAST,
    SEEN,
    TILE,
    TILES,
    choose_scale,
    choose_tiles,
    estimate_diameter,
    may_shrink,
    view_zooms,
    weigh_sizes,
)
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.labels import TARGETS
from dinocell.models.configuration import TargetSettings
from dinocell.postprocess.distance import labels_to_distance
from tests.fakes.disks import disks
from tests.inference.test_targets import TwoMaps, config

ZOOMS = (0.25, 0.125)


def views_of(diameter, zooms=ZOOMS, count=16):
    """Return perfect maps of disks, as a network that knows every size would see them."""
    return [labels_to_distance(disks(diameter * zoom, count)) for zoom in zooms]


@pytest.mark.parametrize("diameter", [60, 90, 140, 250])
def test_disks_that_both_views_show_have_their_diameter(diameter):
    found = estimate_diameter(weigh_sizes(views_of(diameter)), ZOOMS)
    assert found == pytest.approx(diameter, rel=0.12)  # a bin is 9 % wide, and small disks are coarse


def test_what_one_view_shows_alone_is_not_trusted():
    fine, coarse = views_of(120)
    empty, specks = np.zeros_like(coarse), labels_to_distance(disks(LEAST - 1, 16))
    for other in (empty, specks, labels_to_distance(disks(60, 16))):  # 240 px in the finer, 480 in the other
        assert estimate_diameter(weigh_sizes([fine, other]), ZOOMS) is None
        assert estimate_diameter(weigh_sizes([other, coarse]), ZOOMS) is None


@pytest.mark.parametrize("change", [lambda view: view * 0, lambda view: view * np.float32(1.9 * CLEAR)])
def test_nothing_and_faint_maps_show_no_size(change):
    views = [change(view) for view in views_of(120)]
    assert estimate_diameter(weigh_sizes(views), ZOOMS) is None


@pytest.mark.parametrize("diameter", [60, 90, 140, 250])
def test_the_coarser_view_alone_never_rules_out_what_both_would_shrink(diameter):
    fine, coarse = views_of(diameter)
    for largest in (40, 80, 120, 240):
        scale = choose_scale(estimate_diameter(weigh_sizes([fine, coarse]), ZOOMS), (10.0, largest))
        assert may_shrink(coarse, ZOOMS[1], (10.0, largest)) or scale == 1
    assert may_shrink(coarse, ZOOMS[1], (10.0, diameter))
    assert not may_shrink(coarse, ZOOMS[1], (10.0, 2 * diameter))
    assert not may_shrink(coarse * 0, ZOOMS[1], (10.0, 40.0))
    assert not may_shrink(coarse, ZOOMS[1], None)


def test_too_few_cells_show_no_size_unless_other_images_show_more():
    few = weigh_sizes(views_of(120, count=FEWEST - 1))
    assert estimate_diameter(few, ZOOMS) is None
    assert estimate_diameter(few + few, ZOOMS) == pytest.approx(120, rel=0.12)


def test_specks_do_not_outweigh_cells():
    specks = labels_to_distance(disks(6, 25))
    views = [
        np.concatenate([view, np.pad(specks, ((0, 0), (0, len(view[0]) - 45)))]) for view in views_of(120)
    ]
    assert estimate_diameter(weigh_sizes(views), ZOOMS) == pytest.approx(120, rel=0.12)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_noise_shows_no_size(seed):
    rng = np.random.default_rng(seed)
    views = [rng.random((side, side), np.float32) ** 4 for side in (96, 48)]
    found = estimate_diameter(weigh_sizes(views), ZOOMS)
    assert choose_scale(found, (10.0, 90.0)) == 1.0


positive = st.floats(1, 1000)


@given(positive, positive, positive)
def test_cells_are_only_ever_shrunk_and_land_among_the_sizes_that_the_model_knows(diameter, one, other):
    low, high = sorted([one, other])
    scale = choose_scale(diameter, (low, high))
    assert 0 < scale <= 1
    if diameter <= BEYOND * high:
        assert scale == 1
    else:
        assert low * (1 - 1e-9) <= diameter * scale <= high * (1 + 1e-9)


def test_without_an_estimate_or_known_sizes_an_image_stays():
    assert choose_scale(None, (25, 70)) == choose_scale(500.0, None) == 1.0


@given(st.dictionaries(st.sampled_from(TARGETS), st.none() | st.tuples(positive, positive).map(sorted)))
def test_views_cost_a_sixth_at_most_and_show_the_largest_known_cells_large_enough(ranges):
    zooms = view_zooms(ranges)
    known = [best[1] for best in ranges.values() if best]
    assert bool(zooms) == bool(known)
    if zooms:
        assert sum(zoom**2 for zoom in zooms) < 1 / 6 + 0.01
        assert zooms[0] <= FINEST
        assert max(known) * zooms[0] >= min(SEEN, FINEST * max(known)) - 1e-9


def test_views_agree_on_a_shrunk_picture_too():
    whole = labels_to_distance(disks(100, 16))
    views = [cv2.resize(whole, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA) for zoom in ZOOMS]
    found = estimate_diameter(weigh_sizes(views), ZOOMS)
    assert found is not None
    assert math.isclose(found, 100, rel_tol=0.15)


class Seeing(TwoMaps):
    """Takes gray values for its only map, and keeps the sides of the tiles that it saw."""

    clear, sides = 0, ()

    def forward(self, x):
        self.sides = (*self.sides, *[x.shape[-1]] * len(x))
        return super().forward(x)[:, :1]


def pipeline_of(best):
    return DINOCellPipeline(
        Seeing(config(targets={"cells": TargetSettings(diameter_range=best)})), device="cpu", clahe=False
    )


def picture(diameter, count=16):
    return (255 * labels_to_distance(disks(diameter, count))).astype(np.uint8)


def test_the_default_shrinks_images_of_large_cells_and_returns_labels_of_their_size():
    pipeline, image = pipeline_of((8, 20)), picture(60)
    result = pipeline.run(image)
    assert 60 * result.parameters.scale == pytest.approx(INSIDE * 20, rel=0.15)
    assert result.labels.shape == image.shape
    assert result.count == 16
    assert result.parameters.diameter == pytest.approx(60, rel=0.1)
    assert pipeline.run(image, diameter=None).parameters.scale == 1
    assert pipeline.run(image, diameter="none").parameters.scale == 1


@pytest.mark.parametrize(("diameter", "finer_views"), [(15, 0), (60, 1)])
def test_the_finer_view_is_predicted_only_where_the_coarser_one_shows_large_cells(diameter, finer_views):
    pipeline, image = pipeline_of((8, 20)), picture(diameter, 100)
    zoom, seen = view_zooms({"cells": (8, 20)})[0], []
    prepare = pipeline.predictor.prepare
    pipeline.predictor.prepare = lambda pixels, scale: seen.append(scale) or prepare(pixels, scale)
    pipeline.run(image)
    assert seen.count(zoom) == finer_views
    assert seen.count(zoom / 2) == 1


@pytest.mark.parametrize(
    ("best", "image"),
    [((8, 20), picture(15, 100)), (None, picture(60)), ((8, 20), np.zeros((90, 70), np.uint8))],
)
def test_other_images_stay_and_have_the_same_labels_as_without_an_estimate(best, image):
    pipeline = pipeline_of(best)
    result, plain = pipeline.run(image), pipeline.run(image, diameter=None)
    assert result.parameters.scale == 1
    np.testing.assert_array_equal(result.distance_map, plain.distance_map)
    np.testing.assert_array_equal(result.labels, plain.labels)


def test_views_cost_less_than_a_third_even_of_an_image_of_one_tile():
    pipeline, image = pipeline_of((8, 20)), np.resize(picture(12, 400), (256, 256))
    pipeline.run(image)
    *views, whole = pipeline.model.sides
    assert whole == 256
    assert sum(side**2 for side in views) < 0.3 * whole**2


def test_a_margin_does_not_change_the_scale():
    image = picture(60)
    framed = np.pad(image, 100)
    first, second = (pipeline_of((8, 20)).run(one).parameters.scale for one in (image, framed))
    assert second == pytest.approx(first, rel=0.02)


def test_small_cells_that_tiles_show_more_surely_keep_an_image_as_it_is():
    blurred = [cv2.GaussianBlur(view, (0, 0), 2) for view in views_of(120)]
    small, large = labels_to_distance(disks(20, 100)), labels_to_distance(disks(110, 4))
    assert estimate_diameter(weigh_sizes(blurred), ZOOMS) == pytest.approx(120, rel=0.2)
    assert estimate_diameter(weigh_sizes(blurred, [small]), ZOOMS) is None
    unsure = small * np.float32(0.6)
    for tiles in ([large], [unsure], [0 * small], [labels_to_distance(disks(20, FEWEST - 1))]):
        assert estimate_diameter(weigh_sizes(blurred, tiles), ZOOMS) == pytest.approx(120, rel=0.2)


def test_tiles_lie_around_the_larger_cells_within_the_image():
    view = labels_to_distance(disks(30, 9))
    view[:30, :30] *= 0
    shape = (view.shape[0] * 4, view.shape[1] * 4)
    windows = choose_tiles(view, 0.25, shape)
    assert len(windows) == TILES
    for window in windows:
        assert all(0 <= span.start < span.stop <= side for span, side in zip(window, shape, strict=True))
        assert view[tuple(slice(span.start // 4, span.stop // 4) for span in window)].max() == 1
    assert choose_tiles(0 * view, 0.25, shape) == []
    assert choose_tiles(view, 0.25, (100, 60)) == [(slice(0, 100), slice(0, 60))] * TILES


class Nearsighted(Seeing):
    """Sees colonies as one in small views, and their cells in tiles of full size."""

    def forward(self, x):
        if x.shape[-1] < TILE:
            x = 7 * torch.nn.functional.avg_pool2d(x + 2.1, 7, stride=1, padding=3) - 2.1
        return super().forward(x)


def test_colonies_of_small_cells_are_not_taken_for_large_cells():
    colony = np.pad(labels_to_distance(disks(14, 49)), 80)
    image = (255 * np.tile(colony, (2, 2))).astype(np.uint8)
    ranges = {"cells": TargetSettings(diameter_range=(8, 60))}
    pipeline = DINOCellPipeline(Nearsighted(config(targets=ranges)), device="cpu", clahe=False)
    predictor, zooms = pipeline.predictor, view_zooms({"cells": (8, 60)})
    views = [predictor.predict_view(predictor.prepare(image, zoom), ["cells"])["cells"] for zoom in zooms]
    assert estimate_diameter(weigh_sizes(views), zooms) > 120  # as seen from afar
    result = pipeline.run(image)
    assert result.parameters.scale == 1
    assert result.count == 4 * 49
