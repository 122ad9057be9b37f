"""Cells as GeoJSON: what shapely reads, what QuPath wants, and what edited or hostile files give."""

import json
import os
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely.geometry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dinocell.errors import DINOCellError, FileFormatError, FileMissingError, InputError, OutputError
from dinocell.measure.outlines import Polygon, cell_polygons
from dinocell.results.geojson import write_geojson, write_geojson_cells
from dinocell.results.geojson_import import read_geojson
from tests.cases import CASES
from tests.measure.test_polygons import drawn_by_shapely, label_images, ring_with_guest

PROVENANCE = {"dinocell": "1", "source": {"name": "Zélle.tif", "sha256": "ab"}, "thresholds": [0.5, None]}
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SQUARE = [[[1, 1], [4, 1], [4, 3], [1, 3], [1, 1]]]


def written(path: Path, labels: NDArray[Any], **options: Any) -> dict[str, Any]:
    write_geojson(path, labels, **options)
    document: dict[str, Any] = json.loads(path.read_text("ascii"), parse_constant=pytest.fail)
    return document


def feature(geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def polygon(coordinates: Any, **properties: Any) -> dict[str, Any]:
    return feature({"type": "Polygon", "coordinates": coordinates}, **properties)


def box(left: int, top: int, right: int, bottom: int) -> list[list[list[int]]]:
    return [[[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]]


def save(path: Path, document: Any) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def check(path: Path, labels: NDArray[Any]) -> None:
    document = written(path, labels)
    cells = np.maximum(labels, 0)
    shapes = {
        int(f["properties"]["name"]): shapely.geometry.shape(f["geometry"]) for f in document["features"]
    }
    assert all(shape.is_valid for shape in shapes.values())
    np.testing.assert_array_equal(drawn_by_shapely(shapes, labels.shape), cells)
    np.testing.assert_array_equal(read_geojson(path, labels.shape), cells)


@pytest.mark.parametrize("name", CASES)
def test_named_cases_are_exact_by_shapely_and_by_us(tmp_path: Path, name: str) -> None:
    check(tmp_path / "a.geojson", CASES[name] * 7)


@QUICK
@given(labels=label_images)
def test_any_labels_are_exact(tmp_path: Path, labels: NDArray[np.int32]) -> None:
    check(tmp_path / "a.geojson", labels)


def test_a_ring_and_its_guest_by_hand(tmp_path: Path) -> None:
    document = written(tmp_path / "a.geojson", ring_with_guest())
    ring, guest = (f["geometry"] for f in document["features"])
    assert ring["type"] == "Polygon"
    assert ring["coordinates"][0] == [[1, 1], [6, 1], [6, 6], [1, 6], [1, 1]]
    assert ring["coordinates"][1][0] == ring["coordinates"][1][-1]
    assert guest["type"] == "MultiPolygon"
    assert [len(piece) for piece in guest["coordinates"]] == [1, 1]


def test_what_qupath_reads(tmp_path: Path) -> None:
    labels = np.array([[0, 7], [2, 0]])
    measurements = {
        "label": np.array([2, 7]),
        "area": np.array([1, 1]),
        "mean": np.array([0.5, np.nan]),
        "touches": np.array([True, False]),
        "max": np.array([np.inf, 3], np.float32),
    }
    document = written(
        tmp_path / "a.geojson",
        labels,
        measurements=measurements,
        object_type="annotation",
        classification="Tumor",
        z=2,
        t=1,
        provenance=PROVENANCE,
    )
    assert document["type"] == "FeatureCollection"
    assert document["provenance"] == PROVENANCE
    first, second = document["features"]
    assert first["geometry"]["plane"] == {"c": -1, "z": 2, "t": 1}
    assert first["properties"] == {
        "objectType": "annotation",
        "classification": {"name": "Tumor"},
        "name": "2",
        "measurements": {"area": 1, "mean": 0.5, "touches": True},
    }
    assert second["properties"]["measurements"] == {"area": 1, "touches": False, "max": 3}
    plain = written(tmp_path / "a.geojson", labels)
    assert set(plain) == {"type", "features"}
    assert plain["features"][0]["properties"] == {"objectType": "detection", "name": "2"}
    assert "plane" not in plain["features"][0]["geometry"]


def test_ids_are_of_the_source_the_plane_and_the_cell(tmp_path: Path) -> None:
    def ids(labels: NDArray[Any], **options: Any) -> list[str]:
        document = written(tmp_path / "a.geojson", labels, **options)
        return [str(uuid.UUID(f["id"])) for f in document["features"]]

    labels = np.array([[3, 0, 5]])
    first = ids(labels, provenance=PROVENANCE)
    assert first == ids(labels[:, ::-1], provenance=PROVENANCE | {"thresholds": [0.1]})
    assert first[1:] == ids(np.array([[5]]), provenance=PROVENANCE)
    others = [
        ids(labels, provenance=PROVENANCE | {"source": "another"}),
        ids(labels, provenance=PROVENANCE, z=1),
        ids(labels, provenance=PROVENANCE, t=1),
        ids(labels),
    ]
    assert len({*first, *(one for many in others for one in many)}) == 10


def test_measurements_of_another_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"measurement 'area' has shape \(3,\), expected \(1,\): one number"):
        write_geojson(tmp_path / "a.geojson", np.array([[1]]), measurements={"area": np.zeros(3)})
    with pytest.raises(InputError, match="the provenance cannot be stored"):
        write_geojson(tmp_path / "a.geojson", np.array([[1]]), provenance={"x": float("nan")})
    with pytest.raises(OutputError):
        write_geojson(tmp_path / "missing" / "a.geojson", np.array([[1]]))
    assert not list(tmp_path.iterdir())


def test_cells_without_labels_are_written_alike(tmp_path: Path) -> None:
    labels = CASES["nested"] * 3
    options: dict[str, Any] = {
        "measurements": {"label": np.array([3, 6]), "area": np.array([2.5, np.nan])},
        "object_type": "cell",
        "classification": "Tumor",
        "z": 4,
        "provenance": PROVENANCE,
    }
    write_geojson(tmp_path / "a.geojson", labels, **options)
    write_geojson_cells(tmp_path / "b.geojson", cell_polygons(labels), **options)
    assert (tmp_path / "a.geojson").read_bytes() == (tmp_path / "b.geojson").read_bytes()
    write_geojson_cells(tmp_path / "c.geojson", {})
    assert json.loads((tmp_path / "c.geojson").read_text())["features"] == []


def test_the_highest_numbers_and_far_places_are_exact(tmp_path: Path) -> None:
    corner = 2**53 + 1
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) + corner
    numbers = [2**31, 2**53, 2**53 + 1, 2**64 - 2, 2**64 - 1]
    counts = np.array(numbers, np.uint64)
    write_geojson_cells(
        tmp_path / "a.geojson",
        {number: [Polygon(square)] for number in numbers},
        measurements={"label": counts, "count": counts},
        provenance=PROVENANCE,
    )
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert [f["properties"]["name"] for f in features] == [str(number) for number in numbers]
    assert [f["properties"]["measurements"] for f in features] == [{"count": number} for number in numbers]
    assert len({f["id"] for f in features}) == len(numbers)
    assert features[0]["geometry"]["coordinates"][0][2] == [corner + 1, corner + 1]
    with pytest.raises(InputError, match=r"measurement 'area' has shape \(3,\), expected \(0,\)"):
        write_geojson_cells(tmp_path / "a.geojson", {}, measurements={"area": np.zeros(3)})


# Edited files


def test_layouts_of_a_file(tmp_path: Path) -> None:
    cell = polygon(SQUARE)
    expected = np.zeros((4, 5), np.int32)
    expected[1:3, 1:4] = 1
    for document in ({"type": "FeatureCollection", "features": [cell]}, [cell], cell):
        np.testing.assert_array_equal(read_geojson(save(tmp_path / "a.json", document), (4, 5)), expected)
    marked = tmp_path / "b.json"
    marked.write_text(json.dumps(cell), encoding="utf-8-sig")
    np.testing.assert_array_equal(read_geojson(marked, (4, 5)), expected)
    assert not read_geojson(save(tmp_path / "c.json", []), (4, 5)).any()


def test_geometries_with_holes_pieces_and_heights(tmp_path: Path) -> None:
    hole = [[2, 1, 9], [3, 1, 9], [3, 3, 9], [2, 3, 9]]  # not closed, with a height
    pieces = {"type": "MultiPolygon", "coordinates": [[SQUARE[0], hole], box(0, 0, 1, 1)]}
    nested: Any = {"type": "Polygon", "coordinates": box(4, 0, 5, 2)}
    for _ in range(100):
        nested = {"type": "GeometryCollection", "geometries": [nested]}
    nested["geometries"].append({"type": "Polygon", "coordinates": []})
    file = save(tmp_path / "a.json", [feature(pieces), feature(nested)])
    assert read_geojson(file, (4, 5)).tolist() == [
        [1, 0, 0, 0, 2],
        [0, 1, 0, 1, 2],
        [0, 1, 0, 1, 0],
        [0, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize(
    ("properties", "ids"),
    [
        ([{}, {}], [1, 2]),
        ([{"name": "9"}, {"name": "4"}], [9, 4]),
        ([{"name": "9"}, {"name": "9"}], [1, 2]),
        ([{"name": "9"}, {"name": "new"}], [1, 2]),
        ([{"label": 9, "name": "new"}, {"name": "4"}], [9, 4]),
        ([{"label": [1]}, {"label": {}}], [1, 2]),
    ],
)
def test_ids_of_cells(tmp_path: Path, properties: list[dict[str, Any]], ids: list[int]) -> None:
    cells = [polygon(box(n, 0, n + 1, 1), **of) for n, of in enumerate(properties)]
    assert read_geojson(save(tmp_path / "a.json", cells), (1, 2)).tolist() == [ids]


def test_features_without_properties_and_overlap(tmp_path: Path) -> None:
    cells = [polygon(box(0, 0, 2, 1)), polygon(box(1, 0, 3, 1))]
    cells[0]["properties"] = None
    del cells[1]["properties"]
    assert read_geojson(save(tmp_path / "a.json", cells), (1, 4)).tolist() == [[1, 2, 2, 0]]


def test_several_planes_are_not_flattened(tmp_path: Path) -> None:
    cells = [polygon(SQUARE), polygon(SQUARE)]
    cells[1]["geometry"]["plane"] = {"c": -1, "z": 3, "t": 0}
    with pytest.raises(InputError, match=r"a\.json has cells on 2 slices or times, expected one plane"):
        read_geojson(save(tmp_path / "a.json", cells), (4, 5))
    cells[0]["geometry"]["plane"] = {"c": 2, "z": 3, "t": 0}
    assert read_geojson(save(tmp_path / "a.json", cells), (4, 5)).max() == 2


# Hostile files


HUGE = "9" * 400
BAD: dict[str, tuple[Any, str]] = {
    "empty": ("", r"cannot be read \(Expecting value.*export it again"),
    "binary": ("\0\1\2", "cannot be read"),
    "cut": (json.dumps(polygon(SQUARE))[:-9], "cannot be read"),
    "nan": (json.dumps(polygon([[[0, 0], [1, float("nan")], [1, 1]]])), "NaN is not a number in JSON"),
    "infinity": (json.dumps(polygon([[[0, 0], [1, float("inf")], [1, 1]]])), "Infinity is not a number"),
    "1e400": (
        json.dumps(polygon(SQUARE)).replace("4,", "1e400,", 1),
        "feature 1 has a ring that is not a l",
    ),
    "many digits": (json.dumps(polygon(SQUARE)).replace("4,", f"{HUGE},", 1), "ring that is not a list"),
    "too many digits": (json.dumps(polygon(SQUARE)).replace("4,", f"{HUGE * 20},", 1), "cannot be read"),
    "deep": ("[" * 200_000, r"cannot be read \(.*recursion"),
    "deep ring": (polygon([[[[1, 2]]]]), "ring that is not a list of corners"),
    "number": (3, "holds no list of features, expected GeoJSON"),
    "bare geometry": ({"type": "Polygon", "coordinates": SQUARE}, "holds no list of features"),
    "features": ({"type": "FeatureCollection", "features": {}}, "holds no list of features"),
    "no feature": ([polygon(SQUARE), 3], "feature 2 is not a Feature"),
    "point": (
        [polygon(SQUARE), feature({"type": "Point", "coordinates": [1, 2]}, name="Spot\n7")],
        r"feature 2 \('Spot\\n7'\) is a 'Point', expected a Polygon, MultiPolygon.*: remove it",
    ),
    "line": (feature({"type": "LineString", "coordinates": [[1, 2], [2, 3]]}), "is a 'LineString'"),
    "null": (feature(None, name="gone"), r"feature 1 \('gone'\) is without geometry"),
    "text": (feature("Polygon"), "is without geometry"),
    "no coordinates": (feature({"type": "Polygon"}), "is a 'Polygon', expected"),
    "rings": (
        feature({"type": "MultiPolygon", "coordinates": [3]}),
        "coordinates that are not lists of rings",
    ),
    "ring": (polygon([3]), "ring that is not a list"),
    "words": (polygon([[["a", "b"]] * 4]), "ring that is not a list"),
    "ragged": (polygon([[[0, 0], [1], [2, 2]]]), "ring that is not a list"),
    "empty ring": (polygon([[]]), "ring that is not a list"),
    "x only": (polygon([[[0], [1], [2]]]), "ring that is not a list"),
    "object": (polygon([{"x": 1}]), "ring that is not a list"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    file = save(tmp_path / "a.json", content)
    with pytest.raises(FileFormatError, match=message) as caught:
        read_geojson(file, (4, 5))
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
def test_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in (tmp_path / "no.json", save(tmp_path / "a.json", []) / "b.json"):
        with pytest.raises(FileMissingError, match=r"does not exist, expected GeoJSON.*: check the path"):
            read_geojson(missing, (4, 5))
    os.mkfifo(tmp_path / "fifo")
    for other in (tmp_path, tmp_path / "fifo"):
        with pytest.raises(FileFormatError, match="is not a file"):
            read_geojson(other, (4, 5))
    (tmp_path / "b.json").write_bytes(b'["\xff"]')
    with pytest.raises(FileFormatError, match=r"cannot be read .*utf-8"):
        read_geojson(tmp_path / "b.json", (4, 5))
    monkeypatch.setattr("dinocell.results.geojson_import.MAX_GEOJSON_BYTES", 10)
    with pytest.raises(FileFormatError, match=r"has 100 bytes, expected GeoJSON.* of at most 10 bytes"):
        read_geojson(save(tmp_path / "a.json", "x" * 100), (4, 5))


def test_far_away_and_enormous_cells_are_cut_off(tmp_path: Path) -> None:
    far = 10**300
    cells = [polygon(box(-far, -far, far, far)), polygon(box(far, 0, far * 2, 9)), polygon(box(-3, -3, 2, 1))]
    labels = read_geojson(save(tmp_path / "a.json", cells), (3, 4))
    assert labels.tolist() == [[3, 3, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]


@QUICK
@given(data=st.data())
def test_damage_gives_labels_or_our_error(tmp_path: Path, data: st.DataObject) -> None:
    text = json.dumps([polygon(SQUARE, name="a"), feature({"type": "MultiPolygon", "coordinates": [SQUARE]})])
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 9)))
    piece = data.draw(st.sampled_from(["", "[", "]", "{}", "null", "-1e99", "1e999", '"', ",", "true"]))
    file = save(tmp_path / "a.json", text[:start] + piece + text[end:])
    try:
        labels = read_geojson(file, (4, 5))
    except DINOCellError as error:
        assert "a.json" in str(error)  # noqa: PT017
    else:
        assert labels.shape == (4, 5)
