"""The contract of an opened image file: its description, and its planes, read one at a time."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import FileFormatError
from dinocell.io.planes import MAX_PIXELS, Pixels, check_size, checked_index, checked_window, decoding
from dinocell.io.readers.units import square_edge

SAMPLES = "RGBA"
"""Names of the values of a pixel in colour."""


class _Closeable(Protocol):
    def close(self) -> object: ...


@dataclass(frozen=True)
class ImageInfo:
    """Description of one scene of an image file.

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
        Values of a pixel within a plane: 1, or 3 or 4 if planes are in colour (R, G, B and perhaps alpha).
    dtype : dtype
        Booleans, integers or floats.
    pixel_size_yx_um : (float, float) or None
        Height and width of a pixel in micrometres; None if the file does not give them for the specimen.
    z_step_um : float or None
        Distance of z slices in micrometres.
    time_step_s : float or None
        Seconds from one time to the next.
    channel_names : tuple of str
        One for each channel, ``""`` for a channel without a name; empty if the file names none.
    missing_planes : int
        Number of planes that the file describes but does not hold.
    """

    format: str
    scenes: tuple[str, ...]
    scene: int
    shape: tuple[int, int, int, int, int]
    samples: int
    dtype: np.dtype[Any]
    pixel_size_yx_um: tuple[float, float] | None = None
    z_step_um: float | None = None
    time_step_s: float | None = None
    channel_names: tuple[str, ...] = ()
    missing_planes: int = 0

    @property
    def pixel_size_um(self) -> float | None:
        """Edge of the pixels in micrometres if they are square; None if they are not, or not known."""
        return square_edge(self.pixel_size_yx_um)


class LazyImage(ABC):
    """One scene of an opened image file, whose pixels are read when they are asked for.

    Use it in a ``with`` block, or close it. A reader implements `_read` and, if it holds a file, `close`. If
    it can read a window without decoding the whole plane, it implements `_read_window` and `chunk_shape` as
    well.

    Parameters
    ----------
    path : path
    info : ImageInfo
        Description of this scene; checked here.
    largest : int
        Pixels that a plane may have; more than `MAX_PIXELS` only if windows are read without the plane.

    Raises
    ------
    FileFormatError
        If a plane would be empty or too large, or its pixels are not real numbers.
    """

    axes: ClassVar[str] = "TCZYX"

    def __init__(self, path: Path, info: ImageInfo, largest: int = MAX_PIXELS) -> None:
        self.path, self.info = path, info
        check_size(info.shape[3], info.shape[4], path, largest=largest)
        _check_info(info, path)

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """Rows and columns of the pixels that are decoded at a time: the whole plane, or one of its parts.

        A window whose bounds are multiples of it, or those of the plane, decodes nothing in vain.
        """
        return self.info.shape[3:]

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the image is read from, sorted by name; the folder of an OME-Zarr."""
        return (self.path,)

    def read_plane(self, t: int = 0, c: int = 0, z: int = 0) -> Pixels:
        """Read one plane.

        Parameters
        ----------
        t, c, z : int
            Time, channel and slice, counted from 0.

        Returns
        -------
        array, shape (Y, X) or (Y, X, S)
            In the file's own dtype, native byte order, C-contiguous; S is `ImageInfo.samples` if that is not
            1.

        Raises
        ------
        InputError
            If the plane does not exist.
        FileFormatError
            If it is damaged or missing in the file, or has more than `MAX_PIXELS` pixels.
        """
        self._check_indices(t, c, z)
        self._check_there(t, c, z)
        check_size(*self.info.shape[3:], self.path, remedy="segment it with `dinocell segment-large`")
        with decoding(self.path, self.info.format):
            return self._checked(self._read(t, c, z), *self.info.shape[3:])

    def read_window(self, rows: slice, columns: slice, t: int = 0, c: int = 0, z: int = 0) -> Pixels:
        """Read a window of one plane: the same as ``read_plane(t, c, z)[rows, columns]``.

        OME-Zarr and TIFF decode only the chunks, tiles or strips that the window lies in, so damage elsewhere
        is not noticed. Other formats decode the whole plane at every call: to use many windows of them, read
        the plane.

        Parameters
        ----------
        rows, columns : slice
            Bounds within the plane; None stands for those of the plane. At least one pixel, at most
            `MAX_PIXELS`.
        t, c, z : int
            Time, channel and slice, counted from 0.

        Returns
        -------
        array, shape (Y, X) or (Y, X, S)
            As `read_plane` returns it; it shares no memory with other windows.

        Raises
        ------
        InputError
            If the window or plane does not exist.
        FileFormatError
            If it is damaged or missing in the file.
        """
        self._check_indices(t, c, z)
        self._check_there(t, c, z)
        rows, columns = checked_window(rows, columns, *self.info.shape[3:], self.path)
        with decoding(self.path, self.info.format):
            window = self._read_window(rows, columns, t, c, z)
            return self._checked(window, rows.stop - rows.start, columns.stop - columns.start)

    def has_plane(self, t: int = 0, c: int = 0, z: int = 0) -> bool:
        """Return whether a plane that the file describes is in it."""
        return True

    def _check_there(self, t: int, c: int, z: int) -> None:
        if not self.has_plane(t, c, z):
            planes = math.prod(self.info.shape[:3])
            raise FileFormatError(
                f"{self.path} does not have the plane of time {t}, channel {c}, slice {z} "
                f"({self.info.missing_planes} of {planes} planes are not in the file), expected all: look "
                "for more files of the set, or choose another plane"
            )

    def _check_indices(self, t: int, c: int, z: int) -> None:
        for index, count, what in zip(
            (t, c, z), self.info.shape[:3], ("time", "channel", "z slice"), strict=True
        ):
            checked_index(index, count, what, self.path)

    def _checked(self, pixels: NDArray[Any], height: int, width: int) -> Pixels:
        """Return pixels laid out as `read_plane` promises; raise ValueError if their shape is wrong."""
        expected = (height, width, self.info.samples)[: 2 if self.info.samples == 1 else 3]
        if pixels.shape != expected:
            raise ValueError(f"a plane has shape {pixels.shape}, expected {expected}")
        return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))

    @abstractmethod
    def _read(self, t: int, c: int, z: int) -> NDArray[Any]:
        """Read a plane that exists according to `info`."""

    def _read_window(self, rows: slice, columns: slice, t: int, c: int, z: int) -> NDArray[Any]:
        """Read a window of a plane that exists according to `info`; its bounds are numbers."""
        plane = self._checked(self._read(t, c, z), *self.info.shape[3:])
        return plane[rows, columns].copy()  # a view would keep the plane in memory

    def close(self) -> None:  # noqa: B027 (not every reader holds a file)
        """Close the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_dtype(dtype: np.dtype[Any], path: Path) -> None:
    """Raise FileFormatError for pixels that are not real numbers."""
    if dtype.kind not in "buif":
        raise FileFormatError(
            f"{path} has {dtype} pixels, expected booleans, integers or floats: save their magnitude"
        )


def _check_info(info: ImageInfo, path: Path) -> None:
    check_dtype(info.dtype, path)
    if min(info.shape) < 1 or info.samples < 1:
        raise FileFormatError(
            f"{path} says its axes {LazyImage.axes} have lengths {info.shape}, expected none to be empty: "
            "export it again"
        )


@contextmanager
def closed_on_error(opened: _Closeable) -> Iterator[None]:
    """Close what was opened if the block fails; otherwise leave it open for the image that holds it."""
    with ExitStack() as stack:
        stack.callback(opened.close)
        yield
        stack.pop_all()
