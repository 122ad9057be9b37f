import numpy as np
import pytest

from dinocell.datasets.repairs import Repairs, ignore_unchecked, repair
from tests.cases import CASES


def test_a_line_through_a_cell_makes_two_and_specks_go():
    labels = np.zeros((40, 40), np.int32)
    labels[5:25, 5:25] = 9
    labels[np.arange(5, 25), np.arange(5, 25)] = 0  # a diagonal line, one pixel wide
    labels[30:32, 30:32] = 9  # a speck of four pixels
    repaired, split, specks = repair(labels)
    assert (split, specks) == (1, 1)
    assert [int((repaired == number).sum()) for number in range(1, 4)] == [190, 190, 0]
    assert repaired[6, 20] != repaired[20, 6]
    assert not repaired[30:32, 30:32].any()


def test_a_pixel_at_the_corner_of_its_cell_stays():
    labels = np.zeros((10, 10), np.int32)
    labels[2:6, 2:6] = 3
    labels[6, 6] = 3
    repaired, split, specks = repair(labels)
    np.testing.assert_array_equal(repaired, labels > 0)
    assert (split, specks) == (0, 0)


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"specks"}))
def test_whole_cells_are_left_as_they_are(name):
    labels = CASES[name]
    before = labels.copy()
    repaired, split, specks = repair(labels)
    np.testing.assert_array_equal(labels, before)
    assert (split, specks) == (0, 0)
    np.testing.assert_array_equal(repaired, labels)


def test_a_cut_cell_becomes_two_and_ignored_pixels_stay():
    labels = np.array([[5, 5, 5, 0, 5, 5, 5, 5, 5, -1]] * 3, np.int32)
    repaired, split, specks = repair(labels)
    np.testing.assert_array_equal(repaired, [[1, 1, 1, 0, 2, 2, 2, 2, 2, -1]] * 3)
    assert (split, specks) == (1, 0)


def test_a_cell_that_is_marked_in_part_is_ignored_whole():
    labels = np.array([[4, 4, 0, 7, 7, 0]], np.int32)
    marked = np.array([[0, 0, 0, 0, 9, 9]], np.int32)
    ignored, cells = ignore_unchecked(labels, marked)
    np.testing.assert_array_equal(ignored, [[1, 1, 0, -1, -1, -1]])
    assert cells == 1


def test_repairs_are_described_as_far_as_there_are_some():
    assert str(Repairs(2, 1, 1, 0.12)) == "2 cells split into their pieces, 1 speck dropped, 12% unchecked"
    assert str(Repairs(1, 2)) == "1 cell split into its pieces, 2 specks dropped"
    assert str(Repairs()) == ""
