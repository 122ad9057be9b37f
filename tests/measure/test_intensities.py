"""Intensities of cells: each as numpy has it of the cell's pixels."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from dinocell.measure.intensities import measure_intensities
from dinocell.measure.runs import find_runs, sort_runs
from tests.cases import CASES

Array = NDArray[Any]
LABELS = np.array([[1, 1, 0, 2, 2], [1, 3, 3, 0, 2]], np.int32)


def intensities_of(labels: NDArray[np.int32], pixels: Array) -> dict[str, Array]:
    runs = find_runs(labels)
    table = measure_intensities(pixels, runs, sort_runs(runs))
    assert {column.dtype for column in table.values()} == {np.dtype(np.float64)}
    return table


@settings(deadline=None)
@given(
    data=st.data(),
    dtype=st.sampled_from(["u1", "i1", "<u2", ">u2", "i4", "u4", "i8", "u8", "f2", "f4", ">f8", "f8"]),
)
def test_any_dtype(data: st.DataObject, dtype: str) -> None:
    finite = {"allow_nan": False, "allow_infinity": False} if "f" in dtype else {}
    elements = hnp.from_dtype(np.dtype(dtype), **finite)
    if dtype.endswith("f8"):
        elements = st.floats(-1e100, 1e100)  # squares of larger ones are beyond float64
    pixels = data.draw(hnp.arrays(dtype, LABELS.shape, elements=elements))
    table = intensities_of(LABELS, pixels)
    for row, number in enumerate((1, 2, 3)):
        own = pixels[number == LABELS].astype(np.float64)
        scale = float(np.abs(own).max())
        assert table["min_intensity"][row] == own.min()
        assert table["max_intensity"][row] == own.max()
        assert table["mean_intensity"][row] == pytest.approx(own.mean(), rel=1e-12, abs=1e-12 * scale)
        assert table["std_intensity"][row] == pytest.approx(own.std(), rel=1e-9, abs=1e-12 * scale)


@given(hnp.arrays(np.uint32, (40, 50)))
@settings(deadline=None, max_examples=20)
def test_means_of_integers_are_those_of_fractions(pixels: NDArray[np.uint32]) -> None:
    labels = CASES["one"]
    own = pixels[labels == 1]
    mean = Fraction(sum(own.tolist()), own.size)
    assert intensities_of(labels, pixels)["mean_intensity"].tolist() == [float(mean)]


@pytest.mark.parametrize("flat", [0, 7, 255])
def test_a_flat_cell_deviates_by_nothing(flat: int) -> None:
    table = intensities_of(CASES["many"], np.full(CASES["many"].shape, flat, np.uint8))
    assert set(table["std_intensity"]) == {0}
    assert set(table["mean_intensity"]) == {flat}


def test_a_small_deviation_on_a_high_level_is_kept() -> None:
    pixels = np.array([[10**9 + 1, 10**9 - 1]])
    assert intensities_of(np.array([[1, 1]], np.int32), pixels)["std_intensity"].tolist() == [1]


def test_what_is_not_a_number_stays_in_its_cell() -> None:
    pixels = np.array([[1, np.nan, np.inf, np.inf, 2], [3, 5, 7, np.nan, 9]], np.float32)
    table = intensities_of(LABELS, pixels)
    nan = pytest.approx(np.nan, nan_ok=True)
    assert [column[0] for column in table.values()] == [nan] * 4
    assert [column[1] for column in table.values()] == [np.inf, nan, 2, np.inf]
    assert [column[2] for column in table.values()] == [6, 1, 5, 7]


def test_sums_beyond_64_bits_and_floats_beyond_a_table() -> None:
    labels = np.array([[1, 1]], np.int32)
    assert intensities_of(labels, np.full((1, 2), 2**63, np.uint64))["mean_intensity"].tolist() == [2.0**63]
    table = intensities_of(labels, np.array([[1.5, 2.5]], np.longdouble))
    assert [column.tolist() for column in table.values()] == [[2], [0.5], [1.5], [2.5]]


def test_half_floats_are_summed_beyond_their_range() -> None:
    table = intensities_of(np.ones((20, 20), np.int32), np.full((20, 20), 2.0**15, np.float16))
    assert [column.tolist() for column in table.values()] == [[2**15], [0], [2**15], [2**15]]


def test_truth_values_count_as_1() -> None:
    table = intensities_of(LABELS, LABELS % 2 == 1)
    assert [column.tolist() for column in table.values()] == [[1, 0, 1], [0] * 3, [1, 0, 1], [1, 0, 1]]


def test_views_in_any_order_of_memory() -> None:
    labels, pixels = CASES["split"], np.random.default_rng(0).random((80, 96))[:, ::2].T
    expected = intensities_of(labels, np.ascontiguousarray(pixels))
    found = intensities_of(np.asfortranarray(labels), pixels)
    for name, column in expected.items():
        np.testing.assert_array_equal(found[name], column)


@pytest.mark.parametrize("shape", [(4, 5), (0, 5), (4, 0), (0, 0)])
def test_no_cells(shape: tuple[int, int]) -> None:
    table = intensities_of(np.zeros(shape, np.int32), np.zeros(shape))
    assert {column.shape for column in table.values()} == {(0,)}
