"""The same annotated images in every layout of files that people keep them in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.io.saving import write_image
from tests.cases import CASES

TRUTH = {0: CASES["touching"], 1: CASES["touching"][:, ::-1].copy()}
"""Labels of two images, by their number."""

Paths = tuple[Path, Path | None]
"""The data, and the folder of masks where that is named as well."""


def write_file(path: Path, pixels: NDArray[Any]) -> Path:
    """Write an image of any format, its folder too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, pixels)
    return path


def pixels_of(number: int) -> NDArray[np.uint8]:
    """Return the pixels of an image: its cells are bright, and one pixel holds its number."""
    pixels = np.where(TRUTH[number] > 0, 200, 20).astype(np.uint8)
    pixels[0, 0] = number
    return pixels


def write_cellpose_file(path: Path, labels: NDArray[np.int32]) -> None:
    """Write what Cellpose keeps beside an image: a pickled dictionary that holds the masks."""
    np.save(path, np.array({"masks": labels, "outlines": labels}, dtype=object), allow_pickle=True)


def _named(image: str, masks: str, *given: str) -> Callable[[Path], Paths]:
    """Return what writes images and masks of these names, and what is given to read them."""

    def write(folder: Path) -> Paths:
        for number, labels in TRUTH.items():
            write_file(folder / image.format(number), pixels_of(number))
            write_file(folder / masks.format(number), labels.astype(np.uint16))
        data, *named = [folder / name for name in given] or [folder]
        return data, named[0] if named else None

    return write


def _beside_cellposes_files(folder: Path) -> Paths:
    """Write all that Cellpose leaves beside an image."""
    paths = _named("w{}.tif", "w{}_cp_masks.png")(folder)
    for number, labels in TRUTH.items():
        write_cellpose_file(folder / f"w{number}_seg.npy", labels)
        for ending in ("_cp_output", "_flows_cp_masks", "_outlines_cp_masks"):
            write_file(folder / f"w{number}{ending}.png", np.dstack([pixels_of(number)] * 3))
    return paths


LAYOUTS: dict[str, Callable[[Path], Paths]] = {
    "NAME_masks.tif beside NAME.tif": _named("w{}.tif", "w{}_masks.tif"),
    "NAME_masks.png beside NAME.tif": _named("w{}.tif", "w{}_masks.png"),
    "NAME_labels.tif beside NAME.png": _named("w{}.png", "w{}_labels.tif"),
    "NAME_masks.png beside NAME_img.png": _named("w{}_img.png", "w{}_masks.png"),
    "NAME_cp_masks.png beside NAME_img.png": _named("w{}_img.png", "w{}_img_cp_masks.png"),
    "Cellpose's files": _beside_cellposes_files,
    "images/ and masks/": _named("images/w{}.tif", "masks/w{}.tif"),
    "images/ and labels/": _named("images/w{}.tif", "labels/w{}.png"),
    "images/NAME and masks/NAME_masks": _named("images/w{}.tif", "masks/w{}_masks.tif"),
    "images/NAME_img and masks/NAME_masks": _named("images/w{}_img.tif", "masks/w{}_masks.tif"),
    "masks/ in the folder of images": _named("w{}.tif", "masks/w{}_cp_masks.png"),
    "two folders": _named("pictures/w{}.tif", "truth/w{}.png", "pictures", "truth"),
    "two folders, NAME_cp_masks": _named("a/w{}.tif", "b/w{}_cp_masks.png", "a", "b"),
    "one folder named twice": _named("w{}.tif", "w{}_masks.tif", ".", "."),
    "CTC data set": _named("01/t00{}.tif", "01_GT/SEG/man_seg00{}.tif"),
    "CTC sequence": _named("01/t00{}.tif", "01_GT/SEG/man_seg00{}.tif", "01"),
    "CTC sequence and truth": _named("01/t00{}.tif", "01_GT/SEG/man_seg00{}.tif", "01", "01_GT"),
    "CTC sequence and masks": _named("01/t00{}.tif", "01_GT/SEG/man_seg00{}.tif", "01", "01_GT/SEG"),
    "CTC names in one folder": _named("t00{}.tif", "man_seg00{}.tif"),
    "CTC names in two folders": _named("a/t00{}.tif", "b/man_seg00{}.tif", "a", "b"),
}
"""Functions that write a layout into a folder and return the paths to be given, by its name."""
