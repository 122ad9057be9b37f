"""Tables of pairs: a CSV file that names an image and its masks in every row."""

import csv
import difflib
import io
from pathlib import Path

from dinocell.datasets.dataset_format import DatasetFormat
from dinocell.datasets.folder import Pair
from dinocell.datasets.origin import ImagePlane
from dinocell.errors import FileFormatError, FileMissingError
from dinocell.io.images import is_ome_zarr, stem_of
from dinocell.io.opening import read_whole
from dinocell.io.selection import Projection

TABLE_COLUMNS = ("image", "masks", "ignore", "name", "channel", "scene", "t", "z")
"""Columns that a header may name, in any order; the first two are required."""

_EXPECTED = "the columns image and masks, and perhaps ignore, name, channel, scene, t and z"


def find_items(table: Path) -> list[Pair]:
    """List the annotated images of a table, sorted by name.

    Parameters
    ----------
    table : Path
        Text in UTF-8, separated by commas, semicolons or tabs. The header holds ``image``, ``masks`` and
        any other of `TABLE_COLUMNS`. Paths are relative to the table's folder. Without a ``name`` it is the
        image's stem and the plane; with a ``channel``, by name or number (from 0), only that one is
        read.

    Returns
    -------
    list of Pair
        At least one.

    Raises
    ------
    FileMissingError
        If the table, or a file that it names, does not exist.
    FileFormatError
        If the table cannot be read, has no rows or unknown columns, or a row (its number is named, the header
        is row 1) is incomplete, too long, or has the name of another one.
    """
    header, rows = _read_rows(table)
    _check_header(table, header)
    pairs: dict[str, Pair] = {}
    for number, cells in rows.items():
        where = f"{table} row {number}"
        if len(cells) > len(header):
            raise FileFormatError(
                f"{where} has {len(cells)} cells, expected {len(header)} as in the header: "
                "put a value that holds the separator into quotes"
            )
        pair = _make_pair(table.parent, where, dict(zip(header, cells, strict=False)))
        if pair.name in pairs:
            raise FileFormatError(
                f"{where} has the name {pair.name!r} of another row: give each its own in a column 'name'"
            )
        pairs[pair.name] = pair
    if not pairs:
        raise FileFormatError(f"{table} has a header but no rows: add one row an image")
    return [pairs[name] for name in sorted(pairs)]


def _read_rows(table: Path) -> tuple[list[str], dict[int, list[str]]]:
    """Read the header, and the rows that are not empty by their number in the file."""
    try:
        text = read_whole(table).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise FileMissingError(f"no file {table}: expected a CSV table with {_EXPECTED}") from error
    except OSError as error:
        raise FileFormatError(
            f"{table} cannot be opened ({error.strerror}), expected a CSV file: check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{table} is not UTF-8 text: save it again as CSV UTF-8") from error
    rows: dict[int, list[str]] = {}
    number = 0
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=_delimiter(text), skipinitialspace=True, strict=True
    )
    try:
        for number, row in enumerate(reader, start=1):
            cells = [cell.strip() for cell in row]
            if number == 1 or any(cells):
                rows[number] = cells
    except csv.Error as error:
        raise FileFormatError(f"{table} row {number + 1}: {error}; save it again as CSV UTF-8") from error
    return rows.pop(1, []), rows


def _delimiter(text: str) -> str:
    """Detect the separator of columns, from the header alone: values may hold the other separators."""
    try:
        return csv.Sniffer().sniff("".join(text.splitlines()[:1]), ",;\t").delimiter
    except csv.Error:  # a single column
        return ","


def _check_header(table: Path, header: list[str]) -> None:
    where = f"{table} row 1"
    for position, column in enumerate(header, start=1):
        if column not in TABLE_COLUMNS:
            near = difflib.get_close_matches(column.casefold(), TABLE_COLUMNS, n=1)
            hint = (
                f": did you mean {near[0]!r}?" if near else f", expected some of {', '.join(TABLE_COLUMNS)}"
            )
            raise FileFormatError(f"{where}: unknown column {column!r} ({position}){hint}")
        if header.count(column) > 1:
            raise FileFormatError(f"{where} names the column {column!r} twice: remove one")
    missing = [column for column in TABLE_COLUMNS[:2] if column not in header]
    if missing:
        raise FileFormatError(
            f"{where} has no column {' and no '.join(map(repr, missing))}, expected {_EXPECTED}"
        )


def _make_pair(folder: Path, where: str, row: dict[str, str]) -> Pair:
    """Check one row; `where` names it."""
    paths = {column: folder / row[column] for column in TABLE_COLUMNS[:3] if row.get(column)}
    for column in TABLE_COLUMNS[:2]:
        if column not in paths:
            raise FileFormatError(f"{where} has no {column}: name a file")
    for column, path in paths.items():
        if not (path.is_file() or is_ome_zarr(path)):
            raise FileMissingError(f"{where}: no file {path}, expected the {column} there: check the path")
    plane, suffix = _plane_of(where, row)
    return Pair(
        name=row.get("name") or f"{stem_of(paths['image'])}{suffix}",
        image=paths["image"],
        masks=paths["masks"],
        ignore=paths.get("ignore"),
        channel=row.get("channel") or None,
        plane=plane,
    )


def _plane_of(where: str, row: dict[str, str]) -> tuple[ImagePlane | None, str]:
    """Parse the plane of a row, and what `dinocell segment` would add to the image's name for it."""
    scene, t, z = (row.get(column, "") for column in ("scene", "t", "z"))
    if not (scene or t or z):
        return None, ""
    projection: Projection | None = "max" if z == "max" else "mean" if z == "mean" else None
    for column, text in (("t", t), ("z", "" if projection else z)):
        if text and not (text.isascii() and text.isdecimal() and len(text) < 10):
            kinds = "a number from 0" + (", max or mean" if column == "z" else "")
            raise FileFormatError(f"{where} has the {column} {text!r}, expected {kinds}, or nothing")
    parts = [f"_s{scene.zfill(2)}" if scene else "", f"_t{t.zfill(4)}" if t else ""]
    parts += [f"_z{z if projection else z.zfill(3)}" if z else ""]
    plane = ImagePlane(
        scene or None, int(t) if t else None, int(z) if z and not projection else None, projection
    )
    return plane, "".join(parts)


def _is_table(path: Path) -> bool:
    return path.suffix.lower() == ".csv" and not path.is_dir()


FORMAT = DatasetFormat(
    name="csv",
    input="A table with the columns image and masks, perhaps ignore, name, channel, scene, t and z.",
    find_items=find_items,
    recognises=_is_table,
)
