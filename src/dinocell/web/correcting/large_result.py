"""A result that is too large for memory: labels in an OME-Zarr, and tables of blocks beside it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.extras import import_extra
from dinocell.large.workspace import Workspace
from dinocell.measure.outlines import Polygon
from dinocell.results.formats import BLOCK_FORMATS
from dinocell.web.archive.archive import Archive
from dinocell.web.archive.records import LARGE_LABELS, ResultRecord
from dinocell.web.correcting.open_result import trace
from dinocell.web.failures import GoneError

MOST_ROWS = 200_000
"""Cells of a table that are sent to a page; more are in the file."""


class LargeResult:
    """Labels of a large result, which cannot be corrected here.

    Parameters
    ----------
    archive : Archive
    record : ResultRecord
        Of kind ``large``.
    """

    def __init__(self, archive: Archive, record: ResultRecord) -> None:
        self.record = record
        self.folder = archive.result_folder(record.id)
        self._arrays = Workspace(self.folder / LARGE_LABELS)

    def read(self, level: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Read a window of a level; beyond the coarsest that is stored, every second pixel of it."""
        stored = level
        while stored and not self._arrays.has_array(str(stored)):
            stored -= 1
        step = 2 ** (level - stored)
        height, width = self._arrays.shape_of(str(stored))
        window = (
            slice(rows.start * step, min(rows.stop * step, height)),
            slice(columns.start * step, min(columns.stop * step, width)),
        )
        return self._arrays.read_array(str(stored), window)[::step, ::step]

    @property
    def tables(self) -> Path | None:
        """Folder of the tables; None where none were written."""
        ending = BLOCK_FORMATS["parquet"].folder_ending
        folder = self.folder / f"{Path(LARGE_LABELS).stem}_{ending}"
        return folder if folder.is_dir() else None

    def table(self) -> dict[str, NDArray[Any]]:
        """Read the measurements of the first `MOST_ROWS` cells."""
        if self.tables is None:
            raise InputError('no table was written: pip install "dinocell[large]", and segment again')
        dataset = import_extra("pyarrow.dataset", extra="large", purpose="tables of large images")
        table = dataset.dataset(self.tables, format="parquet").head(MOST_ROWS)
        columns = {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}
        return {"id": columns.pop("label"), **columns}

    def outline(self, cell: int) -> tuple[list[Polygon], tuple[int, int, int, int]]:
        """Trace a cell of the table; errors as of `OpenResult.outline`."""
        table = self.table()
        (found,) = np.nonzero(table["id"] == cell)
        if not found.size:
            raise GoneError(f"cell {cell} is not there, expected the id of one")
        y0, x0, y1, x1 = (int(table[f"bbox_{side}"][found[0]]) for side in ("y0", "x0", "y1", "x1"))
        window = self._arrays.read_array("0", (slice(y0, y1), slice(x0, x1))) == cell
        return trace(window, (y0, x0)), (y0, x0, y1, x1)
