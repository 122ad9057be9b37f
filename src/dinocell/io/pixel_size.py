"""Size of an image's pixels, where a user gives it because the file does not, and diameters by it."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dinocell.errors import InputError
from dinocell.io.readers.lazy import ImageInfo, LazyImage
from dinocell.io.readers.units import square_edge

logger = logging.getLogger(__name__)

PixelSize = tuple[float, float]
"""Height and width of a pixel in micrometres."""

SMALLEST_UM, LARGEST_UM = 1e-5, 1e5
"""Bounds of what is taken for the size of a pixel."""

_SAME = 0.01  # relative difference of two sizes that are one, as for square pixels


def validate_pixel_size(value: float | Sequence[float], *, name: str = "pixel_size_um") -> PixelSize:
    """Return a size as height and width.

    Parameters
    ----------
    value : float or (float, float)
        Edge of a square pixel, or height and width, in micrometres.
    name : str
        What a message calls it.

    Raises
    ------
    InputError
        If it is neither, or not within 1e-5 and 1e5 µm.

    Examples
    --------
    >>> validate_pixel_size(0.65), validate_pixel_size((0.65, 0.33))
    ((0.65, 0.65), (0.65, 0.33))
    """
    sides = (value, value) if isinstance(value, int | float) else tuple(value)
    if len(sides) != 2 or not all(
        isinstance(side, int | float)
        and not isinstance(side, bool)
        and math.isfinite(side)
        and SMALLEST_UM <= side <= LARGEST_UM
        for side in sides
    ):
        raise InputError(
            f"{name} is {value!r}, expected micrometres from {SMALLEST_UM:g} to {LARGEST_UM:g}: "
            "one number such as 0.65, with a point, or height and width"
        )
    y, x = sides
    return float(y), float(x)


def parse_pixel_size(text: str, *, name: str = "--pixel-size") -> PixelSize:
    """Parse a size such as ``0.65``, or ``0.65,0.33`` for height and width.

    Raises
    ------
    InputError
        If the text is neither.

    Examples
    --------
    >>> parse_pixel_size("0.65"), parse_pixel_size("0.65,0.33")
    ((0.65, 0.65), (0.65, 0.33))
    """
    try:
        sides = [float(part) for part in text.split(",")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2):
        raise InputError(
            f"{name} is {text!r}, expected micrometres: 0.65, or 0.65,0.33 for height and width (Y,X)"
        )
    return validate_pixel_size(sides[0] if len(sides) == 1 else sides, name=name)


def fill_pixel_size(image: LazyImage, given: PixelSize | None) -> None:
    """Let an opened image have the size that is given where its file is silent; warn where they differ.

    Parameters
    ----------
    image : LazyImage
        Its `info` is replaced.
    given : (float, float) or None
        Height and width in micrometres; None changes nothing.
    """
    if given is None:
        return
    if image.info.pixel_size_yx_um is None:
        image.info = replace(image.info, pixel_size_yx_um=given)
    elif difference := describe_difference(image.info, given):
        logger.warning("%s: %s", image.path, difference)


def plausible_size(size: PixelSize | None) -> PixelSize | None:
    """Return a size that a file states, or None where it cannot be one, as the 1e-30 of some writers."""
    return size if size and SMALLEST_UM <= min(size) <= max(size) <= LARGEST_UM else None


def describe_difference(info: ImageInfo, given: PixelSize) -> str:
    """Describe how the size in a file differs from the one given; empty if it does not, or has none."""
    return _describe_difference(info.pixel_size_yx_um, given)


def diameter_in_pixels(diameter_um: float, size: PixelSize | None, where: Path) -> float:
    """Convert a diameter from micrometres to pixels.

    Parameters
    ----------
    diameter_um : float
    size : (float, float) or None
        Height and width of a pixel in micrometres.
    where : Path
        The image, for messages.

    Raises
    ------
    InputError
        If the size is not known, or the pixels are not square.
    """
    if size is None:
        raise InputError(
            f"{where} does not say its pixel size, which --diameter-um needs: give --pixel-size, or "
            "--diameter in pixels"
        )
    edge = square_edge(size)
    if edge is None:
        y, x = size
        raise InputError(
            f"{where} has pixels of {y:.4g} × {x:.4g} µm (Y × X), expected square ones for --diameter-um: "
            "resample it to square pixels, or give --diameter in pixels"
        ).of_kind(
            "have pixels that are not square",
            "resample them for --diameter-um, or give --diameter in pixels",
        )
    return diameter_um / edge


@dataclass(frozen=True)
class PhysicalDiameter:
    """Typical diameter of cells in micrometres, for images whose pixels may differ in size.

    Attributes
    ----------
    micrometres : float
    pixel_size_yx_um : (float, float) or None
        Height and width of a pixel where a file does not say it.
    """

    micrometres: float
    pixel_size_yx_um: PixelSize | None = None

    def in_pixels(self, own: PixelSize | None, where: Path) -> float:
        """Convert it to the pixels of an image; warn where its file says another size than is given.

        Parameters
        ----------
        own : (float, float) or None
            The size that the file says.
        where : Path
            The image.

        Raises
        ------
        InputError
            As `diameter_in_pixels`.
        """
        own, given = plausible_size(own), self.pixel_size_yx_um
        if given is not None and (difference := _describe_difference(own, given)):
            logger.warning("%s: %s", where, difference)
        return diameter_in_pixels(self.micrometres, own or given, where)


def _describe_difference(own: PixelSize | None, given: PixelSize) -> str:
    if own is None or all(abs(a - b) <= _SAME * b for a, b in zip(own, given, strict=True)):
        return ""
    return (
        f"its pixels are {_show(own)} µm by the file, but {_show(given)} µm were given: the file's size is "
        "used"
    )


def _show(size: PixelSize) -> str:
    y, x = size
    return f"{x:.4g}" if y == x else f"{y:.4g} × {x:.4g} (Y × X)"
