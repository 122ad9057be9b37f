"""Label images that are predictions for annotated images: their names, and the file of each."""

import re
from collections.abc import Iterable
from pathlib import Path

from dinocell.datasets.items import Item
from dinocell.datasets.masks import Masks, read_masks
from dinocell.errors import FileFormatError, FileMissingError, InputError
from dinocell.io.images import is_ome_zarr
from dinocell.io.readers.formats import FOLDER_SUFFIXES, IMAGE_SUFFIXES
from dinocell.io.readers.npy import CELLPOSE_ENDING, CELLPOSE_REMEDY

PREDICTION_ENDINGS = ("_labels", "_img_labels", "_masks", "_cp_masks", "_img_cp_masks", "")
"""Endings that may stand between an image's name and the suffix of its label image."""


def prediction_path(folder: Path, item: Item) -> Path:
    """Return where the label image of an item is written."""
    return folder / f"{_file_stem(item.name)}_labels.tif"


def read_prediction(folder: Path, item: Item) -> Masks:
    """Read the label image that a folder holds for an item; its ids are taken as the item's.

    Raises
    ------
    FileMissingError
        If there is none.
    FileFormatError
        If there are several, or it cannot be meant as a label image.
    """
    # Programs that remove only the last ending of a file call the labels of a.ome.tif a.ome_labels.
    stems = [f"{_file_stem(item.name)}{ome}{ending}" for ending in PREDICTION_ENDINGS for ome in ("", ".ome")]
    if frame := re.fullmatch(r"(\d+)/t(\d+)", item.name):  # as the Cell Tracking Challenge names results
        stems.append(f"{frame[1]}_RES/mask{frame[2]}")
    paths = [folder / f"{stem}{suffix}" for stem in stems for suffix in (*IMAGE_SUFFIXES, *FOLDER_SUFFIXES)]
    own = {file.resolve() for file in item.files}  # predictions may lie beside the annotated data
    found = [p for p in paths if (p.is_file() or is_ome_zarr(p)) and p.resolve() not in own]
    if len(found) > 1:
        listed = ", ".join(path.name for path in found)
        raise FileFormatError(f"{folder} holds several label images of {item.name} ({listed}): keep one")
    if found:
        return read_masks(found[0], split_components=item.split_components)
    for image in ("", "_img"):
        seg = folder / f"{_file_stem(item.name)}{image}{CELLPOSE_ENDING}"
        if seg.is_file():
            raise FileFormatError(f"{seg} {CELLPOSE_REMEDY}")
    raise FileMissingError(
        f"{folder} holds no label image of {item.name}: expected {', '.join(f'{stem}.*' for stem in stems)}"
    )


def check_distinct_files(items: Iterable[Item]) -> None:
    """Raise an error if the label images of two items would be one file.

    Raises
    ------
    InputError
        If there are some.
    """
    names: dict[str, str] = {}
    for item in items:
        other = names.setdefault(_file_stem(item.name).casefold(), item.name)
        if other != item.name:
            raise InputError(f"images {other!r} and {item.name!r} would have the same label file: rename one")


def _file_stem(name: str) -> str:
    """Return the name of an item as a part of a file name."""
    return re.sub(r'[/\\:*?"<>|]', "_", name).lstrip(".")
