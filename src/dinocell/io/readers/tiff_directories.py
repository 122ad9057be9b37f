"""The directories of a TIFF file, walked with bounds before tifffile follows them without.

Each page has a directory of tags, which names the next one. Directories below a page are named by its tag
SubIFDs: smaller copies of it, mostly. Any of these places may be damaged or made to harm::

    header ──► page 0 ────────► page 1 ────────► page 2 ──► 0, the end
               │ 256 width      │                │
               │ 273 strips     │                └ next: page 0 again would never end
               └ 330 SubIFDs    └ 270 description of 2³¹ bytes
                  └► smaller copy

The walk visits each directory once, adds up what reading its tags would take, and notes how and where its
page is stored, for the checks that follow.
"""

import itertools
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from dinocell.errors import FileFormatError
from dinocell.io.planes import MAX_PIXELS
from dinocell.io.readers.tiff import TiffReader
from dinocell.io.readers.tiff_spans import ByteSpans
from dinocell.io.readers.tiff_storage import NEEDED_TAGS, STORAGE_TAGS, Storage, storage_of
from dinocell.io.readers.tiff_tags import USUAL_NUMBERS, Tag, TagReader

MAX_PAGES = 2**18
"""Most directories (pages, levels) of a file, and most planes that its OME-XML may name."""

_MAX_TAG_BYTES = 2**28
_MAX_DESCRIPTION_BYTES = 2**25
_MAX_SEGMENTS = 2**24  # strips and tiles of all pages
_SLACK = 2**26  # bytes by which tags may overlap, as writers share some
_KIND, _DESCRIPTION, _SUBIFDS = 254, 270, 330
_PARTS = ((273, 279), (324, 325))  # places and bytes of strips, and of tiles
_NOT_AN_IMAGE = 1 | 4  # kinds of page: a smaller copy, a mask
_COUNT_OTHERWISE = (33628, 34412, 65420)  # tags of STK, LSM and NDPI: places and bytes are not as in TIFF


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
        Number of strips and tiles of all pages.
    smallest : int
        Pixels of the smallest page.
    storage : dict
        How each page is stored, by where its directory is.
    pages : list of int
        Where the directories of the chain are, in its order, without smaller copies and masks.
    spans : ByteSpans
        Which bytes are directories, and which are pixels.
    is_sorted : bool
        Whether the tags of all directories are in the order of their codes, each once, as TIFF demands; a
        description may come again, as programs write one for each reader.
    is_cut : bool
        Whether the chain goes on where no directory is.
    codes : set of int
        Codes of all tags.
    unusual : set of int
        Codes of tags about storage whose values are of another kind of number than TIFF demands.
    kinds : dict
        The different ways in which pages are stored, by the tags that name them.
    """

    seen: set[int] = field(default_factory=set)
    tag_bytes: int = 0
    segments: int = 0
    smallest: int = MAX_PIXELS
    storage: dict[int, Storage] = field(default_factory=dict)
    pages: list[int] = field(default_factory=list)
    spans: ByteSpans = field(default_factory=ByteSpans)
    is_sorted: bool = True
    is_cut: bool = False
    codes: set[int] = field(default_factory=set)
    unusual: set[int] = field(default_factory=set)
    kinds: dict[tuple[Tag, ...], Storage] = field(default_factory=dict)

    @cached_property
    def numbers(self) -> dict[int, int]:
        """Numbers of `pages` by where their directories are, once all have been found."""
        return {offset: number for number, offset in enumerate(self.pages)}


def check_directories(file: Path) -> Directories:
    """Walk over all directories of a file, as tifffile does without bounds.

    The walk ends where the file ends too early: tifffile reports that.

    Raises
    ------
    FileFormatError
        If they form a cycle, are too many, or their tags too large.
    """
    found = Directories()
    with file.open("rb") as stream:
        reader = TagReader(stream)
        waiting = [(reader.first, True)]  # places, and whether they are of the chain of pages
        while waiting:
            offset, is_chained = waiting.pop()
            if offset < 8 or offset >= reader.file_size:
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
            following, below, is_image = _check_directory(reader, offset, found)
            _check_limits(found, reader.file_size, file)
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
        Empty if the file is not a TIFF or has no description, or if that is not a text of an allowed size.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    with file.open("rb") as stream:
        if not stream.read(4).startswith(TiffReader.magic):
            return ""
        stream.seek(0)
        reader = TagReader(stream)
        if reader.first >= reader.file_size:
            return ""
        for tag in reader.readable_tags(reader.first):
            if tag.code == _DESCRIPTION and tag.n_values <= _MAX_DESCRIPTION_BYTES:
                return reader.text(tag)
    return ""


def _check_directory(reader: TagReader, offset: int, found: Directories) -> tuple[int, tuple[int, ...], bool]:
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
    entries, following, size = reader.directory(offset)
    if size:
        found.spans.add(offset, size)
    codes = [tag.code for tag in entries]
    found.is_sorted &= _is_sorted(codes)
    for tag in entries:
        if not tag.is_inline:
            place = reader.place(tag)
            found.tag_bytes += _counted_bytes(tag, place, reader.file_size)
            if tag.code in NEEDED_TAGS:
                found.spans.add(place, tag.size)
    if not entries:
        return 0, (), False
    tags = {tag.code: tag for tag in reversed(entries)}  # the first one counts
    found.codes.update(tags)
    _note_storage(reader, offset, tuple(tag for tag in tags.values() if tag.code in STORAGE_TAGS), found)
    _note_parts(reader, offset, tags, found)
    is_image = not any(kind & _NOT_AN_IMAGE for kind in reader.few_numbers(tags.get(_KIND)))
    return following, reader.offsets(tags.get(_SUBIFDS), MAX_PAGES + 1), is_image


def _is_sorted(codes: list[int]) -> bool:
    pairs = itertools.pairwise(codes)
    return all(first < second or first == second == _DESCRIPTION for first, second in pairs)


def _counted_bytes(tag: Tag, place: int, file_size: int) -> int:
    """Return the bytes of a tag as far as reading it takes memory.

    tifffile leaves out what is not within the file, and the pixels may do without it. A tag that is alone
    beyond its limit counts so much that the sum is too large.
    """
    if tag.code not in NEEDED_TAGS and not 8 <= place <= file_size - tag.size:
        return 0
    limit = _MAX_DESCRIPTION_BYTES if tag.code == _DESCRIPTION else _MAX_TAG_BYTES
    return tag.size if tag.size <= limit else 2**63


def _note_storage(reader: TagReader, offset: int, stored: tuple[Tag, ...], found: Directories) -> None:
    """Note how a page is stored; most pages of a file have the same bytes for it."""
    storage = found.kinds.get(stored)
    if storage is None:
        found.unusual.update(tag.code for tag in stored if tag.kind not in USUAL_NUMBERS)
        storage = storage_of({tag.code: reader.few_numbers(tag) for tag in stored})
        if all(tag.is_inline for tag in stored):
            found.kinds[stored] = storage
    found.storage[offset] = storage
    found.smallest = min(found.smallest, storage.pixels)


def _note_parts(reader: TagReader, offset: int, tags: dict[int, Tag], found: Directories) -> None:
    """Note where the strips or tiles of a page are."""
    if any(code in tags for code in _COUNT_OTHERWISE):
        found.spans.is_exact = False
    for places, counts in _PARTS:
        if places not in tags:
            continue
        for code in (places, counts):
            if code in tags and tags[code].kind not in USUAL_NUMBERS:
                found.unusual.add(code)
        found.segments += tags[places].n_values
        if found.segments <= _MAX_SEGMENTS:
            starts, sizes = (reader.numbers(tags.get(code)) for code in (places, counts))
            storage = found.storage[offset]
            found.spans.add_parts(offset, starts, sizes, storage.raw_part_bytes, storage.takes_any_bytes)


def _check_limits(found: Directories, file_size: int, file: Path) -> None:
    """Raise FileFormatError if the tags are larger, or the strips and tiles more, than a file should have."""
    if found.tag_bytes > file_size + _SLACK:
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
