"""Labels from GeoJSON: what `dinocell.results.geojson` wrote, and what QuPath or people changed."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dinocell.errors import FileFormatError, FileMissingError, InputError
from dinocell.io.planes import PathLike
from dinocell.labels import Labels
from dinocell.measure.filling import choose_ids, fill_polygons
from dinocell.measure.outlines import Polygon, Ring

MAX_GEOJSON_BYTES = 2**30
"""A GeoJSON file that is larger is not read: parsed, it takes ten times as much memory."""

_EXPECTED = "expected GeoJSON, a FeatureCollection of polygons"


def read_geojson(path: PathLike, shape: tuple[int, int]) -> Labels:
    """Read polygons as a label image: what `write_geojson` wrote, or QuPath and people changed.

    Parameters
    ----------
    path : path
        A FeatureCollection, a list of features, or one feature, of Polygon, MultiPolygon or
        GeometryCollection, in pixels.
    shape : (int, int)
        Height and width of the image in pixels; what lies outside is cut off.

    Returns
    -------
    int32 array, shape (Y, X)
        A cell's id is its property ``label``, or its name, where those of all features are distinct whole
        numbers; else cells are 1…N in the order of the features. Where cells overlap, the later one wins.

    Raises
    ------
    FileMissingError
        If the file does not exist.
    FileFormatError
        If it is not GeoJSON, too large, or a feature has no area or coordinates that are not numbers.
    InputError
        If cells lie on several slices or times, or cover the image too often to be drawn.
    """
    file = Path(path)
    features = _features(_load(file), file)
    pieces, planes = [], set()
    for number, feature in enumerate(features, 1):
        where = f"{file}, feature {number}{_called(feature)}"
        pieces.append(list(_polygons(feature, where)))
        planes.add(_plane(feature))
    if len(planes) > 1:
        raise InputError(
            f"{file} has cells on {len(planes)} slices or times, expected one plane: export the cells of "
            "each plane to a file of its own"
        )
    names = [_property(feature, "label", _property(feature, "name")) for feature in features]
    return fill_polygons(dict(zip(choose_ids(names), pieces, strict=True)), shape, name=f"{file}")


def _load(file: Path) -> Any:
    try:
        size = file.stat().st_size
        _check_file(file, size)
        return json.loads(file.read_text("utf-8-sig"), parse_constant=_raise_for_constant)
    except FileFormatError:
        raise
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise FileMissingError(f"{file} does not exist, {_EXPECTED}: check the path") from exc
    except (OSError, ValueError, RecursionError) as exc:
        detail = " ".join(f"{exc}".split())[:120]
        raise FileFormatError(f"{file} cannot be read ({detail}), {_EXPECTED}: export it again") from exc


def _check_file(file: Path, size: int) -> None:
    if not file.is_file() or size > MAX_GEOJSON_BYTES:
        what = f"has {size} bytes" if file.is_file() else "is not a file"
        raise FileFormatError(f"{file} {what}, {_EXPECTED} of at most {MAX_GEOJSON_BYTES} bytes")


def _raise_for_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")


def _features(document: Any, file: Path) -> list[Mapping[str, Any]]:
    match document:
        case {"type": "FeatureCollection", "features": list(features)}:
            pass
        case {"type": "Feature"}:
            features = [document]
        case list(features):
            pass
        case _:
            raise FileFormatError(f"{file} holds no list of features, {_EXPECTED}: export it again")
    for number, feature in enumerate(features, 1):
        if not (isinstance(feature, dict) and feature.get("type") == "Feature"):
            raise FileFormatError(f"{file}, feature {number} is not a Feature, {_EXPECTED}: export it again")
    return features


def _property(feature: Mapping[str, Any], key: str, default: Any = None) -> Any:
    properties = feature.get("properties")
    return properties.get(key, default) if isinstance(properties, dict) else default


def _called(feature: Mapping[str, Any]) -> str:
    name = _property(feature, "name", feature.get("id"))
    return f" ({name!r:.60})" if isinstance(name, str | int) else ""


def _plane(feature: Mapping[str, Any]) -> tuple[Any, Any]:
    match feature.get("geometry"):
        case {"plane": {"z": int(z), "t": int(t)}}:
            return z, t
    return 0, 0


def _polygons(feature: Mapping[str, Any], where: str) -> Iterator[Polygon]:
    pending = [feature.get("geometry")]  # no recursion, so that nesting has no limit
    while pending:
        match pending.pop():
            case {"type": "Polygon", "coordinates": list(rings)}:
                yield from _polygon(rings, where)
            case {"type": "MultiPolygon", "coordinates": list(pieces)}:
                for rings in pieces:
                    yield from _polygon(rings, where)
            case {"type": "GeometryCollection", "geometries": list(geometries)}:
                pending.extend(reversed(geometries))
            case geometry:
                kind = geometry.get("type") if isinstance(geometry, dict) else None
                raise FileFormatError(
                    f"{where} is {f'a {kind!r:.40}' if kind else 'without geometry'}, expected a Polygon, "
                    "MultiPolygon or GeometryCollection: remove it"
                )


def _polygon(rings: Any, where: str) -> Iterator[Polygon]:
    """Convert a list of rings to a polygon; an empty list, which GeoJSON allows, to none."""
    if not isinstance(rings, list):
        raise FileFormatError(f"{where} has coordinates that are not lists of rings, {_EXPECTED}: redraw it")
    if rings:
        exterior, *holes = (_ring(ring, where) for ring in rings)
        yield Polygon(exterior, tuple(holes))


def _ring(ring: Any, where: str) -> Ring:
    try:
        points = np.array(ring, np.float64)
    except (OverflowError, TypeError, ValueError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] < 2 or not np.isfinite(points[:, :2]).all():
        raise FileFormatError(
            f"{where} has a ring that is not a list of corners [x, y] of finite numbers, {_EXPECTED}: "
            "redraw it"
        )
    closed = len(points) > 1 and np.array_equal(points[0, :2], points[-1, :2])
    return points[: len(points) - closed, :2]
