"""The contract of every reader: what an image file holds, and its planes, read one at a time."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import FileFormatError
from dinocell.planes import Pixels, check_size, checked_index, decoding


@dataclass(frozen=True)
class ImageInfo:
    """What an image file says about one of its scenes.

    Attributes
    ----------
    format : str
        Such as ``"OME-TIFF"``.
    scenes : tuple of str
        Names of all scenes (series, positions) of the file, at least one.
    scene : int
        Which of them this is, counted from 0.
    shape : (int, int, int, int, int)
        Times, channels, z slices, height and width: T, C, Z, Y, X.
    samples : int
        Values a pixel within a plane: 1, or 3 or 4 where planes are in colour (R, G, B and perhaps alpha).
    dtype : dtype
        Booleans, integers or floats.
    pixel_size_um : float or None
        Edge of the square pixels in micrometres; None where the file does not say it of the specimen.
    z_step_um : float or None
        Distance of z slices in micrometres.
    time_step_s : float or None
        Seconds from one time to the next.
    channel_names : tuple of str
        One a channel where the file names them, else empty.
    """

    format: str
    scenes: tuple[str, ...]
    scene: int
    shape: tuple[int, int, int, int, int]
    samples: int
    dtype: np.dtype[Any]
    pixel_size_um: float | None = None
    z_step_um: float | None = None
    time_step_s: float | None = None
    channel_names: tuple[str, ...] = ()


class LazyImage(ABC):
    """One scene of an opened image file, whose pixels are read when they are asked for.

    Use it in a ``with`` block, or close it. A reader implements `_read` and, where it holds a file, `close`.

    Parameters
    ----------
    path : path
    info : ImageInfo
        What the file says about this scene; checked here.

    Raises
    ------
    FileFormatError
        If a plane would be empty or too large, or its pixels are not real numbers.
    """

    axes: ClassVar[str] = "TCZYX"

    def __init__(self, path: Path, info: ImageInfo) -> None:
        self.path, self.info = path, info
        check_size(info.shape[3], info.shape[4], path)
        _check_info(info, path)

    def read_plane(self, t: int = 0, c: int = 0, z: int = 0) -> Pixels:
        """Read one plane.

        Parameters
        ----------
        t, c, z : int
            Time, channel and slice, counted from 0.

        Returns
        -------
        array, shape (Y, X) or (Y, X, S)
            In the file's own dtype, native byte order, C-contiguous; S is `ImageInfo.samples` where not 1.

        Raises
        ------
        InputError
            If there is no such plane.
        FileFormatError
            If it is damaged or missing in the file.
        """
        for index, count, what in zip((t, c, z), self.info.shape[:3], ("time", "channel", "z"), strict=True):
            checked_index(index, count, what, self.path)
        with decoding(self.path, self.info.format):
            pixels = self._read(t, c, z)
            expected = (*self.info.shape[3:], self.info.samples)[: 2 if self.info.samples == 1 else 3]
            if pixels.shape != expected:
                raise ValueError(f"a plane has shape {pixels.shape}, expected {expected}")
        return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))

    @abstractmethod
    def _read(self, t: int, c: int, z: int) -> NDArray[Any]:
        """Read a plane that the information says is there."""

    def close(self) -> None:  # noqa: B027 (not every reader holds a file)
        """Close the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check_info(info: ImageInfo, path: Path) -> None:
    if info.dtype.kind not in "buif":
        raise FileFormatError(
            f"{path} has {info.dtype} pixels, expected booleans, integers or floats: save their magnitude"
        )
    if min(info.shape) < 1 or info.samples < 1:
        raise FileFormatError(
            f"{path} says its axes {LazyImage.axes} have lengths {info.shape}, expected none to be empty: "
            "export it again"
        )
