"""The table of cells with their polygons, as GeoParquet 1.1.0."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.extras import import_extra
from dinocell.io.planes import PathLike
from dinocell.io.saving import atomic_path
from dinocell.measure.outlines import Polygon
from dinocell.results.result_format import BlockFormat
from dinocell.results.table import Table, arrow_table

_PURPOSE = "writing GeoParquet files"


def write_geoparquet(
    path: PathLike,
    table: Table,
    polygons: Mapping[int, list[Polygon]],
    *,
    provenance: Mapping[str, Any],
) -> None:
    """Write a table as Parquet, with the outlines of the cells in one more column, ``geometry``.

    A geometry is a Polygon, or a MultiPolygon of a cell in several pieces, as WKB. Coordinates are pixels (x
    to the right, y down) with the corner of the upper left pixel at 0, 0, so no reference system is named.

    Parameters
    ----------
    path : path
        An existing file is replaced in one step.
    table : mapping of str to array, shape (N,)
        Columns of numbers or booleans, ``label`` among them.
    polygons : mapping of int to list of Polygon
        By label, as `dinocell.measure.outlines.cell_polygons` gives them.
    provenance : mapping
        As for `dinocell.results.table.write_parquet`.

    Raises
    ------
    InputError
        If columns differ in length, or a cell of the table has no polygon.
    OutputError
        If the file cannot be written.
    MissingExtraError
        If pyarrow or shapely is not installed.
    """
    arrow = arrow_table(table, provenance)
    pyarrow = import_extra("pyarrow", extra="io", purpose=_PURPOSE)
    parquet = import_extra("pyarrow.parquet", extra="io", purpose=_PURPOSE)
    shapely = import_extra("shapely", extra="large", purpose=_PURPOSE)
    geometries = _geometries(table["label"], polygons, shapely)
    wkb = pyarrow.array(shapely.to_wkb(geometries, byte_order=1).tolist(), pyarrow.binary())
    geo = json.dumps(_describe(geometries, shapely))
    arrow = arrow.append_column("geometry", wkb)
    arrow = arrow.replace_schema_metadata({**arrow.schema.metadata, "geo": geo})
    with atomic_path(path) as temporary:
        parquet.write_table(arrow, temporary)


def _geometries(
    labels: NDArray[Any], polygons: Mapping[int, list[Polygon]], shapely: Any
) -> NDArray[np.object_]:
    geometries = np.empty(len(labels), object)
    for row, cell in enumerate(labels.tolist()):
        pieces = [shapely.Polygon(piece.exterior, piece.holes) for piece in polygons.get(cell, ())]
        if not pieces:
            raise InputError(
                f"polygons have none of cell {cell}, expected one at least of every label in the table: "
                "trace all its cells"
            )
        geometries[row] = pieces[0] if len(pieces) == 1 else shapely.MultiPolygon(pieces)
    return geometries


def _describe(geometries: NDArray[np.object_], shapely: Any) -> dict[str, Any]:
    """Return the metadata of GeoParquet, which a file has under the key ``geo``."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": sorted({geometry.geom_type for geometry in geometries}),
        "crs": None,  # pixels, of no place on Earth: if it were left out, it would be degrees
    }
    if len(geometries):
        column["bbox"] = shapely.total_bounds(geometries).tolist()
    if _is_oriented(shapely.get_parts(geometries), shapely):
        column["orientation"] = "counterclockwise"
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def _is_oriented(pieces: NDArray[np.object_], shapely: Any) -> bool:
    """Return whether exteriors run counterclockwise and holes clockwise, by the sign of their area."""
    exteriors, rings = shapely.get_exterior_ring(pieces), shapely.get_rings(pieces)
    # If all exteriors are counterclockwise and no other ring is, no hole is either.
    return bool(shapely.is_ccw(exteriors).all() and shapely.is_ccw(rings).sum() == len(exteriors))


class GeoparquetFormat(BlockFormat):
    """Table of cells with their polygons."""

    name = "geoparquet"
    folder_ending = "polygons.parquet"
    suffix = ".parquet"
    meaning = "table with polygons"
    needs_outlines = True

    def write_block(
        self,
        path: Path,
        table: Table,
        polygons: Mapping[int, list[Polygon]],
        provenance: Mapping[str, Any],
    ) -> None:
        """Write the table and the polygons of one block."""
        write_geoparquet(path, table, polygons, provenance=provenance)
