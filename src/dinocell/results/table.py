"""The table of cells as CSV or Parquet."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.extras import import_extra
from dinocell.io.planes import PathLike
from dinocell.io.saving import atomic_path
from dinocell.io.spreadsheets import join_tables, write_rows
from dinocell.measure.outlines import Polygon
from dinocell.results.result_format import BlockFormat, PlaneFormat, PlaneResult, Stack, StackPart

PROVENANCE_KEY = "dinocell"
"""Key in a Parquet file's schema metadata of the record of how the cells were made, as JSON."""

Table = Mapping[str, NDArray[Any]]

_PURPOSE = "writing Parquet files"


def write_csv(path: PathLike, table: Table) -> None:
    """Write a table as CSV: a line of names, then a line a cell.

    Parameters
    ----------
    path : path
        An existing file is replaced in one step.
    table : mapping of str to array, shape (N,)
        Columns of numbers or booleans. Whole numbers are written in full, others to 6 significant digits,
        NaN as ``nan``, booleans as 1 and 0.

    Raises
    ------
    InputError
        If columns differ in length.
    OutputError
        If the file cannot be written.
    """
    _check_lengths(table)
    columns = [[_format(value) for value in column.tolist()] for column in table.values()]
    write_rows(Path(path), [list(table), *zip(*columns, strict=True)])


def write_parquet(path: PathLike, table: Table, *, provenance: Mapping[str, Any]) -> None:
    """Write a table as Parquet, every column in its own dtype.

    Parameters
    ----------
    path : path
        An existing file is replaced in one step.
    table : mapping of str to array, shape (N,)
        Columns of numbers or booleans.
    provenance : mapping
        How the cells were made, of what JSON can hold; stored in the schema's metadata under
        `PROVENANCE_KEY`.

    Raises
    ------
    InputError
        If columns differ in length.
    OutputError
        If the file cannot be written.
    MissingExtraError
        If pyarrow is not installed.
    """
    arrow = arrow_table(table, provenance)
    parquet = import_extra("pyarrow.parquet", extra="io", purpose=_PURPOSE)
    with atomic_path(path) as temporary:
        parquet.write_table(arrow, temporary)


def arrow_table(table: Table, provenance: Mapping[str, Any]) -> Any:
    """Convert a table to the pyarrow.Table that `write_parquet` writes.

    Raises
    ------
    InputError
        If columns differ in length.
    MissingExtraError
        If pyarrow is not installed.
    """
    _check_lengths(table)
    pyarrow = import_extra("pyarrow", extra="io", purpose=_PURPOSE)
    # Arrow takes native byte order only.
    columns = {
        name: pyarrow.array(np.ascontiguousarray(column, column.dtype.newbyteorder("=")))
        for name, column in table.items()
    }
    return pyarrow.table(columns, metadata={PROVENANCE_KEY: json.dumps(provenance, ensure_ascii=False)})


def parquet_names(path: Path) -> list[str]:
    """Read the names of the columns of a Parquet file; none where it is not one."""
    pyarrow = import_extra("pyarrow", extra="io", purpose=_PURPOSE)
    parquet = import_extra("pyarrow.parquet", extra="io", purpose=_PURPOSE)
    try:
        return list(parquet.read_schema(path).names)
    except pyarrow.ArrowException:
        return []


def join_parquet(
    path: PathLike,
    tables: Sequence[Path],
    firsts: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
) -> None:
    """Write several Parquet tables as one, a row group a table.

    Arguments are those of `dinocell.io.spreadsheets.join_tables`. A column that some lack is null there.

    Raises
    ------
    OutputError
        If the file cannot be written.
    MissingExtraError
        If pyarrow is not installed.
    """
    pyarrow = import_extra("pyarrow", extra="io", purpose=_PURPOSE)
    parquet = import_extra("pyarrow.parquet", extra="io", purpose=_PURPOSE)
    schemas = [parquet.read_schema(table).remove_metadata() for table in tables]
    own = pyarrow.unify_schemas(schemas, promote_options="permissive")
    before = [pyarrow.field(name, pyarrow.scalar(value).type) for name, value in firsts[0].items()]
    fields = [field for field in before if field.name not in own.names] + list(own)
    made = json.dumps(provenance, ensure_ascii=False)
    schema = pyarrow.schema(fields, metadata={PROVENANCE_KEY: made})
    with atomic_path(path) as temporary, parquet.ParquetWriter(temporary, schema) as file:
        for table, first in zip(tables, firsts, strict=True):
            rows = parquet.read_table(table)
            columns = [
                rows[field.name].cast(field.type)
                if field.name in rows.column_names
                else pyarrow.repeat(pyarrow.scalar(first.get(field.name), field.type), rows.num_rows)
                for field in fields
            ]
            file.write_table(pyarrow.table(columns, schema=schema))


def _format(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:.6g}"


def _check_lengths(table: Table) -> None:
    shapes = {column.shape for column in table.values()}
    if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
        raise InputError(
            f"table has columns of shapes {', '.join(map(str, sorted(shapes)))}, expected (N,) for all"
        )


class CsvFormat(PlaneFormat):
    """Table of cells for spreadsheets and R."""

    name = "csv"
    ending = "_cells.csv"
    meaning = "a row a cell"
    needs_channels = True
    by_default = True

    def write(self, path: Path, result: PlaneResult) -> None:
        """Write the table."""
        write_csv(path, result.table)

    def join(self, path: Path, parts: Sequence[StackPart], stack: Stack) -> None:
        """Write the tables of all planes as one, with time and slice before the other columns."""
        places = [{"t": part.t, "z": part.z or 0} for part in parts]
        join_tables(path, [part.path for part in parts], places)


class ParquetFormat(PlaneFormat, BlockFormat):
    """Table of cells with types, which also holds how it was made."""

    name = "parquet"
    ending = "_cells.parquet"
    folder_ending = "cells.parquet"
    suffix = ".parquet"
    meaning = "table, typed"
    needs_channels = True

    def write(self, path: Path, result: PlaneResult) -> None:
        """Write the table."""
        write_parquet(path, result.table, provenance=result.provenance)

    def join(self, path: Path, parts: Sequence[StackPart], stack: Stack) -> None:
        """Write the tables of all planes as one, with time and slice before the other columns."""
        places = [{"t": part.t, "z": part.z or 0} for part in parts]
        join_parquet(path, [part.path for part in parts], places, stack.provenance)

    def write_block(
        self,
        path: Path,
        table: Table,
        polygons: Mapping[int, list[Polygon]],
        provenance: Mapping[str, Any],
    ) -> None:
        """Write the table of one block."""
        write_parquet(path, table, provenance=provenance)


TABLE_FORMATS: dict[str, Callable[[PathLike, Table, Mapping[str, Any]], None]] = {
    CsvFormat.name: lambda path, table, _: write_csv(path, table),
    ParquetFormat.name: lambda path, table, provenance: write_parquet(path, table, provenance=provenance),
}
"""Writers of tables alone, by format: path, table, and how its cells were made."""
