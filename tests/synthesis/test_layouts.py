"""Layouts: where cells lie, which touch, and what is painted over what."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinocell.synthesis import layouts, outlines

SEED = st.integers(0, 2**32)
LAYOUTS = (
    layouts.round_cells,
    layouts.nuclei,
    layouts.spread_cells,
    layouts.spindle_cells,
    layouts.stellate_cells,
    layouts.mixed_cells,
    layouts.rod_chains,
    layouts.packed_rods,
    layouts.colonies,
    layouts.sheet,
)


def touching(labels):
    """Return the pairs of cells that have a border in common."""
    pairs = set()
    for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        differ = (one != other) & (one > 0) & (other > 0)
        pairs |= {tuple(sorted(pair)) for pair in zip(one[differ], other[differ], strict=True)}
    return pairs


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("diameter", [8, 30])
def test_a_layout_holds_cells_of_about_the_diameter(layout, diameter):
    labels = layouts.tidy(layout(np.random.default_rng(2), 200, diameter), 0.2 * diameter**2)
    areas = np.bincount(labels.ravel())[1:]
    assert len(areas) >= 3
    assert 0.5 < np.median(areas) / (math.pi / 4 * diameter**2) < 1.5


@settings(max_examples=10, deadline=None)
@given(SEED)
def test_in_a_sheet_every_cell_touches_another_and_in_colonies_most_do(seed):
    rng = np.random.default_rng(seed)
    whole = layouts.sheet(rng, 120, 20)
    assert len(touching(whole)) >= len(np.unique(whole))
    for layout in (layouts.colonies, layouts.packed_rods):
        labels = layout(rng, 200, 16)
        cells = np.unique(labels[labels > 0])
        in_touch = {cell for pair in touching(labels) for cell in pair}
        assert len(cells) < 6 or len(in_touch) >= 0.4 * len(cells)


def test_rods_of_a_chain_touch_end_to_end():
    rng = np.random.default_rng(0)
    counts = [len(touching(layouts.rod_chains(rng, 256, 16))) for _ in range(5)]
    assert min(counts) > 0


def square(x, y, side):
    return [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]


def test_what_is_painted_later_goes_below_and_not_where_too_much_is_taken():
    placed = np.array([square(2, 2, 7), square(6, 2, 7), square(3, 3, 7)], np.float32)
    labels = layouts.paint(placed, 20, overlap=0.6)
    assert (labels[2:10, 2:10] == 1).all()  # whole: the others came later
    assert (labels[2:10, 10:14] == 2).all()  # half of it lies below the first
    assert labels.max() == 2  # most of the third is taken


def test_a_share_of_the_cells_is_painted_over_earlier_ones():
    placed = np.array([square(2, 2, 7), square(6, 2, 7)], np.float32)
    labels = layouts.paint(placed, 20, overlap=1.0, over=1.0)
    assert (labels[2:10, 6:14] == 2).all()
    assert (labels[2:10, 2:6] == 1).all()


def test_of_a_cell_in_two_pieces_the_larger_stays_and_specks_go():
    labels = np.array(
        [
            [5, 5, 0, 5, 0, 0],
            [5, 5, 0, 0, 9, 0],
            [0, 0, 2, 2, 0, 9],
            [0, 0, 2, 2, 0, 9],
        ]
    )
    expected = np.array(
        [
            [2, 2, 0, 0, 0, 0],
            [2, 2, 0, 0, 0, 0],
            [0, 0, 1, 1, 0, 3],
            [0, 0, 1, 1, 0, 3],
        ]
    )
    np.testing.assert_array_equal(layouts.tidy(labels.astype(np.int32), 2), expected)
    assert layouts.tidy(labels.astype(np.int32), 5).max() == 0


@settings(max_examples=20, deadline=None)
@given(SEED)
def test_outlines_have_the_area_of_a_circle_of_diameter_one(seed):
    rng = np.random.default_rng(seed)
    kinds = (
        outlines.ellipses(rng, 3, (1, 3), 0.1),
        outlines.polygons(rng, 3),
        outlines.spindles(rng, 3),
        outlines.rods(rng, 3),
        outlines.stellates(rng, 3),
    )
    for outline in np.concatenate(kinds):
        assert cv2.contourArea(outline) == pytest.approx(math.pi / 4, rel=1e-3)


def test_an_outline_is_turned_then_scaled_then_moved():
    line = np.array([[[-0.5, 0], [0.5, 0]]], np.float32)
    placed = outlines.place(line, np.array([[10.0, 20.0]]), np.array([4.0]), np.array([math.pi / 2]))
    np.testing.assert_allclose(placed, [[[10, 18], [10, 22]]], atol=1e-5)
