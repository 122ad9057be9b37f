"""OME-Zarr, folders of compressed chunks: versions up to 0.4 (Zarr 2) and 0.5 (Zarr 3), plates included.

Nothing outside the folder is read, whatever its metadata or links say, and no codec that runs code.
"""

import json
import lzma
import math
import re
import stat
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import FileMissingError
from dinocell.extras import import_extra
from dinocell.planes import decoding
from dinocell.readers.lazy import ImageInfo, LazyImage, choose_scene

_AXES = "tczyx"
_TYPES = {"time": "t", "channel": "c"}
_MICROMETRES = {
    "angstrom": 1e-4, "nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6
}  # fmt: skip
_SECONDS = {"microsecond": 1e-6, "millisecond": 1e-3, "second": 1.0, "minute": 60.0, "hour": 3600.0}

_MAX_JSON_BYTES = 2**26
_MAX_CHUNK_BYTES = 2**31  # decoded; what Blosc can hold at most
_MAX_SCENES = 2**17
_MAX_DEPTH = 8  # of codecs within codecs

_DTYPE = re.compile(r"[<>|](b1|[iu][1248]|f[248])|bool|u?int(8|16|32|64)|float(16|32|64)")
# Codecs of bytes and of numbers. Those of objects are not among them: pickle runs what it reads.
_CODECS = frozenset(
    ["adler32", "bitround", "blosc", "bytes", "bz2", "crc32", "crc32c", "delta", "fixedscaleoffset",
     "fletcher32", "gzip", "lz4", "lzma", "packbits", "quantize", "sharding_indexed", "shuffle", "transpose",
     "zlib", "zstd"]
)  # fmt: skip


@dataclass(frozen=True)
class Multiscale:
    """One image of an OME-Zarr: the same pixels at several levels, the first the finest.

    Attributes
    ----------
    root : Path
        The folder that nothing outside of is read.
    group : Path
        The group that describes the image.
    number : int
        Which of the group's images this is.
    version : str
        Of NGFF; ``"0.5"`` stands for Zarr 3.
    axes : str
        Some of t, c, z, y, x in the order of the arrays.
    described : mapping
        Its entry of ``multiscales``, as stored.
    omero : mapping
        The group's ``omero``, where it has any.
    """

    root: Path
    group: Path
    number: int
    version: str
    axes: str
    described: Mapping[str, Any]
    omero: Mapping[str, Any]

    @property
    def levels(self) -> tuple[Path, ...]:
        """Folders of the arrays, the finest first."""
        return tuple(inside(self.root, self.group, level["path"]) for level in self.described["datasets"])


def open_ome_zarr(folder: Path, scene: int | str) -> LazyImage:
    """Open one scene of a local OME-Zarr at full resolution.

    Scenes are the images of its group; else, of a file that bioformats2raw wrote, its series (``"0"``, …); of
    a plate, the fields of its wells (``"A/1/0"``, …). Chunks that are not there hold the array's fill value,
    mostly 0, as Zarr has it: a plane without any is no damage.

    Parameters
    ----------
    folder : path
        The outermost group.
    scene : int or str
        Number, counted from 0, or name.

    Returns
    -------
    LazyImage
        Reads the chunks of a plane when it is asked for; axes that the image does not have are of length 1.

    Raises
    ------
    FileMissingError
        If there is no such folder.
    FileFormatError
        If it is no OME-Zarr, damaged, points outside of itself, or would need too much memory.
    InputError
        If it has no such scene.
    MissingExtraError
        If zarr is not installed.
    """
    multiscale, names, index = find_multiscale(folder, scene)
    return open_multiscale(multiscale, folder, names, index)


def find_multiscale(folder: Path, scene: int | str) -> tuple[Multiscale, tuple[str, ...], int]:
    """Find one scene, and give the names of all and which of them it is; errors as `open_ome_zarr`."""
    if not folder.is_dir():
        raise FileMissingError(f"{folder} is no folder, expected an OME-Zarr: check the path")
    with decoding(folder, "OME-Zarr"):
        root = folder.resolve()
        here, names, series = _list_scenes(root)
        index = choose_scene(names, scene, folder)
        if series:
            return read_multiscales(root, inside(root, root, series[index]))[0], names, index
        return here[index], names, index


def open_multiscale(
    multiscale: Multiscale, folder: Path, names: tuple[str, ...] = ("0",), index: int = 0
) -> LazyImage:
    """Open an image that was found; `folder` is what errors name, the rest goes into `ImageInfo`."""
    with decoding(folder, "OME-Zarr"):
        array = open_array(multiscale, 0)
        sizes = dict(zip(multiscale.axes, array.shape, strict=True))
        steps = _physical_steps(multiscale)
        channels = multiscale.omero.get("channels", ())
        labels = tuple(str(channel["label"]) for channel in channels if channel.get("label"))
        x, y = steps.get("x"), steps.get("y")
        n_channels = sizes.get("c", 1)
        shape = (sizes.get("t", 1), n_channels, sizes.get("z", 1), sizes["y"], sizes["x"])
        info = ImageInfo(
            "OME-Zarr", names, index, shape, 1, np.dtype(array.dtype),
            pixel_size_um=x if x and y and abs(x - y) <= 0.01 * x else None,
            z_step_um=steps.get("z"),
            time_step_s=steps.get("t"),
            channel_names=labels if len(labels) == n_channels else (),
        )  # fmt: skip
        return _ZarrImage(folder, info, array, multiscale.axes)


class _ZarrImage(LazyImage):
    def __init__(self, folder: Path, info: ImageInfo, array: Any, axes: str) -> None:
        super().__init__(folder, info)
        self._array, self._axes = array, axes

    def _read(self, t: int, c: int, z: int) -> NDArray[Any]:
        at = {"t": t, "c": c, "z": z}
        try:
            plane = np.asarray(self._array[tuple(at.get(axis, slice(None)) for axis in self._axes)])
        except (zlib.error, lzma.LZMAError) as exc:  # of no common kind
            raise ValueError(str(exc)) from exc
        return plane if self._axes.index("y") < self._axes.index("x") else plane.T


def inside(root: Path, group: Path, path: object) -> Path:
    """Join a path of the metadata to its group; it and what it links to must be within `root`."""
    if not isinstance(path, str) or "\\" in path or "\0" in path:
        raise ValueError(f"the path {path!r} in its metadata is none")
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"the path {path!r} in its metadata leads outside")
    target = group / parts
    _check_inside(root, target)
    return target


def _check_inside(root: Path, target: Path) -> None:
    if not target.resolve().is_relative_to(root):
        raise ValueError(f"{target.relative_to(root)} is a link that leads outside")


def _regular_size(file: Path) -> int:
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
        raise ValueError(f"{file.name} is no regular file")
    return status.st_size


def read_json(root: Path, file: Path) -> dict[str, Any] | None:
    """Read an object of JSON within `root`; None where there is no such file."""
    _check_inside(root, file)
    if not file.exists():
        return None
    if _regular_size(file) > _MAX_JSON_BYTES:
        raise ValueError(f"{file.name} has more than {_MAX_JSON_BYTES} bytes")
    found = json.loads(file.read_bytes())
    if not isinstance(found, dict):
        raise TypeError(f"{file.name} is no object")
    return found


def read_attributes(root: Path, group: Path) -> tuple[str, dict[str, Any]]:
    """Read what a group says: the version of NGFF, and its attributes (0.5: those under ``ome``)."""
    stored = read_json(root, group / "zarr.json")
    if stored is not None:
        attributes = stored.get("attributes", {}).get("ome", {})
        return str(attributes.get("version", "0.5")), attributes
    attributes = read_json(root, group / ".zattrs") or {}
    return "0.4", attributes


def read_multiscales(root: Path, group: Path) -> list[Multiscale]:
    """Read all images that a group describes, perhaps none."""
    version, attributes = read_attributes(root, group)
    return [
        Multiscale(
            root, group, number, version, _axes_of(described), described, attributes.get("omero") or {}
        )
        for number, described in enumerate(attributes.get("multiscales", ()))
    ]


def open_array(multiscale: Multiscale, level: int, *, read_only: bool = True) -> Any:
    """Open the array of a level as a zarr array whose description was checked."""
    zarr = import_extra("zarr", extra="io", purpose="reading OME-Zarr")
    storage = import_extra("zarr.storage", extra="io", purpose="reading OME-Zarr")
    root, folder = multiscale.root, multiscale.levels[level]
    stored = read_json(root, folder / ("zarr.json" if multiscale.version == "0.5" else ".zarray"))
    if stored is None:
        raise ValueError(f"the array {folder.relative_to(root)} is missing")
    _check_array(stored, len(multiscale.axes))
    store = _inner_store(storage.LocalStore)(root, read_only=read_only)
    # from what was checked, not read again: the file may have changed
    return zarr.Array.from_dict(storage.StorePath(store, folder.relative_to(root).as_posix()), stored)


def _inner_store(base: Any) -> Any:
    """Make the kind of store that keeps to regular files below its root."""

    class InnerStore(base):  # type: ignore[misc]
        async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
            path = self.root / key
            _check_inside(self.root, path)
            if path.exists() and _regular_size(path) > _MAX_CHUNK_BYTES and byte_range is None:
                raise ValueError(f"{key} has more than {_MAX_CHUNK_BYTES} bytes")
            return await super().get(key, prototype, byte_range)

        async def set(self, key: str, value: Any) -> None:
            _check_inside(self.root, self.root / key)
            await super().set(key, value)

    return InnerStore


def _list_scenes(root: Path) -> tuple[list[Multiscale], tuple[str, ...], list[str]]:
    """Give either the images of this very group or the paths of groups, and their names."""
    _, attributes = read_attributes(root, root)
    here = read_multiscales(root, root)
    if here:
        return here, tuple(str(one.described.get("name") or one.number) for one in here), []
    if "plate" in attributes:
        series = [
            f"{well['path']}/{field['path']}"
            for well in attributes["plate"]["wells"][:_MAX_SCENES]
            for field in read_attributes(root, inside(root, root, well["path"]))[1]["well"]["images"]
        ]
    else:
        listed = read_attributes(root, inside(root, root, "OME"))[1].get("series")
        series = listed if listed else _numbered_groups(root) if "bioformats2raw.layout" in attributes else []
    if not series:
        raise ValueError("no multiscales, plate or series in its metadata")
    return [], tuple(map(str, series)), series


def _numbered_groups(root: Path) -> list[str]:
    count = 0
    while (root / str(count)).is_dir() and count < _MAX_SCENES:
        count += 1
    return [str(number) for number in range(count)]


def _axes_of(described: Mapping[str, Any]) -> str:
    """Give an image's axes by one letter each; before version 0.3 they were not written down."""
    if not described["datasets"]:
        raise ValueError("an image without levels")
    letters = []
    for axis in described.get("axes", _AXES):
        name, kind = (axis, None) if isinstance(axis, str) else (axis["name"], axis.get("type"))
        letters.append(_TYPES.get(str(kind)) or str(name).lower())
    if len(set(letters)) < len(letters) or not {"y", "x"} <= set(letters) <= set(_AXES):
        raise ValueError(f"axes {', '.join(letters)[:60]}, expected y, x and perhaps t, c, z")
    return "".join(letters)


def _physical_steps(multiscale: Multiscale) -> dict[str, float]:
    """Give pixel size and steps in micrometres and seconds, of the axes whose unit is known."""
    described = multiscale.described
    scale = [1.0] * len(multiscale.axes)
    for place in (described, described["datasets"][0]):
        for transform in place.get("coordinateTransformations") or ():
            if transform.get("type") == "scale" and "scale" in transform:
                scale = [a * float(b) for a, b in zip(scale, transform["scale"], strict=True)]
    steps = {}
    for letter, axis, step in zip(multiscale.axes, described.get("axes", ()), scale, strict=False):
        unit = axis.get("unit") if isinstance(axis, dict) else None
        factor = (_SECONDS if letter == "t" else _MICROMETRES).get(str(unit))
        if factor is not None and 0 < step * factor < math.inf:
            steps[letter] = step * factor
    return steps


def _check_array(stored: Mapping[str, Any], n_axes: int) -> None:
    """Refuse what zarr must not be given: other kinds of values, unknown codecs, boundless chunks."""
    dtype = stored["dtype"] if "dtype" in stored else stored["data_type"]
    if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
        raise ValueError(f"pixels of kind {str(dtype)[:40]}, expected booleans, integers or floats")
    _check_codecs([stored.get("compressor"), *(stored.get("filters") or ()), *(stored.get("codecs") or ())])
    if stored.get("storage_transformers"):
        raise ValueError("storage transformers are not supported")
    shape = stored["shape"]
    chunks = stored["chunks"] if "chunks" in stored else stored["chunk_grid"]["configuration"]["chunk_shape"]
    whole = all(type(n) is int and n > 0 for n in (*shape, *chunks))
    if not whole or len(shape) != n_axes or len(chunks) != n_axes:
        raise ValueError(f"{n_axes} axes, but arrays of shape {str(shape)[:60]} in chunks {str(chunks)[:60]}")
    if math.prod(chunks) * np.dtype(dtype).itemsize > _MAX_CHUNK_BYTES:
        raise ValueError(f"chunks of shape {chunks}, expected at most {_MAX_CHUNK_BYTES} bytes each")


def _check_codecs(codecs: Sequence[Any], depth: int = 0) -> None:
    for codec in codecs:
        if codec is None:
            continue
        name = str(codec.get("id") or codec.get("name")).removeprefix("numcodecs.")
        if name not in _CODECS or depth > _MAX_DEPTH:
            raise ValueError(f"the codec {name[:40]!r} is not among {', '.join(sorted(_CODECS))}")
        configuration = codec.get("configuration") or {}
        for inner in ("codecs", "index_codecs"):
            _check_codecs(configuration.get(inner) or (), depth + 1)
