"""A picture to look at, with its provenance."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.io.images import open_image, read_image
from dinocell.io.planes import PathLike
from dinocell.io.saving import atomic_path
from dinocell.io.stacks import write_stack
from dinocell.measure.outlines import draw_outlines
from dinocell.preprocess.intensity_range import find_range, scale_to_uint8, to_uint8
from dinocell.results.label_images import encode_png
from dinocell.results.overlay_text import add_legend, draw_numbers
from dinocell.results.result_format import PlaneFormat, PlaneResult, Stack, StackPart

_FAST = 1
"""Compression of a picture to look at: a quarter of the time of the usual one, for a tenth more bytes."""


def write_overlay(
    path: PathLike, picture: NDArray[np.uint8], *, provenance: Mapping[str, Any] | None = None
) -> None:
    """Write a picture, such as of `dinocell.measure.outlines.draw_outlines`, as PNG.

    Parameters
    ----------
    path : path
        An existing file is replaced in one step.
    picture : uint8 array, shape (Y, X, 3)
        RGB.
    provenance : mapping, optional
        How it was made, of what JSON can hold; stored as the text ``dinocell``.

    Raises
    ------
    InputError
        If it is another array or empty, or the provenance cannot be stored.
    OutputError
        If the file cannot be written.
    """
    if picture.dtype != np.uint8 or picture.shape[2:] != (3,) or not picture.size:
        raise InputError(
            f"{path} cannot hold {picture.dtype} of shape {picture.shape}, expected uint8 RGB (Y, X, 3)"
        )
    data = encode_png(picture, provenance, level=_FAST)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def draw_overlay(result: PlaneResult) -> NDArray[np.uint8]:
    """Draw the outlines of the cells of a plane on it, in its colours, and what its style adds.

    Returns
    -------
    uint8 array, shape (Y, X, 3)
        RGB; with a legend it is higher by the strip of that, and wider than a very narrow image.
    """
    picture = draw_outlines(_shown(result), result.labels)
    if result.overlay.numbers:
        picture = draw_numbers(picture, result.labels)
    if result.overlay.legend:
        size = result.pixel_size_yx_um
        picture = add_legend(picture, _entries(result), None if size is None else size[1])
    return picture


def _entries(result: PlaneResult) -> list[str]:
    """Return what the legend says of a plane."""
    count = int(np.count_nonzero(np.unique(result.labels) > 0))
    target = result.provenance.get("target_found")
    return [
        f"{count} cell{'' if count == 1 else 's'}",
        *([] if target is None else [f"target: {target}"]),
        "colours: only to tell neighbours apart",
        *(["numbers: label in the table"] if result.overlay.numbers else []),
    ]


def _shown(result: PlaneResult) -> NDArray[np.uint8]:
    """Scale a plane to 8 bits; all samples of a colour alike, so that it keeps its hue."""
    if result.pixels.ndim == 2:
        return scale_to_uint8(result.gray)
    found = find_range(result.gray)
    return np.stack([to_uint8(result.pixels[..., sample], found) for sample in range(3)], axis=-1)


class OverlayFormat(PlaneFormat):
    """Outlines of the cells on the image."""

    name = "overlay"
    ending = "_overlay.png"
    stack_ending = "_overlay.tif"
    meaning = "outlines on the image, to look at"
    by_default = True

    def write(self, path: Path, result: PlaneResult) -> None:
        """Write the picture."""
        write_overlay(path, draw_overlay(result), provenance=result.provenance)

    def join(self, path: Path, parts: Sequence[StackPart], stack: Stack) -> None:
        """Write the pictures of all planes as a stack in colour."""
        sizes = [_size_of(part.path) for part in parts]
        height, width = (max(sides) for sides in zip(*sizes, strict=True))
        write_stack(
            path,
            (_padded(read_image(part.path).pixels, height, width) for part in parts),
            stack.axes,
            plane_shape=(height, width, 3),
            dtype=np.dtype(np.uint8),
            name="overlay",
            provenance=stack.provenance,
        )


def _size_of(path: Path) -> tuple[int, int]:
    with open_image(path) as picture:
        return picture.info.shape[3], picture.info.shape[4]


def _padded(picture: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Pad a picture at its end with white: the legend of one plane may be longer than that of another."""
    more = ((0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0))
    return np.pad(picture, more, constant_values=np.iinfo(np.uint8).max)
