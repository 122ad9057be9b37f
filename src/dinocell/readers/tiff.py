"""TIFF: stacks of planes, their pixel size and the names of their channels.

tifffile trusts what a header claims, so all directories and the OME-XML are checked before it follows them.
"""

import itertools
import logging
import math
import os
import re
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from xml.parsers import expat

import numpy as np
import tifffile

from dinocell.errors import FileFormatError
from dinocell.planes import MAX_PIXELS, METADATA_ERRORS, Pixels, check_size, checked_index
from dinocell.readers.lazy import SAMPLES, ImageInfo, LazyImage, choose, choose_scene
from dinocell.readers.raster import jpeg_header

MAX_PAGES = 2**18
"""A file of more directories (pages, levels) is refused, or one that claims more planes by OME-XML."""

# tifffile logs the damage that it works around as errors. These leave the pixels alone: broken OME-XML,
# superfluous strips, private tags.
_HARMLESS = re.compile(r"OME series raised|incorrect Strip|TiffTag \d{5} ")
_OTHER_COLOURS = (5, 6, 8, 9, 10, 32845)  # TIFF's CMYK, YCbCr, Lab (three of them) and LogLuv
_COLOUR = (2, 6)  # photometric interpretations RGB and YCbCr
_JPEG = (6, 7)  # compressions that tifffile decodes from YCbCr to RGB
_CODED_JPEG = (*_JPEG, 33007, 34892)
_JPEG2000 = (33003, 33005, 34712)
_PNG = 34933
_LARGEST_TILE = 2**24  # values that a tile of a small image may have
_MICROMETRES = dict.fromkeys(("µm", "μm", "\\u00B5m", "um", "micron", "microns"), 1.0) | {
    "nm": 1e-3,
    "mm": 1e3,
}
_COARSEST_UM = 10.0  # resolution tags that give larger pixels speak of paper: 72 or 300 dots per inch
_SECONDS = dict.fromkeys(("s", "sec", "second", "seconds"), 1.0) | {
    "ns": 1e-9, "µs": 1e-6, "us": 1e-6, "ms": 1e-3, "msec": 1e-3, "min": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip

# Bounds of what tifffile reads into memory before the first pixel.
_MAX_TAG_BYTES = 2**28
_MAX_XML_BYTES = 2**25
_MAX_XML_NODES = 2**22
_MAX_SEGMENTS = 2**24  # strips and tiles of all pages
_MAX_FRAMES = 2**24  # the list that tifffile makes of the planes of an OME image
_SLACK = 2**26  # bytes by which tags may overlap, as writers share some

_TYPE_SIZES = dict(
    enumerate((0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8))
)  # bytes, by TIFF's number
_DIRECTORY_BYTES = 512  # most directories are shorter
_WIDTH, _LENGTH, _DESCRIPTION, _STRIPS, _TILES, _SUBIFDS = 256, 257, 270, 273, 324, 330
_NEIGHBOURS = (".tif", ".tiff", ".tf2", ".tf8", ".btf")


class _TifffileErrors(logging.Filter):
    """Keeps tifffile's messages from the screen; `check` raises the first that speaks of damage."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()
        self.messages: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self.thread:
            return True
        if record.levelno >= logging.ERROR and not _HARMLESS.search(record.getMessage()):
            self.messages.append(record.getMessage())
        return False

    def check(self) -> None:
        if self.messages:
            raise ValueError(self.messages[0])


@contextmanager
def _listening() -> Iterator[_TifffileErrors]:
    """Collect what tifffile logs while the block runs."""
    errors, logger = _TifffileErrors(), logging.getLogger("tifffile")
    logger.addFilter(errors)
    try:
        yield errors
    finally:
        logger.removeFilter(errors)


class _Layout:
    """How numbers are stored in a classic TIFF or a BigTIFF."""

    def __init__(self, head: bytes) -> None:
        self.order = ">" if head[:2] == b"MM" else "<"
        is_big = struct.unpack(f"{self.order}H", head[2:4]) == (43,)
        number, entry, offset = ("Q", "HHQ8s", "Q") if is_big else ("H", "HHI4s", "I")
        self.number, self.entry, self.offset = (
            struct.Struct(self.order + code) for code in (number, entry, offset)
        )
        (self.first,) = self.offset.unpack_from(head, 8 if is_big else 4)


@dataclass
class _Directories:
    """What a walk over the directories of a file has found."""

    seen: set[int] = field(default_factory=set)
    tag_bytes: int = 0
    segments: int = 0
    smallest: int = MAX_PIXELS


def _check_directories(file: Path) -> _Directories:
    """Walk over all directories of a file, as tifffile does without bounds.

    Where the file ends too early the walk ends as well: tifffile reports that.

    Raises
    ------
    FileFormatError
        If they form a cycle, are too many, or their tags too large.
    """
    found = _Directories()
    with file.open("rb") as stream:
        layout = _Layout(stream.read(16).ljust(16, b"\0"))
        size = stream.seek(0, os.SEEK_END)
        waiting = [(layout.first, True)]
        while waiting:
            offset, is_chained = waiting.pop()
            if offset < 8 or offset >= size:
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
            following, below = _check_directory(stream, offset, layout, found)
            _check_tags(found, size, file)
            waiting += [(at, False) for at in below]
            if is_chained:
                waiting.append((following, True))
    return found


def _check_directory(
    stream: BinaryIO, offset: int, layout: _Layout, found: _Directories
) -> tuple[int, tuple[int, ...]]:
    """Add up one directory's tags; return where the next one is and where those below it are, 0 for none."""
    number, entry = layout.number, layout.entry
    stream.seek(offset)
    data = stream.read(_DIRECTORY_BYTES)
    if len(data) < number.size:
        return 0, ()
    (count,) = number.unpack_from(data)
    if count > 4096:  # tifffile calls that damage
        return 0, ()
    end = number.size + count * entry.size
    data += stream.read(max(end + layout.offset.size - len(data), 0))
    if len(data) < end + layout.offset.size:
        return 0, ()
    below: tuple[int, ...] = ()
    area = 1
    for code, kind, items, value in entry.iter_unpack(data[number.size : end]):
        size = items * _TYPE_SIZES.get(kind, 0)
        if size > len(value):
            # a tag beyond the limit alone is counted so that the sum is too much
            limit = _MAX_XML_BYTES if code == _DESCRIPTION else _MAX_TAG_BYTES
            found.tag_bytes += size if size <= limit else 2**63
        if code in (_WIDTH, _LENGTH):
            area *= int.from_bytes(value[:size], "little" if layout.order == "<" else "big")
        elif code in (_STRIPS, _TILES):
            found.segments += items
        elif code == _SUBIFDS:
            below = _offsets(stream, layout, items, size, value)
    found.smallest = min(found.smallest, max(area, 1))
    return layout.offset.unpack_from(data, end)[0], below


def _offsets(stream: BinaryIO, layout: _Layout, items: int, size: int, value: bytes) -> tuple[int, ...]:
    """Read the offsets of directories below one, as many as could be allowed and one more."""
    if not items or size // items not in (4, 8):
        return ()
    width, items = size // items, min(items, MAX_PAGES + 1)
    if size > len(value):
        stream.seek(layout.offset.unpack(value)[0])
        value = stream.read(items * width)
    items = min(items, len(value) // width)
    return struct.unpack(f"{layout.order}{items}{'I' if width == 4 else 'Q'}", value[: items * width])


def _check_tags(found: _Directories, size: int, file: Path) -> None:
    if found.tag_bytes > size + _SLACK:
        raise FileFormatError(
            f"{file} says its tags are larger than they can be, expected descriptions of at most "
            f"{_MAX_XML_BYTES} bytes, other tags of {_MAX_TAG_BYTES}, all within the file: "
            "export it again with fewer metadata"
        )
    if found.segments > _MAX_SEGMENTS:
        raise FileFormatError(
            f"{file} says it has more than {_MAX_SEGMENTS} strips or tiles, expected fewer: "
            "export it again with larger ones"
        )


@dataclass
class _OmeImage:
    """What OME-XML says of one image."""

    name: str
    pixels: dict[str, str] = field(default_factory=dict)
    channels: list[str] = field(default_factory=list)


class _OmeScan:
    """Reads OME-XML as a stream: its images, the files it names, and how much it makes tifffile do."""

    def __init__(self, xml: str, n_pages: int, file: Path) -> None:
        self.images: list[_OmeImage] = []
        self.files: set[str] = set()
        self.file, self.n_pages, self.frames = file, n_pages, 0
        if xml.count("<") + xml.count("=") > _MAX_XML_NODES:
            raise self._too_much(f"more than {_MAX_XML_NODES} elements and attributes")
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.StartDoctypeDeclHandler = self._doctype
        try:
            parser.Parse(xml, True)
        except expat.ExpatError:  # tifffile passes over broken XML as well
            self.images = []

    def _doctype(self, *_: object) -> None:
        raise FileFormatError(
            f"{self.file} has OME-XML with a DOCTYPE (entities can fill the memory or read other files), "
            "expected none: export it again"
        )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        # tifffile goes by how tags end
        if tag.endswith("Image"):
            self.images.append(_OmeImage(attributes.get("Name", "")))
        elif tag.endswith("Pixels") and self.images:
            self.images[-1].pixels = attributes
        elif tag.endswith("Channel") and self.images:
            self.images[-1].channels.append(attributes.get("Name", ""))
        elif tag.endswith("UUID") and "FileName" in attributes:
            self.files.add(attributes["FileName"])
        elif tag.endswith("TiffData"):
            planes = attributes.get(
                "PlaneCount", attributes.get("NumPlanes", "1" if "IFD" in attributes else "0")
            )
            self.frames += abs(int(planes)) or self.n_pages
            if self.frames > 4 * MAX_PAGES:
                raise self._too_much(f"more than {4 * MAX_PAGES} planes")
        elif tag[:-1].endswith("Along") and "Start" in attributes:
            first, last = float(attributes["Start"]), float(attributes.get("End", "nan"))
            if not abs(last - first) <= MAX_PAGES * abs(float(attributes.get("Step", 1))):
                raise self._too_much(f"more than {MAX_PAGES} values along an axis")

    def check_planes(self, smallest: int) -> None:
        """Refuse so many planes, or so large beside the smallest page, that tifffile's lists get huge."""
        planes = pixels = 0
        for image in self.images:
            sizes = [abs(int(image.pixels.get(f"Size{axis}", 1))) for axis in "TCZYX"]
            planes += math.prod(sizes[:3])
            pixels += math.prod(sizes)
        if planes > MAX_PAGES:
            raise self._too_much(f"{planes} planes, more than {MAX_PAGES}")
        if pixels > _MAX_FRAMES * smallest:
            raise self._too_much(f"{pixels} pixels in pages of {smallest}")

    def _too_much(self, what: str) -> FileFormatError:
        return FileFormatError(
            f"{self.file} has OME-XML that speaks of {what}, expected what a file can hold: export it again"
        )


def _check_neighbours(scan: _OmeScan, found: _Directories) -> None:
    """Allow OME-XML to name TIFF files in the same folder, and nothing else, before tifffile opens them."""
    own = scan.file.resolve()
    for name in sorted(scan.files - {own.name}):
        neighbour = own.parent / name
        if (
            not name.lower().endswith(_NEIGHBOURS)
            or set(name) & set("/\\:\0")
            or neighbour.is_symlink()
            or (neighbour.exists() and not neighbour.is_file())
        ):
            raise FileFormatError(
                f"{scan.file} names another file in its OME-XML, {name[:80]!r}, expected plain names of "
                "TIFF files beside it, no links: export it again"
            )
        if neighbour.exists():
            below = _check_directories(neighbour)
            found.smallest = min(found.smallest, below.smallest)


class _Opened:
    """An opened TIFF file: its series as stacks, and what its OME-XML says."""

    def __init__(self, file: Path, errors: _TifffileErrors) -> None:
        found = _check_directories(file)
        self.file = file
        self.ome: list[_OmeImage] = []
        # these kinds follow names of other files, or pointers of their own; such files are OME or ImageJ too
        self.tif = tifffile.TiffFile(file, is_ndtiff=False, is_mmstack=False, is_ndpi=False)
        try:
            self._check_description(found)
            self.stacks = [_Stack(series, file) for series in self.tif.series]
            errors.check()
            self._check_stacks()
        except BaseException:
            self.tif.close()
            raise

    def _check_description(self, found: _Directories) -> None:
        if not self.tif.pages:
            return
        text = self.tif.pages.first.description
        if self.tif.is_ome:
            scan = _OmeScan(text, len(found.seen), self.file)
            _check_neighbours(scan, found)
            scan.check_planes(found.smallest)
            self.ome = scan.images
        elif "<!DOCTYPE" in text or "<!ENTITY" in text:  # other kinds keep XML there too
            raise FileFormatError(
                f"{self.file} has a description with a DOCTYPE, expected none: export it again"
            )

    def _check_stacks(self) -> None:
        if not self.stacks:
            raise ValueError("no page in it")
        stack = self.stacks[0]
        claimed = int((self.tif.imagej_metadata or {}).get("images", 1)) if self.tif.is_imagej else 1
        if stack.series.kind == "imagej" and claimed > stack.n_pages * stack.n_channels:
            raise ValueError(f"it says it has {claimed} images, but has {stack.n_pages * stack.n_channels}")

    def info(self, at: int, scenes: tuple[str, ...]) -> ImageInfo:
        """Describe one stack as an image of its own."""
        stack = self.stacks[at]
        kind = {"ome": "OME-TIFF", "imagej": "ImageJ TIFF"}.get(stack.series.kind, "TIFF")
        size, z_step, time_step, names = self.describe(at)
        if len(names) != stack.sizes[1]:
            names = ()
        return ImageInfo(
            kind,
            scenes,
            at,
            stack.sizes,
            stack.samples,
            np.dtype(stack.series.dtype),
            size,
            z_step,
            time_step,
            names,
        )

    def describe(self, at: int) -> tuple[float | None, float | None, float | None, tuple[str, ...]]:
        """Give pixel size, z step, time step and channel names, as far as the metadata are sound."""
        series = self.stacks[at].series
        try:
            if series.kind == "ome":
                return _describe_ome(self._ome_image(at))
            if self.tif.is_imagej:
                return _describe_imagej(series.keyframe, self.tif.imagej_metadata or {})
            unit = {2: 25400.0, 3: 1e4}.get(series.keyframe.resolutionunit, math.nan)
            return _edge_of(series.keyframe, unit, _COARSEST_UM), None, None, ()
        except METADATA_ERRORS:
            return None, None, None, ()

    def scenes(self) -> tuple[str, ...]:
        """Name all stacks; what has no name of its own is Series N."""
        return tuple(
            (stack.series.name if stack.series.kind == "ome" else "") or f"Series {at}"
            for at, stack in enumerate(self.stacks)
        )

    def _ome_image(self, at: int) -> _OmeImage:
        """Find the image of a stack; tifffile passes over images without pages."""
        if len(self.ome) == len(self.stacks):
            return self.ome[at]
        image, *others = [image for image in self.ome if image.name == self.stacks[at].series.name]
        if others:
            raise LookupError(image.name)  # which of them is not known
        return image


class TiffImage(LazyImage):
    """One series of a TIFF file. Parameters and errors as of `LazyImage`."""

    def __init__(self, opened: _Opened, info: ImageInfo) -> None:
        super().__init__(opened.file, info)
        self._tif, self._stack = opened.tif, opened.stacks[info.scene]
        self._stamp = self._changed()

    def _read(self, t: int, c: int, z: int) -> Pixels:
        with _listening() as errors:
            pixels = self._stack.read_plane(t, c, z)
            errors.check()
        if self._changed() != self._stamp:
            raise ValueError("it changed while it was read")
        return pixels

    def _changed(self) -> tuple[int, int]:
        status = os.fstat(self._tif.filehandle.fileno())
        return status.st_size, status.st_mtime_ns

    def close(self) -> None:
        """Close the file."""
        self._tif.close()


def open_tiff(file: Path, scene: int | str) -> LazyImage:
    """Open one series of a TIFF file: OME-TIFF, also of several files, ImageJ hyperstack, or plain.

    Axes other than T, C and Z become slices where there is no Z, else times. Of a pyramid this is the finest
    level.

    Parameters
    ----------
    file : path
    scene : int or str
        Number or name of the series.

    Raises
    ------
    FileFormatError
        If its pages form a cycle, it claims more than it can hold, names other files than its neighbours, or
        has colours other than gray and RGB.
    InputError
        If there is no such scene.
    """
    with _listening() as errors:
        opened = _Opened(file, errors)
        try:
            scenes = opened.scenes()
            return TiffImage(opened, opened.info(choose_scene(scenes, scene, file), scenes))
        except BaseException:
            opened.tif.close()
            raise


def read_tiff(
    file: Path, page: int | None, channel: int | str | None
) -> tuple[Pixels, bool, float | None, tuple[str, ...]]:
    """Read one plane: is it a colour image, its pixel size in micrometres, the names of its channels."""
    with _listening() as errors:
        opened = _Opened(file, errors)
        with opened.tif:
            number = checked_index(page, sum(stack.n_pages for stack in opened.stacks), "page", file)
            at = 0
            while number >= opened.stacks[at].n_pages:
                number, at = number - opened.stacks[at].n_pages, at + 1
            stack = opened.stacks[at]
            size, _, _, names = opened.describe(at)
            names = names if len(names) == stack.n_channels else ()
            if channel is not None:
                called = tuple(SAMPLES.ljust(stack.n_channels)) if stack.is_colour else names
                channel = choose(
                    called[: stack.n_channels] or ("",) * stack.n_channels, channel, "channel", file
                )
                names = names[channel : channel + 1]
            pixels = stack.read_page(number, channel)
            errors.check()
    return pixels, stack.is_colour, size, names


class _Stack:
    """A tifffile series as planes: by number, or by time, channel and slice.

    Of a numbered page the channels are the samples (R, G, B) or else the axis C.
    """

    def __init__(self, series: tifffile.TiffPageSeries, file: Path) -> None:
        self.series, self.keyframe = series, series.keyframe
        self.axes, self.shape = series.get_axes(squeeze=True), series.get_shape(squeeze=True)
        sizes = dict(zip(self.axes, self.shape, strict=True))
        if not {"Y", "X"} <= set(sizes):
            raise FileFormatError(f"{file} has axes {self.axes}, expected Y and X: save it as a plain TIFF")
        check_size(sizes["Y"], sizes["X"], file)
        if self.keyframe.photometric in _OTHER_COLOURS and self.keyframe.compression not in _JPEG:
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
        self.lead = len(self.shape) - self.keyframe.ndim
        self._set_axes(sizes)
        self._check_storage(file)

    def _set_axes(self, sizes: dict[str, int]) -> None:
        """Lay out all axes as times, channels and slices."""
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
        """Refuse what would take memory beyond the image, or claims pages that are not there."""
        keyframe, series = self.keyframe, self.series
        if keyframe.is_tiled:
            tile = math.prod(keyframe.chunks)
            if tile > max(4 * keyframe.size, _LARGEST_TILE):
                raise ValueError(f"its tiles have {tile} values, its pages {keyframe.size}")
        if keyframe.size > MAX_PIXELS * len(SAMPLES):
            raise FileFormatError(
                f"{file} says it has pages of {keyframe.size} values, expected at most {MAX_PIXELS} pixels "
                f"of {len(SAMPLES)} samples: export its slices as pages of their own"
            )
        stored = math.prod(self.shape[: max(self.lead, 0)])
        if series.kind == "ome" or self.shape[self.lead :] != keyframe.shape:
            return
        if series.dataoffset is not None and not series.is_multifile:
            is_whole = series.dataoffset + stored * keyframe.nbytes <= keyframe.parent.filehandle.size
        else:
            is_whole = stored <= 1 or keyframe.index + stored <= len(keyframe.parent.pages)
        if not is_whole:
            raise ValueError(f"it says it has {stored} pages, the last are missing")

    def read_page(self, number: int, channel: int | None) -> Pixels:
        """Read plane `number`, one channel or all, as (Y, X) or (Y, X, C)."""
        chosen = self._at(self.page_dims, number)
        if self.channel in self.axes and (channel is not None or self.n_channels == 1):
            chosen[self.axes.index(self.channel)] = channel or 0
        return self._read(chosen, self.channel)

    def read_plane(self, t: int, c: int, z: int) -> Pixels:
        """Read one plane as (Y, X) or, in colour, (Y, X, S)."""
        chosen: dict[int, int] = {}
        for dims, number in zip(self.groups, (t, c, z), strict=True):
            chosen |= self._at(dims, number)
        if self.samples == 1 and "S" in self.axes:
            chosen.setdefault(self.axes.index("S"), 0)  # beside gray is alpha
        return self._read(chosen, "S")

    def _at(self, dims: list[int], number: int) -> dict[int, int]:
        """Give the index along each of some axes, the last one fastest."""
        index = np.unravel_index(number, [1, *(self.shape[d] for d in dims)])[1:]
        return {d: int(at) for d, at in zip(dims, index, strict=True)}

    def _read(self, chosen: dict[int, int], last: str) -> Pixels:
        """Read where the chosen axes have one index each; of the others `last` comes after Y and X."""
        lead = self.lead
        if self.shape[lead:] != self.keyframe.shape:
            raise ValueError(f"stored pages do not fit the axes {self.axes}")
        outer = itertools.product(
            *([chosen[d]] if d in chosen else range(self.shape[d]) for d in range(lead))
        )
        stored = [
            self._stored_page(int(np.ravel_multi_index((0, *at), (1, *self.shape[:lead])))) for at in outer
        ]
        inner = tuple(chosen.get(d, slice(None)) for d in range(lead, len(self.shape)))
        block = stored[0][inner] if len(stored) == 1 else np.stack([array[inner] for array in stored])
        left = [axis for d, axis in enumerate(self.axes) if d not in chosen]
        return block.transpose([left.index(axis) for axis in ("Y", "X", last) if axis in left])

    def _stored_page(self, number: int) -> Pixels:
        """Read one stored page, checking first that all of it is there."""
        series, keyframe = self.series, self.keyframe
        if series.dataoffset is not None and not series.is_multifile:  # ImageJ describes stacks by one page
            offset = series.dataoffset + number * keyframe.nbytes
            dtype = f"{keyframe.parent.byteorder}{series.dtype.char}"
            data = keyframe.parent.filehandle.read_array(dtype, keyframe.size, offset)
            return data.reshape(keyframe.shape)
        page = series[number]
        if page is None:
            raise ValueError(f"plane {number} is not in the file")
        handle = page.parent.filehandle
        was_closed = handle.closed  # OME planes may lie in neighbouring files
        if was_closed:
            handle.open()
        try:
            return self._decoded(page, number)
        finally:
            if was_closed:
                handle.close()

    def _decoded(self, page: Any, number: int) -> Pixels:
        ends = [start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
        if len(ends) < math.prod(page.chunked) or max(ends) > page.parent.filehandle.size:
            raise ValueError(f"part of plane {number} is missing")
        _check_coded_sizes(page)
        pixels: Pixels = page.asarray()
        return pixels


def _check_coded_sizes(page: Any) -> None:
    """Refuse strips and tiles that are images of their own, larger than they should be, before decoding."""
    coded = page.keyframe.compression
    if coded not in (*_CODED_JPEG, *_JPEG2000, _PNG):
        return
    allowed = 4 * math.prod(page.keyframe.chunks) + 2**16
    handle = page.parent.filehandle
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        if not count:
            continue
        handle.seek(offset)
        data = handle.read(count)
        if coded in _CODED_JPEG:
            if not data.startswith(b"\xff\xd8"):  # its header is a tag, which tifffile fits to the page
                continue
            height, width, *_ = jpeg_header(data)
        elif coded == _PNG:
            width, height = struct.unpack(">II", data[16:24])
        else:
            start = data.index(b"\xff\x4f\xff\x51") + 8
            width, height = struct.unpack(">II", data[start : start + 8])
        if height * width > allowed:
            raise ValueError(f"a part of it is coded as {height} × {width} pixels")


def _describe_imagej(
    keyframe: Any, metadata: dict[str, Any]
) -> tuple[float | None, float | None, float | None, tuple[str, ...]]:
    unit = _MICROMETRES.get(metadata.get("unit", ""), math.nan)
    seconds = _SECONDS.get(str(metadata.get("tunit", "s")), math.nan)
    return (
        _edge_of(keyframe, unit, math.inf),
        _positive(metadata.get("spacing"), unit),
        _positive(metadata.get("finterval"), seconds),
        tuple(str(label) for label in metadata.get("Labels", ())),
    )


def _edge_of(keyframe: Any, unit: float, coarsest: float) -> float | None:
    if "XResolution" not in keyframe.tags:
        return None
    x, y = (unit / per_unit for per_unit in keyframe.resolution)
    return _square_edge(x, y, coarsest)


def _describe_ome(
    image: _OmeImage,
) -> tuple[float | None, float | None, float | None, tuple[str, ...]]:
    pixels = image.pixels
    units = {axis: _MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"), math.nan) for axis in "XYZ"}
    x, y = (_positive(pixels.get(f"PhysicalSize{axis}"), units[axis]) or math.nan for axis in "XY")
    names = tuple(image.channels)
    return (
        _square_edge(x, y),
        _positive(pixels.get("PhysicalSizeZ"), units["Z"]),
        _positive(pixels.get("TimeIncrement"), _SECONDS.get(pixels.get("TimeIncrementUnit", "s"), math.nan)),
        names if all(names) else (),
    )


def _positive(number: Any, unit: float) -> float | None:
    """Give a length or duration in our unit, None where it is none."""
    try:
        value = float(number) * unit
    except (TypeError, ValueError):
        return None
    return value if 0 < value < math.inf else None


def _square_edge(x: float, y: float, coarsest: float = math.inf) -> float | None:
    return x if 0 < x <= coarsest and abs(x - y) <= 0.01 * x else None
