"""CZI, the format of Zeiss microscopes: scenes made of tiles, read through libCZI."""

import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import FileFormatError
from dinocell.extras import import_extra
from dinocell.io.planes import MAX_PIXELS, METADATA_ERRORS, decoding
from dinocell.io.readers.lazy import ImageInfo, LazyImage, closed_on_error
from dinocell.io.readers.naming import choose_scene, matching_names
from dinocell.io.readers.reader import Reader
from dinocell.io.readers.units import known_size, micrometres, positive

# libCZI has a colour of floats, too, but does not put its tiles together.
_PIXEL_TYPES = {
    "Gray8": ("uint8", 1),
    "Gray16": ("uint16", 1),
    "Gray32Float": ("float32", 1),
    "Bgr24": ("uint8", 3),
    "Bgr48": ("uint16", 3),
}
_OTHER_AXES = {"R": "rotation", "I": "illumination", "H": "phase", "V": "view", "B": "block"}

# libCZI clears a whole plane before it fills it, so a file must not claim what its bytes can hardly hold.
_ALWAYS_FITS = 2**28
_LARGEST_RATIO = 1000

_SEGMENT = struct.Struct("<16sQQ")
_MAX_ENTRIES = 2**24
_MAX_DIMENSIONS = 40


class CziReader(Reader):
    """Reader of CZI."""

    name = "CZI"
    magic = (b"ZISRAWFILE",)
    suffixes = (".czi",)
    is_of_microscopes = True

    def open(self, file: Path, scene: int | str, largest: int = MAX_PIXELS) -> LazyImage:
        """Open one scene of a CZI file.

        The tiles of a scene are put together at full resolution; pixels that no tile covers are 0. Colours
        come as R, G, B.

        Parameters
        ----------
        file : path
        scene : int or str
            Number, counted from 0, or name.
        largest : int
            Not used: planes are read whole.

        Returns
        -------
        LazyImage
            Holds the file until it is closed.

        Raises
        ------
        FileFormatError
            If it is damaged or incomplete, has other axes than T, C, Z, Y, X, or channels of several kinds.
        InputError
            If the scene does not exist.
        MissingExtraError
            If pylibCZIrw is not installed.
        """
        library = import_extra("pylibCZIrw.czi", extra="io", purpose="reading CZI files")
        with decoding(file, "CZI"):
            with file.open("rb") as stream:
                n_tiles = _check_directory(stream)
            document = library.CziReader(str(file))
            with closed_on_error(document):
                return _open_scene(file, document, scene, n_tiles)


class _CziImage(LazyImage):
    """A scene: its number in the file, None for a file without scenes, and its rectangle of pixels."""

    def __init__(
        self, file: Path, info: ImageInfo, document: Any, number: int | None, rectangle: Any
    ) -> None:
        super().__init__(file, info)
        self._document, self._number, self._rectangle = document, number, rectangle

    def _read(self, t: int, c: int, z: int) -> NDArray[Any]:
        counts = dict(zip("TCZ", self.info.shape[:3], strict=True))
        plane = {axis: at for axis, at in zip("TCZ", (t, c, z), strict=True) if counts[axis] > 1}
        tiles: list[int] = []

        def count(tile: int, _: object) -> bool:
            tiles.append(tile)
            return False  # the first is enough

        where = plane if self._number is None else plane | {"S": self._number}
        self._document.enumerate_subblocks_subset(count, where, self._rectangle, only_layer0=True)
        if not tiles:  # libCZI would give a black plane
            raise ValueError(f"the plane at time {t}, channel {c}, slice {z} is not in the file")
        pixels: NDArray[Any] = self._document.read(
            roi=self._rectangle,
            plane=plane,
            scene=self._number,
            pixel_type=self._document.get_channel_pixel_type(c),
        )
        return pixels[..., ::-1] if self.info.samples == 3 else pixels[..., 0].copy()

    def close(self) -> None:
        """Close the file."""
        self._document.close()


def _open_scene(file: Path, document: Any, scene: int | str, n_tiles: int) -> LazyImage:
    rectangles = document.scenes_bounding_rectangle_no_pyramid
    box = document.total_bounding_box_no_pyramid
    for axis, meaning in _OTHER_AXES.items():
        if box.get(axis, (0, 1))[1] > 1:
            raise FileFormatError(
                f"{file} has {box[axis][1]} values of the axis {axis} ({meaning}), expected T, C, Z, Y and X "
                "only: process it in the microscope's program and export it again"
            )
    metadata = _Metadata(document)
    numbers = sorted(rectangles)
    names = metadata.scene_names(numbers)
    index = choose_scene(names, scene, file)
    number = numbers[index] if numbers else None
    rectangle = rectangles[number] if numbers else document.total_bounding_rectangle_no_pyramid
    shape = (box["T"][1], box["C"][1], box["Z"][1], rectangle.h, rectangle.w)
    if max(shape[:3]) > n_tiles:
        raise ValueError(
            f"{n_tiles} tiles cannot be {shape[0]} times, {shape[1]} channels, {shape[2]} slices"
        )
    dtype, samples = _pixel_type(document, shape[1], file)
    claimed, size = shape[3] * shape[4] * samples * dtype.itemsize, file.stat().st_size
    if claimed > max(_ALWAYS_FITS, _LARGEST_RATIO * size):
        raise ValueError(f"planes of {claimed} bytes cannot be in a file of {size}")
    pixel_size_yx_um, z_step_um = metadata.scaling()
    info = ImageInfo(
        "CZI", names, index, shape, samples, dtype,
        pixel_size_yx_um, z_step_um, metadata.time_step(), metadata.channel_names(shape[1]),
    )  # fmt: skip
    return _CziImage(file, info, document, number, rectangle)


def _pixel_type(document: Any, n_channels: int, file: Path) -> tuple[np.dtype[Any], int]:
    """Return the dtype and the samples of a pixel that all channels share."""
    kinds = sorted({document.get_channel_pixel_type(channel) for channel in range(n_channels)})
    if len(kinds) != 1 or kinds[0] not in _PIXEL_TYPES:
        raise FileFormatError(
            f"{file} has channels of {' and '.join(kinds)}, expected one of {', '.join(_PIXEL_TYPES)} "
            "for all: export the channels one by one"
        )
    dtype, samples = _PIXEL_TYPES[kinds[0]]
    return np.dtype(dtype), samples


class _Metadata:
    """Content of the file's XML, as far as it is sound; pixels do not depend on it."""

    def __init__(self, document: Any) -> None:
        import tifffile  # for its reader of XML alone

        try:
            tree = tifffile.xml2dict(document.raw_metadata, sep="")["ImageDocument"]["Metadata"]
        except (*METADATA_ERRORS, RuntimeError):  # libCZI's own errors, and XML nested without end
            tree = {}
        self._scaling = _listed(tree, "Scaling", "Items", "Distance")
        self._dimensions = _nested(tree, "Information", "Image", "Dimensions")

    def scene_names(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """Return the names of the scenes; one without a name is called by its number in the file."""
        stored = {
            str(scene.get("Index")): str(scene.get("Name") or "")
            for scene in _listed(self._dimensions, "S", "Scenes", "Scene")
        }
        return tuple(stored.get(str(number)) or str(number) for number in numbers) or ("0",)

    def channel_names(self, count: int) -> tuple[str, ...]:
        """Return the names of the channels."""
        channels = _listed(self._dimensions, "Channels", "Channel")
        return matching_names([str(channel.get("Name") or "") for channel in channels], count)

    def scaling(self) -> tuple[tuple[float, float] | None, float | None]:
        """Return (Y, X) of a pixel and the distance of slices in micrometres; the file has metres."""
        steps = {item.get("Id"): positive(item.get("Value"), micrometres("m")) for item in self._scaling}
        return known_size(steps.get("Y"), steps.get("X")), steps.get("Z")

    def time_step(self) -> float | None:
        """Return the seconds between times if they are equally spaced, else None."""
        return positive(_nested(self._dimensions, "T", "Positions", "Interval").get("Increment"))


def _nested(tree: Any, *keys: str) -> Mapping[str, Any]:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def _listed(tree: Any, *keys: str) -> list[dict[str, Any]]:
    """Return the elements of one name; `tifffile.xml2dict` does not put a single one into a list."""
    found = _nested(tree, *keys[:-1]).get(keys[-1])
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]


def _check_directory(stream: BinaryIO) -> int:
    """Count the listed tiles; they are checked before libCZI walks them, as it crashes on a damaged list."""
    size = stream.seek(0, os.SEEK_END)
    _segment(stream, 0, b"ZISRAWFILE", size)
    stream.seek(84)
    directory, metadata = struct.unpack("<qq", stream.read(16))
    if metadata:
        _segment(stream, metadata, b"ZISRAWMETADATA", size)
    used = _segment(stream, directory, b"ZISRAWDIRECTORY", size)
    data = stream.read(used)
    (count,) = struct.unpack_from("<i", data)
    position = 128
    if not 0 < count <= _MAX_ENTRIES:
        raise ValueError(f"its directory has {count} tiles")
    for _ in range(count):
        schema, tile = struct.unpack_from("<2s4xq", data, position)
        (dimensions,) = struct.unpack_from("<i", data, position + 28)
        length = 32 + 20 * dimensions if schema == b"DV" else 0
        if not (0 < dimensions <= _MAX_DIMENSIONS and 0 < length <= len(data) - position and 0 < tile < size):
            raise ValueError("its directory of tiles is damaged")
        for name, _, extent, _, stored in struct.iter_unpack(
            "<4siifi", data[position + 32 : position + length]
        ):
            # what is stored is at most what it stands for; 0 means the same
            if extent < 0 or (name[:1] in b"XY" and not 0 <= stored <= max(extent, 1)):
                raise ValueError("a tile in its directory has an impossible size")
        position += length
    return int(count)


def _segment(stream: BinaryIO, position: int, name: bytes, size: int) -> int:
    """Move to the content of a segment and return its length; raise ValueError for another kind or length."""
    if not 0 <= position <= size - _SEGMENT.size:
        raise ValueError("a segment is beyond its end")
    stream.seek(position)
    found, allocated, used = _SEGMENT.unpack(stream.read(_SEGMENT.size))
    used = used or allocated
    if found.rstrip(b"\0") != name or used > size - position - _SEGMENT.size:
        raise ValueError(f"its segment {name.decode()} is damaged")
    return int(used)
