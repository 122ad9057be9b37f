"""Which plane of which image a result is of: as the record of `dinocell segment` says, else by its name."""

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dinocell.datasets.belonging import RECORD_ENDING
from dinocell.errors import InputError
from dinocell.images import IMAGE_SUFFIXES, MICROSCOPE_SUFFIXES, is_ome_zarr, open_image, stem_of
from dinocell.opening import MAX_BYTES, open_regular
from dinocell.planes import Pixels
from dinocell.selection import Place, Projection, read_place

# As `dinocell.selection.select_places` writes it: with fewer digits it is the user's own name.
_SUFFIX = re.compile(
    r"(?:_s(?P<scene>\d{2,9}))?(?:_t(?P<t>\d{4,9}))?(?:_z(?P<z>\d{3,9}|max|mean))?\Z", re.ASCII
)


@dataclass(frozen=True)
class Plane:
    """One plane of an image file.

    Attributes
    ----------
    scene, t : int
        Counted from 0.
    z : int or None
        None where the slices are projected.
    projection : "max", "mean" or None
    channel : int or None
        The one that was segmented; None is the only one, or colour.
    """

    scene: int = 0
    t: int = 0
    z: int | None = 0
    projection: Projection | None = None
    channel: int | None = None

    @property
    def suffix(self) -> str:
        """What names of its results may have, were there several scenes, times and slices."""
        z = self.projection if self.z is None else f"{self.z:03d}"
        return f"_s{self.scene:02d}_t{self.t:04d}_z{z}"

    def read(self, path: Path, channel: int | str | None = None) -> Pixels:
        """Read it, of `channel` where one is given; errors as of `open_image` and `read_place`."""
        with open_image(path, scene=self.scene) as image:
            place = Place(self.t, self.z, self.projection, "")
            for axis, index in (("time", self.t), ("slice", self.z or 0)):
                count = image.info.shape[0 if axis == "time" else 2]
                if index >= count:
                    raise InputError(f"{path} has no {axis} {index}, expected 0 to {count - 1}")
            return read_place(image, place, self.channel if channel is None else channel)


@dataclass(frozen=True)
class Origin:
    """An image file, and the plane of it that results are of."""

    image: Path
    plane: Plane


def find_origin(result: str, folder: Path, images: Path) -> Origin | None:
    """Find the image that results are of.

    Parameters
    ----------
    result : str
        Name of the results without their ending.
    folder : Path
        Where they are, perhaps with their record.
    images : Path
        The image, or a folder of images.

    Returns
    -------
    Origin or None
        What the record says, if the image is there. Else the image of that very name; else the one whose name
        it is without ``_s02``, ``_t0003``, ``_z004``, ``_zmax`` and ``_zmean``. A single image is taken
        whatever it is called, and the scene that the name ends in if it has such a scene.

    Raises
    ------
    InputError
        If several images have the name.
    """
    is_folder = images.is_dir() and not is_ome_zarr(images)
    files = _images_in(images) if is_folder else [images]
    if recorded := read_origin(result, folder, files):
        return recorded
    named = _by_name(result, files)
    return named if named or is_folder else Origin(images, _plane_in(images, plane_named(result)))


def read_origin(result: str, folder: Path, files: Sequence[Path]) -> Origin | None:
    """Read from the record of results which of some files they are of; None where it does not say."""
    record = _read_record(folder / f"{result}{RECORD_ENDING}")
    source = record.get("provenance", {}).get("source") if record else None
    if not isinstance(source, dict):
        return None
    listed = source.get("files")
    names = {source.get("name"), *(listed if isinstance(listed, list) else ())}
    where = record.get("source")
    found = [file for file in files if file.name in names]
    exact = [file for file in found if str(file.resolve()) == where]
    plane = _plane_of(source)
    return Origin((exact or found)[0], plane) if found and plane else None


def plane_named(suffix: str) -> Plane:
    """Make the plane of what follows an image's stem in the names of its results.

    Examples
    --------
    >>> plane_named("_s02_t0003_zmax")
    Plane(scene=2, t=3, z=None, projection='max', channel=None)
    """
    found = _SUFFIX.search(suffix)
    parts: Mapping[str, str | None] = found.groupdict() if found else {}
    scene, t, z = (parts.get(part) or "0" for part in ("scene", "t", "z"))
    projection: Projection | None = "max" if z == "max" else "mean" if z == "mean" else None
    return Plane(int(scene), int(t), None if projection else int(z), projection)


def _plane_in(image: Path, plane: Plane) -> Plane:
    """Return a plane, or the first one where the image has no such scene: then the name is the user's own."""
    with open_image(image) as opened:
        return plane if plane.scene < len(opened.info.scenes) else Plane()


def _by_name(result: str, files: Sequence[Path]) -> Origin | None:
    for stem in dict.fromkeys((result, _SUFFIX.sub("", result))):
        found = [file for file in files if stem in (stem_of(file), file.stem)]
        if len(found) > 1:
            raise InputError(
                f"{found[0]} and {found[1].name} may both be the image of {result}, expected one of that "
                "name: name the image itself, or rename one"
            )
        if found:
            return Origin(found[0], plane_named(result[len(stem) :]))
    return None


def _images_in(folder: Path) -> list[Path]:
    """List what may be an image by its ending; hidden files are none."""
    suffixes = (*IMAGE_SUFFIXES, *MICROSCOPE_SUFFIXES)
    files = (file for file in sorted(folder.iterdir()) if not file.name.startswith("."))
    return [
        file for file in files if file.suffix.lower() in suffixes and (file.is_file() or is_ome_zarr(file))
    ]


def _read_record(path: Path) -> dict[str, Any]:
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8") as file:
            record = json.loads(file.read(MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) and isinstance(record.get("provenance"), dict) else {}


def _plane_of(source: Mapping[str, Any]) -> Plane | None:
    """Make the plane that a record names; None where what it says is none."""
    z, channel = source.get("z"), source.get("channel_number")
    projection: Projection | None = "max" if z == "max" else "mean" if z == "mean" else None
    numbers = [source.get("scene_number", 0), source.get("t"), 0 if projection else z, channel or 0]
    if not all(type(number) is int and 0 <= number < 2**31 for number in numbers):
        return None
    return Plane(numbers[0], numbers[1], None if projection else numbers[2], projection, channel)
