"""Tables with polygons: what pyarrow and shapely read, and what GeoParquet 1.1.0 wants to be said."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from dinocell.errors import InputError, OutputError
from dinocell.measure.cells import measure_cells
from dinocell.measure.outlines import Polygon, cell_polygons
from dinocell.results.geoparquet import write_geoparquet
from dinocell.results.table import PROVENANCE_KEY, write_parquet
from tests.cases import CASES
from tests.examples import examples
from tests.measure.test_polygons import drawn_by_shapely, label_images, ring_with_guest

PROVENANCE = {"version": "1.2", "source": "Zelle µ.tif", "scale": None}
QUICK = settings(examples(15, search=60), suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(path: Path, labels: NDArray[Any]) -> tuple[pa.Table, dict[str, Any]]:
    table = measure_cells(labels, labels)
    write_geoparquet(path, table, cell_polygons(labels), provenance=PROVENANCE)
    read = pq.read_table(path)
    return read, json.loads(read.schema.metadata[b"geo"])


def shapes_of(read: pa.Table) -> dict[int, Any]:
    return dict(zip(read["label"].to_pylist(), shapely.from_wkb(read["geometry"].to_pylist()), strict=True))


def check(path: Path, labels: NDArray[Any]) -> None:
    read, geo = written(path, labels)
    shapes = shapes_of(read)
    np.testing.assert_array_equal(drawn_by_shapely(shapes, labels.shape), np.maximum(labels, 0))
    column = geo["columns"]["geometry"]
    assert column["geometry_types"] == sorted({shape.geom_type for shape in shapes.values()})
    assert column["orientation"] == "counterclockwise"
    for piece in shapely.get_parts(list(shapes.values())):
        assert piece.is_valid
        assert piece.exterior.is_ccw
        assert not any(hole.is_ccw for hole in piece.interiors)
    if shapes:
        assert column["bbox"] == list(shapely.MultiPoint(shapely.get_coordinates([*shapes.values()])).bounds)


@pytest.mark.parametrize("name", CASES)
def test_named_cases_are_exact(tmp_path: Path, name: str) -> None:
    check(tmp_path / "a.parquet", CASES[name] * 7)


@QUICK
@given(labels=label_images)
def test_any_labels_are_exact(tmp_path: Path, labels: NDArray[np.int32]) -> None:
    check(tmp_path / "a.parquet", labels)


def test_a_ring_and_its_guest_by_hand(tmp_path: Path) -> None:
    read, geo = written(tmp_path / "a.parquet", ring_with_guest())
    assert geo == {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {
            "geometry": {
                "encoding": "WKB",
                "geometry_types": ["MultiPolygon", "Polygon"],
                "crs": None,
                "bbox": [1, 1, 6, 6],
                "orientation": "counterclockwise",
            }
        },
    }
    ring, guest = shapes_of(read).values()
    assert list(ring.exterior.coords) == [(1, 1), (6, 1), (6, 6), (1, 6), (1, 1)]
    assert [piece.area for piece in guest.geoms] == [1, 1]


@pytest.mark.parametrize("name", ["empty", "one", "many"])
def test_it_is_the_parquet_file_and_one_column(tmp_path: Path, name: str) -> None:
    labels = CASES[name]
    table = measure_cells(labels, labels, pixel_size_um=0.3) | {
        "label": np.arange(labels.max(), dtype=np.uint64) + np.uint64(2**64 - 1000)
    }
    numbers = table["label"].tolist()
    polygons = dict(zip(numbers, cell_polygons(labels).values(), strict=True))
    write_geoparquet(tmp_path / "a.parquet", table, polygons, provenance=PROVENANCE)
    write_parquet(tmp_path / "b.parquet", table, provenance=PROVENANCE)
    read, plain = (pq.read_table(tmp_path / file) for file in ("a.parquet", "b.parquet"))
    assert read.schema.names == [*table, "geometry"]
    assert read.schema.field("geometry").type == pa.binary()
    assert read.schema.field("label").type == pa.uint64()
    assert read["label"].to_pylist() == numbers
    assert read.drop_columns("geometry").equals(plain)
    assert json.loads(read.schema.metadata[PROVENANCE_KEY.encode()]) == PROVENANCE


def test_no_cells_are_a_file_too_and_a_folder_is_one_table(tmp_path: Path) -> None:
    read, geo = written(tmp_path / "part-0.parquet", CASES["empty"])
    assert read.num_rows == 0
    assert geo["columns"]["geometry"]["geometry_types"] == []
    assert "bbox" not in geo["columns"]["geometry"]
    written(tmp_path / "part-1.parquet", CASES["many"])
    written(tmp_path / "part-2.parquet", CASES["one"] * 1000)
    folder = pyarrow.dataset.dataset(tmp_path).to_table()
    assert folder["label"].to_pylist() == [*range(1, 325), 1000]
    assert b"geo" in folder.schema.metadata


def test_rings_of_another_direction_are_not_said_to_be_right(tmp_path: Path) -> None:
    polygon = cell_polygons(ring_with_guest())[4][0]
    table = {"label": np.array([4])}
    for turned in (
        Polygon(polygon.exterior[::-1], polygon.holes),
        Polygon(polygon.exterior, (polygon.holes[0][::-1],)),
    ):
        write_geoparquet(tmp_path / "a.parquet", table, {4: [turned]}, provenance={})
        metadata = pq.read_schema(tmp_path / "a.parquet").metadata
        assert "orientation" not in json.loads(metadata[b"geo"])["columns"]["geometry"]


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    labels = CASES["touching"]
    table, polygons = measure_cells(labels, labels), cell_polygons(labels)
    target = tmp_path / "a.parquet"
    target.write_text("old")
    for missing in ({1: polygons[1]}, {**polygons, 2: []}):
        with pytest.raises(InputError, match=r"polygons have none of cell 2, expected one at least of every"):
            write_geoparquet(target, table, missing, provenance={})
    with pytest.raises(InputError, match="table has columns of shapes"):
        write_geoparquet(target, table | {"a": np.zeros(3)}, polygons, provenance={})
    with pytest.raises(OutputError, match="cannot be written"):
        write_geoparquet(tmp_path / "missing" / "a.parquet", table, polygons, provenance={})
    assert target.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]
