"""Numbers and legends: what they cover, what they say, and how large they are."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinocell.results.overlay_text import LEAST_HEIGHT, add_legend, draw_numbers, length_text, round_length
from tests.cases import disk

ENTRIES = ["12 cells", "target: nuclei"]


def flat(shape, gray):
    return np.full((*shape, 3), gray, np.uint8)


def one_cell(radius, cell=5, shape=(200, 200)):
    labels = np.zeros(shape, np.int32)
    labels[disk(shape, (100, 100), radius)] = cell
    return labels


def box_of(changed):
    rows, columns = np.nonzero(changed)
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


@pytest.mark.parametrize("gray", [0, 128, 255])
def test_a_number_is_white_with_a_dark_edge_on_any_image(gray):
    picture = flat((200, 200), gray)
    drawn = draw_numbers(picture, one_cell(40))
    changed = drawn[(drawn != picture).any(axis=2)]
    assert (picture == gray).all()
    assert (drawn[80:120, 80:120] >= 250).all(axis=2).sum() > 10
    if gray:
        assert (changed < gray / 3).all(axis=1).sum() > 20


@pytest.mark.parametrize(("radius", "height"), [(3, LEAST_HEIGHT), (40, 12), (90, 12)])
def test_its_size_is_that_of_the_cell_within_bounds(radius, height):
    picture = flat((200, 200), 128)
    top, bottom, left, right = box_of((draw_numbers(picture, one_cell(radius)) != picture).any(axis=2))
    assert height <= bottom - top <= height + 5  # an edge on both sides
    assert abs((top + bottom) / 2 - 100) <= 1
    assert abs((left + right) / 2 - 100) <= 1


def test_numbers_of_large_pictures_are_larger_and_fit_their_cells():
    shape = (1800, 1800)
    labels = one_cell(60, 5, shape)
    labels[disk(shape, (900, 900), 9)] = 12
    picture = flat(shape, 128)
    changed = (draw_numbers(picture, labels) != picture).any(axis=2)
    top, bottom, *_ = box_of(changed[:300])
    assert 30 <= bottom - top <= 42
    assert (labels[changed] > 0).all()


def test_numbers_differ_and_stay_within_the_picture():
    labels = np.zeros((30, 30), np.int32)
    labels[0:2, 28:30] = 7
    pictures = [draw_numbers(flat((30, 30), 90), labels * times) for times in (1, 1000)]
    assert not np.array_equal(*pictures)
    for picture in pictures:
        assert (picture >= 250).all(axis=2).any()
    for shape in [(1, 1), (3, 40), (40, 3)]:
        assert draw_numbers(flat(shape, 90), np.ones(shape, np.int32)).shape == (*shape, 3)
    assert np.array_equal(draw_numbers(flat((9, 9), 90), np.zeros((9, 9), np.int32)), flat((9, 9), 90))


@pytest.mark.parametrize("shape", [(5, 8), (64, 64), (300, 512), (40, 2000)])
def test_a_legend_covers_no_pixel_of_the_image(shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    whole = add_legend(picture, ENTRIES, 0.5)
    assert np.array_equal(whole[: shape[0], : shape[1]], picture)
    assert (whole[: shape[0], shape[1] :] == 255).all()
    strip = whole[shape[0] :]
    assert (strip.min(), strip.max()) == (0, 255)
    assert (strip[:, -2:] == 255).all()  # nothing is cut off


def test_the_bar_is_as_long_as_it_says():
    strip = add_legend(flat((50, 400), 0), [], 0.5)[50:, :, 0]  # a quarter of 400 px is 50 µm
    longest = max(len(list(run)) for row in strip for dark, run in groupby(row == 0) if dark)
    assert longest == 100
    assert (add_legend(flat((50, 400), 0), [""], None)[50:] == 255).all()


@given(st.floats(1e-4, 1e7))
def test_lengths_of_bars_are_round(most):
    length = round_length(most)
    assert most / 2.5 * 0.999 <= length <= most
    assert length / 10 ** np.floor(np.log10(length * 1.001)) == pytest.approx(
        min((1, 2, 5), key=lambda step: abs(step - length / 10 ** np.floor(np.log10(length * 1.001))))
    )


def test_lengths_have_a_unit_that_keeps_them_short():
    assert length_text(0.5) == "500 nm"
    assert length_text(20)[:3] == "20 "
    assert length_text(2000) == "2 mm"
