"""Masks of a COCO JSON: polygons or run lengths → pixels of cells → label image."""

import os
import pickle
import sys
import weakref
from array import array
from collections.abc import Sequence
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinocell.datasets.npy import write_all
from dinocell.errors import FileFormatError, OutputError
from dinocell.extras import import_extra
from dinocell.labels import IGNORE, Labels

EXPECTED = 'COCO JSON, "images" and "annotations" with polygons or run lengths'
"""Description of the format for error messages."""


MAX_STEPS = 2**26
"""Most points along the outline of a cell: pycocotools takes at least 8 bytes for each."""

_FINER = 5  # points that pycocotools makes of a pixel along an edge


class CocoRuns(NamedTuple):
    """A mask of `size` (height, width) as lengths of runs down the columns, outside and inside by turns."""

    size: tuple[int, int]
    counts: "str | array[int]"  # packed as COCO packs them, or as they are


Mask = tuple["array[float]", ...] | CocoRuns
"""Mask of a cell: for each of its parts the corners x, y, x, y, …; or runs."""


def damage_error(where: str, what: str) -> FileFormatError:
    """Return the error for a damaged file."""
    return FileFormatError(f"{where} {what}, expected {EXPECTED}: export it again")


def as_mask(segmentation: Any) -> Mask:
    """Convert a "segmentation" of the JSON; its numbers are checked when it is drawn.

    Raises
    ------
    LookupError, OverflowError, TypeError, ValueError
        If it is neither polygons nor run lengths.
    """
    if isinstance(segmentation, dict):
        (height, width), counts = segmentation["size"], segmentation["counts"]
        return CocoRuns((height, width), counts if isinstance(counts, str) else array("I", counts))
    if segmentation and not isinstance(segmentation[0], list):
        segmentation = [segmentation]  # some programs leave out the list of parts
    parts = tuple(array("d", part) for part in segmentation)
    if any(len(part) % 2 for part in parts):
        raise ValueError("a corner has no y")
    return parts


class Spool:
    """Unnamed temporary file of bytes: first all are written, then they are read.

    It vanishes with the last object that uses it, or with the process, however that ends.

    Raises
    ------
    OutputError
        If no folder takes temporary files.
    """

    def __init__(self) -> None:
        try:
            self._file = TemporaryFile(buffering=0)  # noqa: SIM115 (open as long as this object lives)
        except OSError as exc:
            raise _no_room(exc) from exc
        self._end = 0
        weakref.finalize(self, self._file.close)

    def write(self, data: bytes) -> int:
        """Write bytes after the others, and return where they begin.

        Raises
        ------
        OutputError
            If the disk is full.
        """
        try:
            write_all(self._file, memoryview(data))
        except OSError as exc:
            raise _no_room(exc) from exc
        start, self._end = self._end, self._end + len(data)
        return start

    def read(self, start: int, size: int) -> bytes:
        """Read bytes."""
        if sys.platform == "win32":
            self._file.seek(start)
            return self._file.read(size)
        return os.pread(self._file.fileno(), size, start)  # forked processes share the file's position


def _no_room(exc: OSError) -> OutputError:
    return OutputError(
        f"cannot keep masks in a temporary file: {exc.strerror or exc}. They take about as much room as the "
        "JSON: free space, or set TMPDIR to a folder with more"
    )


class StoredMasks(Sequence[Mask]):
    """List of masks that stay in a file, as LIVECell's take more than a gigabyte; pickled, it is a tuple.

    Parameters
    ----------
    spool : Spool
        May be shared with other lists.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._starts, self._sizes = array("Q"), array("Q")

    def append(self, mask: Mask) -> None:
        """Add a mask at the end."""
        data = pickle.dumps(mask)
        self._starts.append(self._spool.write(data))
        self._sizes.append(len(data))

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return tuple(self[n] for n in range(*number.indices(len(self))))
        data = self._spool.read(self._starts[number], self._sizes[number])
        return pickle.loads(data)  # noqa: S301 (our own, in a file that no one else can open)

    def __reduce__(self) -> tuple[type, tuple[tuple[Mask, ...]]]:
        return tuple, (tuple(self),)


def mask_pixels(mask: Mask, shape: tuple[int, int], where: str) -> NDArray[np.int64]:
    """Return the pixels of a mask, numbered down the columns.

    Parameters
    ----------
    mask : Mask
    shape : (int, int)
        The image's height and width in pixels.
    where : str
        Name of the mask in error messages.

    Returns
    -------
    int64 array, shape (N,)
        Rising.

    Raises
    ------
    FileFormatError
        If it does not fit the image.
    MissingExtraError
        If it is made of polygons and pycocotools is not installed.
    """
    size, counts = mask if isinstance(mask, CocoRuns) else (shape, _rasterize(mask, shape, where))
    runs: Sequence[int] = _unpack(counts) if isinstance(counts, str) else counts
    if size != shape or min(runs, default=-1) < 0 or sum(runs) != shape[0] * shape[1]:
        raise damage_error(where, f"has run lengths that do not fit an image of {shape} px")
    lengths, ends = np.asarray(runs[1::2], np.int64), np.cumsum(runs, dtype=np.int64)[1::2]
    return np.arange(lengths.sum(), dtype=np.int64) + np.repeat(ends - np.cumsum(lengths), lengths)


def _rasterize(parts: Sequence["array[float]"], shape: tuple[int, int], where: str) -> str:
    """Return the union of polygons as packed runs."""
    coco = import_extra("pycocotools.mask", extra="evaluate", purpose="drawing polygons")
    side = max(shape)  # pycocotools takes memory for every pixel of an edge
    if any(not -side <= value <= 2 * side for part in parts for value in part):
        raise damage_error(where, f"has corners far outside an image of {shape} px")
    if (steps := sum(map(_steps, parts))) > MAX_STEPS:
        raise damage_error(
            where, f"has an outline of {len(parts)} parts that is {steps // _FINER} pixels long"
        )
    # Fewer than three corners enclose nothing, and pycocotools takes two for a box.
    polygons = [part for part in parts if len(part) >= 6] or [array("d", [0.0] * 6)]
    return str(coco.merge(coco.frPyObjects(polygons, *shape))["counts"], "ascii")


def _steps(part: "array[float]") -> int:
    """Count the points that pycocotools makes of a polygon, each of which takes memory and time."""
    corners = np.asarray(part).reshape(-1, 2)
    sides = np.abs(corners - np.roll(corners, -1, axis=0)).max(axis=1, initial=0)
    return int(np.ceil(_FINER * sides).sum()) + len(corners)


def _unpack(counts: str) -> list[int]:
    """Decode COCO's packed run lengths: 5 bits a character, differences to the run before the last.

    pycocotools would decode them into all pixels of the image for each cell, which takes 30 times longer, and
    accepts runs that end before the image does.

    Examples
    --------
    >>> _unpack("6214")  # 6, 2, 1, and 4 more than the 2 before the last
    [6, 2, 1, 6]
    """
    runs: list[int] = []
    value = bits = 0
    for character in counts:
        code = ord(character) - ord("0")
        value |= (code & 0x1F) << bits
        bits += 5
        if not code & 0x20:  # the last character of a number; its highest bit is the sign
            value -= (code & 0x10) << (bits - 4)
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = bits = 0
    return runs


def draw_masks(
    cells: list[NDArray[np.int64]], crowds: list[NDArray[np.int64]], shape: tuple[int, int]
) -> tuple[Labels, int]:
    """Draw cells by their pixels, and count the pixels that several share.

    Parameters
    ----------
    cells, crowds : list of int64 array
        As `mask_pixels` returns them.
    shape : (int, int)

    Returns
    -------
    labels : int32 array, shape (Y, X)
        1…N in the order of the cells; where they overlap the smaller lies on top, of equal ones the later.
        −1 in crowds, where no cell is.
    overlapped : int
        Pixels of several cells.
    """
    canvas = np.zeros(shape[0] * shape[1], np.int32)
    cover = np.zeros(canvas.size, np.uint16)
    for number in sorted(range(len(cells)), key=lambda n: -cells[n].size):
        canvas[cells[number]] = number + 1
        cover[cells[number]] += 1
    seen = np.bincount(canvas) > 0
    seen[0] = False
    canvas = np.cumsum(seen, dtype=np.int32)[canvas]  # no gaps; `relabel` would sort all pixels
    for crowd in crowds:
        canvas[crowd[canvas[crowd] == 0]] = IGNORE
    return np.ascontiguousarray(canvas.reshape(shape[::-1]).T), int((cover > 1).sum())
