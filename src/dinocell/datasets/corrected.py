"""Label images that a person corrected after `dinocell segment`, with what was left unchecked.

Beside ``NAME_labels.tif``, which `segment` wrote and the person edited in Fiji, napari or QuPath, there may
be ``NAME_unchecked.*``, whose non-zero pixels nobody has looked at: they are ignored. Traces of editing by
hand are repaired and counted: a cell that was cut in two keeps one id, an eraser leaves specks. A label image
that still is as `segment` wrote it is a prediction, not an annotation.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dinocell.datasets.belonging import MASK_ENDINGS, RECORD_ENDING
from dinocell.datasets.folder import image_stems, list_images
from dinocell.datasets.items import AnnotatedImage, check_sizes
from dinocell.datasets.origin import ImageFiles, ImagePlane, find_by_name, images_in, read_origin, read_plane
from dinocell.datasets.repairs import Repairs, ignore_unchecked, repair
from dinocell.errors import FileFormatError, FileMissingError
from dinocell.io.images import read_labels, stem_of
from dinocell.io.opening import open_regular, read_json_object
from dinocell.labels import TARGETS, Target

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
    """

    name: str
    image: Path
    labels: Path
    unchecked: Path | None = None
    channel: int | str | None = None
    plane: ImagePlane | None = None
    outlined: Target | None = None

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
        pixels, needs_channel = read_plane(self.image, self.plane, self.channel)
        labels = read_labels(self.labels)
        check_sizes(self.image, pixels, self.labels, labels)
        labels, split, specks = repair(labels)
        unchecked_cells = 0
        if self.unchecked is not None:
            marked = read_labels(self.unchecked)
            check_sizes(self.image, pixels, self.unchecked, marked)
            labels, unchecked_cells = ignore_unchecked(labels, marked)
        repairs = Repairs(split, specks, unchecked_cells, float((labels < 0).mean()))
        return AnnotatedImage(pixels, labels, needs_channel=needs_channel), repairs


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
        labels = _choose_file(there, name, endings, "label image")
        unchecked = _choose_file(there, name, UNCHECKED_ENDINGS, "mark of what is unchecked")
        trusted = accept_unchanged or unchecked is not None  # whoever marked it has looked at it
        if labels is None:
            left_out[name] = "no label image"
        elif not trusted and _is_as_written(labels, corrected / f"{name}_cells.csv"):
            left_out[name] = "still as segment wrote it, so not corrected"
        else:
            outlined = _outlined_target(corrected, name)
            items.append(Corrected(name, origin.image, labels, unchecked, channel, origin.plane, outlined))
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
    """An image, and the plane of it that was segmented where that is known."""

    image: Path
    plane: ImagePlane | None = None


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
        origin = read_origin(result, corrected, index)
        if origin is None and result not in files:
            origin = find_by_name(result, index)
        if origin is not None:
            origins[result] = _Source(origin.image, origin.plane)
        elif result in files:
            origins[result] = _Source(files[result])
    seen = {source.image for source in origins.values()}
    origins |= {name: _Source(file) for name, file in files.items() if file not in seen}
    return dict(sorted(origins.items()))


def _results(files: Iterable[str], endings: tuple[str, ...]) -> list[str]:
    """List what may be the names of results, by the stems of label images."""
    found = [stem.removesuffix(ending) for stem in files for ending in endings if stem.endswith(ending)]
    return [result for result in dict.fromkeys(found) if result]


def _is_as_written(labels: Path, table: Path) -> bool:
    """Return whether a label image has the cells that `segment` wrote into its table, with the same areas."""
    try:
        with io.TextIOWrapper(open_regular(table), encoding="utf-8", newline="") as file:
            written = {int(row["label"]): int(row["area"]) for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return False  # not written by segment, or edited as well
    ids, areas = np.unique(read_labels(labels), return_counts=True)
    return {
        number: area for number, area in zip(ids.tolist(), areas.tolist(), strict=True) if number
    } == written


def _outlined_target(folder: Path, name: str) -> Target | None:
    """Return the target that `segment` outlined, by its record."""
    result = read_json_object(folder / f"{name}{RECORD_ENDING}").get("result")
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
