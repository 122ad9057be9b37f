"""Label images that a person corrected after `dinocell segment`, with what was left unchecked.

Beside ``NAME_labels.tif``, which `segment` wrote and the person edited in Fiji, napari or QuPath, there may
be ``NAME_unchecked.*``, whose non-zero pixels nobody has looked at: they are ignored. Traces of editing by
hand are repaired and counted: a cell that was cut in two keeps one id, an eraser leaves specks. A label image
that still is as `segment` wrote it is a prediction, not an annotation.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dinocell.datasets.belonging import MASK_ENDINGS, RECORD_ENDING
from dinocell.datasets.items import AnnotatedImage, check_sizes
from dinocell.datasets.listing import image_stems, list_images
from dinocell.datasets.origin import (
    ImageFiles,
    ImagePlane,
    Origin,
    find_by_name,
    images_in,
    note_channel,
    read_origins,
    read_plane,
)
from dinocell.datasets.repairs import Repairs, ignore_unchecked, repair
from dinocell.errors import FileFormatError, FileMissingError, InputError
from dinocell.io.images import open_labels, read_label_plane, read_labels, stem_of
from dinocell.io.opening import open_regular, read_json_object
from dinocell.io.readers.npy import CELLPOSE_ENDING, CELLPOSE_REMEDY
from dinocell.labels import TARGETS, Labels, Target

UNCHECKED_ENDINGS = ("_unchecked", "_ignore")
"""Endings of the stem of the file that marks what nobody has looked at."""


@dataclass(frozen=True)
class Corrected:
    """An image file and its corrected label image.

    Attributes
    ----------
    name : str
        Name of the results: the image's stem, for a plane of a stack with ``_s01``, ``_t0003``, ``_z002``.
    image, labels : Path
    unchecked : Path or None
        Non-zero where nobody has looked; None if all of it was checked.
    channel : int, str or None
        The image's only channel to read, by number (from 0) or name, as of
        `dinocell.io.images.read_image`; None keeps all of them, or that of `plane`.
    plane : ImagePlane or None
        Which plane of the image was segmented; None is the only one.
    outlined : {"cells", "nuclei"} or None
        Target that `segment` outlined, by its record; None without one.
    page : int or None
        Which plane of the label image it is, counted from 0; None is the only one.
    """

    name: str
    image: Path
    labels: Path
    unchecked: Path | None = None
    channel: int | str | None = None
    plane: ImagePlane | None = None
    outlined: Target | None = None
    page: int | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Image, labels, and the mark where there is one."""
        return (
            (self.image, self.labels) if self.unchecked is None else (self.image, self.labels, self.unchecked)
        )

    def read(self) -> AnnotatedImage:
        """Read the image and its repaired labels; errors as `read_repaired`."""
        return self.read_repaired()[0]

    def read_repaired(self) -> tuple[AnnotatedImage, Repairs]:
        """Read the image and its labels, −1 where they are unchecked; return also what was repaired.

        Raises
        ------
        FileMissingError, FileFormatError
            If a file does not exist or cannot be read, holds colours or fractions instead of ids, or is of
            another size than the image.
        InputError
            If the image has no such plane or channel, or a file is a stack.
        """
        image = read_plane(self.image, self.plane, self.channel)
        labels = read_ids(self.labels, self.page)
        check_sizes(self.image, image.pixels, self.labels, labels)
        labels, split, specks = repair(labels)
        unchecked_cells = 0
        if self.unchecked is not None:
            marked = read_ids(self.unchecked, self.page)
            check_sizes(self.image, image.pixels, self.unchecked, marked)
            labels, unchecked_cells = ignore_unchecked(labels, marked)
        repairs = Repairs(split, specks, unchecked_cells, float((labels < 0).mean()))
        annotated = AnnotatedImage(
            image.pixels,
            labels,
            needs_channel=image.axes == "YXC",
            pixel_size_yx_um=image.pixel_size_yx_um,
            channel_names=image.channel_names,
            notes=note_channel(self.image, self.plane, self.channel),
        )
        return annotated, repairs


def find_corrected(
    images: Path, corrected: Path, *, channel: int | str | None = None, accept_unchanged: bool = False
) -> tuple[list[Corrected], dict[str, str]]:
    """Find the corrected label images of a folder of images.

    Parameters
    ----------
    images : Path
        Folder of images, as given to `dinocell segment`.
    corrected : Path
        Folder of ``NAME_labels.*`` (or another of `MASK_ENDINGS`) and perhaps ``NAME_unchecked.*``; other
        files are left alone. It may be `images` itself. Of a stack, ``NAME_t0003_labels.*`` and the like
        are those of its planes. ``NAME_provenance.json`` says which plane of which image was segmented, and
        which channel; without it, the name does.
    channel : int or str, optional
        Read this channel of every image only, by number (from 0) or name.
    accept_unchanged : bool
        Whether to take label images that still are as `segment` wrote them, which the areas in
        ``NAME_cells.csv`` show.

    Returns
    -------
    items : list of Corrected
        At least one, sorted by name.
    left_out : dict of str to str
        Reasons, by name, for which the other images and results are left out.

    Raises
    ------
    FileMissingError, FileFormatError
        If a folder does not exist, a label image cannot be read, no image has one, or one may have several.
    """
    there = list_images(corrected, "NAME_labels.tif files")
    # In one folder for both, an image is not its own label image.
    endings = MASK_ENDINGS[1:] if images.resolve() == corrected.resolve() else MASK_ENDINGS
    items, left_out = [], {}
    for name, origin in _find_sources(images, corrected, there, endings).items():
        results = origin.results or name
        labels = _choose_file(there, results, endings, "label image")
        unchecked = _choose_file(there, results, UNCHECKED_ENDINGS, "mark of what is unchecked")
        trusted = accept_unchanged or unchecked is not None  # whoever marked it has looked at it
        if labels is None:
            left_out[name] = _explain_missing(there, name)
        elif not trusted and _is_as_written(labels, corrected / f"{results}_cells.csv", origin):
            left_out[name] = "still as segment wrote it, so not corrected"
        else:
            outlined = _outlined_target(corrected, results, origin.page)
            items.append(
                Corrected(name, origin.image, labels, unchecked, channel, origin.plane, outlined, origin.page)
            )
    if not items:
        reasons = [f"{name} ({reason})" for name, reason in left_out.items()]
        raise FileMissingError(
            f"{corrected} holds no corrected label image of an image in {images}: "
            f"found {', '.join(reasons[:3]) or 'no image'}; expected NAME_labels.tif as "
            f"`dinocell segment {images} -o {corrected}` writes it, edited"
        )
    return items, left_out


@dataclass(frozen=True)
class _Source:
    """An image, the plane that was segmented where it is known, and which one of a stack's results it is."""

    image: Path
    plane: ImagePlane | None = None
    results: str = ""
    page: int | None = None


def _find_sources(
    images: Path, corrected: Path, there: dict[str, Path], endings: tuple[str, ...]
) -> dict[str, _Source]:
    """Find the image of all results, and the images without any, sorted by name.

    Returns
    -------
    dict
        By the name of the results: the image's own, or that of one of its planes.
    """
    here = list_images(images, "images")
    files = {name: here[name] for name in image_stems(here)}
    files |= {stem_of(file): file for file in images_in(images) if stem_of(file) not in here}
    index = ImageFiles(list(files.values()), images)
    origins: dict[str, _Source] = {}
    for result in _results(there, endings):
        recorded = read_origins(result, corrected, index)
        if len(recorded) > 1:
            origins |= _planes_of(result, recorded)
            continue
        origin = recorded[0] if recorded else None
        if origin is None and result not in files:
            origin = find_by_name(result, index)
        if origin is not None:
            origins[result] = _Source(origin.image, origin.plane)
        elif result in files:
            origins[result] = _Source(files[result])
    seen = {source.image for source in origins.values()}
    origins |= {name: _Source(file) for name, file in files.items() if file not in seen}
    return dict(sorted(origins.items()))


def _planes_of(result: str, origins: list[Origin]) -> dict[str, _Source]:
    """Return the planes of a stack by the names that results of their own would have."""
    several_t, several_z = (len({part(one.plane) for one in origins}) > 1 for part in (_time, _slice))
    return {
        result
        + (f"_t{_time(one.plane):04d}" if several_t else "")
        + (f"_z{_slice(one.plane):03d}" if several_z else ""): _Source(one.image, one.plane, result, page)
        for page, one in enumerate(origins)
    }


def _time(plane: ImagePlane) -> int:
    return plane.t or 0


def _slice(plane: ImagePlane) -> int:
    return plane.z or 0


def read_ids(path: Path, page: int | None) -> Labels:
    """Read a label image, or one plane of a stack of them, counted through its times and slices.

    Raises
    ------
    FileMissingError, FileFormatError
        As `dinocell.io.images.read_labels`.
    InputError
        If the stack has no such plane.
    """
    if page is None:
        return read_labels(path)
    with open_labels(path) as labels:
        times, _, slices = labels.info.shape[:3]
        if page >= times * slices:
            raise InputError(
                f"{path} has {times * slices} planes, expected more than {page}, as its image has: "
                "save all planes in it"
            )
        return read_label_plane(labels, *divmod(page, slices))


def _results(files: Iterable[str], endings: tuple[str, ...]) -> list[str]:
    """List what may be the names of results, by the stems of label images."""
    found = [stem.removesuffix(ending) for stem in files for ending in endings if stem.endswith(ending)]
    return [result for result in dict.fromkeys(found) if result]


def _explain_missing(files: Mapping[str, Path], name: str) -> str:
    """Return why there is no label image, where Cellpose's own file may be taken for one."""
    seg = files.get(name + CELLPOSE_ENDING.removesuffix(".npy"))
    is_cellpose = seg is not None and seg.name.endswith(CELLPOSE_ENDING)
    return f"no label image; {seg.name} {CELLPOSE_REMEDY}" if seg and is_cellpose else "no label image"


def _is_as_written(labels: Path, table: Path, origin: _Source) -> bool:
    """Return whether labels are the cells that `segment` wrote into its table, with the same areas."""
    plane = origin.plane if origin.page is not None else None
    try:
        with io.TextIOWrapper(open_regular(table), encoding="utf-8", newline="") as file:
            written = {
                int(row["label"]): int(row["area"])
                for row in csv.DictReader(file)
                if plane is None or (int(row["t"]), int(row["z"])) == (_time(plane), _slice(plane))
            }
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return False  # not written by segment, or edited as well
    ids, areas = np.unique(read_ids(labels, origin.page), return_counts=True)
    return {
        number: area for number, area in zip(ids.tolist(), areas.tolist(), strict=True) if number
    } == written


def _outlined_target(folder: Path, name: str, page: int | None) -> Target | None:
    """Return the target that `segment` outlined, by its record; that of one plane of a stack."""
    result = read_json_object(folder / f"{name}{RECORD_ENDING}").get("result")
    planes = result.get("planes") if isinstance(result, dict) and page is not None else None
    if isinstance(planes, list) and page is not None and page < len(planes):
        result = planes[page]
    found = result.get("target") if isinstance(result, dict) else None
    return next((target for target in TARGETS if target == found), None)


def _choose_file(files: dict[str, Path], name: str, endings: tuple[str, ...], what: str) -> Path | None:
    found = [files[name + ending] for ending in endings if name + ending in files]
    if len(found) > 1:
        raise FileFormatError(
            f"{found[0]} and {found[1]} may both be the {what} of {name}, expected one: "
            "remove or rename the other"
        )
    return found[0] if found else None
