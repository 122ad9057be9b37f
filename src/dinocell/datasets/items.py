"""Annotated images, which every dataset format lists and which are read one at a time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import FileFormatError, InputError
from dinocell.io.pixel_size import PixelSize
from dinocell.labels import IGNORE, Labels
from dinocell.preprocess.preprocessing import Preprocessing


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image and its labels.

    Attributes
    ----------
    pixels : array, shape (Y, X) or (Y, X, C)
        As in the file.
    labels : int32 array, shape (Y, X)
        0 background, −1 ignored.
    needs_channel : bool
        Whether the image has several channels that are not colours, so that one must be chosen.
    markers : int32 array, shape (Y, X), optional
        A small mark in every cell where the labels do not cover all of them (Cell Tracking Challenge).
    overlapped_pixels : int
        Pixels that the annotation gives to several cells; one of them has it here.
    preprocessing : Preprocessing, optional
        Preprocessing that was applied to the pixels; None for an image as in its file.
    pixel_size_yx_um : (float, float) or None
        Height and width of a pixel in micrometres, where the image file says it.
    notes : tuple of str
        Notes for users of the labels, a line a file: that they were split into pieces, for example.
    channel_names : tuple of str
        Of the channels in `pixels`, ``""`` for one without a name; empty where the file names none.
    """

    pixels: NDArray[Any]
    labels: Labels
    needs_channel: bool = False
    markers: Labels | None = None
    overlapped_pixels: int = 0
    preprocessing: Preprocessing | None = None
    pixel_size_yx_um: PixelSize | None = None
    notes: tuple[str, ...] = ()
    channel_names: tuple[str, ...] = ()

    def check_channels(self) -> None:
        """Raise InputError if a channel must be chosen."""
        if self.needs_channel:
            raise InputError(
                f"the image has {self.pixels.shape[2]} channels, expected one or colours: choose with "
                "--channel, by name or number"
            ).of_kind("have several channels", "choose with --channel", self.channel_names)


class Item(Protocol):
    """An annotated image that has not been read yet; small, and can be sent to another process."""

    @property
    def name(self) -> str:
        """Name, unique in its dataset."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that it is read from, the image first."""

    @property
    def split_components(self) -> bool | None:
        """Setting of how the ids of its label images are taken, see `dinocell.datasets.masks.check_masks`."""

    def read(self) -> AnnotatedImage:
        """Read it.

        Raises
        ------
        DINOCellError
            If a file is missing, damaged, or does not fit the others; it is named.
        """


def check_sizes(image: Path, pixels: NDArray[Any], other: Path, labels: NDArray[Any]) -> None:
    """Check that an annotation has the size of its image.

    Raises
    ------
    FileFormatError
        If they differ.
    """
    if pixels.shape[:2] != labels.shape:
        raise FileFormatError(
            f"{other} is {labels.shape} px but {image.name} is {pixels.shape[:2]}: "
            "image and annotation must have the same size"
        )


def ignore_where(labels: Labels, ignored: NDArray[Any]) -> Labels:
    """Set the non-zero pixels of `ignored` to −1 in a copy of `labels`."""
    return np.where(ignored != 0, np.int32(IGNORE), labels)
