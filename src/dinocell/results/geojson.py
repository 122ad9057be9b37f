"""Cells as GeoJSON, as QuPath imports it."""

import json
import math
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.io.planes import PathLike
from dinocell.io.saving import atomic_path, encode_provenance
from dinocell.measure.outlines import Polygon, cell_polygons
from dinocell.results.result_format import BlockFormat, PlaneFormat, PlaneResult, Stack, StackPart

ObjectType = Literal["annotation", "cell", "detection"]
"""Kinds of objects that cells can be in QuPath."""


def write_geojson(
    path: PathLike,
    labels: NDArray[Any],
    *,
    measurements: Mapping[str, NDArray[Any]] | None = None,
    object_type: ObjectType = "detection",
    classification: str | None = None,
    z: int = 0,
    t: int = 0,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write cells as a FeatureCollection, exact along pixel edges, which QuPath (0.4 and later) imports.

    Coordinates are pixels, with the corner of the upper left pixel at 0, 0. A feature's name is the cell's
    id; its own id is made of the source and the cell, so that the same cell has the same one again.

    Parameters
    ----------
    path : path
        An existing file is replaced in one step.
    labels : integer array, shape (Y, X)
        Ignored pixels (−1) are not cells.
    measurements : mapping of str to array, shape (N,), optional
        Columns of numbers, in the order of the ids; those that are not finite, and ``label``, are left out.
    object_type : {"annotation", "cell", "detection"}
        What the cells are in QuPath: detections are quick, annotations can be edited.
    classification : str, optional
        QuPath's class of all cells.
    z, t : int
        Slice and time, counted from 0.
    provenance : mapping, optional
        How the cells were made, of what JSON can hold; stored as the collection's ``provenance``. What it
        says of the ``source``, else all of it, goes into the ids.

    Raises
    ------
    InputError
        If `labels` is not a label image, a column is not of one number a cell, or the provenance cannot be
        stored.
    OutputError
        If the file cannot be written.
    """
    write_geojson_cells(
        path,
        cell_polygons(labels),
        measurements=measurements,
        object_type=object_type,
        classification=classification,
        z=z,
        t=t,
        provenance=provenance,
    )


def write_geojson_cells(
    path: PathLike,
    polygons: Mapping[int, list[Polygon]],
    *,
    measurements: Mapping[str, NDArray[Any]] | None = None,
    object_type: ObjectType = "detection",
    classification: str | None = None,
    z: int = 0,
    t: int = 0,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write cells of known outlines as `write_geojson` does, without a label image.

    Parameters
    ----------
    path : path
        An existing file is replaced in one step.
    polygons : mapping of int to list of Polygon
        As `cell_polygons` gives them, in pixels of the image. Ids of any size are written in full.
    measurements : mapping of str to array, shape (N,), optional
        In the order of `polygons`.
    object_type, classification, z, t, provenance
        As for `write_geojson`.

    Raises
    ------
    InputError
        If a column is not of one number a cell, or the provenance cannot be stored.
    OutputError
        If the file cannot be written.
    """
    rows = _rows(measurements or {}, len(polygons))
    made = json.loads(encode_provenance(provenance or {}))
    source = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps([made.get("source", made), z, t]))
    properties: dict[str, Any] = {"objectType": object_type}
    if classification is not None:
        properties["classification"] = {"name": classification}
    features = [
        {
            "type": "Feature",
            "id": str(uuid.uuid5(source, str(cell))),
            "geometry": _geometry(pieces) | ({"plane": {"c": -1, "z": z, "t": t}} if z or t else {}),
            "properties": properties | {"name": str(cell)} | ({"measurements": row} if row else {}),
        }
        for (cell, pieces), row in zip(polygons.items(), rows, strict=True)
    ]
    document = {"type": "FeatureCollection", **({"provenance": made} if made else {}), "features": features}
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="ascii")


def _rows(columns: Mapping[str, NDArray[Any]], count: int) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = [{} for _ in range(count)]
    for name, column in columns.items():
        if np.shape(column) != (count,):
            raise InputError(
                f"measurement {name!r} has shape {np.shape(column)}, expected ({count},): one number a cell"
            )
        if name != "label":
            for row, value in zip(rows, np.asarray(column).tolist(), strict=True):
                if math.isfinite(value):
                    row[name] = value
    return rows


def _geometry(pieces: list[Polygon]) -> dict[str, Any]:
    # GeoJSON wants exteriors counterclockwise by the sign of their area, as they are, and closed rings.
    rings = [[[*ring.tolist(), ring[0].tolist()] for ring in piece.rings] for piece in pieces]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings[0]}
    return {"type": "MultiPolygon", "coordinates": rings}


class GeojsonFormat(PlaneFormat, BlockFormat):
    """Polygons with measurements for QuPath."""

    name = "geojson"
    ending = "_cells.geojson"
    folder_ending = "polygons.geojson"
    suffix = ".geojson"
    meaning = "objects with measurements for QuPath"
    needs_channels = True
    needs_outlines = True

    def write(self, path: Path, result: PlaneResult) -> None:
        """Write the cells of a plane, at its slice and time."""
        write_geojson(
            path,
            result.labels,
            measurements=result.table,
            z=result.z or 0,
            t=result.t,
            provenance=result.provenance,
        )

    def write_block(
        self,
        path: Path,
        table: Mapping[str, NDArray[Any]],
        polygons: Mapping[int, list[Polygon]],
        provenance: Mapping[str, Any],
    ) -> None:
        """Write the cells of one block."""
        write_geojson_cells(path, polygons, measurements=table, provenance=provenance)

    def join(self, path: Path, parts: Sequence[StackPart], stack: Stack) -> None:
        """Write the cells of all planes, each at its slice and time."""
        head = {"type": "FeatureCollection", "provenance": stack.provenance, "features": []}
        before, after = json.dumps(head, allow_nan=False, separators=(",", ":")).rsplit("]", 1)
        with atomic_path(path) as temporary, temporary.open("w", encoding="ascii") as file:
            file.write(before)
            separator = ""
            for part in parts:  # one at a time: a long movie has more cells than memory
                for feature in json.loads(part.path.read_text("ascii"))["features"]:
                    file.write(separator + json.dumps(feature, separators=(",", ":")))
                    separator = ","
            file.write(f"]{after}")
