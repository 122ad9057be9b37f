"""Planes, windows and pages of an opened TIFF file."""

import os
from pathlib import Path

import numpy as np

from dinocell.io.planes import MAX_PIXELS, Pixels, Window, checked_index
from dinocell.io.readers.lazy import ImageInfo, LazyImage, check_dtype, closed_on_error
from dinocell.io.readers.naming import choose_channel, choose_scene, matching_names, sample_names
from dinocell.io.readers.reader import Page
from dinocell.io.readers.tiff_file import OpenedTiff
from dinocell.io.readers.tiff_messages import collect_messages


class TiffImage(LazyImage):
    """One series of a TIFF file. Parameters and errors as in `LazyImage`."""

    def __init__(self, opened: OpenedTiff, info: ImageInfo, largest: int = MAX_PIXELS) -> None:
        super().__init__(opened.file, info, largest)
        self._tif, self._stack = opened.tif, opened.stacks[info.scene]
        self._files = opened.files
        self._stamp = self._file_times()

    @property
    def files(self) -> tuple[Path, ...]:
        """The file, or all those of the OME-TIFF set that it is part of."""
        return self._files

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """Rows and columns of a tile or strip; one row if the plane is stored as it is."""
        return self._stack.chunk_shape

    def has_plane(self, t: int = 0, c: int = 0, z: int = 0) -> bool:
        """Return whether a plane that the OME-XML names is in the file, or in another one of its set."""
        return self._stack.has_plane(t, c, z)

    def _read(self, t: int, c: int, z: int) -> Pixels:
        return self._unchanged(t, c, z, None)

    def _read_window(self, rows: slice, columns: slice, t: int, c: int, z: int) -> Pixels:
        return self._unchanged(t, c, z, (rows, columns))

    def _unchanged(self, t: int, c: int, z: int, window: Window | None) -> Pixels:
        """Read a plane or a window of it from the file as it was opened."""
        with collect_messages() as messages:
            pixels = self._stack.read_plane(t, c, z, window)
            messages.check()
        if self._file_times() != self._stamp:
            raise ValueError("it changed while it was read")
        return pixels

    def _file_times(self) -> list[tuple[int, int]]:
        """Return sizes and times of the files, which change when somebody writes to one of them."""
        found = [os.fstat(self._tif.filehandle.fileno())]
        found += [file.stat() for file in self._files if file != self.path]
        return [(status.st_size, status.st_mtime_ns) for status in found]

    def close(self) -> None:
        """Close the file."""
        self._tif.close()


def open_tiff(file: Path, scene: int | str, largest: int = MAX_PIXELS) -> LazyImage:
    """Open one series of a TIFF file: OME-TIFF, also of several files, ImageJ hyperstack, or plain.

    Axes other than T, C and Z become slices if the file has no Z, else times. The finest level of a pyramid
    is opened.

    Parameters
    ----------
    file : path
    scene : int or str
        Number or name of the series.
    largest : int
        Pixels that a plane may have where windows of it are read without the rest; others `MAX_PIXELS`.

    Raises
    ------
    FileFormatError
        If its pages form a cycle, it claims more than it can hold, names other files than its neighbours, or
        has colours other than gray and RGB.
    InputError
        If the scene does not exist.
    """
    with collect_messages() as messages:
        opened = OpenedTiff(file, messages, largest)
        with closed_on_error(opened.tif):
            scenes = opened.scenes()
            return TiffImage(opened, opened.info(choose_scene(scenes, scene, file), scenes), largest)


def read_tiff(file: Path, page: int | None, channel: int | str | None) -> Page:
    """Read one plane of all series, one after the other; parameters as in `TiffReader.read_page`.

    Raises
    ------
    FileFormatError
        As `open_tiff`; or if its pixels are not real numbers.
    InputError
        If `page` is missing or out of range, or there is not exactly one such channel.
    """
    with collect_messages() as messages:
        opened = OpenedTiff(file, messages)
        with opened.tif:
            page = checked_index(page, sum(stack.n_pages for stack in opened.stacks), "page", file)
            number = 0  # of the series
            while page >= opened.stacks[number].n_pages:
                page, number = page - opened.stacks[number].n_pages, number + 1
            stack = opened.stacks[number]
            size, _, _, names = opened.describe(number)
            names = matching_names(names, stack.n_channels)
            if channel is not None:
                called = sample_names(stack.n_channels) if stack.is_colour else names
                channel = choose_channel(called or ("",) * stack.n_channels, channel, file)
                names = matching_names(names[channel : channel + 1], 1)
            pixels = stack.read_page(page, channel)
            messages.check()
    check_dtype(pixels.dtype, file)
    axes = ("YXS" if stack.is_colour else "YXC")[: pixels.ndim]
    return np.ascontiguousarray(pixels), axes, size, names
