"""Values of the tags in the directories of a TIFF file, read without trusting their counts and places."""

import os
import struct
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

USUAL_NUMBERS = (3, 4, 13, 16, 18)
"""Kinds of whole numbers that tags about the storage of pixels are of."""

# bytes of one value, by the number of its kind
_TYPE_SIZES = dict(enumerate((0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)))
# codes of `struct` for the kinds of whole numbers
_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_FEW = 16  # most values of a tag for how a page is stored
_MAX_ENTRIES = 4096  # of a directory; tifffile calls more damage
_DIRECTORY_BYTES = 512  # most directories are shorter

Offsets = NDArray[np.int64]
"""Places in a file, or numbers of bytes."""


class Tag(NamedTuple):
    """Entry of a directory: `n_values` values of a kind, in `value` if they fit, else where it points."""

    code: int
    kind: int
    n_values: int
    value: bytes

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return self.n_values * _TYPE_SIZES.get(self.kind, 0)

    @property
    def is_inline(self) -> bool:
        """True if the values are in the entry itself."""
        return self.size <= len(self.value)


class TagReader:
    """Reader of directories and of the values of their tags, in a classic TIFF or a BigTIFF.

    A directory is a number of entries, as many entries, and the place of the next directory (0 at the end)::

        classic   2 bytes | 12 bytes each: code 2, kind 2, count 4, value or its place 4 | 4 bytes
        BigTIFF   8 bytes | 20 bytes each: code 2, kind 2, count 8, value or its place 8 | 8 bytes

    Parameters
    ----------
    stream : binary file
        Of which the first four bytes are those of a TIFF.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        head = stream.read(16).ljust(16, b"\0")
        self.file_size = stream.seek(0, os.SEEK_END)
        self._order = ">" if head[:2] == b"MM" else "<"
        is_big = struct.unpack(f"{self._order}H", head[2:4]) == (43,)
        number, entry, offset = ("Q", "HHQ8s", "Q") if is_big else ("H", "HHI4s", "I")
        self._number, self._entry, self._offset = (
            struct.Struct(self._order + code) for code in (number, entry, offset)
        )
        (self.first,) = self._offset.unpack_from(head, 8 if is_big else 4)

    def directory(self, offset: int) -> tuple[list[Tag], int, int]:
        """Read the entries of a directory.

        Returns
        -------
        tags : list of Tag
            Empty for a directory that is cut or has too many entries.
        following : int
            Place of the next directory, 0 for none.
        size : int
            Bytes of the directory.
        """
        self._stream.seek(offset)
        data = self._stream.read(_DIRECTORY_BYTES)
        if len(data) < self._number.size:
            return [], 0, 0
        (count,) = self._number.unpack_from(data)
        if count > _MAX_ENTRIES:
            return [], 0, 0
        end = self._number.size + count * self._entry.size
        size = end + self._offset.size
        data += self._stream.read(max(size - len(data), 0))
        if len(data) < size:
            return [], 0, 0
        tags = list(map(Tag._make, self._entry.iter_unpack(data[self._number.size : end])))
        return tags, self._offset.unpack_from(data, end)[0], size

    def readable_tags(self, offset: int) -> list[Tag]:
        """Read the entries of a directory as far as the file goes; empty if there are too many."""
        self._stream.seek(offset)
        data = self._stream.read(self._number.size)
        count = self._number.unpack(data)[0] if len(data) == self._number.size else 0
        if count > _MAX_ENTRIES:
            return []
        entries = self._stream.read(count * self._entry.size)
        whole = len(entries) // self._entry.size * self._entry.size
        return list(map(Tag._make, self._entry.iter_unpack(entries[:whole])))

    def place(self, tag: Tag) -> int:
        """Return where the values of a tag are that are not in the entry itself."""
        return int(self._offset.unpack(tag.value)[0])

    def few_numbers(self, tag: Tag | None) -> tuple[int, ...]:
        """Read the values of a tag of few whole numbers; empty for any other."""
        if tag is None or tag.kind not in _NUMBERS or not 0 < tag.n_values <= _FEW:
            return ()
        numbers = struct.Struct(f"{self._order}{tag.n_values}{_NUMBERS[tag.kind]}")
        value = tag.value
        if numbers.size > len(value):
            self._stream.seek(self.place(tag))
            value = self._stream.read(numbers.size)
        return numbers.unpack_from(value) if len(value) >= numbers.size else ()

    def numbers(self, tag: Tag | None) -> Sequence[int] | Offsets:
        """Read the values of a tag of any number of whole numbers; empty for any other, or if it is cut."""
        if tag is None or tag.kind not in _NUMBERS or tag.n_values <= _FEW:
            return self.few_numbers(tag)
        dtype = np.dtype(self._order + _NUMBERS[tag.kind])
        self._stream.seek(self.place(tag))
        data = self._stream.read(tag.n_values * dtype.itemsize)
        return (
            np.frombuffer(data, dtype).astype(np.int64) if len(data) == tag.n_values * dtype.itemsize else ()
        )

    def offsets(self, tag: Tag | None, largest: int) -> tuple[int, ...]:
        """Read the places of directories that a tag lists, at most so many; empty for any other tag."""
        width = 0 if tag is None else _TYPE_SIZES.get(tag.kind, 0)
        if tag is None or not tag.n_values or width not in (4, 8):
            return ()
        count, value = min(tag.n_values, largest), tag.value
        if count * width > len(value):
            self._stream.seek(self.place(tag))
            value = self._stream.read(count * width)
        count = min(count, len(value) // width)
        return struct.unpack(f"{self._order}{count}{'I' if width == 4 else 'Q'}", value[: count * width])

    def text(self, tag: Tag) -> str:
        """Read the text of a tag; empty if its place is beyond the end of the file."""
        value = tag.value
        if tag.n_values > len(value):
            place = self.place(tag)
            if place >= self.file_size:
                return ""
            self._stream.seek(place)
            value = self._stream.read(tag.n_values)
        return value[: tag.n_values].rstrip(b"\0").decode("utf-8", "replace")
