"""Write CSV files that a spreadsheet shows as they are written, and never computes."""

import csv
from collections.abc import Iterable
from pathlib import Path

from dinocell.io.saving import atomic_path

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
"""First characters of texts that Excel, LibreOffice and Google Sheets take for formulas (OWASP)."""


def write_rows(path: Path, rows: Iterable[Iterable[object]]) -> None:
    """Write rows as CSV in UTF-8; the first one is usually the header.

    Texts come from names of files, folders and channels, which anybody may have chosen.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([escape_formula(cell) for cell in row] for row in rows)


def escape_formula(cell: object) -> object:
    """Return a cell, with an apostrophe before it if it would be taken for a formula.

    Examples
    --------
    >>> escape_formula("=1+1"), escape_formula("-0.5"), escape_formula(-0.5)
    ("'=1+1", '-0.5', -0.5)
    """
    if not isinstance(cell, str) or not cell.startswith(FORMULA_SIGNS) or _is_number(cell):
        return cell
    return f"'{cell}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
