"""Planes of a folder of results, as the records that `dinocell segment` keeps beside them describe them."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dinocell.datasets.belonging import LOG_FILE, RECORD_ENDING
from dinocell.io.saving import printable
from dinocell.io.selection import PLANE_SUFFIX
from dinocell.results.formats import PLANE_FORMATS
from dinocell.results.record import ResultRecord, read_record
from dinocell.results.table import TABLE_FORMATS


@dataclass(frozen=True)
class ResultPlane:
    """One plane that was segmented.

    Attributes
    ----------
    image : str
        Name of the image's results, with folders that they lie in; the same for all planes of an image.
    folder : str
        Folder of the image, relative to the one that was given; its own name where there is none.
    t, z : int
        Counted from 0; z is 0 for a projection.
    found : mapping
        What was found: cells, confidence and so on, as the record has it.
    """

    image: str
    folder: str
    t: int
    z: int
    found: Mapping[str, Any]


@dataclass(frozen=True)
class ResultImage:
    """Results that share a record: a plane, or a stack of them.

    Attributes
    ----------
    planes : tuple of ResultPlane
    tables : mapping of str to Path
        Tables of cells that are there, by format.
    """

    planes: tuple[ResultPlane, ...]
    tables: Mapping[str, Path]


def find_results(folder: Path) -> Iterator[ResultImage]:
    """Yield the finished results of a folder and those below it, by their records.

    A subfolder with a log of its own holds the results of other calls, and is passed over; so are the planes
    of a stack that is not complete yet, and records that cannot be read.
    """
    for parent, below, names in os.walk(folder):
        if Path(parent) != folder and LOG_FILE in names:
            below.clear()
            continue
        below.sort()
        for name in sorted(name for name in names if name.endswith(RECORD_ENDING)):
            record = read_record(Path(parent, name))
            if record is not None and record.finished and not record.part_of:
                yield _as_image(Path(parent, name.removesuffix(RECORD_ENDING)), folder, record)


def _as_image(results: Path, folder: Path, record: ResultRecord) -> ResultImage:
    name = _image_name(results, record)
    relative = results.relative_to(folder)
    image = printable(relative.with_name(name).as_posix())
    home = relative.parent.as_posix() if relative.parent != Path() else Path(record.source).parent.name
    source = record.provenance.get("source")
    source = source if isinstance(source, Mapping) else {}
    stacked = record.result.get("planes")
    found = stacked if isinstance(stacked, list) else [record.result | {key: source.get(key) for key in "tz"}]
    planes = tuple(
        ResultPlane(image, printable(home), _index(one.get("t")), _index(one.get("z")), one)
        for one in found
        if isinstance(one, dict)
    )
    tables = {
        kind: results.with_name(f"{results.name}{PLANE_FORMATS[kind].ending}") for kind in TABLE_FORMATS
    }
    there = {kind: path for kind, path in tables.items() if path.name in record.files and path.is_file()}
    return ResultImage(planes, there)


def _image_name(results: Path, record: ResultRecord) -> str:
    """Return the name of results without the time and slice of a plane; a scene stays."""
    stem = record.stem
    if not stem or not results.name.startswith(stem):
        return results.name
    found = PLANE_SUFFIX.search(results.name[len(stem) :])
    scene = found["scene"] if found else None
    return f"{stem}_s{scene}" if scene else stem


def _index(value: object) -> int:
    return value if type(value) is int else 0
