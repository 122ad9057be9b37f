"""Small cells: removed by a number of pixels, or by a part of the median cell."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dinocell.labels import relabel
from dinocell.postprocess.small_cells import SMALLEST_PART, find_min_size, remove_small
from dinocell.postprocess.watershed import distance_to_labels


def rows_of(*lengths):
    """Return labels of one row a cell."""
    labels = np.zeros((2 * len(lengths) + 1, 130), np.int32)
    for number, length in enumerate(lengths, 1):
        labels[2 * number - 1, :length] = number
    return labels


def test_by_hand():
    labels = rows_of(100, 9, 100, 10, 101)  # the median cell has 100 pixels
    found, least, removed = remove_small(labels, "auto", "cells")
    assert (least, removed) == (10, 1)
    assert np.array_equal(np.bincount(found.ravel())[1:], [100, 100, 10, 101])
    assert np.array_equal(found > 0, (labels > 0) & (labels != 2))
    assert remove_small(labels, "auto", "nuclei")[1:] == (2, 0)
    assert remove_small(rows_of(50, 101), "auto", "cells")[1:] == (8, 0)  # a tenth of 75.5
    assert remove_small(labels, 101, "cells")[1:] == (101, 4)
    assert remove_small(labels, 0, "cells")[0] is labels
    nothing = np.zeros((3, 4), np.int32)
    assert remove_small(nothing, "auto", "cells")[1:] == (0, 0)


@given(st.integers(0, 10**6), st.sampled_from([0, 1, 3, 7, "auto"]), st.sampled_from(sorted(SMALLEST_PART)))
def test_what_stays_is_what_is_large_enough(seed, min_size, target):
    rng = np.random.default_rng(seed)
    labels = relabel(rng.choice(40, (9, 30), p=rng.dirichlet(np.full(40, 0.3))))
    before = labels.copy()
    areas = np.bincount(labels.ravel(), minlength=2)[1:]
    found, least, removed = remove_small(labels, min_size, target)
    if min_size == "auto":
        assert (areas[areas > 0] < np.median(areas) / SMALLEST_PART[target]).sum() == removed
    else:
        assert least == min_size
    kept = np.isin(labels, [cell for cell, area in enumerate(areas, 1) if area >= least])
    assert np.array_equal(found, relabel(np.where(kept, labels, 0)))
    assert removed == labels.max() - found.max()
    assert np.array_equal(labels, before)


@given(st.integers(0, 10**6), st.integers(0, 60))
def test_a_number_does_what_the_watershed_does(seed, min_size):
    distance = np.random.default_rng(seed).random((20, 30), np.float32)
    whole = remove_small(distance_to_labels(distance), min_size, "cells")[0]
    assert np.array_equal(whole, distance_to_labels(distance, min_size=min_size))


def test_parts_are_of_the_unrounded_median():
    assert find_min_size("auto", 30.0, "cells") == 3
    assert find_min_size("auto", 30.5, "cells") == 4
    assert find_min_size("auto", None, "cells") == 0
    assert find_min_size(12, None, "cells") == 12
