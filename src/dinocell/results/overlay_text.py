"""Text on overlays: the numbers of cells, and a legend below the image."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell.measure.inside_points import inside_points

Picture = NDArray[np.uint8]

LEAST_HEIGHT = 7
"""Height of digits in pixels below which they cannot be read."""

_FONT = cv2.FONT_HERSHEY_DUPLEX
_DRAWN = 4.0  # scale of the font at which the height of its digits is measured
_MICRO = "µ" if int(cv2.__version__.split(".")[0]) >= 5 else "u"  # earlier fonts are ASCII
_PIXELS_A_NUMBER = 60  # digits have at most a 60th of the longer side of the picture,
_SMALL_PICTURE = 12  # or this many pixels
_PIXELS_A_LETTER = 75  # letters of the legend have a 75th of its width
_DIGIT_WIDTH = 0.8  # of a digit with its gap, as a share of its height
_FILLED = 0.9  # of the largest circle in a cell, by its number


def draw_numbers(picture: Picture, labels: NDArray[Any]) -> Picture:
    """Draw the id of every cell inside of it, white with a dark edge, so that it is read on any image.

    A number fills the cell's largest circle, but is no larger than suits the picture, and no smaller than
    can be read: on the smallest cells it covers its neighbours. It stays within the picture.

    Parameters
    ----------
    picture : uint8 array, shape (Y, X, 3)
        Never changed.
    labels : integer array, shape (Y, X)

    Returns
    -------
    uint8 array, shape (Y, X, 3)
    """
    drawn, found = picture.copy(), inside_points(labels)
    most = max(_SMALL_PICTURE, max(picture.shape) // _PIXELS_A_NUMBER)
    for cell, (row, column), radius in zip(found.ids, found.points, found.radii, strict=True):
        text = str(cell)
        fits = 2 * _FILLED * float(radius) / math.hypot(1, _DIGIT_WIDTH * len(text))
        _stamp(drawn, _edged(text, int(np.clip(fits, LEAST_HEIGHT, most))), int(row), int(column))
    return drawn


@lru_cache(maxsize=1)
def _scale_of_a_pixel() -> float:
    """Measure the scale of the font at which digits are one pixel high."""
    return _DRAWN / cv2.boundingRect(_rendered("0", _DRAWN)[0])[3]


def _rendered(text: str, scale: float) -> tuple[Picture, int]:
    """Render a text with much space around it; return it, and the row on which its letters stand."""
    (width, height), below = cv2.getTextSize(text, _FONT, scale, 1)
    margin = 2 * (height + below)
    canvas = np.zeros((height + 2 * margin, width + 2 * margin), np.uint8)
    cv2.putText(canvas, text, (margin, margin + height), _FONT, scale, 255, 1, cv2.LINE_AA)
    return canvas, margin + height


@lru_cache(maxsize=4096)
def _edged(text: str, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Render a text: how much of each pixel is covered by it, and by it with its edge; in [0, 1]."""
    canvas, _ = _rendered(text, height * _scale_of_a_pixel())
    x, y, across, down = cv2.boundingRect(canvas)
    letters = canvas[y : y + down, x : x + across]
    edge = max(1, height // 8)
    inner = np.pad(letters.astype(np.float32) / letters.max(), edge).astype(np.float32)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * edge + 1, 2 * edge + 1))
    return inner, np.asarray(cv2.dilate(inner, disk), np.float32)


def _stamp(
    picture: Picture, text: tuple[NDArray[np.float32], NDArray[np.float32]], row: int, column: int
) -> None:
    """Write a text into a picture, its centre at a pixel or as near as it is whole; cut what is larger."""
    letters, around = (mask[: picture.shape[0], : picture.shape[1]] for mask in text)
    height, width = letters.shape
    top = min(max(0, row - height // 2), picture.shape[0] - height)
    left = min(max(0, column - width // 2), picture.shape[1] - width)
    part = picture[top : top + height, left : left + width]
    part[:] = np.round(part * (1 - around[..., None]) + 255 * letters[..., None])


def add_legend(picture: Picture, entries: Sequence[str], pixel_width_um: float | None = None) -> Picture:
    """Add a white strip below a picture, with a scale bar where the size of a pixel is known.

    A picture that is too narrow for a word is widened to the right, also in white: every pixel of the image
    stays where it was, and uncovered.

    Parameters
    ----------
    picture : uint8 array, shape (Y, X, 3)
        Never changed.
    entries : sequence of str
        Texts that stand side by side where they fit.
    pixel_width_um : float, optional
        Width of a pixel in micrometres.

    Returns
    -------
    uint8 array, shape (Y + strip, X or more, 3)
    """
    across = picture.shape[1]
    height = max(LEAST_HEIGHT + 1, across // _PIXELS_A_LETTER)
    items = [_letters(entry, height) for entry in entries]
    if pixel_width_um is not None:
        items.insert(0, _scale_bar(across, pixel_width_um, height))
    width = max([across, *(item.shape[1] + 2 * height for item in items)])
    strip = np.concatenate(_lines(items, width, height))
    white = np.full((picture.shape[0] + strip.shape[0], width, 3), 255, np.uint8)
    white[: picture.shape[0], :across] = picture
    white[picture.shape[0] :] = 255 - strip[..., None]
    return white


def _letters(text: str, height: int) -> Picture:
    """Render a text whose digits have a height, in a line of three: one of them above, and one below."""
    canvas, stands = _rendered(text, height * _scale_of_a_pixel())
    x, _, width, _ = cv2.boundingRect(canvas)
    return canvas[stands - 2 * height : stands + height, x : x + width]


def _scale_bar(across: int, pixel_width_um: float, height: int) -> Picture:
    """Draw a bar of at most a quarter of a picture, and its length beside it."""
    length = round_length(across * pixel_width_um / 4)
    text = _letters(length_text(length), height)
    pixels = max(1, round(length / pixel_width_um))
    bar = np.zeros((text.shape[0], pixels + height), np.uint8)
    middle, half = text.shape[0] // 2, max(1, height // 6)
    bar[middle - half : middle + half, :pixels] = 255
    return np.concatenate([bar, text], axis=1)


def round_length(most: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above a length.

    Examples
    --------
    >>> [round_length(most) for most in (0.7, 49.0, 130.0)]
    [0.5, 20.0, 100.0]
    """
    power = 10.0 ** math.floor(math.log10(most))  # of what is just below a power, the power
    return max(length for length in (power / 2, power, 2 * power, 5 * power) if length <= most)


def length_text(micrometres: float) -> str:
    """Return a length as text, in a unit in which it is a short number."""
    if micrometres < 1:
        return f"{micrometres * 1000:g} nm"
    return f"{micrometres:g} {_MICRO}m" if micrometres < 1000 else f"{micrometres / 1000:g} mm"


def _lines(items: Sequence[Picture], width: int, gap: int) -> list[Picture]:
    """Set items of one height side by side, in as many lines of a width as they need."""
    lines: list[Picture] = []
    at = width
    for item in items:
        if at + item.shape[1] + gap > width:
            lines.append(np.zeros((item.shape[0], width), np.uint8))
            at = gap
        lines[-1][:, at : at + item.shape[1]] = item
        at += item.shape[1] + 2 * gap
    return lines
