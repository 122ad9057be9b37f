"""``.npy`` files of many items: opened through a memory map, or grown item by item."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap, write_array_header_1_0
from numpy.typing import DTypeLike, NDArray

from dinocell.errors import FileFormatError, FileMissingError
from dinocell.io.planes import DECODE_ERRORS


def open_npy(path: Path) -> NDArray[Any]:
    """Open an array of real numbers through a memory map; nothing is unpickled.

    Parameters
    ----------
    path : Path

    Returns
    -------
    array, at least 3-D
        Read only.

    Raises
    ------
    FileMissingError
        If the file does not exist.
    FileFormatError
        If it is not such an array, or shorter than its header says.
    """
    if not path.is_file():
        raise FileMissingError(f"{path} is missing: expected the output folder of `dinocell process`")
    try:
        array: NDArray[Any] = open_memmap(path, mode="r")
    except DECODE_ERRORS as error:
        raise FileFormatError(f"{path} is damaged or no array: {error}. Process the data again") from error
    if array.ndim < 3 or array.dtype.kind not in "uif" or array.size == 0:
        raise FileFormatError(
            f"{path} has shape {array.shape} and dtype {array.dtype}, expected numbers (N, Y, X) or more"
        )
    return array


class GrowingArray:
    """An ``.npy`` file that items are appended to; until it is finished its header counts none.

    Every method may raise OSError.

    Parameters
    ----------
    file : io.FileIO
        Unbuffered, to read and write; items that it holds are kept. It is left to the caller to close.
    shape : tuple of int
        Of an item.
    dtype : dtype
    """

    def __init__(self, file: io.FileIO, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._item_bytes = int(np.prod(shape)) * self._dtype.itemsize
        self._file = file
        self._write_header(0)
        self._start = self._file.tell()

    def __len__(self) -> int:
        """Count the whole items."""
        return (os.fstat(self._file.fileno()).st_size - self._start) // self._item_bytes

    def truncate(self, count: int) -> None:
        """Keep the first items only, and append after them."""
        end = self._start + count * self._item_bytes
        self._file.truncate(end)
        self._file.seek(end)

    def append(self, item: NDArray[Any]) -> None:
        """Add an item at the end."""
        if item.shape != self._shape or item.dtype != self._dtype:
            raise ValueError(f"item of {item.dtype} {item.shape}, expected {self._dtype} {self._shape}")
        write_all(self._file, np.ascontiguousarray(item).data)

    def finish(self) -> None:
        """Write the number of items into the header, and wait until all is on the disk."""
        self._write_header(len(self))
        os.fsync(self._file.fileno())

    def _write_header(self, count: int) -> None:
        # numpy leaves room for the first axis to grow: the header's length is the same for every count.
        header = io.BytesIO()
        what = {"descr": self._dtype.str, "fortran_order": False, "shape": (count, *self._shape)}
        write_array_header_1_0(header, what)
        self._file.seek(0)
        write_all(self._file, header.getbuffer())


def write_all(file: io.FileIO, data: memoryview) -> None:
    """Write bytes to an unbuffered file, which may take a part of them at a time."""
    rest = data.cast("B")
    while rest:
        rest = rest[file.write(rest) :]
