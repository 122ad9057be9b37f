from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import regionprops

from dinocell.errors import InputError
from dinocell.measure.cells import (
    COMPUTED_COLUMNS,
    INTENSITY_COLUMNS,
    PHYSICAL_COLUMNS,
    SHAPE_COLUMNS,
    count_neighbours,
    measure_cells,
)
from tests.cases import CASES, disk

COLUMNS = [*SHAPE_COLUMNS.values(), *COMPUTED_COLUMNS, *INTENSITY_COLUMNS.values()]

CROFTON_4_BY_6 = np.pi / 4 * ((4 + 6) + (9 + 9) / np.sqrt(2))
"""π/4 × the lines that meet the rectangle, times their distance: 4 along rows and 6 along columns, 1 apart;
4 + 6 − 1 along either diagonal, 1/√2 apart."""


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
            "perimeter": CROFTON_4_BY_6,
            "major_axis": 4 * np.sqrt(35 / 12),
            "minor_axis": 4 * np.sqrt(15 / 12),
            "orientation": 0,
            "circularity": 4 * np.pi * 24 / CROFTON_4_BY_6**2,
            "touches_border": 0,
            "neighbours": 0,
            "mean_intensity": 3.5 * 12 + 5.5,
            # Variances of rows (12 apart) and of columns (1 apart).
            "std_intensity": np.sqrt(144 * 15 / 12 + 35 / 12),
            "min_intensity": 2 * 12 + 3,
            "max_intensity": 5 * 12 + 8,
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
    assert cell["perimeter"] == pytest.approx(2 * np.pi * 20, rel=0.02)
    assert cell["circularity"] == pytest.approx(1, abs=0.05)
    assert (cell["major_axis"], cell["minor_axis"]) == pytest.approx((40, 40), abs=0.3)
    assert cell["mean_intensity"] == 5


def test_an_ellipse_has_its_eccentricity() -> None:
    labels = CASES["elongated"]  # half-axes 48 and 8
    cell = row_of(measure_cells(labels, intensity_of(labels)), 1)
    assert cell["eccentricity"] == pytest.approx(np.sqrt(1 - (8 / 48) ** 2), abs=2e-3)
    assert (cell["major_axis"], cell["minor_axis"]) == pytest.approx((96, 16), rel=0.03)


@pytest.mark.parametrize("degrees", [0, 30, 45, 90, 120, 179])
def test_orientation_is_counterclockwise_from_x_as_displayed(degrees: int) -> None:
    y, x = np.mgrid[-40:41, -40:41]
    along = x * np.cos(np.radians(degrees)) - y * np.sin(np.radians(degrees))
    across = x * np.sin(np.radians(degrees)) + y * np.cos(np.radians(degrees))
    labels = ((along / 35) ** 2 + (across / 8) ** 2 <= 1).astype(np.int32)
    found = measure_cells(labels, labels)["orientation"][0]
    assert 0 <= found < 180
    assert (found - degrees + 90) % 180 - 90 == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_each_cell_on_its_own(name: str) -> None:
    labels = CASES[name]
    intensity = intensity_of(labels)
    table = measure_cells(labels, intensity)
    assert list(table) == COLUMNS
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
        assert list(table) == COLUMNS
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


def test_what_touches_the_border() -> None:
    labels = np.zeros((9, 9), np.int32)
    labels[0, 4], labels[8, 4], labels[4, 0], labels[4, 8], labels[4, 4], labels[1, 1] = 1, 2, 3, 4, 5, 6
    assert measure_cells(labels, labels)["touches_border"].tolist() == [1, 1, 1, 1, 0, 0]


def test_neighbours_by_hand() -> None:
    labels = np.array(
        [
            [1, 1, 0, 0, 7],
            [0, 0, 3, 7, 7],
            [9, 0, 3, 0, -1],
            [9, 3, 0, 0, 2_000_000_000],
            [0, 0, 0, 4, 0],
        ]
    )
    # 3 meets 1 at a corner, 7 along an edge, 9 along an edge; 4 meets the last one at a corner.
    expected = {1: 1, 3: 3, 4: 1, 7: 1, 9: 1, 2_000_000_000: 1}
    assert count_neighbours(labels).tolist() == list(expected.values())
    assert measure_cells(labels, np.zeros(labels.shape))["label"].tolist() == list(expected)


@given(
    hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(-1, 6))
)
def test_neighbours_are_the_ids_in_a_dilated_cell(labels: NDArray[np.int32]) -> None:
    expected = []
    for number in np.unique(labels[labels > 0]):
        around = labels[ndimage.binary_dilation(labels == number, np.ones((3, 3)))]
        expected.append(np.unique(around[around > 0]).size - 1)
    assert count_neighbours(labels).tolist() == expected


def test_physical_units_by_hand() -> None:
    labels = CASES["touching"]
    plain = measure_cells(labels, labels)
    table = measure_cells(labels, labels, pixel_size_um=0.5)
    assert list(table) == [*COLUMNS, *PHYSICAL_COLUMNS.values()]
    assert table["area_um2"].tolist() == [22 * 22 / 4] * 2
    assert table["centroid_y_um"].tolist() == [18.5 / 2] * 2
    assert table["centroid_x_um"].tolist() == [18.5 / 2, 40.5 / 2]
    assert table["equivalent_diameter_um"] == pytest.approx(np.sqrt(4 * 121 / np.pi))
    for name in ("perimeter", "major_axis", "minor_axis"):
        assert table[f"{name}_um"] == pytest.approx(plain[name] / 2)
    for name in COLUMNS:
        assert table[name].tolist() == plain[name].tolist()


@pytest.mark.parametrize("size", [0, -0.5, np.nan, np.inf])
def test_a_pixel_size_that_is_none(size: float) -> None:
    with pytest.raises(InputError, match=r"pixel_size_um is .*, expected a positive number of micrometres"):
        measure_cells(CASES["one"], CASES["one"], pixel_size_um=size)


def test_confidence_is_the_last_column() -> None:
    labels, confidence = CASES["touching"], np.array([0.25, 1], np.float32)
    table = measure_cells(labels, labels, pixel_size_um=2, confidence=confidence)
    assert list(table)[-1] == "confidence"
    assert table["confidence"].tolist() == [0.25, 1]
    with pytest.raises(InputError, match=r"confidence has shape \(2,\), expected \(1,\): one value a cell"):
        measure_cells(CASES["one"], CASES["one"], confidence=confidence)


def test_each_channel_has_its_columns() -> None:
    labels = np.array([[1, 1, 0, 2]])
    channels = {"DAPI": np.array([[2, 4, 9, 7]], np.uint16), "actin": np.array([[True, False, True, True]])}
    table = measure_cells(labels, channels)
    shape = [*SHAPE_COLUMNS.values(), *COMPUTED_COLUMNS]
    assert list(table) == [*shape, *(f"{c}_{n}" for n in channels for c in INTENSITY_COLUMNS.values())]
    assert table["mean_intensity_DAPI"].tolist() == [3, 7]
    assert table["std_intensity_DAPI"].tolist() == [1, 0]
    assert table["min_intensity_DAPI"].tolist() == [2, 7]
    assert table["max_intensity_DAPI"].tolist() == [4, 7]
    assert table["mean_intensity_actin"].tolist() == [0.5, 1]
    alone = measure_cells(labels, {"DAPI": channels["DAPI"]})
    assert list(alone) == COLUMNS
    assert alone["mean_intensity"].tolist() == [3, 7]
    assert list(measure_cells(labels, {})) == shape


def test_names_of_channels_become_safe_and_unique() -> None:
    # What is safe as it is keeps its name, whatever comes before it.
    names = ("Alexa 488/GFP", "a,b", "a b", "A_B", "a_b_2", "—", "", "β-tubulin")
    table = measure_cells(CASES["one"], dict.fromkeys(names, CASES["one"]))
    found = [column.removeprefix("mean_intensity_") for column in table if column.startswith("mean_")]
    assert found == ["Alexa_488_GFP", "a_b_3", "a_b_4", "A_B", "a_b_2", "channel", "channel_2", "β_tubulin"]


def test_a_channel_that_cannot_be_measured_is_named() -> None:
    labels = CASES["one"]
    with pytest.raises(InputError, match=r"intensity 'red' has shape \(3, 4\), expected \(40, 50\)"):
        measure_cells(labels, {"green": labels, "red": np.zeros((3, 4))})
    with pytest.raises(InputError, match="intensity has dtype complex128, expected booleans, integers or"):
        measure_cells(labels, labels.astype(complex))


@pytest.mark.parametrize("shape", [(4, 5), (5, 4, 3), (20,)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"intensity has shape .* expected \(5, 4\)"):
        measure_cells(np.zeros((5, 4), int), np.zeros(shape))
