"""The metadata of an OME-Zarr: read without leaving its folder, and checked before zarr is given them."""

import json
import math
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

MAX_CHUNK_BYTES = 2**31
"""Of a chunk, decoded: what Blosc can hold at most."""

_AXES = "tczyx"
_TYPES = {"time": "t", "channel": "c"}
_MAX_JSON_BYTES = 2**26
_MAX_DEPTH = 8  # of codecs within codecs
_MAX_LEVELS = 2**8
_MAX_INNER_CHUNKS = 2**17  # of a shard; zarr takes each on its own
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


def inside(root: Path, group: Path, path: object) -> Path:
    """Join a path of the metadata to its group; it and what it links to must be within `root`."""
    if not isinstance(path, str) or "\\" in path or "\0" in path:
        raise ValueError(f"the path {path!r} in its metadata is none")
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"the path {path!r} in its metadata leads outside")
    target = group / parts
    check_inside(root, target)
    return target


def check_inside(root: Path, target: Path) -> None:
    """Refuse a path below `root` that is, or goes through, a link that leads outside."""
    if not target.resolve().is_relative_to(root):
        raise ValueError(f"{target.relative_to(root)} is a link that leads outside")


def regular_size(file: Path) -> int:
    """Give the size of a regular file in bytes; refuse any other kind."""
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
        raise ValueError(f"{file.name} is no regular file")
    return status.st_size


def read_json(root: Path, file: Path) -> dict[str, Any] | None:
    """Read an object of JSON within `root`; None where there is no such file."""
    check_inside(root, file)
    if not file.exists():
        return None
    if regular_size(file) > _MAX_JSON_BYTES:
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


def _axes_of(described: Mapping[str, Any]) -> str:
    """Give an image's axes by one letter each; before version 0.3 they were not written down."""
    if not 0 < len(described["datasets"]) <= _MAX_LEVELS:
        raise ValueError(f"an image of {len(described['datasets'])} levels, expected 1 to {_MAX_LEVELS}")
    letters = []
    for axis in described.get("axes", _AXES):
        name, kind = (axis, None) if isinstance(axis, str) else (axis["name"], axis.get("type"))
        letters.append(_TYPES.get(str(kind)) or str(name).lower())
    if len(set(letters)) < len(letters) or not {"y", "x"} <= set(letters) <= set(_AXES):
        raise ValueError(f"axes {', '.join(letters)[:60]}, expected y, x and perhaps t, c, z")
    return "".join(letters)


def check_array(stored: Mapping[str, Any], n_axes: int) -> None:
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
    for codec in stored.get("codecs") or ():
        _check_shard(codec, chunks)
    if math.prod(chunks) * np.dtype(dtype).itemsize > MAX_CHUNK_BYTES:
        raise ValueError(f"chunks of shape {chunks}, expected at most {MAX_CHUNK_BYTES} bytes each")


def _check_shard(codec: Mapping[str, Any], shard: Sequence[int]) -> None:
    """Raise ValueError for a shard of more chunks than it could be sound for."""
    configuration = codec.get("configuration") or {}
    inner = configuration.get("chunk_shape")
    if codec.get("name") != "sharding_indexed" or not inner:
        return
    if len(inner) != len(shard) or not all(type(n) is int and n > 0 for n in inner):
        raise ValueError(f"shards of shape {shard} in chunks {str(inner)[:60]}")
    if math.prod(shard) // math.prod(inner) > _MAX_INNER_CHUNKS:
        raise ValueError(f"shards of {math.prod(shard) // math.prod(inner)} chunks")
    for nested in configuration.get("codecs") or ():
        _check_shard(nested, inner)


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


def uses_blosc(stored: dict[str, Any]) -> bool:
    """Return whether each chunk of an array is a file that Blosc has compressed; shards are left aside."""
    if "compressor" in stored:
        return (stored["compressor"] or {}).get("id") == "blosc"
    codecs = stored.get("codecs") or [{}]
    return bool(codecs[-1].get("name") == "blosc")


def check_blosc(key: str, head: bytes, size: int) -> None:
    """Check that a chunk has the size that it says: Blosc would read on in whatever follows in memory.

    Raises
    ------
    ValueError
        If it has another one.
    """
    expected = int.from_bytes(head[12:16], "little")
    if len(head) < 16 or expected != size:
        raise ValueError(f"{key} has {size} bytes, its head says {expected}")
