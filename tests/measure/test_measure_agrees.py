"""The table of cells is that of scikit-image's regionprops_table, cell by cell and column by column."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import regionprops_table

from dinocell.labels import Labels
from dinocell.measure.cells import COMPUTED_COLUMNS, INTENSITY_COLUMNS, SHAPE_COLUMNS, measure_cells
from tests.cases import CASES

Table = dict[str, NDArray[Any]]

EQUAL = ("area", "solidity", "centroid_y", "centroid_x", "min_intensity", "max_intensity")
"""Columns of floats that are quotients of whole numbers, or values of the image: equal bit by bit."""

ROUNDED = ("equivalent_diameter", "perimeter", "major_axis", "mean_intensity", "std_intensity")
"""Columns that differ by rounding alone."""


def table_of(labels: Labels, image: NDArray[Any]) -> Table:
    names = SHAPE_COLUMNS | INTENSITY_COLUMNS
    properties = dict.fromkeys(name.partition("-")[0] for name in names)
    measured = regionprops_table(labels, image, properties=tuple(properties))
    table = {ours: measured[theirs] for theirs, ours in names.items()}
    table["orientation"] = (np.degrees(table["orientation"]) + 90) % 180
    for axis in "yx":
        # A mean of positions is rounded on the way; the sum is a whole number.
        table[f"centroid_{axis}"] = np.rint(table[f"centroid_{axis}"] * table["area"]) / table["area"]
    return table


def direction(table: Table) -> NDArray[np.complex128]:
    """Return a vector at twice the angle, as long as the cell is: 0 and 180° agree, a round cell has none."""
    vectors: NDArray[np.complex128] = table["eccentricity"] ** 2 * np.exp(
        2j * np.radians(table["orientation"])
    )
    return vectors


def check_rows(found: Table, expected: Table) -> None:
    for name, column in expected.items():
        assert found[name].dtype == column.dtype, name
        if name in EQUAL or column.dtype.kind == "i":
            np.testing.assert_array_equal(found[name], column, name)
        elif name in ROUNDED:
            np.testing.assert_allclose(found[name], column, rtol=1e-9, err_msg=name)
    # Of a line the minor axis is 0 and of a disk the eccentricity: scikit-image's are roots of what rounding
    # leaves, up to 1e-7. The squares agree.
    larger = expected["major_axis"] ** 2 + 1e-300
    np.testing.assert_allclose(
        (found["minor_axis"] ** 2 - expected["minor_axis"] ** 2) / larger, 0, atol=1e-12
    )
    np.testing.assert_allclose(found["eccentricity"] ** 2, expected["eccentricity"] ** 2, rtol=0, atol=1e-12)
    np.testing.assert_allclose(direction(found), direction(expected), rtol=0, atol=1e-9)


def check(labels: Labels, image: NDArray[Any]) -> None:
    found = measure_cells(labels, image)
    assert list(found) == [*SHAPE_COLUMNS.values(), *COMPUTED_COLUMNS, *INTENSITY_COLUMNS.values()]
    check_rows(found, table_of(labels, image))


def image_of(labels: Labels, dtype: str = "u2") -> NDArray[Any]:
    return (np.random.default_rng(labels.shape).random(labels.shape) * 250).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f8"])
@pytest.mark.parametrize("name", CASES)
def test_named_cases(name: str, dtype: str) -> None:
    check(CASES[name], image_of(CASES[name], dtype))


@given(
    hnp.arrays(
        np.int32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.sampled_from([0, 0, 1, 2, 9]),
    )
)
@settings(deadline=None)
def test_any_pieces_and_gaps_in_the_ids(labels: Labels) -> None:
    check(labels, image_of(labels))


def blobs(seed: int) -> Labels:
    """Draw cells of all shapes, with holes and cells in them, cut by the border."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(160, 150)), 1 + seed)
    labels = ndimage.label(noise > 0)[0]
    inner = ndimage.label(noise < 0)[0] + labels.max()
    return np.where(
        noise > 0, labels, inner * (np.random.default_rng(seed).random(inner.max() + 1) > 0.5)[inner]
    )


@pytest.mark.parametrize("seed", range(5))
def test_blobs(seed: int) -> None:
    labels = blobs(seed).astype(np.int32)
    assert np.unique(labels).size > 3
    check(labels, image_of(labels, "f8"))


@pytest.mark.parametrize("seed", [0, 2])
def test_wanted_cells_of_a_window_are_rows_of_the_whole_table(seed: int) -> None:
    labels = blobs(seed).astype(np.int32)
    image = image_of(labels)
    window = (slice(20, 140), slice(30, 150))
    inside = np.pad(np.zeros((118, 119), bool), ((21, 21), (31, 0)), constant_values=True)
    whole = np.setdiff1d(np.unique(labels), np.unique(labels[inside]))[1:]
    assert whole.size > 2
    found = measure_cells(labels[window], image[window], wanted=whole, origin=(20, 30), shape=labels.shape)
    expected = table_of(labels, image)
    rows = np.isin(expected["label"], whole)
    check_rows(found, {name: column[rows] for name, column in expected.items()})


def test_float32_is_summed_in_float64() -> None:
    """scikit-image adds float32 up in float32: it agrees to 7 figures, numpy in float64 to all."""
    labels = CASES["many"]
    image = image_of(labels, "f4") + np.float32(1000.1)
    found, rough = measure_cells(labels, image), table_of(labels, image)
    exact = table_of(labels, image.astype(np.float64))
    for name in ("mean_intensity", "std_intensity"):
        np.testing.assert_allclose(found[name], rough[name], rtol=1e-5)
        np.testing.assert_allclose(found[name], exact[name], rtol=1e-12)


def test_a_cell_far_from_the_corner_loses_no_figure() -> None:
    labels = np.zeros((60, 5000), np.int32)
    labels[20:40, 4900:4930] = 1
    labels[labels.shape[0] - 1, 0] = 2
    near = measure_cells(labels[:, 4800:], labels[:, 4800:], wanted=np.array([1]))
    far = measure_cells(labels, labels, wanted=np.array([1]))
    for name in ("major_axis", "minor_axis", "eccentricity", "orientation", "solidity", "perimeter"):
        assert far[name].tolist() == near[name].tolist()


@pytest.mark.parametrize("shape", [(0, 5), (4, 0), (0, 0), (1, 1)])
def test_images_without_pixels_or_cells(shape: tuple[int, int]) -> None:
    table = measure_cells(np.zeros(shape, np.int32), np.zeros(shape))
    expected = measure_cells(CASES["one"], CASES["one"].astype(float))
    assert {name: column.dtype for name, column in table.items()} == {
        name: column.dtype for name, column in expected.items()
    }
    assert {column.shape for column in table.values()} == {(0,)}
