"""Tiles of an image as PNG: channels in colours, each between the values that are black and white."""

import functools
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.web.archive.records import ImageRecord
from dinocell.web.failures import GoneError
from dinocell.web.reading.conversion import TILE, open_level

_OPEN_LEVELS = 64


@dataclass(frozen=True)
class ShownChannel:
    """A channel, the values that are black and in full colour, and that colour."""

    index: int
    low: float
    high: float
    colour: tuple[int, int, int]


def level_of(
    zoom: int, x: int, y: int, level_shapes: tuple[tuple[int, int], ...]
) -> tuple[int, slice, slice]:
    """Return the level of a tile, and its rows and columns there.

    Parameters
    ----------
    zoom : int
        From 0, the coarsest level, up to the number of levels − 1.
    x, y : int
        Of the tile, to the right and down.
    level_shapes : tuple of (int, int)
        Finest level first.

    Raises
    ------
    GoneError
        If there is no such tile.
    """
    level = len(level_shapes) - 1 - zoom
    if 0 <= level < len(level_shapes) and x >= 0 and y >= 0:
        height, width = level_shapes[level]
        if y * TILE < height and x * TILE < width:
            return (
                level,
                slice(y * TILE, min((y + 1) * TILE, height)),
                slice(x * TILE, min((x + 1) * TILE, width)),
            )
    raise GoneError(
        f"tile {zoom}/{x}/{y} is not there, expected a zoom below {len(level_shapes)} and a tile of it"
    )


def image_tile(
    folder: Path, record: ImageRecord, zoom: int, x: int, y: int, shown: list[ShownChannel]
) -> bytes:
    """Return a tile as PNG in RGB."""
    level, rows, columns = level_of(zoom, x, y, record.level_shapes)
    pixels = _opened(folder, level, record.rgb)
    total = np.zeros((rows.stop - rows.start, columns.stop - columns.start, 3), np.float32)
    for channel in shown:
        values = pixels[channel.index, rows, columns].astype(np.float32)
        share = np.clip((values - channel.low) / (channel.high - channel.low), 0, 1)
        share = np.nan_to_num(share, nan=0.0)
        total += share[..., None] * np.array(channel.colour, np.float32)
    return encode_png(np.clip(np.rint(total), 0, 255).astype(np.uint8))


@functools.lru_cache(maxsize=_OPEN_LEVELS)
def _opened(folder: Path, level: int, is_rgb: bool) -> NDArray[Any]:
    return open_level(folder, level, is_rgb=is_rgb)


def forget_levels() -> None:
    """Close all levels, as files of an image were removed."""
    _opened.cache_clear()


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return RGB pixels ``(Y, X, 3)`` as PNG."""
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), level=1))


def parse_shown(
    record: ImageRecord, channel: str | None, ranges: str | None, colours: str | None
) -> list[ShownChannel]:
    """Parse what is to be shown of an image.

    Parameters
    ----------
    record : ImageRecord
    channel : str, optional
        Numbers joined by commas; by default red, green and blue, or the first one.
    ranges : str, optional
        For each ``low:high``; by default those of the image.
    colours : str, optional
        For each six hexadecimal digits; by default white, or red, green and blue.

    Raises
    ------
    InputError
        If one is none of these.

    Examples
    --------
    >>> parse_hex("ff8000")
    (255, 128, 0)
    """
    numbers = _parse_channels(record, channel)
    plain = ["ff0000", "00ff00", "0000ff"] if record.rgb and channel is None else ["ffffff"] * len(numbers)
    hexes = colours.split(",") if colours else plain
    spans = [_parse_range(each) for each in ranges.split(",")] if ranges else None
    for name, values in (("range", spans), ("colour", hexes)):
        if values is not None and len(values) != len(numbers):
            raise InputError(f"{name} has {len(values)} parts, expected {len(numbers)}: one a channel")
    own = [(record.channels[each].low, record.channels[each].high) for each in numbers]
    return [
        ShownChannel(number, low, high, parse_hex(colour))
        for number, (low, high), colour in zip(numbers, spans or own, hexes, strict=True)
    ]


def _parse_channels(record: ImageRecord, text: str | None) -> list[int]:
    if text is None:
        return [0, 1, 2] if record.rgb else [0]
    if not re.fullmatch(r"\d{1,4}(,\d{1,4})*", text, re.ASCII):
        raise InputError(f"channel is {text!r:.40}, expected numbers joined by commas, such as 0,2")
    numbers = [int(each) for each in text.split(",")]
    if max(numbers) >= len(record.channels):
        raise InputError(f"channel is {max(numbers)}, expected one from 0 to {len(record.channels) - 1}")
    return numbers


def _parse_range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(each) for each in text.split(":"))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"range is {text!r:.40}, expected LOW:HIGH, two numbers, the lower one first")
    return low, high


def parse_hex(text: str) -> tuple[int, int, int]:
    """Parse a colour of six hexadecimal digits; raise InputError for anything else."""
    if not re.fullmatch(r"[0-9a-fA-F]{6}", text):
        raise InputError(f"colour is {text!r:.40}, expected six hexadecimal digits such as ff8000")
    return int(text[:2], 16), int(text[2:4], 16), int(text[4:], 16)
