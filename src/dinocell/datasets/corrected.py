"""Label images that a person corrected after `dinocell segment`, with what was left unchecked.

Beside ``NAME_labels.tif``, which `segment` wrote and the person edited in Fiji, napari or QuPath, there may
be ``NAME_unchecked.*``, whose non-zero pixels nobody has looked at: they count for nothing. Traces of editing
by hand are repaired, and told: a cell that was cut in two keeps one id, an eraser leaves specks. A label
image that still is as `segment` wrote it is a prediction, and nothing to learn from.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dinocell.datasets.belonging import MASK_ENDINGS
from dinocell.datasets.folder import image_stems, list_images
from dinocell.datasets.items import AnnotatedImage, check_sizes, ignore_where
from dinocell.datasets.origin import ImageFiles, Plane, images_in, origin_named, read_origin, read_plane
from dinocell.errors import FileFormatError, FileMissingError
from dinocell.io.images import read_labels, stem_of
from dinocell.io.opening import open_regular
from dinocell.labels import Labels, relabel
from dinocell.metrics.pieces import SPECK

UNCHECKED_ENDINGS = ("_unchecked", "_ignore")
"""What follows an image's stem in the name of the file that marks what nobody has looked at."""


@dataclass(frozen=True)
class Repairs:
    """What was found, and mended, in a label image that was edited by hand.

    Attributes
    ----------
    split : int
        Ids in several pieces; every piece is a cell of its own now.
    specks : int
        Pieces of fewer than `SPECK` pixels that are background now.
    unchecked_cells : int
        Cells that the mark touches; they are ignored as a whole.
    unchecked_share : float
        Of the image's pixels, those cells included.
    """

    split: int = 0
    specks: int = 0
    unchecked_cells: int = 0
    unchecked_share: float = 0.0

    def __str__(self) -> str:
        counted = ((self.split, "cell", "split into {} pieces"), (self.specks, "speck", "dropped"))
        parts = [
            f"{count} {noun}{'s' if count > 1 else ''} {verb.format('their' if count > 1 else 'its')}"
            for count, noun, verb in counted
            if count
        ]
        if self.unchecked_share:
            parts.append(f"{self.unchecked_share:.0%} unchecked")
        return ", ".join(parts)


@dataclass(frozen=True)
class Corrected:
    """An image file and its corrected label image.

    Attributes
    ----------
    name : str
        Of the results: the image's stem, of a plane of a stack with ``_s01``, ``_t0003``, ``_z002``.
    image, labels : Path
    unchecked : Path or None
        Non-zero where nobody has looked; None if all of it was checked.
    channel : int, str or None
        The image's only channel to read, by number (from 0) or name, as of
        `dinocell.io.images.read_image`; None keeps all of them, or that of `plane`.
    plane : Plane or None
        Which plane of the image was segmented; None is the only one.
    """

    name: str
    image: Path
    labels: Path
    unchecked: Path | None = None
    channel: int | str | None = None
    plane: Plane | None = None

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
        """Read the image and its labels, −1 where they are unchecked, and say what was repaired.

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
            labels, unchecked_cells = _ignore_unchecked(labels, marked)
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
        Whether to take label images that still are as `segment` wrote them. That is told by
        ``NAME_cells.csv``, which has the areas of those.

    Returns
    -------
    items : list of Corrected
        At least one, sorted by name.
    left_out : dict of str to str
        Why, by name, of the other images and results.

    Raises
    ------
    FileMissingError, FileFormatError
        If a folder does not exist, a label image cannot be read, no image has one, or one may have several.
    """
    there = list_images(corrected, "NAME_labels.tif files")
    # In one folder for both, an image is not its own label image.
    endings = MASK_ENDINGS[1:] if images.resolve() == corrected.resolve() else MASK_ENDINGS
    items, left_out = [], {}
    for name, origin in _origins(images, corrected, there, endings).items():
        labels = _one_of(there, name, endings, "label image")
        unchecked = _one_of(there, name, UNCHECKED_ENDINGS, "mark of what is unchecked")
        trusted = accept_unchanged or unchecked is not None  # who marked it has looked at it
        if labels is None:
            left_out[name] = "no label image"
        elif not trusted and _is_as_written(labels, corrected / f"{name}_cells.csv"):
            left_out[name] = "still as segment wrote it, so not corrected"
        else:
            items.append(Corrected(name, origin.image, labels, unchecked, channel, origin.plane))
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
    plane: Plane | None = None


def _origins(
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
            origin = origin_named(result, index)
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
    """Whether a label image has the cells that `segment` wrote into its table, each with the same area."""
    try:
        with io.TextIOWrapper(open_regular(table), encoding="utf-8", newline="") as file:
            written = {int(row["label"]): int(row["area"]) for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return False  # not written by segment, or edited as well
    ids, areas = np.unique(read_labels(labels), return_counts=True)
    return {
        number: area for number, area in zip(ids.tolist(), areas.tolist(), strict=True) if number
    } == written


def _one_of(files: dict[str, Path], name: str, endings: tuple[str, ...], what: str) -> Path | None:
    found = [files[name + ending] for ending in endings if name + ending in files]
    if len(found) > 1:
        raise FileFormatError(
            f"{found[0]} and {found[1]} may both be the {what} of {name}, expected one: "
            "remove or rename the other"
        )
    return found[0] if found else None


def repair(labels: NDArray[Any]) -> tuple[Labels, int, int]:
    """Give every piece of a cell its own id, and drop specks.

    Pieces are 4-connected, so that a diagonal line one pixel wide cuts a cell. Fewer than `SPECK` pixels that
    only touch their cell's corner stay with it.

    Parameters
    ----------
    labels : int array, shape (Y, X)
        Ids need not be consecutive; −1 is kept.

    Returns
    -------
    labels : int32 array, shape (Y, X)
        Cells 1…N.
    split, specks : int
        Ids that were in several pieces; pieces that were dropped.

    Examples
    --------
    >>> cut = np.array([[7, 7, 7, 0, 7, 7, 7], [7, 7, 7, 0, 7, 7, 7]])
    >>> repair(cut)
    (array([[1, 1, 1, 0, 2, 2, 2],
           [1, 1, 1, 0, 2, 2, 2]], dtype=int32), 1, 0)
    """
    repaired = np.where(labels < 0, labels, 0).astype(np.int32)
    count = split = specks = 0
    consecutive = relabel(labels)
    for number, box in enumerate(ndimage.find_objects(np.maximum(consecutive, 0)), start=1):
        pieces, dropped = _pieces(consecutive[box] == number)
        found = int(pieces.max())
        np.copyto(repaired[box], pieces + count, where=pieces > 0)
        count, split, specks = count + found, split + (found > 1), specks + dropped
    return repaired, split, specks


def _pieces(cell: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Give the pieces of a cell numbers from 1, 0 elsewhere; count the specks left out."""
    pieces, count = ndimage.label(cell)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    large = np.flatnonzero(sizes >= SPECK)
    large = large[large > 0]
    if large.size == count:
        return pieces.astype(np.int32), 0
    number_of = np.zeros(count + 1, np.int32)
    number_of[large] = np.arange(1, large.size + 1)
    kept = number_of[pieces]
    around = ndimage.maximum_filter(kept, size=3)
    dropped = 0
    for small in np.setdiff1d(np.arange(1, count + 1), large):
        beside = around[pieces == small].max()
        kept[pieces == small] = beside
        dropped += beside == 0
    return kept, int(dropped)


def _ignore_unchecked(labels: Labels, marked: Labels) -> tuple[Labels, int]:
    """Set marked pixels, and all of every cell that a mark touches, to −1; count those cells.

    The rest of a cell that is marked in part would have a shape that no cell has.
    """
    touched = np.unique(labels[(marked != 0) & (labels > 0)])
    ignored = (marked != 0) | np.isin(labels, touched)
    return relabel(ignore_where(labels, ignored)), touched.size
