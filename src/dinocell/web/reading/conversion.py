"""An image file as the server keeps it: one plane in full, and coarser levels of it.

Runs in a process of its own, as what people upload may be anything. The plane is an uncompressed OME-TIFF, so
that windows of it are read at once, by us as an array on the disk and by `dinocell.large` as a file. Level k
is a NumPy file, of half the height and width of level k − 1: each value is the mean of four.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from dinocell.errors import DINOCellError, InputError
from dinocell.io.images import open_image
from dinocell.io.pixel_size import plausible_size
from dinocell.io.readers.lazy import LazyImage
from dinocell.io.readers.naming import channel_names
from dinocell.io.selected_planes import missing_channels, read_channels
from dinocell.io.selection import SelectedPlane
from dinocell.web.archive.records import PlaneRecord
from dinocell.web.failures import TooLargeError
from dinocell.web.messages import Channel

TILE = 256
"""Side of a tile in pixels; the coarsest level fits into one."""

PLANE = "plane.ome.tif"
"""File of the plane in the folder of an image."""

_STRIP_VALUES = 2**25
_RANGE_SIDE = 2048
_SHOWN = (0.1, 99.9)


@dataclass(frozen=True)
class Order:
    """Order to read a file.

    Attributes
    ----------
    source : Path
    name : str
        What messages call the file.
    folder : Path
        Existing folder for the plane and its levels.
    scene, time, slice : int or None
        The plane; by default the first scene and time, and the middle slice.
    most_pixels, most_channels : int
    """

    source: Path
    name: str
    folder: Path
    scene: int | None = None
    time: int | None = None
    slice: int | None = None
    most_pixels: int = 2**33
    most_channels: int = 64


def convert(order: Order) -> PlaneRecord:
    """Read a plane of a file, and write it with its levels.

    Raises
    ------
    DINOCellError
        If the file cannot be read, or is too large; its message has the name that the user knows.
    """
    try:
        return _convert(order)
    except DINOCellError as error:
        raise _renamed(error, order) from None


def _renamed(error: DINOCellError, order: Order) -> DINOCellError:
    """Return an error whose message names the file as the user does, and not our copy of it."""
    return type(error)(
        str(error).replace(str(order.source), order.name).replace(order.source.name, order.name)
    )


def _convert(order: Order) -> PlaneRecord:
    with open_image(order.source, scene=order.scene or 0, windows=True) as image:
        info = image.info
        place = _choose_plane(image, order)
        left_out = missing_channels(image, place)
        names = [name for name in channel_names(info) if name not in left_out]
        is_rgb = info.samples in (3, 4) and info.shape[1] == 1
        names = names[:3] if is_rgb else names
        _check_size(order, info.shape[3], info.shape[4], len(names))
        dtype = np.dtype(np.uint8) if info.dtype.kind == "b" else info.dtype.newbyteorder("=")
        size = plausible_size(info.pixel_size_yx_um)
        plane = create_plane(order.folder, (len(names), *info.shape[3:]), dtype, is_rgb, names, size)
        _copy(image, place, plane, names)
        levels = _write_levels(order.folder, plane)
        return PlaneRecord(
            shape=(info.shape[3], info.shape[4]),
            dtype=str(dtype),
            rgb=is_rgb,
            channels=_describe_channels(names, [plane, *levels], is_rgb=is_rgb),
            pixel_size_um=size,
            level_shapes=tuple((each.shape[1], each.shape[2]) for each in (plane, *levels)),
            scenes=len(info.scenes),
            times=info.shape[0],
            slices=info.shape[2],
            place={"scene": info.scene, "time": place.t, "z": place.z or 0},
            notes=_notes(image, place, left_out),
        )


def _choose_plane(image: LazyImage, order: Order) -> SelectedPlane:
    times, _, slices = image.info.shape[:3]
    time = 0 if order.time is None else order.time
    z = slices // 2 if order.slice is None else order.slice
    for name, number, count in (("time", time, times), ("z", z, slices)):
        if not 0 <= number < count:
            raise InputError(f"{order.name} has no {name} {number}, expected one from 0 to {count - 1}")
    return SelectedPlane(time, z, None, "")


def _notes(image: LazyImage, place: SelectedPlane, left_out: list[str]) -> tuple[str, ...]:
    info = image.info
    counts = {"scenes": (len(info.scenes), info.scene), "times": (info.shape[0], place.t)}
    counts["slices"] = (info.shape[2], place.z or 0)
    several = {name: found for name, found in counts.items() if found[0] > 1}
    notes = []
    if several:
        listed = ", ".join(f"{count} {name}" for name, (count, _) in several.items())
        shown = ", ".join(f"{name.removesuffix('s')} {number}" for name, (_, number) in several.items())
        notes.append(f"The file holds {listed}; this is {shown}, counted from 0.")
    if left_out:
        notes.append(f"The file does not hold channel {', '.join(left_out)} here, which it describes.")
    return tuple(notes)


def _check_size(order: Order, height: int, width: int, channels: int) -> None:
    if channels > order.most_channels:
        raise TooLargeError(
            f"{order.name} has {channels} channels, expected at most {order.most_channels}: leave some out"
        )
    if height * width * channels > order.most_pixels:
        raise TooLargeError(
            f"{order.name} has {height} × {width} pixels in {channels} channels, expected at most "
            f"{order.most_pixels} in all: use `dinocell segment-large`"
        )


def create_plane(
    folder: Path,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    is_rgb: bool,
    names: list[str],
    size: tuple[float, float] | None,
) -> NDArray[Any]:
    """Create the file of a plane, and return it as an array on the disk, ``(C, Y, X)``."""
    physical = (
        {}
        if size is None
        else {
            "PhysicalSizeY": size[0], "PhysicalSizeYUnit": "µm",
            "PhysicalSizeX": size[1], "PhysicalSizeXUnit": "µm",
        }
    )  # fmt: skip
    channels = {} if is_rgb else {"Channel": {"Name": names}}
    stored = tifffile.memmap(
        folder / PLANE,
        shape=(*shape[1:], shape[0]) if is_rgb else shape,
        dtype=dtype,
        photometric="rgb" if is_rgb else "minisblack",
        bigtiff=True,
        ome=True,
        metadata={"axes": "YXS" if is_rgb else "CYX", **channels, **physical},
    )
    return stored.transpose(2, 0, 1) if is_rgb else stored


def open_plane(folder: Path, *, is_rgb: bool) -> NDArray[Any]:
    """Open the plane of an image as an array on the disk that cannot be written to, ``(C, Y, X)``."""
    stored = np.asarray(tifffile.memmap(folder / PLANE, mode="r"))
    if is_rgb:
        return stored.transpose(2, 0, 1)
    return stored.reshape(-1, *stored.shape[-2:])


def open_level(folder: Path, level: int, *, is_rgb: bool) -> NDArray[Any]:
    """Open a level of an image, ``(C, Y, X)``; level 0 is the plane."""
    if level == 0:
        return open_plane(folder, is_rgb=is_rgb)
    opened: NDArray[Any] = np.load(_level_file(folder, level), mmap_mode="r", allow_pickle=False)
    return opened


def _level_file(folder: Path, level: int) -> Path:
    return folder / f"level_{level}.npy"


def _copy(image: LazyImage, place: SelectedPlane, plane: NDArray[Any], names: list[str]) -> None:
    """Copy all channels, a strip of rows after the other."""
    height, width = plane.shape[1:]
    deep = image.chunk_shape[0]
    rows = max(1, _STRIP_VALUES // (width * plane.shape[0]) // deep) * deep
    for top in range(0, height, rows):
        window = (slice(top, min(top + rows, height)), slice(0, width))
        for name, pixels in read_channels(image, place, window):
            if name in names:
                plane[names.index(name), window[0]] = pixels


def _write_levels(folder: Path, plane: NDArray[Any]) -> list[NDArray[Any]]:
    levels: list[NDArray[Any]] = []
    finer = plane
    while max(finer.shape[1:]) > TILE:
        channels, height, width = finer.shape
        shape = (channels, -(-height // 2), -(-width // 2))
        file = _level_file(folder, len(levels) + 1)
        coarser = np.lib.format.open_memmap(file, "w+", dtype=plane.dtype, shape=shape)
        for channel, rows in _strips(shape):
            part = finer[channel, 2 * rows.start : 2 * rows.stop]
            coarser[channel, rows] = _halved(part, plane.dtype)
        levels.append(coarser)
        finer = coarser
    return levels


def _strips(shape: tuple[int, int, int]) -> Iterator[tuple[int, slice]]:
    deep = max(1, _STRIP_VALUES // (4 * shape[2]))
    for channel in range(shape[0]):
        for top in range(0, shape[1], deep):
            yield channel, slice(top, min(top + deep, shape[1]))


def _halved(part: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the means of squares of four pixels; at an odd side, of those that are there.

    Examples
    --------
    >>> _halved(np.array([[1, 3, 8], [1, 3, 8], [5, 5, 9]], np.uint8), np.dtype(np.uint8))
    array([[2, 8],
           [5, 9]], dtype=uint8)
    """
    height, width = part.shape
    padded = np.pad(part, ((0, height % 2), (0, width % 2)), mode="edge")
    squares = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2)
    mean = squares.mean((1, 3), dtype=np.float64 if dtype.itemsize > 2 else np.float32)
    halved: NDArray[Any] = (np.rint(mean) if dtype.kind in "ui" else mean).astype(dtype)
    return halved


def _describe_channels(names: list[str], levels: list[NDArray[Any]], *, is_rgb: bool) -> tuple[Channel, ...]:
    small = next((each for each in levels if max(each.shape[1:]) <= _RANGE_SIDE), levels[-1])
    in_bytes = is_rgb and small.dtype == np.uint8
    found = []
    for index, name in enumerate(names):
        values = small[index][np.isfinite(small[index])] if small.dtype.kind == "f" else small[index]
        least, most = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
        shown = np.percentile(values, _SHOWN) if values.size else (0.0, 1.0)
        low, high = (0.0, 255.0) if in_bytes else (float(shown[0]), float(shown[1]))
        high = high if high > low else low + 1
        found.append(Channel(index=index, name=name, low=low, high=high, least=least, most=most))
    return tuple(found)
