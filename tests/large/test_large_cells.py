"""Cells measured in windows are those of the whole image: rows, values and polygons."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from dinocell.errors import InputError
from dinocell.io.planes import Window
from dinocell.labels import Labels, relabel
from dinocell.large.cells import Cells, describe_cells
from dinocell.measure.cells import Intensities, measure_cells
from dinocell.measure.confidence import cell_confidence
from dinocell.measure.outlines import Polygon, cell_polygons
from dinocell.postprocess.distance import labels_to_distance
from dinocell.preprocess.resampling import window_shape
from tests.cases import CASES, disk
from tests.examples import examples

HIGHEST = 2**64 - 1

noise = hnp.arrays(
    np.int32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.sampled_from([0, 0, 1, 2, 3, 7]),
).map(relabel)
"""Cells in many pieces, which reach across each other."""


class Whole:
    """An image in memory, whose cells have numbers beyond int64, and the windows that were asked for."""

    def __init__(self, labels: NDArray[Any], channels: Intensities | None = None) -> None:
        self.labels = labels
        count = int(labels.max(initial=0))
        # Neighbours in number are one apart, which a float would not tell.
        self.numbers = np.array([HIGHEST - count + n for n in range(1, count + 1)], np.uint64)
        self.boxes = np.array(
            [
                (rows.start, columns.start, rows.stop, columns.stop)
                for rows, columns in ndimage.find_objects(labels)
            ],
            np.int64,
        ).reshape(-1, 4)
        rng = np.random.default_rng(labels.shape)
        self.channels: Intensities = rng.normal(size=labels.shape) * 100 if channels is None else channels
        noisy = labels_to_distance(labels) + 0.2 * rng.random(labels.shape, np.float32)
        self.distance = np.clip(noisy, 0, 1)
        self.windows: list[Window] = []

    def read_labels(self, window: Window) -> NDArray[np.uint64]:
        self.windows.append(window)
        return np.concatenate([np.zeros(1, np.uint64), self.numbers])[self.labels[window]]

    def read_channels(self, window: Window) -> Intensities:
        if isinstance(self.channels, Mapping):
            return {name: pixels[window] for name, pixels in self.channels.items()}
        return self.channels[window]

    def describe(self, rows: NDArray[Any] | slice = slice(None), **options: Any) -> Cells:
        """Describe the cells of some rows of the table of all."""
        return describe_cells(
            self.numbers[rows],
            self.boxes[rows],
            self.labels.shape,
            read_labels=self.read_labels,
            read_channels=self.read_channels,
            read_map=lambda window: self.distance[window],
            **{"largest": 10**9} | options,
        )

    @functools.cache  # noqa: B019 (of few images, and gone with the tests)
    def table(self, pixel_size_um: float | None = None) -> dict[str, NDArray[Any]]:
        confidence = cell_confidence(self.labels, self.distance)
        return measure_cells(
            self.labels, self.channels, pixel_size_um=pixel_size_um, confidence=confidence
        ) | {"label": self.numbers}

    def check(self, cells: Cells, rows: NDArray[Any], pixel_size_um: float | None = None) -> None:
        """Check that cells are those rows of the whole table."""
        expected = self.table(pixel_size_um)
        np.testing.assert_array_equal(cells.numbers, self.numbers[rows])
        assert list(cells.table) == list(expected)
        for name, column in expected.items():
            found = cells.table[name]
            assert found.dtype == column.dtype
            if column.dtype.kind in "iu" or name.startswith("centroid"):
                np.testing.assert_array_equal(found, column[rows], name)
            else:
                np.testing.assert_allclose(found, column[rows], rtol=1e-5, err_msg=name)

    @functools.cached_property
    def polygons(self) -> dict[int, list[Polygon]]:
        return cell_polygons(self.labels)

    def check_polygons(self, cells: Cells, rows: NDArray[Any]) -> None:
        assert list(cells.polygons) == self.numbers[rows].tolist()
        for found, row in zip(cells.polygons.values(), rows.tolist(), strict=True):
            expected = self.polygons[row + 1]
            for piece, other in zip(found, expected, strict=True):
                for ring, same in zip(piece.rings, other.rings, strict=True):
                    np.testing.assert_array_equal(ring, same)


def check_split(whole: Whole, owners: NDArray[Any], largest: int) -> None:
    for owner in np.unique(owners):
        rows = np.flatnonzero(owners == owner)
        cells = whole.describe(rows, largest=largest, pixel_size_um=0.3, outlines=True)
        whole.check(cells, rows, pixel_size_um=0.3)
        whole.check_polygons(cells, rows)


@pytest.mark.parametrize("largest", [1, 700, 10**9])
@pytest.mark.parametrize("name", CASES)
def test_named_cases(name: str, largest: int) -> None:
    whole = Whole(CASES[name])
    count = len(whole.numbers)
    check_split(whole, np.arange(count) * 3 // max(count, 1), largest)


@examples(20, search=100)
@given(labels=noise, largest=st.sampled_from([1, 12, 30, 60, 200]), data=st.data())
def test_any_labels_and_any_owners(labels: Labels, largest: int, data: st.DataObject) -> None:
    count = int(labels.max(initial=0))
    owners = data.draw(hnp.arrays(np.int8, count, elements=st.integers(0, 2)))
    check_split(Whole(labels), owners, largest)


def blobs(seed: int) -> Labels:
    """Draw touching cells of all sizes, some at the edge of the image."""
    points = np.random.default_rng(seed).random((90, 90)) > 0.985
    distance, nearest = ndimage.distance_transform_edt(~points, return_indices=True)
    numbered = np.cumsum(points).reshape(points.shape) * points
    return relabel(np.where(distance < 7, numbered[tuple(nearest)], 0))


@pytest.mark.parametrize(("seed", "largest"), [(0, 150), (1, 2500)])
def test_touching_cells_of_blocks(seed: int, largest: int) -> None:
    whole = Whole(blobs(seed))
    assert len(whole.numbers) > 50
    check_split(whole, whole.boxes[:, 0] // 30 * 3 + whole.boxes[:, 1] // 30, largest)


def test_no_cells_have_the_columns_and_dtypes_of_some() -> None:
    channels = {"a": np.ones((40, 50), np.uint16), "b": np.ones((40, 50), np.float32)}
    whole = Whole(CASES["one"], channels)
    for labels in (CASES["one"], CASES["empty"], CASES["one"][::-1, ::-1] * 0 + 1):
        whole.labels = labels
        nothing = whole.describe(slice(0, 0), pixel_size_um=2, outlines=True)
        some = Whole(CASES["one"], channels).table(2)
        assert {name: column.dtype for name, column in nothing.table.items()} == {
            name: column.dtype for name, column in some.items()
        }
        assert {column.shape for column in nothing.table.values()} == {(0,)}
        assert (nothing.numbers.shape, nothing.polygons) == ((0,), {})


def test_polygons_only_where_asked_for() -> None:
    assert Whole(CASES["touching"]).describe().polygons == {}


def test_holes_in_the_image_make_the_same_cells_nan() -> None:
    pixels = np.random.default_rng(0).random((60, 60))
    pixels[30, 30] = pixels[0, 0] = np.nan
    whole = Whole(CASES["nested"], pixels)
    assert np.isnan(whole.table()["mean_intensity"]).tolist() == [False, True]
    for largest in (1, 10**9):
        whole.check(whole.describe(largest=largest), np.arange(2))


def test_a_cut_neighbour_disturbs_nothing() -> None:
    """Check that a window on one cell leaves only a line of one pixel of a large neighbour."""
    labels = np.zeros((30, 40), np.int32)
    labels[10:20, 8:16] = 1
    labels[2:28, 16:38] = 2
    whole = Whole(labels)
    cells = whole.describe(np.array([0]))
    assert whole.windows == [(slice(9, 21), slice(7, 17))]
    whole.check(cells, np.array([0]))
    assert cells.table["neighbours"].tolist() == [1]
    assert cells.table["touches_border"].tolist() == [0]


def test_windows_stay_small_and_few() -> None:
    """Check that two cells too large for the common window are measured apart, the others together."""
    shape = (400, 400)
    labels = np.zeros(shape, np.int32)
    for number in range(36):
        row, column = divmod(number, 6)
        labels[disk(shape, (8 + 15 * row, 8 + 15 * column), 5)] = number + 1
    labels[100, 10:390] = 37
    labels[110:390, 3] = 38
    largest = 110 * 110
    whole = Whole(labels)
    whole.check(whole.describe(largest=largest), np.arange(38))
    areas = [np.prod(window_shape(window)) for window in whole.windows]
    assert max(areas) <= largest
    assert len(areas) == 3
    alone = Whole(labels)
    alone.describe(largest=1)
    assert sorted(alone.windows, key=str) == sorted(
        (alone_window(box, shape) for box in alone.boxes.tolist()), key=str
    )


def alone_window(box: list[int], shape: tuple[int, int]) -> Window:
    top, left, bottom, right = box
    return (
        slice(max(top - 1, 0), min(bottom + 1, shape[0])),
        slice(max(left - 1, 0), min(right + 1, shape[1])),
    )


def test_a_cell_that_is_not_in_its_box_is_named() -> None:
    whole = Whole(CASES["touching"])
    whole.boxes[1] = (0, 0, 5, 6)
    with pytest.raises(
        InputError, match=rf"cell {HIGHEST} is not in rows 0 to 6 and columns 0 to 7, expected it there"
    ):
        whole.describe(largest=1)


def test_a_window_must_lie_in_the_image() -> None:
    labels = CASES["one"]
    with pytest.raises(InputError, match=r"labels of shape \(40, 50\) at origin \(1, 0\) do not lie in an"):
        measure_cells(labels, labels, origin=(1, 0), shape=(40, 60))
    with pytest.raises(InputError, match="wanted has the id 2, expected ids of cells in labels"):
        measure_cells(labels, labels, wanted=np.array([1, 2]))


def test_a_wanted_cell_keeps_its_id_and_its_neighbours() -> None:
    labels = CASES["touching"] * 5
    table = measure_cells(labels, labels, wanted=np.array([10]), origin=(100, 200), shape=(140, 300))
    assert table["label"].tolist() == [10]
    assert table["neighbours"].tolist() == [1]
    assert (table["bbox_y0"].tolist(), table["bbox_x1"].tolist()) == ([108], [252])
    assert (table["centroid_y"].tolist(), table["centroid_x"].tolist()) == ([118.5], [240.5])
