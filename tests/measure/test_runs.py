"""Runs hold the whole image, and the cells' runs all of their pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dinocell.labels import Labels, relabel
from dinocell.measure.runs import find_runs, sort_runs
from tests.cases import CASES

any_labels = hnp.arrays(
    np.int32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9), elements=st.integers(0, 3)
).map(relabel)


def check(labels: Labels) -> None:
    runs = find_runs(labels)
    np.testing.assert_array_equal(runs.spread(runs.cell), labels)
    inside = runs.first % max(labels.shape[1], 1) + runs.length <= labels.shape[1]
    assert inside.all()
    drawn = np.zeros_like(labels)
    cells = sort_runs(runs)
    for cell, row, left, right in zip(cells.cell, cells.row, cells.left, cells.right, strict=True):
        drawn[row, left : right + 1] += cell
    np.testing.assert_array_equal(drawn, labels)
    ids = range(1, int(labels.max(initial=0)) + 1)
    assert cells.cell[cells.begins].tolist() == list(ids)
    assert cells.total(cells.right - cells.left + 1).tolist() == [np.sum(labels == number) for number in ids]
    keys = np.stack([cells.left, cells.row, cells.cell])
    assert np.array_equal(np.lexsort(keys), np.arange(cells.cell.size))


@pytest.mark.parametrize("name", CASES)
def test_named_cases_come_back(name: str) -> None:
    check(CASES[name])


@settings(deadline=None)
@given(any_labels)
def test_any_image_comes_back(labels: Labels) -> None:
    check(labels)


def test_a_run_ends_where_the_row_ends() -> None:
    runs = find_runs(np.ones((2, 3), np.int32))
    assert (runs.first.tolist(), runs.length.tolist()) == ([0, 3], [3, 3])
