"""Tiny Cell Tracking Challenge datasets: sequences with gold masks, silver masks and markers."""

from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

SHAPE = (10, 14)
Labels = NDArray[np.int32]


def blocks(**cells: tuple[int, int, int, int]) -> Labels:
    """Label image of rectangles: ``c5=(y, x, height, width)`` is cell 5."""
    labels = np.zeros(SHAPE, np.int32)
    for name, (y, x, height, width) in cells.items():
        labels[y : y + height, x : x + width] = int(name[1:])
    return labels


def write_tiff(file: Path, array: NDArray[np.generic]) -> Path:
    """Write a TIFF of 16 bits, its folder too."""
    file.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(file, array.astype(np.uint16), photometric="minisblack")
    return file


def write_frame(
    dataset: Path,
    number: str,
    *,
    sequence: str = "01",
    masks: Labels | None = None,
    markers: Labels | None = None,
    silver: Labels | None = None,
) -> None:
    """Write a frame whose pixels are its number, and its annotation."""
    write_tiff(dataset / sequence / f"t{number}.tif", np.full(SHAPE, int(number)))
    annotations = {"GT/SEG/man_seg": masks, "GT/TRA/man_track": markers, "ST/SEG/man_seg": silver}
    for prefix, labels in annotations.items():
        if labels is not None:
            write_tiff(dataset / f"{sequence}_{prefix}{number}.tif", labels)


def write_fake(folder: Path) -> dict[str, tuple[Labels, Labels | None]]:
    """Write a dataset of two sequences; give labels and markers of every frame that has masks, by name.

    In ``01``, t000 has all masks, t001 lacks one cell's and so is sparse, t002 has markers only, t003 has
    silver masks, t004 nothing. Sequence ``02`` has no markers. Sequence ``03`` has no annotation.
    """
    both = blocks(c3=(1, 1, 4, 4), c8=(4, 8, 5, 5))
    one = blocks(c3=(1, 1, 4, 4))
    markers = blocks(c1=(2, 2, 1, 1), c2=(6, 10, 1, 1))
    write_frame(folder, "000", masks=both, markers=markers)
    write_frame(folder, "001", masks=one, markers=markers)
    write_frame(folder, "002", markers=markers)
    write_frame(folder, "003", silver=both, markers=markers)
    write_frame(folder, "004")
    (folder / "01_GT" / "TRA" / "man_track.txt").write_text("1 0 3 0\n2 0 3 0\n")
    write_frame(folder, "000", sequence="02", masks=one)
    write_frame(folder, "000", sequence="03")
    return {
        "01/t000": (both, markers),
        "01/t001": (np.where(one == 0, -1, one), markers),
        "02/t000": (one, None),
    }
