"""LIF, the format of Leica's LAS: described by the package liffile, its planes read one at a time."""

import io
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import FileFormatError
from dinocell.extras import import_extra
from dinocell.io.planes import MAX_PIXELS, check_size, decoding
from dinocell.io.readers.lazy import ImageInfo, LazyImage, closed_on_error
from dinocell.io.readers.naming import choose_scene, matching_names
from dinocell.io.readers.quiet import quiet
from dinocell.io.readers.reader import Reader
from dinocell.io.readers.units import known_size, micrometres, positive, seconds

_HEADER = struct.Struct("<IIBI")  # magic, length of the chunk, magic, length of the text
_MOST_METADATA = 2**27  # bytes of XML; the largest known hold some tens of MiB
_MOST_TAGS = 2**21  # each a few hundred bytes in memory
_AXES = {1: "X", 2: "Y", 3: "Z", 4: "T"}  # Leica's DimID; tiles, wavelengths and others have larger ones
_FARTHEST = 16  # times its size that a plane may be spread over, to be read as a whole; else row by row
_COLOURS = [1, 2, 3]  # Leica's ChannelTag of red, green and blue; 0 is gray


class LifReader(Reader):
    """Reader of LIF."""

    name = "LIF"
    magic = (b"p\0\0\0",)
    suffixes = (".lif",)
    is_of_microscopes = True

    def open(self, file: Path, scene: int | str, largest: int = MAX_PIXELS) -> LazyImage:
        """Open one image of a LIF file.

        Other axes than time, channel, z, y and x (tiles, wavelengths, rotation) are folded into z if the
        image has no z, else into time, in the order of the file. Samples of cameras in colour are R, G, B.

        Parameters
        ----------
        file : path
        scene : int or str
            Number of the image, counted from 0 over all collections, or its name: ``"collection/image"``.
        largest : int
            Not used: planes are read whole.

        Returns
        -------
        LazyImage
            Holds the file open until it is closed. Channels have the name of their dye, else of their lookup
            table.

        Raises
        ------
        FileFormatError
            If it is damaged or refers to other files, or the image is cut off, has no plane (Y, X), or holds
            photons.
        InputError
            If the scene does not exist.
        MissingExtraError
            If the package liffile is not installed.
        """
        liffile = import_extra("liffile", extra="io", purpose="reading LIF files")
        with decoding(file, "LIF"), quiet("liffile"):
            stream = _BoundedReader(io.FileIO(file))
            with closed_on_error(stream):
                _check_header(stream, file)
                return _LIFImage(file, liffile.LifFile(stream), stream, scene)


class _BoundedReader(io.BufferedReader):
    """A file that is never asked for more than it holds: a damaged header may claim any amount."""

    def __init__(self, raw: io.FileIO) -> None:
        super().__init__(raw)
        self.size = self.seek(0, 2)
        self.seek(0)

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self.size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def _check_header(stream: _BoundedReader, file: Path) -> None:
    """Raise ValueError for a description that is too large or has entities, before liffile parses it."""
    magic, _, second, length = _HEADER.unpack(stream.read(_HEADER.size))
    if (magic, second) != (0x70, 0x2A):
        raise ValueError("its first bytes are of another format")
    if 2 * length > min(stream.size - _HEADER.size, _MOST_METADATA):
        raise ValueError(f"it says its description has {2 * length} bytes")
    text = stream.read(2 * length)
    if "<!".encode("utf-16-le") in text or text.count(b"<\0") > _MOST_TAGS:
        raise ValueError("its description declares a document type, or is too large")
    if text.startswith(("LMS_Object".encode("utf-16-le"), "<LMSDataContainerEnhanced".encode("utf-16-le"))):
        raise FileFormatError(
            f"{file} is a part of a Leica project (LOF or LIFEXT), expected a LIF file: export it as LIF"
        )
    stream.seek(0)


def _list_scenes(root: ElementTree.Element) -> list[tuple[str, ElementTree.Element]]:
    """List all images with their names, in the order of the file; two may have the same name."""
    scenes: list[tuple[str, ElementTree.Element]] = []
    project = root.find("./Element")
    waiting = [("", project)] if project is not None else []
    while waiting:
        path, element = waiting.pop()
        holds_photons = element.find('./Data/SingleMoleculeDetection[@IsImage="true"]') is not None
        if holds_photons or element.find("./Data/Image") is not None:
            scenes.append((path or element.get("Name", ""), element))
        children = element.findall("./Children/Element")
        names = [child.get("Name", "") for child in children]
        paths = [f"{path}/{name}" if path else name for name in names]
        waiting += reversed(list(zip(paths, children, strict=True)))
    return scenes


@dataclass(frozen=True)
class _Dimension:
    """Axis of an image: `step` bytes from one element to the next, `length` from the first to the last."""

    axis: str
    count: int
    step: int
    length: float
    unit: str

    def spacing(self, unit_of: Callable[[object], float]) -> float | None:
        """Return the distance of two neighbours; None if the file does not give it."""
        return positive(abs(self.length) / (self.count - 1), unit_of(self.unit)) if self.count > 1 else None


def _read_dimensions(image: ElementTree.Element) -> list[_Dimension]:
    """Return all axes, the one with the largest step first; a second one of a kind gets no letter."""
    dimensions: list[_Dimension] = []
    for node in image.findall("./ImageDescription/Dimensions/DimensionDescription"):
        axis = _AXES.get(int(node.attrib["DimID"]), "")
        if axis in {known.axis for known in dimensions}:
            axis = ""
        dimensions.append(
            _Dimension(
                axis,
                int(node.attrib["NumberOfElements"]),
                int(node.attrib["BytesInc"]),
                float(node.get("Length") or 0),
                node.get("Unit", ""),
            )
        )
    return sorted(dimensions, key=lambda dimension: dimension.step, reverse=True)


@dataclass(frozen=True)
class _Channels:
    """Channels: `offsets` are bytes from the start of a pixel to each sample of each channel, (C, S)."""

    offsets: list[list[int]]
    dtype: np.dtype[Any]
    names: tuple[str, ...]


def _read_channels(image: ElementTree.Element, file: Path) -> _Channels:
    nodes = image.findall("./ImageDescription/Channels/ChannelDescription")
    nodes.sort(key=lambda node: int(node.attrib["BytesInc"]))
    kinds = {(int(node.attrib["DataType"]), -(-int(node.attrib["Resolution"]) // 8)) for node in nodes}
    if len(kinds) != 1:
        raise FileFormatError(
            f"{file} has channels of {len(kinds)} kinds of numbers, expected one: export each of them alone"
        )
    ((is_float, size),) = kinds
    sizes = [known for known in ((2, 4, 8) if is_float else (1, 2, 4, 8)) if known >= size > 0]
    if not sizes or is_float not in (0, 1):
        raise ValueError(f"channels of type {is_float} with {size} bytes")
    offsets = [int(node.attrib["BytesInc"]) for node in nodes]
    tags = [int(node.get("ChannelTag", "0")) for node in nodes]
    names = tuple(_name_channel(node) for node in nodes)
    dtype = np.dtype(f"<{'f' if is_float else 'u'}{sizes[0]}")
    groups = [range(first, first + 3) for first in range(0, len(nodes), 3)]
    if len(nodes) % 3 or not all(_is_colour(offsets, tags, group, dtype.itemsize) for group in groups):
        return _Channels([[offset] for offset in offsets], dtype, matching_names(names, len(nodes)))
    # the first of R, G and B is stored first or last
    return _Channels([[offsets[at] for at in sorted(g, key=lambda i: tags[i])] for g in groups], dtype, ())


def _is_colour(offsets: list[int], tags: list[int], group: range, size: int) -> bool:
    neighbours = offsets[group[-1]] - offsets[group[0]] == 2 * size
    return neighbours and sorted(tags[at] for at in group) == _COLOURS


def _name_channel(node: ElementTree.Element) -> str:
    for entry in node.findall("./ChannelProperty"):
        dye = (entry.findtext("Value") or "").strip()
        if entry.findtext("Key") == "DyeName" and dye:
            return dye.rpartition("/")[2]  # "Leica/DAPI"
    return node.get("LUTName", "")


class _LIFImage(LazyImage):
    """One image; its memory block may have any steps between rows, pixels and channels."""

    def __init__(self, file: Path, lif: Any, stream: _BoundedReader, scene: int | str) -> None:
        self._stream = stream
        scenes = _list_scenes(lif.xml_element)
        names = tuple(name for name, _ in scenes)
        number = choose_scene(names, scene, file)
        element = scenes[number][1]
        image = element.find("./Data/Image")
        if image is None:
            raise FileFormatError(
                f"{file} holds photons in scene {number}, expected an image: export their intensity"
            )
        dimensions = _read_dimensions(image)
        sides = {dimension.axis: dimension for dimension in dimensions if dimension.axis in ("Y", "X")}
        if len(sides) < 2:
            axes = " ".join(dimension.axis or "?" for dimension in dimensions) or "none"
            raise FileFormatError(
                f"{file} has axes {axes} in scene {number}, expected Y and X: export it as TIFF"
            )
        self._y, self._x = sides["Y"], sides["X"]
        check_size(self._y.count, self._x.count, file)
        self._channels = _read_channels(image, file)
        self._start = _check_block(_find_block(lif, element), dimensions, self._channels, stream.size)
        outer = [dimension for dimension in dimensions if dimension.axis not in ("Y", "X")]
        other = "T" if any(dimension.axis == "Z" and dimension.count > 1 for dimension in outer) else "Z"
        self._outer = [(dimension.axis or other, dimension) for dimension in outer]
        super().__init__(file, self._describe(names, number))

    def _describe(self, scenes: tuple[str, ...], scene: int) -> ImageInfo:
        along = {axis: [d for kind, d in self._outer if kind == axis and d.count > 1] for axis in "TZ"}
        t, z = (math.prod(d.count for d in along[axis]) for axis in "TZ")
        z_step, time_step = (
            along[axis][0].spacing(unit_of) if [d.axis for d in along[axis]] == [axis] else None
            for axis, unit_of in (("Z", micrometres), ("T", seconds))
        )
        return ImageInfo(
            "LIF",
            scenes,
            scene,
            (t, len(self._channels.offsets), z, self._y.count, self._x.count),
            len(self._channels.offsets[0]),
            self._channels.dtype,
            known_size(self._y.spacing(micrometres), self._x.spacing(micrometres)),
            z_step,
            time_step,
            self._channels.names,
        )

    def _read(self, t: int, c: int, z: int) -> NDArray[Any]:
        place, start = {"T": t, "Z": z}, self._start
        for axis, dimension in reversed(self._outer):  # the last one has the smallest step
            place[axis], at = divmod(place[axis], dimension.count)
            start += at * dimension.step
        offsets, dtype = self._channels.offsets[c], self._channels.dtype
        height, width, first = self._y.count, self._x.count, min(offsets)
        row = (width - 1) * self._x.step + max(offsets) - first + dtype.itemsize
        pixels = np.empty((height, width, len(offsets)), dtype)
        spread = (height - 1) * self._y.step + row
        count = height if spread <= _FARTHEST * pixels.nbytes else 1
        for at in range(0, height, count):
            self._stream.seek(start + first + at * self._y.step)
            data = self._stream.read((count - 1) * self._y.step + row)
            for sample, offset in enumerate(offsets):
                # numpy refuses data that are too short for these steps
                pixels[at : at + count, :, sample] = np.ndarray(
                    (count, width), dtype, data, offset - first, (self._y.step, self._x.step)
                )
        return pixels if len(offsets) > 1 else pixels[..., 0]

    def close(self) -> None:
        self._stream.close()


def _find_block(lif: Any, element: ElementTree.Element) -> Any:
    memory = element.find("./Memory")
    name = "" if memory is None else memory.get("MemoryBlockID", "")
    if name not in lif.memory_blocks:
        raise ValueError(f"its memory block {name} is missing")
    return lif.memory_blocks[name]


def _check_block(block: Any, dimensions: list[_Dimension], channels: _Channels, file_size: int) -> int:
    """Return where the pixels begin; raise ValueError unless all of them are in the block and the file."""
    available = min(block.size, file_size - block.offset)
    offsets = [offset for samples in channels.offsets for offset in samples]
    if min(offsets) < 0 or any(d.step < 0 or d.count < 1 for d in dimensions):
        raise ValueError("steps or lengths of its axes are negative")
    size = channels.dtype.itemsize
    last = sum((d.count - 1) * d.step for d in dimensions) + max(offsets) + size
    whole = math.prod(d.count for d in dimensions) * len(offsets) * size
    if max(last, whole) > available:
        raise ValueError(f"{max(last, whole)} bytes of pixels are expected, {max(0, available)} are there")
    return int(block.offset)
