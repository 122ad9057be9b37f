"""Ids in several pieces: which are told apart, by a picture in words of what they lie in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from dinocell.metrics.pieces import CLASSES, Shared, find_pieces, looks_like_picture, split_pieces
from tests.cases import CASES, disk

SMALL = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(-1, 3))


@given(SMALL)
def test_every_piece_gets_its_own_id_in_the_order_of_first_pixels(labels):
    before = labels.copy()
    split = split_pieces(labels)
    assert np.array_equal(labels, before)
    assert split.dtype == np.int32
    assert np.array_equal(split <= 0, labels <= 0)
    assert np.array_equal(split == -1, labels == -1)
    expected = [
        piece * (labels == number)
        for number in np.unique(labels[labels > 0])
        for piece in _pieces(labels == number)
    ]
    found = [split == number for number in range(1, int(split.max(initial=0)) + 1)]
    assert len(found) == len(expected)
    assert all(any(np.array_equal(one, other) for other in expected) for one in found)
    first = [int(np.flatnonzero(one)[0]) for one in found]
    assert first == sorted(first)


def _pieces(mask):
    numbered, count = ndimage.label(mask, np.ones((3, 3)))
    return [numbered == number for number in range(1, count + 1)]


@given(SMALL, st.integers(1, 2**31 - 4))
def test_what_is_found_does_not_depend_on_what_ids_are_called(labels, more):
    found, other = find_pieces(labels), find_pieces(np.where(labels > 0, labels - 1 + more, labels))
    assert (found.ids, found.pieces, found.is_mask) == (other.ids, other.pieces, other.is_mask)
    assert [each.places for each in found.shared] == [each.places for each in other.shared]


@pytest.mark.parametrize("name", CASES)
def test_cells_in_one_piece_are_no_mask(name):
    found = find_pieces(CASES[name])
    assert not found.is_mask
    assert found.shared == ()
    assert found.ids == found.pieces == CASES[name].max()


def row_of_disks(*centres, ids, radius=6):
    labels = np.zeros((20, 20 * (max(centres) + 1)), np.int32)
    for number, place in zip(ids, centres, strict=True):
        labels[disk(labels.shape, (10, 10 + 20 * place), radius)] = number
    return labels


@pytest.mark.parametrize(("distance", "named"), [(1, False), (2, True)])
def test_an_id_is_shared_by_cells_that_lie_farther_apart_than_a_cell_is_wide(distance, named):
    """Take disks 13 wide, 20 apart: 7 pixels lie between neighbours and 27 between every second one."""
    ids = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    ids[distance] = 1
    found = find_pieces(row_of_disks(*range(9), ids=ids))
    assert found.shared == ((Shared(1, ((10, 10), (10, 10 + 20 * distance))),) if named else ())
    assert not found.is_mask


def test_a_fragment_far_away_is_no_cell():
    labels = row_of_disks(*range(9), ids=range(1, 10))
    labels[1:4, 150:160] = 1  # 30 of the 113 pixels of a cell
    assert len(find_pieces(labels).shared) == 1
    labels[1:4, 156:160] = 0
    assert find_pieces(labels).shared == ()


def test_with_more_ids_than_classes_there_is_no_mask():
    for count in (CLASSES, CLASSES + 1):
        ids = [number for number in range(1, count + 1) for _ in range(3)]
        found = find_pieces(row_of_disks(*range(3 * count), ids=ids))
        assert (found.is_mask, found.pieces) == (count == CLASSES, 3 * count)


def test_two_distant_cells_of_the_only_id_are_a_mask_and_two_close_ones_may_be_one_cell():
    assert find_pieces(row_of_disks(0, 2, ids=[1, 1])).is_mask
    found = find_pieces(row_of_disks(0, 1, ids=[1, 1]))
    assert (str(found), found.is_mask) == ("1 id in 2 pieces", False)


@pytest.mark.parametrize("tiny", [5, 6, 20])
def test_one_tiny_cell_makes_no_mask_of_cells_with_specks(tiny):
    """Take four cells of 50 × 50, one of a few pixels, and 14 specks of the brush of 6 pixels."""
    labels = np.zeros((200, 300), np.int32)
    for number in range(1, 5):
        labels[10:60, 60 * number : 60 * number + 50] = number
    labels[70, 60 : 60 + tiny] = 5
    for speck in range(14):
        labels[80 + 4 * speck : 82 + 4 * speck, 60:63] = 1 + speck % 4
    found = find_pieces(labels)
    assert (found.ids, found.is_mask, found.shared) == (5, False, ())


def test_a_class_for_all_that_is_no_cell_hides_no_map_of_classes():
    cells = row_of_disks(*range(6), ids=[1] * 6)
    found = find_pieces(np.where(cells > 0, cells, 2))
    assert (str(found), found.is_mask) == ("2 ids in 7 pieces", True)


@given(st.permutations([1, 1, 1, 2, 2, 3, *range(4, 12)]))
def test_shared_ids_are_those_of_each_id_looked_at_alone(ids):
    found = find_pieces(row_of_disks(*range(0, 2 * len(ids), 2), ids=ids))
    places = {number: [40 * at + 10 for at, other in enumerate(ids) if other == number] for number in (1, 2)}
    assert found.shared == tuple(
        Shared(number, tuple((10, x) for x in across)) for number, across in places.items()
    )


def test_a_picture_is_told_from_labels():
    rng = np.random.default_rng(0)
    picture = rng.normal(120, 10, (64, 64)).astype(np.int32)
    assert looks_like_picture(picture)
    assert not looks_like_picture(np.minimum(picture, 1))
    for labels in CASES.values():
        assert not looks_like_picture(labels)
