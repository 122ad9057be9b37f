"""Cellpose's published data: numbered pairs ``NNN_img.png`` and ``NNN_masks.png``."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dinocell.datasets.dataset_format import DatasetFormat
from dinocell.datasets.folder import Pair, find_pairs
from dinocell.datasets.items import AnnotatedImage
from dinocell.errors import FileMissingError


@dataclass(frozen=True)
class CellposePair(Pair):
    """A pair whose image may be in two false colours: green the cytoplasm, red the nuclei, no blue.

    Without a `channel`, of such an image the green is read alone, since its luminance would draw the nuclei
    into the cytoplasm that was annotated. An image with blue in it, or without green, is read as it is.
    """

    def read(self) -> AnnotatedImage:
        """Read the image, its cytoplasm where it is in two false colours, and its labels.

        Raises
        ------
        FileMissingError, FileFormatError, InputError
            As `Pair.read` does.
        """
        annotated = super().read()
        pixels = annotated.pixels
        in_colour = self.channel is None and pixels.ndim == 3 and pixels.shape[2] in (3, 4)
        if in_colour and pixels[..., 1].any() and not pixels[..., 2].any():
            return replace(annotated, pixels=np.ascontiguousarray(pixels[..., 1]))
        return annotated


def find_items(folder: Path, *, channel: int | str | None = None) -> list[CellposePair]:
    """List the pairs of a folder, sorted by number.

    Parameters
    ----------
    folder : Path
        ``train`` or ``test`` of the published data, or another folder of such pairs. Names that are not
        numbers come last.
    channel : int or str, optional
        Read this channel of every image, by number (from 0) or name (0 or R is red, 1 or G green); see
        `CellposePair` otherwise.

    Returns
    -------
    list of CellposePair
        At least one.

    Raises
    ------
    FileMissingError
        If the folder does not exist, holds no pairs, or an image has no masks.
    FileFormatError
        If two files differ in their endings only.
    """
    parts = [folder / part for part in ("train", "test") if (folder / part).is_dir()]
    if parts and not any(folder.glob("*_img.*")):
        raise FileMissingError(
            f"{folder} holds no NNN_img.png but {' and '.join(part.name for part in parts)}: "
            f"choose one folder, such as {parts[0]}"
        )
    pairs = [
        CellposePair(pair.name, pair.image, pair.masks, pair.ignore, channel) for pair in find_pairs(folder)
    ]
    return sorted(pairs, key=_number)


def _number(pair: Pair) -> tuple[bool, int, str]:
    is_number = pair.name.isdecimal()
    return not is_number, int(pair.name) if is_number else 0, pair.name


FORMAT = DatasetFormat(
    name="cellpose",
    input="A folder of NNN_img.png and NNN_masks.png.",
    find_items=find_items,
    options=("channel",),
)
"""Never recognised, as other pairs have such names, too: these are read with all their channels."""
