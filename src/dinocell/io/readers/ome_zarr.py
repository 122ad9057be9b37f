"""OME-Zarr, folders of compressed chunks: versions up to 0.4 (Zarr 2) and 0.5 (Zarr 3), plates included.

Nothing outside the folder is read, whatever its metadata or links say, and no codec that runs code.
"""

import lzma
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import DINOCellError, FileMissingError
from dinocell.io.planes import MAX_PIXELS, decoding
from dinocell.io.readers.lazy import ImageInfo, LazyImage
from dinocell.io.readers.naming import choose_scene, matching_names
from dinocell.io.readers.ngff import Multiscale, read_attributes, read_multiscales
from dinocell.io.readers.reader import Reader
from dinocell.io.readers.units import known_size
from dinocell.io.readers.zarr_arrays import open_level
from dinocell.io.readers.zarr_chunks import ChunkReader
from dinocell.io.readers.zarr_folder import inside

OWN_LABELS = "dinocell"
"""Name of DINOCell's labels beside an image."""

# No plane need be there, so that any number of them could be claimed.
_MAX_SCENES, _MAX_CHANNELS, _MAX_PLANES = 2**17, 2**14, 2**24


class OmeZarrReader(Reader):
    """Reader of OME-Zarr."""

    name = "OME-Zarr"
    folder_files = ("zarr.json", ".zgroup", ".zattrs")
    suffixes = (".zarr",)
    is_of_microscopes = True
    has_ome_names = True
    reads_windows = True

    def open(self, file: Path, scene: int | str, largest: int = MAX_PIXELS) -> LazyImage:
        """Open one scene of a local OME-Zarr at full resolution.

        Scenes are the images of its group. If it has none, they are the series that bioformats2raw wrote
        (``"0"``, …), or the fields of a plate's wells (``"A/1/0"``, …). Chunks that are not stored hold the
        array's fill value, mostly 0, as Zarr has it: a plane without chunks is not damaged.

        Parameters
        ----------
        file : path
            The folder of the outermost group.
        scene : int or str
            Number, counted from 0, or name.
        largest : int
            Pixels that a plane may have.

        Returns
        -------
        LazyImage
            Reads the chunks of a plane or window when it is asked for. Axes that the image does not have are
            of length 1.

        Raises
        ------
        FileMissingError
            If the folder does not exist.
        FileFormatError
            If it is not an OME-Zarr, is damaged, points outside of itself, or would need too much memory.
        InputError
            If the scene does not exist.
        MissingExtraError
            If zarr is not installed.
        """
        multiscale, names, index = find_multiscale(file, scene)
        return open_multiscale(multiscale, file, names, index, largest)

    def find_labels(self, path: Path) -> Path:
        """Find the labels of an OME-Zarr: `find_labels`."""
        return find_labels(path)


def find_multiscale(folder: Path, scene: int | str) -> tuple[Multiscale, tuple[str, ...], int]:
    """Find one scene; return it, the names of all scenes, and its number. Errors as in `OmeZarrReader`."""
    if not folder.is_dir():
        raise FileMissingError(f"{folder} is not a folder, expected an OME-Zarr: check the path")
    with decoding(folder, "OME-Zarr"):
        root = folder.resolve()
        here, names, series = _list_scenes(root)
        index = choose_scene(names, scene, folder)
        if series:
            return read_multiscales(root, inside(root, root, series[index]))[0], names, index
        return here[index], names, index


def is_labels(folder: Path) -> bool:
    """Return whether an OME-Zarr is marked as a label image, as those of segment-large are."""
    try:
        with decoding(folder, "OME-Zarr"):
            root = folder.resolve()
            return "image-label" in read_attributes(root, root)[1]
    except DINOCellError:  # the error is raised when it is read
        return False


def find_labels(folder: Path) -> Path:
    """Find the labels of an OME-Zarr: itself if it is marked as labels, else those beside its image.

    Returns
    -------
    Path
        The folder itself if it has none: its pixels may be labels without the mark.

    Raises
    ------
    FileFormatError
        If it has several labels and none of them is DINOCell's.
    """
    with decoding(folder, "OME-Zarr"):
        root = folder.resolve()
        if "image-label" in read_attributes(root, root)[1]:
            return folder
        listed = read_attributes(root, inside(root, root, "labels"))[1].get("labels") or []
        names = [OWN_LABELS] if OWN_LABELS in listed else [str(name) for name in listed]
        if len(names) > 1:
            raise ValueError(f"labels {', '.join(names)[:200]} in it, expected one: name the folder of one")
        return inside(root, root, f"labels/{names[0]}") if names else folder


def open_multiscale(
    multiscale: Multiscale,
    folder: Path,
    names: tuple[str, ...] = ("0",),
    index: int = 0,
    largest: int = MAX_PIXELS,
) -> LazyImage:
    """Open an image that was found; errors name `folder`, `names` and `index` go into `ImageInfo`."""
    with decoding(folder, "OME-Zarr"):
        array = open_level(multiscale, 0)
        sizes = dict(zip(multiscale.axes, array.shape, strict=True))
        steps = multiscale.steps
        channels = multiscale.omero.get("channels", ())
        labels = [str(channel.get("label") or "") for channel in channels]
        n_channels = sizes.get("c", 1)
        shape = (sizes.get("t", 1), n_channels, sizes.get("z", 1), sizes["y"], sizes["x"])
        if n_channels > _MAX_CHANNELS or math.prod(shape[:3]) > _MAX_PLANES:
            raise ValueError(f"{shape[0]} times, {n_channels} channels and {shape[2]} slices")
        info = ImageInfo(
            "OME-Zarr", names, index, shape, 1, np.dtype(array.dtype),
            pixel_size_yx_um=known_size(steps.get("y"), steps.get("x")),
            z_step_um=steps.get("z"),
            time_step_s=steps.get("t"),
            channel_names=matching_names(labels, n_channels),
        )  # fmt: skip
        return _ZarrImage(folder, info, array, multiscale, largest)


class _ZarrImage(LazyImage):
    def __init__(
        self, folder: Path, info: ImageInfo, array: Any, multiscale: Multiscale, largest: int
    ) -> None:
        super().__init__(folder, info, largest)
        self._array, self._axes = array, multiscale.axes
        self._chunks = ChunkReader(array, multiscale.levels[0])

    @property
    def chunk_shape(self) -> tuple[int, int]:
        chunks = dict(zip(self._axes, self._array.chunks, strict=True))  # of shards, those within
        height, width = self.info.shape[3:]
        return min(chunks["y"], height), min(chunks["x"], width)

    def _read(self, t: int, c: int, z: int) -> NDArray[Any]:
        return self._read_window(slice(None), slice(None), t, c, z)

    def _read_window(self, rows: slice, columns: slice, t: int, c: int, z: int) -> NDArray[Any]:
        at: dict[str, int | slice] = {"t": t, "c": c, "z": z, "y": rows, "x": columns}
        try:
            plane = self._chunks.read(tuple(at[axis] for axis in self._axes))
        except lzma.LZMAError as exc:  # of no common kind
            raise ValueError(str(exc)) from exc
        return plane if self._axes.index("y") < self._axes.index("x") else plane.T


def _list_scenes(root: Path) -> tuple[list[Multiscale], tuple[str, ...], list[str]]:
    """Return the images of this very group or else the paths of groups, and the names of either."""
    _, attributes = read_attributes(root, root)
    here = read_multiscales(root, root)
    if here:
        return here, tuple(str(one.described.get("name") or one.number) for one in here), []
    if "plate" in attributes:
        series = _list_fields(root, attributes["plate"]["wells"])
    else:
        listed = read_attributes(root, inside(root, root, "OME"))[1].get("series")
        series = listed if listed else _numbered_groups(root) if "bioformats2raw.layout" in attributes else []
    if not series:
        raise ValueError("no multiscales, plate or series in its metadata")
    return [], tuple(map(str, series)), series


def _list_fields(root: Path, wells: list[dict[str, str]]) -> list[str]:
    """List the paths of all fields of a plate; a well that is named again is not read again."""
    fields: dict[Path, list[str]] = {}
    series: list[str] = []
    for well in wells:
        group = inside(root, root, well["path"]).resolve()
        if group not in fields:
            images = read_attributes(root, group)[1]["well"]["images"]
            fields[group] = [field["path"] for field in images]
        series += [f"{well['path']}/{path}" for path in fields[group]]
        if len(series) > _MAX_SCENES:
            raise ValueError(f"a plate of more than {_MAX_SCENES} fields")
    return series


def _numbered_groups(root: Path) -> list[str]:
    count = 0
    while (root / str(count)).is_dir() and count < _MAX_SCENES:
        count += 1
    return [str(number) for number in range(count)]
