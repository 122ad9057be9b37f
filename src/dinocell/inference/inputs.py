"""Images as Python gives them, arrays or files, and what is known about them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.inference.preset import Preset
from dinocell.io.images import Image, open_image, read_image, stem_of
from dinocell.io.pixel_size import PixelSize, plausible_size, validate_pixel_size
from dinocell.io.planes import Pixels
from dinocell.io.readers.naming import choose_channel, distinct_names, sample_names

ImageLike = NDArray[Any] | str | os.PathLike[str]
"""Array ``(Y, X)`` or ``(Y, X, C)``, or the path of an image file."""


@dataclass(frozen=True, eq=False)
class InputImage:
    """An image to segment.

    Attributes
    ----------
    pixels : array, shape (Y, X) or (Y, X, C)
        What is segmented: the channel that was chosen, or all of the image.
    channels : mapping of str to array, shape (Y, X)
        Channels that cells are measured in, by name; empty where only `pixels` is measured.
    pixel_size_yx_um : (float, float) or None
        Height and width of a pixel in micrometres.
    path : Path or None
        The file, where there is one.
    """

    pixels: Pixels
    channels: Mapping[str, Pixels] = field(default_factory=dict)
    pixel_size_yx_um: PixelSize | None = None
    path: Path | None = None

    @property
    def name(self) -> str:
        """Beginning of the names of results."""
        return "image" if self.path is None else stem_of(self.path)


def open_input(
    image: ImageLike,
    *,
    channel: int | str | None = None,
    pixel_size_um: float | PixelSize | None = None,
    preset: Preset | None = None,
) -> InputImage:
    """Read an image, or take an array, and choose the channel to segment.

    Parameters
    ----------
    image : array or path
    channel : int or str, optional
        Number (from 0) or, in a file, name of the channel that is segmented.
    pixel_size_um : float or (float, float), optional
        Edge of a pixel, or its height and width, where a file does not say it.
    preset : Preset, optional
        Its channel is taken where none is given.

    Raises
    ------
    InputError
        If a choice is missing or does not exist, or the size is not one.
    FileMissingError, FileFormatError
        If a file cannot be read.
    """
    size = None if pixel_size_um is None else validate_pixel_size(pixel_size_um)
    if not isinstance(image, str | os.PathLike):
        pixels = np.asarray(image)
        if preset is not None and channel is None:
            pixels = preset.pick_channel(pixels)
        return InputImage(*_split(pixels, (), channel, "the image"), size)
    path = Path(image)
    _check_single(path)
    read = read_image(path)
    if preset is not None and channel is None:
        channel = preset.channel
    chosen = InputImage(*_choose(read, channel, path), plausible_size(read.pixel_size_yx_um) or size)
    return replace(chosen, path=path)


def _check_single(path: Path) -> None:
    """Raise InputError for a file of several planes, with words that fit Python."""
    with open_image(path) as opened:
        times, _, slices = opened.info.shape[:3]
        scenes = len(opened.info.scenes)
    if times * slices * scenes > 1:
        counts = {"scenes": scenes, "times": times, "slices": slices}
        listed = ", ".join(f"{count} {name}" for name, count in counts.items() if count > 1)
        raise InputError(
            f"{path} holds {listed}, expected one plane: read one, as read_image(path, page=0).pixels, and "
            "pass that"
        )


def _choose(image: Image, channel: int | str | None, path: Path) -> tuple[Pixels, dict[str, Pixels]]:
    if image.axes == "YXC" and channel is None:
        listed = distinct_names(image.channel_names or [""] * image.pixels.shape[2], "channel")
        raise InputError(
            f"{path} has {len(listed)} channels ({', '.join(listed)}), expected a choice: "
            "choose with channel=, by name or by number from 0"
        )
    in_colour = image.axes == "YXS"
    names = sample_names(image.pixels.shape[2]) if in_colour else image.channel_names
    pixels, channels = _split(image.pixels, names, channel, str(path))
    return pixels, {} if in_colour else channels


def _split(
    pixels: Pixels, names: Sequence[str], channel: int | str | None, what: str
) -> tuple[Pixels, dict[str, Pixels]]:
    """Return the channel that is chosen, and all by name."""
    if channel is None:
        return pixels, {}
    if pixels.ndim != 3:
        if pixels.ndim == 2 and channel == 0:
            return pixels, {}
        raise InputError(
            f"{what} has shape {pixels.shape} and no channels, expected (Y, X, C) with channel {channel!r}: "
            "leave channel out"
        )
    count = pixels.shape[2]
    number = choose_channel(names or ("",) * count, channel, Path(what))
    distinct = distinct_names(names or ("",) * count, "channel")
    channels = {name: np.ascontiguousarray(pixels[..., at]) for at, name in enumerate(distinct)}
    return channels[distinct[number]], channels
