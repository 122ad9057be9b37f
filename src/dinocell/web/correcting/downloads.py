"""Files of a result, in every format that results have."""

import zipfile
from pathlib import Path

from dinocell.errors import InputError
from dinocell.io.images import stem_of
from dinocell.results.formats import PLANE_FORMATS
from dinocell.web.archive.records import LARGE_LABELS, ImageRecord, ResultRecord
from dinocell.web.correcting.large_result import LargeResult
from dinocell.web.correcting.open_result import OpenResult
from dinocell.web.failures import GoneError
from dinocell.web.messages import Format

_LARGE = {
    "zarr": Format(name="zarr", suffix="_labels.zarr.zip", meaning="labels with a pyramid, as OME-Zarr"),
    "parquet": Format(name="parquet", suffix="_cells.parquet.zip", meaning="tables of cells, a file a block"),
}
_EDITS = Format(name="edits", suffix="_edits.jsonl", meaning="edits made by hand, for `dinocell edit`")


def formats_of(record: ResultRecord) -> list[Format]:
    """List the formats that a result can be fetched in."""
    if record.kind == "large":
        return list(_LARGE.values())
    plane = [
        Format(name=name, suffix=found.ending, meaning=found.meaning)
        for name, found in reversed(PLANE_FORMATS.items())
        if found.ending and (record.kind == "map" or not found.needs_map)
    ]
    return [*plane, _EDITS]


def write_download(
    found: OpenResult | LargeResult, image: ImageRecord, name: str, folder: Path
) -> tuple[Path, str]:
    """Write a result in a format.

    Parameters
    ----------
    found : OpenResult or LargeResult
    image : ImageRecord
    name : str
        Of the format.
    folder : Path
        Existing one for the file.

    Returns
    -------
    Path
        The file.
    str
        What a user would call it.

    Raises
    ------
    GoneError
        If there is no such format of this result.
    MissingExtraError
        If the format needs a package that is not installed.
    """
    formats = {each.name: each for each in formats_of(found.record)}
    if name not in formats:
        raise GoneError(f"format is {name!r:.40}, expected one of {', '.join(formats)}")
    shown = f"{stem_of(Path(image.name))}{_plane_suffix(image)}{formats[name].suffix}"
    target = folder / f"download{formats[name].suffix}"
    if isinstance(found, LargeResult):
        part = found.folder / LARGE_LABELS if name == "zarr" else found.tables
        if part is None:
            raise InputError('no table was written: pip install "dinocell[large]", and segment again')
        _zip(part, target)
    elif name == _EDITS.name:
        with found.lock:
            found.write_edits(target)
    else:
        with found.lock:
            plane = found.plane()
        PLANE_FORMATS[name].write(target, plane)
    return target, shown


def _plane_suffix(image: ImageRecord) -> str:
    """Return what keeps the names of a file's planes apart, as `dinocell segment` does."""
    parts = (
        (image.scenes, f"_s{image.place['scene']:02d}"),
        (image.times, f"_t{image.place['time']:04d}"),
        (image.slices, f"_z{image.place['z']:03d}"),
    )
    return "".join(part for count, part in parts if count > 1)


def _zip(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, Path(folder.name) / path.relative_to(folder))
