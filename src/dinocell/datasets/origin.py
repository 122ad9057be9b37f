"""Origin of a result, an image and its plane: from the record of `dinocell segment`, or from its name."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dinocell.datasets.belonging import RECORD_ENDING
from dinocell.errors import FileMissingError, InputError
from dinocell.io.images import Image, is_ome_zarr, open_image, read_image, stem_of
from dinocell.io.opening import read_json_object
from dinocell.io.readers.formats import IMAGE_SUFFIXES, MICROSCOPE_SUFFIXES
from dinocell.io.readers.tiff_directories import MAX_PAGES
from dinocell.io.selected_planes import find_channel, read_selected_plane
from dinocell.io.selection import PLANE_SUFFIX, Projection, SelectedPlane

_PROJECTIONS: dict[str, Projection] = {"max": "max", "mean": "mean"}


@dataclass(frozen=True)
class ImagePlane:
    """One plane of an image file; a part that is None is the only one of its kind.

    Attributes
    ----------
    scene : int, str or None
        Number from 0, or name, as `open_image` takes it.
    t, z : int or None
        Counted from 0.
    projection : "max", "mean" or None
        Over all slices, in place of `z`.
    channel : int, str or None
        The one that was segmented, as `dinocell.io.selected_planes.read_selected_plane` takes it.
    """

    scene: int | str | None = None
    t: int | None = None
    z: int | None = None
    projection: Projection | None = None
    channel: int | str | None = None

    def read(self, path: Path, channel: int | str | None = None) -> Image:
        """Read the plane, of `channel` where one is given.

        Raises
        ------
        InputError
            If it is not there, or one of several scenes, times, slices or channels is not named.
        DINOCellError
            As `open_image` and `read_selected_plane`.
        """
        with open_image(path, scene=0 if self.scene is None else self.scene) as image:
            times, _, slices = image.info.shape[:3]
            scenes = len(image.info.scenes) if self.scene is None else 1
            _check_index(None, scenes, f"{path} has {scenes} scenes")
            t = _check_index(self.t, times, f"{path} has {times} times")
            z = None if self.projection else _check_index(self.z, slices, f"{path} has {slices} slices")
            place = SelectedPlane(t, z, self.projection, "")
            pixels = read_selected_plane(image, place, self.channel if channel is None else channel)
            return Image(pixels, "YXS"[: pixels.ndim], image.info.pixel_size_yx_um)


def _check_index(index: int | None, count: int, where: str) -> int:
    if (index is None and count > 1) or (index or 0) >= count:
        asked = "none is named" if index is None else f"{index} is asked for"
        raise InputError(f"{where}, but {asked}, expected 0 to {count - 1}: name the plane that is annotated")
    return index or 0


def read_plane(path: Path, plane: ImagePlane | None, channel: int | str | None) -> Image:
    """Read a plane of an image, or the only one; its axes are ``"YXC"`` where a channel must be chosen."""
    if plane is not None:
        return plane.read(path, channel)
    return read_image(path, channel=channel)


def note_channel(path: Path, plane: ImagePlane | None, channel: int | str | None) -> tuple[str, ...]:
    """Return a note on which of several channels that were named is read; none where only one was."""
    if not isinstance(channel, str) or "," not in channel:
        return ()
    scene = None if plane is None else plane.scene
    with open_image(path, scene=0 if scene is None else scene) as image:
        found = find_channel(image, channel)
    return (f"{path.name}: of channels {channel} it has {found[1]}",) if found and found[1] != channel else ()


@dataclass(frozen=True)
class Origin:
    """An image file, and the plane of it that results are of."""

    image: Path
    plane: ImagePlane


class ImageFiles:
    """Image files by their names, listed once for any number of results.

    Parameters
    ----------
    files : sequence of Path
    folder : Path or None
        Where they are; None is for a single image that was named itself.
    """

    def __init__(self, files: Sequence[Path], folder: Path | None) -> None:
        self.files, self.folder = files, folder
        self._by_name: defaultdict[str, list[Path]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[Path]] = defaultdict(list)
        for file in files:
            self._by_name[file.name].append(file)
            for stem in {stem_of(file), file.stem}:
                self._by_stem[stem].append(file)

    @classmethod
    def from_path(cls, images: Path) -> "ImageFiles":
        """List the images of a folder, or a single image.

        Raises
        ------
        FileMissingError
            If the folder cannot be listed.
        """
        is_folder = images.is_dir() and not is_ome_zarr(images)
        return cls(images_in(images), images) if is_folder else cls([images], None)

    def find_named(self, names: Iterable[Any]) -> list[Path]:
        """Return the files of some names, in the names' order; values that are not texts name none."""
        texts = dict.fromkeys(name for name in names if isinstance(name, str))
        return [file for name in texts for file in self._by_name.get(name, ())]

    def with_stem(self, stem: str) -> list[Path]:
        """Return the files of that stem, with ``.ome`` or without."""
        return self._by_stem.get(stem, [])


def find_origin(result: str, folder: Path, images: ImageFiles) -> Origin | None:
    """Find the image that results are of.

    Parameters
    ----------
    result : str
        Name of the results without their ending.
    folder : Path
        Where they are, perhaps with their record.
    images : ImageFiles
        The image, or those of a folder.

    Returns
    -------
    Origin or None
        As the record says, if that image is there. Else the image of that very name; else the one of that
        name without ``_s02``, ``_t0003``, ``_z004``, ``_zmax`` and ``_zmean``. A single image is taken
        whatever its name, with the plane that the name of the results ends in if it has such a scene.

    Raises
    ------
    InputError
        If several images have the name.
    """
    if recorded := read_origin(result, folder, images):
        return recorded
    named = find_by_name(result, images)
    if named or images.folder:
        return named
    (image,) = images.files
    return Origin(image, _plane_in(image, parse_plane(result)))


def read_origin(result: str, folder: Path, images: ImageFiles) -> Origin | None:
    """Read the origin of results from their record; None where it names none of these images, or a stack."""
    origins = read_origins(result, folder, images)
    return origins[0] if len(origins) == 1 else None


def read_origins(result: str, folder: Path, images: ImageFiles) -> list[Origin]:
    """Read the origin of every plane of results from their record, in the order of a stack's pages.

    Returns
    -------
    list of Origin
        One, but for a stack; none where the record names none of these images.
    """
    record = read_json_object(folder / f"{result}{RECORD_ENDING}")
    provenance = record.get("provenance")
    source = provenance.get("source") if isinstance(provenance, dict) else None
    if not isinstance(source, dict):
        return []
    listed = source.get("files")
    found = images.find_named([source.get("name"), *(listed if isinstance(listed, list) else ())])
    where = record.get("source")
    exact = [file for file in found if str(file.resolve()) == where]
    return [Origin((exact or found)[0], plane) for plane in _recorded_planes(source)] if found else []


def parse_plane(suffix: str) -> ImagePlane:
    """Parse the plane from what follows an image's stem in the names of its results.

    Examples
    --------
    >>> parse_plane("_s02_t0003_zmax")
    ImagePlane(scene=2, t=3, z=None, projection='max', channel=None)
    """
    found = PLANE_SUFFIX.search(suffix)
    parts: Mapping[str, str | None] = found.groupdict() if found else {}
    projection: Projection | None = _PROJECTIONS.get(parts.get("z") or "")
    texts = (parts.get(part) or "" for part in ("scene", "t", "z"))
    scene, t, z = (int(text) if text.isdecimal() else None for text in texts)
    return ImagePlane(scene, t, z, projection)


def _plane_in(image: Path, plane: ImagePlane) -> ImagePlane:
    """Return a plane, or the first one where the image has no such scene: then the name is the user's own."""
    with open_image(image) as opened:
        return plane if int(plane.scene or 0) < len(opened.info.scenes) else ImagePlane()


def find_by_name(result: str, images: ImageFiles) -> Origin | None:
    """Find the image of results by their name alone, as `find_origin` does without a record."""
    for stem in dict.fromkeys((result, PLANE_SUFFIX.sub("", result))):
        found = images.with_stem(stem)
        if len(found) > 1:
            raise InputError(
                f"{found[0]} and {found[1].name} may both be the image of {result}, expected one of that "
                "name: name the image itself, or rename one"
            )
        if found:
            return Origin(found[0], parse_plane(result[len(stem) :]))
    return None


def images_in(folder: Path) -> list[Path]:
    """List what may be an image by its ending; hidden files are left out."""
    suffixes = (*IMAGE_SUFFIXES, *MICROSCOPE_SUFFIXES)
    try:
        listed = sorted(folder.iterdir())
    except OSError as error:
        raise FileMissingError(
            f"{folder} cannot be listed ({error.strerror or error}), expected a folder of images: check who "
            "may read it"
        ) from error
    files = (file for file in listed if not file.name.startswith("."))
    return [
        file for file in files if file.suffix.lower() in suffixes and (file.is_file() or is_ome_zarr(file))
    ]


def _recorded_planes(source: Mapping[str, Any]) -> list[ImagePlane]:
    """List the planes that a record names; none where its values are not those of planes."""
    scene, channel = source.get("scene_number", 0), source.get("channel_number", source.get("channel"))
    projection = _PROJECTIONS.get(z) if isinstance(z := source.get("z"), str) else None
    times, slices = _numbers(source.get("t")), range(1) if projection else _numbers(z)
    if len(_numbers(scene)) != 1 or not isinstance(channel, int | str | None):
        return []
    return [
        ImagePlane(scene, time, None if projection else number, projection, channel)
        for time in times
        for number in slices
    ]


def _numbers(value: Any) -> range:
    """Return the times or slices that a record names by a number, or by a range ``[first, end]``."""
    first, end = value if isinstance(value, list) and len(value) == 2 else (value, None)
    if not _is_index(first) or not (end is None or _is_index(end)):
        return range(0)
    end = first + 1 if end is None else end
    return range(first, min(end, first + MAX_PAGES))


def _is_index(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31
