"""Tables of rows as CSV, columns by name."""

from collections.abc import Iterable
from pathlib import Path

from dinocell.io.spreadsheets import write_rows

Row = dict[str, object]


def write_table(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as CSV; numbers with six significant digits, undefined ones empty; see `write_rows`.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    write_rows(path, [columns, *([_cell(row.get(column, "")) for column in columns] for row in rows)])


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return value
