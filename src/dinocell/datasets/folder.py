"""Folders of pairs: ``NAME_img.*`` and ``NAME_masks.*``, with an optional ``NAME_ignore.*``."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import FileFormatError, FileMissingError
from dinocell.images import IMAGE_SUFFIXES, read_image, read_labels
from dinocell.labels import IGNORE, Labels


@dataclass(frozen=True)
class Pair:
    """An image file and its annotation.

    Attributes
    ----------
    name : str
        What stands before ``_img``.
    image, masks : Path
    ignore : Path or None
        Non-zero pixels of this file count for nothing.
    """

    name: str
    image: Path
    masks: Path
    ignore: Path | None = None

    def read(self) -> tuple[NDArray[np.generic], Labels]:
        """Read the image, ``(Y, X)`` or ``(Y, X, C)``, and its labels with ignored pixels as −1.

        Raises
        ------
        FileFormatError
            If the two differ in size, or a file cannot be read.
        """
        pixels = read_image(self.image).pixels
        labels = read_labels(self.masks)
        if pixels.shape[:2] != labels.shape:
            raise FileFormatError(
                f"{self.masks} is {labels.shape} px but {self.image.name} is {pixels.shape[:2]}: "
                "image and masks must have the same size"
            )
        if self.ignore is not None:
            ignored = read_labels(self.ignore)
            if ignored.shape != labels.shape:
                raise FileFormatError(
                    f"{self.ignore} is {ignored.shape} px but {self.masks.name} is {labels.shape}: "
                    "both must have the same size"
                )
            labels = np.where(ignored != 0, np.int32(IGNORE), labels)
        return pixels, labels


def find_pairs(folder: Path) -> list[Pair]:
    """List the annotated images of a folder, sorted by name.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    list of Pair
        At least one.

    Raises
    ------
    FileMissingError
        If the folder does not exist, holds no ``_img`` file, or an image has no masks.
    """
    if not folder.is_dir():
        raise FileMissingError(f"no folder {folder}: expected NAME_img.png and NAME_masks.png files in it")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            if path.stem in files:
                raise FileFormatError(
                    f"{folder} holds {files[path.stem].name} and {path.name}: remove or rename one"
                )
            files[path.stem] = path
    names = [stem.removesuffix("_img") for stem in files if stem.endswith("_img")]
    missing = [name for name in names if f"{name}_masks" not in files]
    if missing:
        raise FileMissingError(
            f"{folder}: {len(missing)} images have no masks, first {missing[0]}_img: "
            f"add {missing[0]}_masks.png"
        )
    if not names:
        raise FileMissingError(
            f"{folder} holds no annotated images: expected NAME_img.png and NAME_masks.png"
        )
    return [
        Pair(name, files[f"{name}_img"], files[f"{name}_masks"], files.get(f"{name}_ignore"))
        for name in names
    ]
