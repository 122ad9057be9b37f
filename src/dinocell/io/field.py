"""Field of an image: the rectangle within constant margins, outside of which pixels are no image.

Stitching, registration and slide scanners put margins of one value, or of NaN, beside what was seen::

    0 0 0 0 0 0
    0 0 0 0 0 0     the outer lines at a side (rows or columns) that hold one value, of which the rest has few
    0 0 3 7 5 9
    0 0 4 0 8 2     the field: rows 2:5, columns 2:6
    0 0 6 9 7 3

Only whole lines are taken off: a round field of view keeps its corners, and uneven margins, such as those of
a JPEG, stay. Margins that are a drawn image's background are kept: see `MIN_SIDE` and `BACKGROUND_SHARE`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.io.planes import Window

Reader = Callable[[slice, slice], NDArray[Any]]
"""Function that returns rows and columns of a gray plane, (Y, X)."""

MIN_SIDE = 64
"""Side in pixels of the smallest field: shorter lines are constant by chance, and what is smaller, with all
else constant, is likelier a cell on an empty background than an image."""

BACKGROUND_SHARE = 0.05
"""A margin whose value fills more of the field than this is background, as in drawn images: it is kept."""

_NESTED = 3  # margins of different values that lie within each other, at most
_DEEPEST = 512  # lines that are read at a time, at most
_LONGEST = 4096  # pixels of a line that are read at a time, at most
_PATCHES, _PATCH = 16, 64  # patches a side in which values of the field are counted, and their side


def find_field(gray: NDArray[Any]) -> Window:
    """Find the field of a gray image.

    Parameters
    ----------
    gray : array, shape (Y, X)
        Of any integer or float dtype.

    Returns
    -------
    (slice, slice)
        Rows and columns; those of the whole image where it has no margins.

    Examples
    --------
    >>> image = np.pad(np.arange(1, 5601).reshape(80, 70), ((3, 0), (0, 5)))
    >>> find_field(image)
    (slice(3, 83, None), slice(0, 70, None))
    """
    return search_field(lambda rows, columns: gray[rows, columns], (gray.shape[0], gray.shape[1]))


def search_field(read: Reader, shape: tuple[int, int]) -> Window:
    """Find the field of a gray image that is read in windows: its margins, and little else.

    Parameters
    ----------
    read : callable
        Given rows and columns, returns that part of the image, (Y, X).
    shape : (int, int)
        (Y, X) of the image.

    Returns
    -------
    (slice, slice)
        As of `find_field` for the whole image.
    """
    whole = field = _Box(0, shape[0], 0, shape[1])
    for _ in range(_NESTED):
        inner = _without_background(read, field, _peel(read, field))
        if min(inner.height, inner.width) == 0:  # one value in a margin of another: a square on a background
            return whole.window
        if inner == field or min(inner.height, inner.width) < MIN_SIDE:
            break
        field = inner
    return field.window


def intersect(window: Window, field: Window) -> Window | None:
    """Return the part of a window that lies in a field, None where they share no pixel."""
    rows, columns = (
        slice(max(part.start, span.start), min(part.stop, span.stop))
        for part, span in zip(window, field, strict=True)
    )
    return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None


def move(window: Window, by: tuple[int, int]) -> Window:
    """Return a window moved by rows and columns."""
    rows, columns = (
        slice(part.start + pixels, part.stop + pixels) for part, pixels in zip(window, by, strict=True)
    )
    return rows, columns


@dataclass(frozen=True)
class _Box:
    """A rectangle: the rows from top to bottom, the columns from left to right, both without the last."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def window(self) -> Window:
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True)
class _Margins:
    """Depth of the margin at the top, bottom, left and right, and its value, None where all is NaN."""

    depths: tuple[int, int, int, int]
    values: tuple[Any, Any, Any, Any]


def _peel(read: Reader, box: _Box) -> _Margins:
    """Measure the margins of a box, columns between those at top and bottom."""
    depths, values = [0, 0, 0, 0], [None] * 4
    for side in range(4):
        depths[side], values[side] = _depth(read, _cut(box, depths), side)
    top, bottom, left, right = depths
    return _Margins((top, bottom, left, right), (values[0], values[1], values[2], values[3]))


def _cut(box: _Box, depths: list[int] | tuple[int, int, int, int]) -> _Box:
    top, bottom, left, right = depths
    return _Box(box.top + top, box.bottom - bottom, box.left + left, box.right - right)


def _depth(read: Reader, box: _Box, side: int) -> tuple[int, Any]:
    """Count the outer lines of a box at a side that hold one value, and find it."""
    lines, length = (box.height, box.width) if side < 2 else (box.width, box.height)
    value, done = None, 0
    if length < MIN_SIDE:
        return 0, None
    while done < lines:
        stop = min((done // _DEEPEST + 1) * _DEEPEST, lines) if done else 1
        lowest, highest = _extremes(read, box, side, done, stop, length)
        for low, high in zip(lowest, highest, strict=True):
            value = low if value is None and low == high else value
            if low < high or (low == high and low != value):
                return done, value
            done += 1
    return done, value


def _extremes(
    read: Reader, box: _Box, side: int, start: int, stop: int, length: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the least and greatest finite value of lines from a side; the least is above where none is."""
    parts: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for first, last in pairwise([*range(0, length, _LONGEST), length]):
        block = _read_lines(read, box, side, slice(start, stop), slice(first, last))
        if block.dtype.kind == "f":
            finite = np.isfinite(block)
            parts.append((np.where(finite, block, np.inf).min(1), np.where(finite, block, -np.inf).max(1)))
        else:
            parts.append((block.min(1), block.max(1)))
        if parts[-1][0][0] < parts[-1][1][0]:  # the outermost is uneven: what the others are is not asked
            break
    lowest = np.min([low for low, _ in parts], axis=0)
    return lowest, np.max([high for _, high in parts], axis=0)


def _read_lines(read: Reader, box: _Box, side: int, lines: slice, along: slice) -> NDArray[Any]:
    """Read pixels of lines from a side, the outermost first: (lines, pixels)."""
    end = (box.top, box.bottom, box.left, box.right)[side]
    towards = (
        slice(end - lines.stop, end - lines.start) if side % 2 else slice(end + lines.start, end + lines.stop)
    )
    if side < 2:
        block = read(towards, slice(box.left + along.start, box.left + along.stop))
    else:
        block = read(slice(box.top + along.start, box.top + along.stop), towards).T
    return block[::-1] if side % 2 else block


def _without_background(read: Reader, box: _Box, margins: _Margins) -> _Box:
    """Cut the margins off a box, but for those whose value is common within."""
    inner = _cut(box, margins.depths)
    if not any(margins.depths) or min(inner.height, inner.width) < MIN_SIDE:
        return inner
    values = {value for value in margins.values if value is not None}  # those of NaN alone have none
    shares = dict.fromkeys(values, 0)
    pixels = 0
    for patch in _patches(inner):
        block = read(*patch)
        pixels += block.size
        for value in values:
            shares[value] += int(np.count_nonzero(block == value))
    kept = [
        0 if value is not None and shares[value] > BACKGROUND_SHARE * pixels else depth
        for depth, value in zip(margins.depths, margins.values, strict=True)
    ]
    return _cut(box, (kept[0], kept[1], kept[2], kept[3]))


def _patches(box: _Box) -> Iterator[Window]:
    """Yield windows spread over a box, all of it where it is small."""
    for top, bottom in _spans(box.height):
        for left, right in _spans(box.width):
            yield move((slice(top, bottom), slice(left, right)), (box.top, box.left))


def _spans(length: int) -> Iterator[tuple[int, int]]:
    for start, stop in pairwise(round(length * part / _PATCHES) for part in range(_PATCHES + 1)):
        yield start, min(stop, start + _PATCH)
