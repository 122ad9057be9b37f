"""Reader: every format of `dinocell.io`, a layer a channel, and labels as labels layers.

Small images are read at once. Of larger ones planes are read as they are shown, and of planes that are large
themselves the parts in view, with coarser levels: those of an OME-Zarr, otherwise every second pixel.
"""

import math
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from dinocell.datasets.belonging import MASK_ENDINGS
from dinocell.errors import DINOCellError
from dinocell.io.images import open_image, stem_of
from dinocell.io.pixel_size import plausible_size
from dinocell.io.planes import Pixels, Window
from dinocell.io.readers.formats import find_reader
from dinocell.io.readers.lazy import ImageInfo, LazyImage
from dinocell.io.readers.naming import distinct_names
from dinocell.io.readers.ome_zarr import find_labels, find_multiscale, is_labels
from dinocell.io.readers.zarr_arrays import open_level
from dinocell.napari.origins import Origin, remember_origin

LayerData = tuple[Any, dict[str, Any], str]
"""Data, attributes and type of a layer, as napari takes them."""

EAGER_BYTES = 2**28
"""Bytes up to which an image is read at once."""

LARGE_SIDE = 8192
"""Side in pixels from which a plane gets coarser levels, and is read by windows."""

_WINDOW = 2048
_COLORMAPS = ("green", "magenta", "cyan", "yellow", "red", "blue")
_GRAY_LEVELS = ("bool", "uint8")


def find_layer_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Return `read_layers` for what DINOCell can read, else None, as napari asks of a reader.

    Parameters
    ----------
    path : str or sequence of str
        A file, the folder of an OME-Zarr, or several of these.
    """
    paths = [path] if isinstance(path, str) else list(path)
    try:
        for one in paths:
            find_reader(Path(one))
    except DINOCellError:
        return None
    return read_layers


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Read the layers of a file, or of several.

    Parameters
    ----------
    path : str or sequence of str

    Returns
    -------
    list of (array, dict, str)
        One for each scene and channel. The first scene is visible. Axes of length 1 are left out; steps in
        micrometres, and of times in seconds, are the scale. Whatever is named as label images are, and holds
        integers, becomes labels.

    Raises
    ------
    DINOCellError
        If a file cannot be read.
    """
    paths = [path] if isinstance(path, str) else list(path)
    return [layer for one in paths for layer in _read_file(Path(one))]


def _read_file(path: Path) -> list[LayerData]:
    path = path.absolute()
    with open_image(path, windows=True) as first:
        scenes = distinct_names(first.info.scenes, "scene") if len(first.info.scenes) > 1 else [""]
    layers = []
    for number, name in enumerate(scenes):
        layers += _read_scene(path, number, name)
    if path.is_dir() and not is_labels(path) and (beside := find_labels(path)) != path:
        layers += _read_file(beside)
    return layers


def _read_scene(path: Path, scene: int, scene_name: str) -> list[LayerData]:
    image = open_image(path, scene=scene, windows=True)
    info = image.info
    levels = _levels_of(image)
    axes = "".join(
        name for name, count in zip("TZ", (info.shape[0], info.shape[2]), strict=True) if count > 1
    )
    origin = Origin(
        path, scene, info.format, axes, info.shape[:3],
        pixel_size_yx_um=plausible_size(info.pixel_size_yx_um),
        z_step_um=info.z_step_um, time_step_s=info.time_step_s,
    )  # fmt: skip
    stem = " ".join(filter(None, [stem_of(path), scene_name]))
    described = describe_steps(axes, origin) | {"visible": scene == 0}
    names = distinct_names(info.channel_names or [""] * info.shape[1], "channel")
    layers = []
    for channel in range(info.shape[1]):
        data = [_planes(level, axes, channel) for level in levels]
        one = len(data) == 1
        several = info.shape[1] > 1
        own = replace(origin, channel=channel, channel_name=names[channel]) if several else origin
        shown = {"name": f"{stem} {names[channel]}" if several else stem, "metadata": remember_origin(own)}
        if _holds_labels(path, info):
            ids = [level if level.dtype.kind in "iu" else level.astype(np.uint8) for level in data]
            layers.append((ids[0] if one else ids, described | shown, "labels"))
            continue
        colours = (
            {"colormap": _COLORMAPS[channel % len(_COLORMAPS)], "blending": "additive"} if several else {}
        )
        options = described | shown | colours | {"rgb": info.samples > 1, "multiscale": not one}
        layers.append((data[0] if one else data, options, "image"))
    return layers


def describe_steps(axes: str, origin: Origin) -> dict[str, Any]:
    """Return scale, units and names of the axes of a layer with some axes before Y and X."""
    sizes = origin.pixel_size_yx_um
    steps = {"T": origin.time_step_s, "Z": origin.z_step_um, "Y": sizes and sizes[0], "X": sizes and sizes[1]}
    units = {"T": "second", "Z": "micrometer", "Y": "micrometer", "X": "micrometer"}
    letters = f"{axes}YX"
    return {
        "scale": [steps[letter] or 1.0 for letter in letters],
        "units": [units[letter] if steps[letter] else "pixel" for letter in letters],
        "axis_labels": [letter.lower() for letter in letters],
    }


def _holds_labels(path: Path, info: ImageInfo) -> bool:
    """Return whether a file is a label image, by its mark or its name, and can be one."""
    if info.samples > 1 or info.dtype.kind not in "biu" or info.shape[1] > 1:
        return False
    return (path.is_dir() and is_labels(path)) or stem_of(path).endswith(MASK_ENDINGS[1:])


class _Planes:
    """All planes of an opened image, as an array (T, C, Z, Y, X) or with S samples, that dask takes parts of.

    One thread reads at a time, as files have one place that they are read at.
    """

    def __init__(self, image: LazyImage) -> None:
        self._image, self._lock = image, threading.Lock()
        weakref.finalize(self, image.close)  # when no layer needs the file any more
        samples = image.info.samples
        self.shape = (*image.info.shape, samples)[: 5 if samples == 1 else 6]
        self.dtype, self.ndim = image.info.dtype.newbyteorder("="), len(self.shape)

    def __getitem__(self, part: tuple[int | slice, ...]) -> Pixels:
        times, channels, slices, rows, columns = (
            range(length)[one] if isinstance(one, slice) else range(one, one + 1)
            for one, length in zip(part, self.shape[:5], strict=False)
        )
        bounds = _bounds(rows), _bounds(columns)
        with self._lock:
            planes = [self._read(bounds, t, c, z) for t in times for c in channels for z in slices]
        counts = len(times), len(channels), len(slices)
        read = np.stack(planes).reshape(*counts, *planes[0].shape)
        steps = [slice(None, None, one.step) if isinstance(one, slice) else 0 for one in part[3:5]]
        leading = [slice(None) if isinstance(one, slice) else 0 for one in part[:3]]
        return read[(*leading, *steps, *part[5:])]

    def _read(self, window: Window, t: int, c: int, z: int) -> Pixels:
        if all(bounds == slice(0, length) for bounds, length in zip(window, self.shape[3:5], strict=True)):
            return self._image.read_plane(t, c, z)
        return self._image.read_window(*window, t, c, z)


def _bounds(numbers: range) -> slice:
    return slice(min(numbers), max(numbers) + 1)


def _levels_of(image: LazyImage) -> list[Any]:
    """Return arrays (T, C, Z, Y, X) or (T, C, Z, Y, X, S) of all levels, the finest first."""
    planes, info = _Planes(image), image.info
    chunks = (1, 1, 1, *_window_of(image), *planes.shape[5:])
    finest = da.from_array(planes, chunks, asarray=False, meta=np.empty((0,) * planes.ndim, planes.dtype))
    if math.prod(planes.shape) * planes.dtype.itemsize <= EAGER_BYTES:
        pixels: NDArray[Any] = finest.compute(scheduler="synchronous")
        return [pixels]
    if max(info.shape[3:]) < LARGE_SIDE:
        return [finest]
    if info.format == "OME-Zarr":
        return [finest, *_coarser_levels(image)]
    levels = [finest]
    while max(levels[-1].shape[3:5]) > _WINDOW:
        levels.append(levels[-1][:, :, :, ::2, ::2])
    return levels


def _window_of(image: LazyImage) -> tuple[int, int]:
    """Return rows and columns that are read at a time: whole planes, or parts of large ones."""
    height, width = image.info.shape[3:]
    rows, columns = image.chunk_shape
    if max(height, width) < LARGE_SIDE or (rows, columns) == (height, width):
        return height, width
    return min(height, rows * max(1, _WINDOW // rows)), min(width, columns * max(1, _WINDOW // columns))


def _coarser_levels(image: LazyImage) -> list[Any]:
    """Return the levels that an OME-Zarr has beyond the first."""
    multiscale, _, _ = find_multiscale(image.path, image.info.scene)
    levels = []
    for number in range(1, len(multiscale.levels)):
        array = da.from_zarr(open_level(multiscale, number))
        present = [axis for axis in "tczyx" if axis in multiscale.axes]
        array = array.transpose([multiscale.axes.index(axis) for axis in present])
        levels.append(array[tuple(slice(None) if axis in present else None for axis in "tczyx")])
    return levels


def _planes(level: Any, axes: str, channel: int) -> Any:
    """Return one channel, without the axes that a layer does not have."""
    times = slice(None) if "T" in axes else 0
    slices = slice(None) if "Z" in axes else 0
    return level[times, channel, slices]
