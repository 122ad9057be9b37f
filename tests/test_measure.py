from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.measure import regionprops

from dinocell.errors import InputError
from dinocell.measure import COLUMNS, measure_cells
from tests.cases import CASES, disk


def intensity_of(labels: NDArray[Any]) -> NDArray[np.float64]:
    return np.random.default_rng(labels.shape).random(labels.shape) * 4000 - 50


def row_of(table: dict[str, NDArray[Any]], number: int) -> dict[str, float]:
    (row,) = np.flatnonzero(table["label"] == number)
    return {name: float(column[row]) for name, column in table.items()}


def test_a_rectangle_by_hand() -> None:
    labels = np.zeros((10, 12), np.int32)
    labels[2:6, 3:9] = 7
    intensity = np.arange(120.0).reshape(10, 12)
    assert row_of(measure_cells(labels, intensity), 7) == pytest.approx(
        {
            "label": 7,
            "area": 24,
            "centroid_y": 3.5,
            "centroid_x": 5.5,
            "bbox_y0": 2,
            "bbox_x0": 3,
            "bbox_y1": 6,
            "bbox_x1": 9,
            "equivalent_diameter": 2 * np.sqrt(24 / np.pi),
            # Variances of 4 and 6 positions in a row are (16 − 1)/12 and (36 − 1)/12.
            "eccentricity": np.sqrt(1 - 15 / 35),
            "solidity": 1,
            "mean_intensity": 3.5 * 12 + 5.5,
        }
    )


def test_a_disk_by_hand() -> None:
    labels = disk((60, 70), (28, 33), 20).astype(np.int32)
    cell = row_of(measure_cells(labels, np.full(labels.shape, 5)), 1)
    assert cell["equivalent_diameter"] == pytest.approx(40, abs=0.3)
    assert cell["area"] == pytest.approx(np.pi * 20**2, rel=0.01)
    assert (cell["centroid_y"], cell["centroid_x"]) == pytest.approx((28, 33))
    assert cell["eccentricity"] == pytest.approx(0, abs=0.02)
    assert cell["solidity"] > 0.96
    assert cell["mean_intensity"] == 5


def test_an_ellipse_has_its_eccentricity() -> None:
    labels = CASES["elongated"]  # half-axes 48 and 8
    cell = row_of(measure_cells(labels, intensity_of(labels)), 1)
    assert cell["eccentricity"] == pytest.approx(np.sqrt(1 - (8 / 48) ** 2), abs=2e-3)


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_each_cell_on_its_own(name: str) -> None:
    labels = CASES[name]
    intensity = intensity_of(labels)
    table = measure_cells(labels, intensity)
    assert list(table) == list(COLUMNS.values())
    assert table["label"].tolist() == list(range(1, labels.max() + 1))
    for number in table["label"]:
        pixels = np.argwhere(labels == number)
        cell = row_of(table, number)
        assert cell["area"] == len(pixels)
        assert (cell["centroid_y"], cell["centroid_x"]) == pytest.approx(tuple(pixels.mean(axis=0)))
        box = [cell[f"bbox_{side}"] for side in ("y0", "x0", "y1", "x1")]
        assert box == [*pixels.min(axis=0), *(pixels.max(axis=0) + 1)]
        assert cell["mean_intensity"] == pytest.approx(intensity[labels == number].mean())
        assert cell["equivalent_diameter"] == pytest.approx(np.sqrt(4 * len(pixels) / np.pi))


def test_shape_agrees_with_scikit_image() -> None:
    labels = CASES["nested"] + 3 * CASES["merged"][:40, :60].repeat(2, 0)[:60]
    table = measure_cells(labels, intensity_of(labels))
    regions = regionprops(labels)
    assert len(regions) > 2
    assert table["solidity"] == pytest.approx([region.solidity for region in regions])
    assert table["eccentricity"] == pytest.approx([region.eccentricity for region in regions])


def test_a_horseshoe_is_not_solid() -> None:
    labels = CASES["concave"]
    assert measure_cells(labels, intensity_of(labels))["solidity"][0] < 0.75


def test_the_smallest_cells_have_finite_numbers() -> None:
    labels = np.zeros((12, 12), np.int32)
    labels[0, 0] = 1  # one pixel
    labels[2, 1:9] = 2  # one pixel wide, lying
    labels[4:11, 2] = 3  # standing
    labels[[5, 6, 7], [5, 6, 7]] = 4  # along the diagonal
    labels[11, 10:12] = 5  # two pixels in the image's corner
    table = measure_cells(labels, np.ones(labels.shape))
    assert all(np.isfinite(column).all() for column in table.values())
    assert table["area"].tolist() == [1, 8, 7, 3, 2]
    assert table["eccentricity"].tolist() == pytest.approx([0, 1, 1, 1, 1])
    assert table["solidity"].tolist() == pytest.approx([1, 1, 1, 1, 1])
    assert table["equivalent_diameter"][0] == pytest.approx(1.128379)


def test_no_cells_give_empty_columns() -> None:
    labels = CASES["empty"]
    for nothing in (labels, labels - 1):
        table = measure_cells(nothing, intensity_of(labels))
        assert list(table) == list(COLUMNS.values())
        assert {column.shape for column in table.values()} == {(0,)}


def test_gaps_and_ignored_pixels() -> None:
    labels = np.array([[0, 9, 9], [-1, -1, 4]])
    table = measure_cells(labels, np.array([[9, 2, 4], [9, 9, 7]], np.uint16))
    assert table["label"].tolist() == [4, 9]
    assert table["area"].tolist() == [1, 2]
    assert table["mean_intensity"].tolist() == [7, 3]


def test_a_hole_in_the_image_makes_one_mean_nan() -> None:
    labels, intensity = np.array([[1, 1, 2, 2]]), np.array([[1, np.nan, 2, 4]])
    assert measure_cells(labels, intensity)["mean_intensity"].tolist() == pytest.approx(
        [np.nan, 3], nan_ok=True
    )


def test_input_is_not_changed() -> None:
    labels = CASES["split"].copy()
    labels[0, :5] = -1
    intensity = intensity_of(labels)
    before = labels.copy(), intensity.copy()
    measure_cells(labels, intensity)
    assert np.array_equal(labels, before[0])
    assert np.array_equal(intensity, before[1])


@pytest.mark.parametrize("shape", [(4, 5), (5, 4, 3), (20,)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"intensity has shape .* expected \(5, 4\)"):
        measure_cells(np.zeros((5, 4), int), np.zeros(shape))
