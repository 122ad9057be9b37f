"""Windows of one page of a TIFF file: the rows, tiles or strips that they lie in, checked and decoded.

A window across four of six tiles of 16 × 16 pixels; only these four are read, and what they share with the
window is copied::

    rows 8:20, columns 10:40        0        16        32        48
                                  0 ┌─────────┬─────────┬─────────┐
                                    │      ┌──┼─────────┼────┐    │   tiles 0, 1, 2
                                 16 ├──────┼──┼─────────┼────┼────┤
                                    │      └──┼─────────┼────┘    │   tiles 3, 4, 5
                                 32 └─────────┴─────────┴─────────┘

Not by ``TiffFile.aszarr``: it needs zarr, and reads a whole strip for a small window (13.4 ms of CPU against
0.9, of an uncompressed page of one strip).
"""

import itertools
import math
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from dinocell.io.planes import MAX_PIXELS, Pixels, Window
from dinocell.io.readers.lazy import SAMPLES
from dinocell.io.readers.tiff_checks import CODED_JPEG, check_parts, coded_shape
from dinocell.io.readers.tiff_messages import Warn

LARGEST_PAGE = MAX_PIXELS * len(SAMPLES)
"""Most values of a page, or of a window of it."""

_LARGEST_PART = 2**28  # values of a tile or strip that is decoded for a window


def has_parts(keyframe: Any) -> bool:
    """Return whether rows, tiles or strips of a page can be read without the rest of it."""
    if keyframe.imagedepth > 1:
        return False
    if keyframe.is_final:
        return True
    # a JPEG whose header is kept apart is decoded as a whole
    return keyframe.jpegheader is None and math.prod(coded_shape(keyframe)) <= _LARGEST_PART


def part_shape(keyframe: Any) -> tuple[int, int]:
    """Return rows and columns of what is read at a time from a page that has parts."""
    return (1, keyframe.imagewidth) if keyframe.is_final else coded_shape(keyframe)[:2]


def decode_window(page: Any, number: int, window: Window, warn: Warn) -> Pixels:
    """Read a window of a page, strip by strip or tile by tile.

    Parameters
    ----------
    page : tifffile.TiffPage or TiffFrame
    number : int
        Of the plane, named in the errors.
    window : (slice, slice)
        Along the page's rows and columns; start and stop lie within it.
    warn : callable
        As in `check_parts`.

    Returns
    -------
    array
        With the axes of the page, in native byte order.

    Raises
    ------
    ValueError
        If the window is too large, the page is not stored like the first one, or some of it is missing.
    """
    keyframe = page.keyframe
    if not has_parts(keyframe):
        raise ValueError(f"plane {number} is not stored like the first one")
    (planes, _, _, _, samples), (rows, columns) = keyframe.shaped, window
    shape = (planes, 1, rows.stop - rows.start, columns.stop - columns.start, samples)
    _check_values(shape)
    numbers = list(_parts_within(keyframe, window))
    check_parts(page, number, numbers, warn)
    out = np.full(shape, keyframe.nodata, keyframe.dtype.newbyteorder("="))
    tables = {"jpegtables": page.jpegtables} if keyframe.compression in CODED_JPEG else {}
    for at in numbers:
        if page.dataoffsets[at] and page.databytecounts[at]:  # parts left out are without data
            page.parent.filehandle.seek(page.dataoffsets[at])
            data = page.parent.filehandle.read(page.databytecounts[at])
            part, (plane, _, top, left, _), _ = keyframe.decode(data, at, **tables)
            _paste(part, out[plane], rows.start - top, columns.start - left)
    return out.reshape(_cut_shape(keyframe, window))


def is_one_run(page: Any) -> bool:
    """Return whether a page is stored as it is, row by row from the place of its first strip or tile."""
    if not page.keyframe.is_final or page.keyframe.imagedepth > 1:
        return False
    if page.parent.is_lsm or page.parent.is_stk:  # they count bytes otherwise
        return True
    # tifffile looks at the first page of a series only
    ends = map(operator.add, page.dataoffsets, page.databytecounts)
    return all(end == offset for end, offset in zip(ends, page.dataoffsets[1:], strict=False))


def _parts_within(keyframe: Any, window: Window) -> Iterator[int]:
    """Yield the numbers of the tiles or strips that a window lies in."""
    height, width, _ = coded_shape(keyframe)
    n_down, n_across = math.ceil(keyframe.imagelength / height), math.ceil(keyframe.imagewidth / width)
    down, across = (
        range(bounds.start // step, math.ceil(bounds.stop / step))
        for bounds, step in zip(window, (height, width), strict=True)
    )
    for plane, row, column in itertools.product(range(keyframe.shaped[0]), down, across):
        yield (plane * n_down + row) * n_across + column


def _paste(part: Pixels, out: Pixels, down: int, across: int) -> None:
    """Copy the pixels that a part (1, Y, X, S) and a window (1, Y, X, S) share.

    `down` and `across` are where the window begins within the part, negative where the part begins later.
    """
    top, left = max(down, 0), max(across, 0)
    taken = part[:, top : down + out.shape[1], left : across + out.shape[2]]
    out[:, top - down :, left - across :][:, : taken.shape[1], : taken.shape[2]] = taken


def read_rows(keyframe: Any, handle: Any, offset: int, window: Window) -> Pixels:
    """Read a window of a page that begins at a byte of a file and is stored as it is, row by row.

    Window, result and error as in `decode_window`.
    """
    (planes, _, length, width, samples), (rows, columns) = keyframe.shaped, window
    height, across = rows.stop - rows.start, (columns.stop - columns.start) * samples
    _check_values((planes, height, across))
    dtype = np.dtype(f"{keyframe.parent.byteorder}{keyframe.dtype.char}")
    out = np.empty((planes, height, across), dtype.newbyteorder("="))
    step = height if across == width * samples else 1  # rows that are whole follow on one another
    for plane, down in itertools.product(range(planes), range(0, height, step)):
        begin = ((plane * length + rows.start + down) * width + columns.start) * samples
        read = out[plane, down : down + step]
        at = offset + begin * dtype.itemsize
        handle.read_array(dtype, read.size, at, out=read)  # swaps bytes to the native order
    return out.reshape(_cut_shape(keyframe, window))


def _cut_shape(keyframe: Any, window: Window) -> tuple[int, ...]:
    """Return the shape of a window with the axes of its page."""
    lengths = {axis: bounds.stop - bounds.start for axis, bounds in zip("YX", window, strict=True)}
    return tuple(lengths.get(axis, size) for axis, size in zip(keyframe.axes, keyframe.shape, strict=True))


def _check_values(shape: tuple[int, ...]) -> None:
    """Raise ValueError for a window that takes as much memory as no plane may."""
    if math.prod(shape) > LARGEST_PAGE:
        raise ValueError(f"a window has {math.prod(shape)} values, expected at most {LARGEST_PAGE}")
