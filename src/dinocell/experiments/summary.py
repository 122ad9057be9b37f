"""The tables of a folder of results: `summary.csv`, a row an image, and `cells.csv`, a row a cell."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dinocell.experiments.planes import ResultImage, ResultPlane, find_results
from dinocell.io.spreadsheets import csv_header, join_tables, write_rows
from dinocell.measure.cells import INTENSITY_COLUMNS
from dinocell.measure.confidence import doubt_about
from dinocell.results.table import join_parquet, parquet_names
from dinocell.version import __version__

logger = logging.getLogger(__name__)

SUMMARY_FILE, CELLS_STEM = "summary.csv", "cells"

FIRST_COLUMNS = ("image", "folder", "t", "z", "target", "cells")
"""Columns that `summary.csv` has first; those of `MEASURED` follow, then mean intensities."""

MEASURED = ("cells_per_mm2", "confluence", "median_area", "median_area_um2")
"""Columns that a record holds under the same name."""

LAST_COLUMNS = ("mean_confidence", "flags")


def write_summary(folder: Path) -> list[Path]:
    """Write the tables over all images of a folder of results; those of earlier calls are replaced.

    Parameters
    ----------
    folder : Path
        As `dinocell segment` wrote it, in this call and in earlier ones.

    Returns
    -------
    list of Path
        Files that were written: none where there are no results, and `cells.csv` or `cells.parquet` where
        the results have such tables.

    Raises
    ------
    OutputError
        If a file cannot be written.
    MissingExtraError
        If tables are Parquet and pyarrow is not installed.
    """
    images = list(find_results(folder))
    if not images:
        return []
    summary = folder / SUMMARY_FILE
    write_rows(summary, summarize(plane for image in images for plane in image.planes))
    return [summary, *_write_cells(folder, images)]


def summarize(planes: Iterable[ResultPlane]) -> list[list[object]]:
    """Return the rows of `summary.csv`, the names of its columns first.

    A number that is not known is empty: a density without a pixel size, an area without cells.
    """
    planes = list(planes)
    intensities = list(dict.fromkeys(name for plane in planes for name in plane.found if _is_intensity(name)))
    rows: list[list[object]] = [[*FIRST_COLUMNS, *MEASURED, *intensities, *LAST_COLUMNS]]
    for plane in planes:
        found = plane.found
        flags = [*found.get("quality", ()), *_doubts(found)]
        cells = [plane.image, plane.folder, plane.t, plane.z, found.get("target"), found.get("cells")]
        measured = [found.get(name) for name in (*MEASURED, *intensities)]
        rows.append([*cells, *measured, found.get("confidence"), "; ".join(map(str, flags))])
    return [["" if value is None else value for value in row] for row in rows]


def _is_intensity(name: str) -> bool:
    return name.startswith(INTENSITY_COLUMNS["intensity_mean"])


def _doubts(found: Mapping[str, Any]) -> list[str]:
    confidence = found.get("confidence")
    doubtful = isinstance(confidence, float) and doubt_about(confidence) is not None
    return ["low confidence"] if doubtful else []


def _is_table(path: Path, kind: str) -> bool:
    """Return whether a file still is a table as `segment` wrote it; people may have saved another one."""
    names = csv_header(path) if kind == "csv" else parquet_names(path)
    if "label" not in names:
        logger.warning("%s is no table of cells any more, and left out of %s.%s", path, CELLS_STEM, kind)
    return "label" in names


def _write_cells(folder: Path, images: list[ResultImage]) -> list[Path]:
    written = []
    for kind in ("csv", "parquet"):
        some = [image for image in images if kind in image.tables and _is_table(image.tables[kind], kind)]
        if not some:
            continue
        path = folder / f"{CELLS_STEM}.{kind}"
        tables = [image.tables[kind] for image in some]
        firsts = [{"image": one.image, "t": one.t, "z": one.z} for image in some for one in image.planes[:1]]
        if kind == "csv":
            join_tables(path, tables, firsts)
        else:
            join_parquet(path, tables, firsts, {"dinocell": __version__})
        written.append(path)
    return written
