"""The directories of a TIFF file, walked with bounds before tifffile follows them without."""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import FileFormatError
from dinocell.io.planes import MAX_PIXELS
from dinocell.io.readers.tiff import TiffReader
from dinocell.io.readers.tiff_places import Places
from dinocell.io.readers.tiff_storage import NEEDED_TAGS, STORAGE_TAGS, Storage, storage_of

MAX_PAGES = 2**18
"""A file of more directories (pages, levels) is refused, or one that claims more planes by OME-XML."""

_MAX_ENTRIES = 4096  # of a directory; tifffile calls more damage
_MAX_TAG_BYTES = 2**28
_MAX_DESCRIPTION_BYTES = 2**25
_MAX_SEGMENTS = 2**24  # strips and tiles of all pages
_SLACK = 2**26  # bytes by which tags may overlap, as writers share some
_TYPE_SIZES = dict(
    enumerate((0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8))
)  # bytes, by TIFF's number
_DIRECTORY_BYTES = 512  # most directories are shorter
_KIND, _DESCRIPTION, _SUBIFDS = 254, 270, 330
_PARTS = ((273, 279), (324, 325))  # places and bytes of strips, and of tiles
_NO_IMAGE = 1 | 4  # kinds of page: a smaller copy, a mask
_COUNT_OTHERWISE = (33628, 34412, 65420)  # tags of STK, LSM and NDPI: places and bytes are not as in TIFF
_MOST_VALUES = 16  # of a tag that says how a page is stored
# TIFF's kinds of whole numbers, and those of them that say how and where pixels are stored
_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_USUAL_NUMBERS = (3, 4, 13, 16, 18)

_Tag = tuple[int, int, int, bytes]  # its code, and the rest
_Entry = tuple[int, int, bytes]  # of a tag: kind, number of values, and the values or where they are
_NOTHING: _Entry = (0, 0, b"")
_USUAL: _Entry = (4, 0, b"")
_Ints = NDArray[np.int64]


class _Layout:
    """How numbers are stored in a classic TIFF or a BigTIFF."""

    def __init__(self, head: bytes) -> None:
        self.order = ">" if head[:2] == b"MM" else "<"
        self.byteorder: Literal["big", "little"] = "big" if head[:2] == b"MM" else "little"
        is_big = struct.unpack(f"{self.order}H", head[2:4]) == (43,)
        number, entry, offset = ("Q", "HHQ8s", "Q") if is_big else ("H", "HHI4s", "I")
        self.number, self.entry, self.offset = (
            struct.Struct(self.order + code) for code in (number, entry, offset)
        )
        (self.first,) = self.offset.unpack_from(head, 8 if is_big else 4)


@dataclass
class Directories:
    """Findings of a walk over the directories of a file.

    Attributes
    ----------
    seen : set of int
        Where the directories are, also those below others.
    tag_bytes : int
        Memory that reading all tags takes.
    segments : int
        Strips and tiles of all pages.
    smallest : int
        Pixels of the smallest page.
    storage : dict
        How each page is stored, by where its directory is.
    pages : list of int
        Where the directories of the chain are, in its order, without smaller copies and masks.
    places : Places
        Which bytes are directories, and which are pixels.
    is_sorted : bool
        Whether the tags of all directories are in the order of their codes, as TIFF demands.
    is_cut : bool
        Whether the chain goes on where there is no directory.
    codes : set of int
        Of all tags.
    unusual : set of int
        Codes of tags that say how or where pixels are stored by another kind of number than TIFF demands.
    kinds : dict
        The different ways in which pages are stored, by the tags that say so.
    """

    seen: set[int] = field(default_factory=set)
    tag_bytes: int = 0
    segments: int = 0
    smallest: int = MAX_PIXELS
    storage: dict[int, Storage] = field(default_factory=dict)
    pages: list[int] = field(default_factory=list)
    places: Places = field(default_factory=Places)
    is_sorted: bool = True
    is_cut: bool = False
    codes: set[int] = field(default_factory=set)
    unusual: set[int] = field(default_factory=set)
    kinds: dict[tuple[_Tag, ...], Storage] = field(default_factory=dict)

    @cached_property
    def numbers(self) -> dict[int, int]:
        """Numbers of `pages` by where their directories are, once all have been found."""
        return {offset: number for number, offset in enumerate(self.pages)}


def check_directories(file: Path) -> Directories:
    """Walk over all directories of a file, as tifffile does without bounds.

    Where the file ends too early the walk ends as well: tifffile reports that.

    Raises
    ------
    FileFormatError
        If they form a cycle, are too many, or their tags too large.
    """
    found = Directories()
    with file.open("rb") as stream:
        layout = _Layout(stream.read(16).ljust(16, b"\0"))
        size = stream.seek(0, os.SEEK_END)
        waiting = [(layout.first, True)]
        while waiting:
            offset, is_chained = waiting.pop()
            if offset < 8 or offset >= size:
                found.is_cut |= is_chained and offset != 0
                continue
            if offset in found.seen:
                raise FileFormatError(
                    f"{file} has a cycle of pages (again at byte {offset}), expected a list with an end: "
                    "export it again"
                )
            found.seen.add(offset)
            if len(found.seen) > MAX_PAGES:
                raise FileFormatError(
                    f"{file} has more than {MAX_PAGES} pages, expected at most so many: split it"
                )
            following, below, is_image = _check_directory(stream, offset, layout, found, size)
            _check_tags(found, size, file)
            found.is_cut |= is_chained and offset not in found.storage
            if is_chained and is_image:
                found.pages.append(offset)
            waiting += [(at, False) for at in below]
            if is_chained:
                waiting.append((following, True))
    return found


def first_description(file: Path) -> str:
    """Read the description of a TIFF file's first directory, without following anything else.

    Returns
    -------
    str
        Empty where there is none, it is not a text of a size that is allowed, or the file is no TIFF.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    with file.open("rb") as stream:
        head = stream.read(16).ljust(16, b"\0")
        if not head.startswith(TiffReader.magic):
            return ""
        layout, size = _Layout(head), stream.seek(0, os.SEEK_END)
        if layout.first >= size:
            return ""
        stream.seek(layout.first)
        count = int.from_bytes(stream.read(layout.number.size), layout.byteorder)
        if count > _MAX_ENTRIES:
            return ""
        entries = stream.read(count * layout.entry.size)
        whole = len(entries) // layout.entry.size * layout.entry.size
        for code, _, items, value in layout.entry.iter_unpack(entries[:whole]):
            if code == _DESCRIPTION and items <= _MAX_DESCRIPTION_BYTES:
                return _text(stream, layout, items, value, size)
    return ""


def _text(stream: BinaryIO, layout: _Layout, items: int, value: bytes, file_size: int) -> str:
    """Read the text of a tag, which stands elsewhere in the file if it does not fit into the tag."""
    if items > len(value):
        (offset,) = layout.offset.unpack(value)
        if offset >= file_size:
            return ""
        stream.seek(offset)
        value = stream.read(items)
    return value[:items].rstrip(b"\0").decode("utf-8", "replace")


def _check_directory(
    stream: BinaryIO, offset: int, layout: _Layout, found: Directories, file_size: int
) -> tuple[int, tuple[int, ...], bool]:
    """Add up one directory's tags and note how and where its page is stored.

    Returns
    -------
    int
        Where the next directory is, 0 for none.
    tuple of int
        Where those below it are.
    bool
        Whether its page is an image, neither a smaller copy nor a mask.
    """
    entries, following = _read_entries(stream, offset, layout, found)
    codes = [entry[0] for entry in entries]
    found.is_sorted &= codes == sorted(set(codes))
    tags: dict[int, _Entry] = {entry[0]: entry[1:] for entry in reversed(entries)}  # the first one counts
    for code, kind, items, value in entries:
        size = items * _TYPE_SIZES.get(kind, 0)
        if size > len(value):
            place = layout.offset.unpack(value)[0]
            found.tag_bytes += _counted(code, size, place, file_size)
            if code in NEEDED_TAGS:
                found.places.take(place, size)
    if not entries:
        return 0, (), False
    found.codes.update(tags)
    _note_storage(
        found, offset, tuple((code, *tags[code]) for code in tags if code in STORAGE_TAGS), stream, layout
    )
    _note_parts(found, offset, tags, stream, layout)
    is_image = not any(one & _NO_IMAGE for one in _numbers(stream, layout, *tags.get(_KIND, _NOTHING)))
    return following, _below(stream, layout, *tags.get(_SUBIFDS, _NOTHING)), is_image


def _read_entries(
    stream: BinaryIO, offset: int, layout: _Layout, found: Directories
) -> tuple[list[_Tag], int]:
    """Read the entries of a directory, and where the next one is; nothing of one that is cut."""
    number, entry = layout.number, layout.entry
    stream.seek(offset)
    data = stream.read(_DIRECTORY_BYTES)
    if len(data) < number.size:
        return [], 0
    (count,) = number.unpack_from(data)
    if count > _MAX_ENTRIES:
        return [], 0
    end = number.size + count * entry.size
    data += stream.read(max(end + layout.offset.size - len(data), 0))
    if len(data) < end + layout.offset.size:
        return [], 0
    found.places.take(offset, end + layout.offset.size)
    return list(entry.iter_unpack(data[number.size : end])), layout.offset.unpack_from(data, end)[0]


def _note_parts(
    found: Directories, offset: int, tags: dict[int, _Entry], stream: BinaryIO, layout: _Layout
) -> None:
    """Note where the strips or tiles of a page are."""
    if any(code in tags for code in _COUNT_OTHERWISE):
        found.places.is_exact = False
    for places, counts in _PARTS:
        if places not in tags:
            continue
        for code in (places, counts):
            if tags.get(code, _USUAL)[0] not in _USUAL_NUMBERS:
                found.unusual.add(code)
        found.segments += tags[places][1]
        if found.segments <= _MAX_SEGMENTS:
            starts, sizes = (_array(stream, layout, *tags.get(code, _NOTHING)) for code in (places, counts))
            storage = found.storage[offset]
            found.places.take_parts(offset, starts, sizes, storage.raw_part_bytes, storage.takes_any_bytes)


def _counted(code: int, size: int, offset: int, file_size: int) -> int:
    """Return the bytes of a tag as far as reading it takes memory.

    tifffile leaves out what is not within the file, and the pixels may do without it. A tag beyond its limit
    alone is counted so that the sum is too much.
    """
    if code not in NEEDED_TAGS and not 8 <= offset <= file_size - size:
        return 0
    limit = _MAX_DESCRIPTION_BYTES if code == _DESCRIPTION else _MAX_TAG_BYTES
    return size if size <= limit else 2**63


def _numbers(stream: BinaryIO, layout: _Layout, kind: int, items: int, value: bytes) -> tuple[int, ...]:
    """Read the values of a tag of few whole numbers; nothing where it is another."""
    if kind not in _NUMBERS or not 0 < items <= _MOST_VALUES:
        return ()
    numbers = struct.Struct(f"{layout.order}{items}{_NUMBERS[kind]}")
    if numbers.size > len(value):
        stream.seek(layout.offset.unpack(value)[0])
        value = stream.read(numbers.size)
    return numbers.unpack_from(value) if len(value) >= numbers.size else ()


def _array(stream: BinaryIO, layout: _Layout, kind: int, items: int, value: bytes) -> Sequence[int] | _Ints:
    """Read the values of a tag of any number of whole numbers; nothing where it is another."""
    if kind not in _NUMBERS or items <= _MOST_VALUES:
        return _numbers(stream, layout, kind, items, value)
    dtype = np.dtype(layout.order + _NUMBERS[kind])
    stream.seek(layout.offset.unpack(value)[0])
    data = stream.read(items * dtype.itemsize)
    return np.frombuffer(data, dtype).astype(np.int64) if len(data) == items * dtype.itemsize else ()


def _note_storage(
    found: Directories,
    offset: int,
    stored: tuple[_Tag, ...],
    stream: BinaryIO,
    layout: _Layout,
) -> None:
    """Note how a page is stored; most pages of a file say it with the same bytes."""
    storage = found.kinds.get(stored)
    if storage is None:
        found.unusual.update(tag[0] for tag in stored if tag[1] not in _USUAL_NUMBERS)
        storage = storage_of(
            {code: _numbers(stream, layout, kind, items, value) for code, kind, items, value in stored}
        )
        if all(items * _TYPE_SIZES.get(kind, 0) <= len(value) for _, kind, items, value in stored):
            found.kinds[stored] = storage
    found.storage[offset] = storage
    found.smallest = min(found.smallest, storage.pixels)


def _below(stream: BinaryIO, layout: _Layout, kind: int, items: int, value: bytes) -> tuple[int, ...]:
    """Read the offsets of directories below one, as many as could be allowed and one more."""
    width = _TYPE_SIZES.get(kind, 0)
    if not items or width not in (4, 8):
        return ()
    items = min(items, MAX_PAGES + 1)
    if items * width > len(value):
        stream.seek(layout.offset.unpack(value)[0])
        value = stream.read(items * width)
    items = min(items, len(value) // width)
    return struct.unpack(f"{layout.order}{items}{'I' if width == 4 else 'Q'}", value[: items * width])


def _check_tags(found: Directories, size: int, file: Path) -> None:
    if found.tag_bytes > size + _SLACK:
        raise FileFormatError(
            f"{file} says its tags are larger than they can be, expected descriptions of at most "
            f"{_MAX_DESCRIPTION_BYTES} bytes, other tags of {_MAX_TAG_BYTES}, all within the file: "
            "export it again with fewer metadata"
        )
    if found.segments > _MAX_SEGMENTS:
        raise FileFormatError(
            f"{file} says it has more than {_MAX_SEGMENTS} strips or tiles, expected fewer: "
            "export it again with larger ones"
        )
