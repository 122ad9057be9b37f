"""A series of a TIFF file as numbered planes; a plane or window is read only if all of it is there."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from dinocell.errors import FileFormatError
from dinocell.io.planes import MAX_PIXELS, Pixels, Window, check_size
from dinocell.io.readers.lazy import SAMPLES
from dinocell.io.readers.tiff_checks import YCBCR_JPEG, check_ends, check_parts, check_tags
from dinocell.io.readers.tiff_file_set import FileSet
from dinocell.io.readers.tiff_messages import Warn
from dinocell.io.readers.tiff_parts import (
    LARGEST_PAGE,
    decode_window,
    has_parts,
    is_one_run,
    part_shape,
    read_rows,
)

_OTHER_COLOURS = (5, 6, 8, 9, 10, 32845)  # TIFF's CMYK, YCbCr, Lab (three of them) and LogLuv
_COLOUR = (2, 6)  # photometric interpretations RGB and YCbCr
_LARGEST_TILE = 2**24  # values that a tile of a small image may have


class Stack:
    """A tifffile series as planes: by number, or by time, channel and slice.

    A series is an array whose first axes number its stored pages and whose last ones are within a page. Of 5
    times, 2 slices and 3 channels, stored as gray pages of 64 × 48 pixels::

        axes     T  Z  C | Y   X       n_outer = 3 axes number the pages
        shape    5  2  3 | 64  48      the time t, slice z, channel c is page (t * 2 + z) * 3 + c

    and of 5 times in colour, stored as pages whose samples follow on one another::

        axes     T | Y   X   S         n_outer = 1
        shape    5 | 64  48  3         the time t is page t, red its sample 0

    Other programs store several planes, or an axis after Y and X, within one page. What is chosen is
    therefore an index by dimension: ``{0: t, 1: z, 2: c}`` above. The channels of a page that is asked for by
    its number are its samples (R, G, B) or, without these, the axis C.

    Parameters
    ----------
    series : tifffile.TiffPageSeries
    file : Path
    warn : callable
        Called with what the user should know of the file.
    file_set : FileSet
        How each page is stored.
    largest : int
        As in `open_tiff`.
    """

    def __init__(
        self,
        series: tifffile.TiffPageSeries,
        file: Path,
        warn: Warn,
        file_set: FileSet,
        largest: int = MAX_PIXELS,
    ) -> None:
        self.series, self.keyframe = series, series.keyframe
        self._warn, self._file_set = warn, file_set
        self._is_one_run: dict[int, bool] = {}  # pages that have been checked
        self.axes, self.shape = series.get_axes(squeeze=True), series.get_shape(squeeze=True)
        sizes = dict(zip(self.axes, self.shape, strict=True))
        if not {"Y", "X"} <= set(sizes):
            raise FileFormatError(f"{file} has axes {self.axes}, expected Y and X: save it as a plain TIFF")
        self.n_outer = len(self.shape) - self.keyframe.ndim
        self.stored_axes = self._stored_axes()
        self.reads_windows = self.stored_axes in ("YX", "XY") and has_parts(self.keyframe)
        check_size(sizes["Y"], sizes["X"], file, largest=largest if self.reads_windows else MAX_PIXELS)
        if self.keyframe.photometric in _OTHER_COLOURS and self.keyframe.compression not in YCBCR_JPEG:
            raise FileFormatError(
                f"{file} has colours of TIFF kind {int(self.keyframe.photometric)}, expected gray or RGB: "
                "convert it to RGB"
            )
        self.channel = "S" if "S" in sizes else "C"
        self.is_colour = self.channel == "S" and self.keyframe.photometric in _COLOUR
        self.page_dims = [d for d, axis in enumerate(self.axes) if axis not in {"Y", "X", self.channel}]
        self.n_pages = math.prod(self.shape[d] for d in self.page_dims)
        gray_alpha = sizes.get("S") == 2 and {1, 2} & set(self.keyframe.extrasamples)
        self.n_channels = 1 if gray_alpha else sizes.get(self.channel, 1)
        self._set_axes(sizes)
        self._check_storage(file)

    def _stored_axes(self) -> str:
        """Return the axes of the series along a page's rows and columns; empty if they are not among them."""
        keyframe = self.keyframe
        is_split = self.n_outer < 0 or self.shape[self.n_outer :] != keyframe.shape
        if is_split or not {"Y", "X"} <= set(keyframe.axes):
            return ""
        return "".join(self.axes[self.n_outer + keyframe.axes.index(axis)] for axis in "YX")

    @property
    def n_stored(self) -> int:
        """Number of pages that hold the planes."""
        return math.prod(self.shape[: max(self.n_outer, 0)])

    @property
    def chunk_shape(self) -> tuple[int, int]:
        """Rows and columns of a plane that are decoded at a time."""
        height, width = self.sizes[3:]
        if not self.reads_windows:
            return height, width
        along = dict(zip(self.stored_axes, part_shape(self.keyframe), strict=True))
        return min(along["Y"], height), min(along["X"], width)

    def _set_axes(self, sizes: dict[str, int]) -> None:
        """Group all axes as times, channels and slices."""
        rest = [axis for axis in self.axes if axis not in "TCZYXS"]
        is_rgb = self.is_colour and sizes["S"] in (3, 4)
        groups = {"T": ["T"], "C": ["C"] if is_rgb or self.n_channels == 1 else ["C", "S"], "Z": ["Z"]}
        groups["T" if "Z" in sizes else "Z"] += rest
        self.groups = [
            [d for d, axis in enumerate(self.axes) if axis in groups[group]] for group in ("T", "C", "Z")
        ]
        t, c, z = (math.prod(self.shape[d] for d in dims) for dims in self.groups)
        self.sizes = (t, c, z, sizes["Y"], sizes["X"])
        self.samples = sizes["S"] if is_rgb else 1

    def _check_storage(self, file: Path) -> None:
        """Raise for parts larger than the image, and for pages that are claimed but not there."""
        keyframe, series = self.keyframe, self.series
        check_tags(keyframe, self._warn)
        if keyframe.is_tiled:
            tile = math.prod(keyframe.chunks)
            if tile > max(4 * keyframe.size, _LARGEST_TILE):
                raise ValueError(f"its tiles have {tile} values, its pages {keyframe.size}")
        if keyframe.size > LARGEST_PAGE and not self.reads_windows:
            raise FileFormatError(
                f"{file} says it has pages of {keyframe.size} values, expected at most {MAX_PIXELS} pixels "
                f"of {len(SAMPLES)} samples: export its slices as pages of their own"
            )
        stored = self.n_stored
        if series.kind == "ome" or self.shape[self.n_outer :] != keyframe.shape:
            return
        if series.dataoffset is not None and not series.is_multifile:
            is_whole = series.dataoffset + stored * keyframe.nbytes <= keyframe.parent.filehandle.size
        else:
            is_whole = stored <= 1 or keyframe.index + stored <= len(keyframe.parent.pages)
        if not is_whole:
            raise ValueError(f"it says it has {stored} pages, the last are missing")

    def missing(self) -> int:
        """Count the planes that the file describes but does not hold."""
        if self.series.kind != "ome":  # of other kinds that is refused
            return 0
        planes = math.prod(self.sizes[:3])
        return sum(page is None for page in self.series) * planes // max(self.n_stored, 1)

    def has_plane(self, t: int, c: int, z: int) -> bool:
        """Return whether a plane that the file describes is in it."""
        if self.series.kind != "ome" or self.shape[self.n_outer :] != self.keyframe.shape:
            return True
        return all(self.series[number] is not None for number in self._numbers(self._chosen(t, c, z)))

    def read_page(self, number: int, channel: int | None) -> Pixels:
        """Read plane `number`, one channel or all, as (Y, X) or (Y, X, C)."""
        chosen = self._at(self.page_dims, number)
        if self.channel in self.axes and (channel is not None or self.n_channels == 1):
            chosen[self.axes.index(self.channel)] = channel or 0
        return self._read(chosen, self.channel)

    def read_plane(self, t: int, c: int, z: int, window: Window | None = None) -> Pixels:
        """Read one plane, or a window within it, as (Y, X) or, in colour, (Y, X, S)."""
        chosen = self._chosen(t, c, z)
        if window is not None and not self.reads_windows:
            return self._read(chosen, "S")[window].copy()
        return self._read(chosen, "S", window)

    def _chosen(self, t: int, c: int, z: int) -> dict[int, int]:
        """Return the index along each axis that is neither Y, X nor that of colours."""
        chosen: dict[int, int] = {}
        for dims, number in zip(self.groups, (t, c, z), strict=True):
            chosen |= self._at(dims, number)
        if self.samples == 1 and "S" in self.axes:
            chosen.setdefault(self.axes.index("S"), 0)  # beside gray is alpha
        return chosen

    def _numbers(self, chosen: dict[int, int]) -> list[int]:
        """List the numbers of the stored pages in which the chosen axes have one index each."""
        outer = self.shape[: self.n_outer]
        indices = itertools.product(
            *([chosen[d]] if d in chosen else range(length) for d, length in enumerate(outer))
        )
        return [int(np.ravel_multi_index((0, *index), (1, *outer))) for index in indices]

    def _at(self, dims: list[int], number: int) -> dict[int, int]:
        """Return the index along each of some axes, the last one fastest."""
        index = np.unravel_index(number, [1, *(self.shape[d] for d in dims)])[1:]
        return {d: int(at) for d, at in zip(dims, index, strict=True)}

    def _read(self, chosen: dict[int, int], last: str, window: Window | None = None) -> Pixels:
        """Read at one index along each chosen axis; of the other axes, `last` comes after Y and X."""
        if window is not None and self.stored_axes == "XY":
            window = window[::-1]
        if self.shape[self.n_outer :] != self.keyframe.shape:
            raise ValueError(f"stored pages do not fit the axes {self.axes}")
        stored = [self._stored_page(number, window) for number in self._numbers(chosen)]
        inner = tuple(chosen.get(d, slice(None)) for d in range(self.n_outer, len(self.shape)))
        block = stored[0][inner] if len(stored) == 1 else np.stack([array[inner] for array in stored])
        left = [axis for d, axis in enumerate(self.axes) if d not in chosen]
        return block.transpose([left.index(axis) for axis in ("Y", "X", last) if axis in left])

    def _stored_page(self, number: int, window: Window | None) -> Pixels:
        """Read one stored page or a window of its rows and columns, checking first that all of it is there.

        The window has the page's axes.
        """
        series, keyframe = self.series, self.keyframe
        if series.dataoffset is not None and not series.is_multifile:  # ImageJ describes stacks by one page
            self._check_run()
            offset = series.dataoffset + number * keyframe.nbytes
            if window is not None:
                return read_rows(keyframe, keyframe.parent.filehandle, offset, window)
            dtype = f"{keyframe.parent.byteorder}{series.dtype.char}"
            data = keyframe.parent.filehandle.read_array(dtype, keyframe.size, offset)
            return data.reshape(keyframe.shape)
        page: Any = series[number]
        if page is None:
            raise ValueError(f"plane {number} is not in the file, though its OME-XML speaks of it")
        if window is not None and page.keyframe.shaped != keyframe.shaped:
            raise ValueError(f"plane {number} has another shape than the first one")
        handle = page.parent.filehandle
        was_closed = handle.closed  # OME planes may lie in neighbouring files
        if was_closed:
            handle.open()
        try:
            if number not in self._is_one_run:
                self._is_one_run[number] = self._check_page(page, number)
            return self._decoded(page, number, window)
        finally:
            if was_closed:
                handle.close()

    def _check_run(self) -> None:
        """Check that the first page of planes in one run has the bytes of its pixels."""
        keyframe = self.keyframe
        is_of_all = sum(keyframe.databytecounts) == self.n_stored * keyframe.nbytes
        if not self._is_one_run and not is_of_all:
            check_parts(keyframe, 0, range(len(keyframe.dataoffsets)), self._warn)
        self._is_one_run[0] = True

    def _check_page(self, page: Any, number: int) -> bool:
        """Check that a page is stored as its tags and those of the first page describe.

        Returns
        -------
        bool
            Whether its rows follow on one another in the file.
        """
        own, first = self._file_set.storage(page), self._file_set.storage(self.keyframe)
        if own is not None and first is not None and own != first:  # tifffile goes by the first page's
            raise ValueError(f"plane {number} is not stored like the first one")
        is_wrong, is_odd = self._file_set.shares_bytes(page)
        if is_wrong:
            raise ValueError(f"plane {number} has bytes in common with other parts of the file")
        if is_odd:
            self._warn(f"parts of plane {number} share bytes: compare what is read with the original")
        in_run = is_one_run(page)
        if in_run:
            check_parts(page, number, range(len(page.dataoffsets)), self._warn)
        else:
            check_ends(page, self._warn)
        return in_run

    def _decoded(self, page: Any, number: int, window: Window | None) -> Pixels:
        keyframe = page.keyframe
        if self._is_one_run[number]:
            whole = (slice(0, keyframe.imagelength), slice(0, keyframe.imagewidth))
            return read_rows(keyframe, page.parent.filehandle, page.dataoffsets[0], window or whole)
        if window is not None:
            return decode_window(page, number, window, self._warn)
        parts = range(math.prod(keyframe.chunked))
        check_parts(page, number, parts, self._warn)
        if has_parts(keyframe) and (
            keyframe.is_contiguous or not all(page.databytecounts[at] for at in parts)
        ):
            # tifffile shifts what follows a part without data, and takes for granted that parts follow on
            whole = (slice(0, keyframe.imagelength), slice(0, keyframe.imagewidth))
            return decode_window(page, number, whole, self._warn)
        pixels: Pixels = page.asarray()
        return pixels
