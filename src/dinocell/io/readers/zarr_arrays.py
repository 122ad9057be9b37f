"""Arrays of an OME-Zarr, checked before zarr is given them and read without leaving the folder."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dinocell.extras import import_extra
from dinocell.io.readers.ngff import Multiscale, array_file
from dinocell.io.readers.zarr_folder import check_inside, read_json, regular_size

_MAX_CHUNK_BYTES = 2**31  # of a chunk, decoded: what Blosc can hold at most
_MAX_DEPTH = 8  # of codecs within codecs
_MAX_INNER_CHUNKS = 2**17  # of a shard; zarr takes each on its own
_DTYPE = re.compile(r"[<>|](b1|[iu][1248]|f[248])|bool|u?int(8|16|32|64)|float(16|32|64)")
# Codecs of bytes and of numbers. Those of objects are not among them: pickle runs what it reads.
_CODECS = frozenset(
    ["adler32", "bitround", "blosc", "bytes", "bz2", "crc32", "crc32c", "delta", "fixedscaleoffset",
     "fletcher32", "gzip", "lz4", "lzma", "packbits", "quantize", "sharding_indexed", "shuffle", "transpose",
     "zlib", "zstd"]
)  # fmt: skip


def open_level(multiscale: Multiscale, level: int, *, read_only: bool = True) -> Any:
    """Open the array of a level as a zarr array whose description was checked."""
    zarr = import_extra("zarr", extra="io", purpose="reading OME-Zarr")
    storage = import_extra("zarr.storage", extra="io", purpose="reading OME-Zarr")
    root, folder = multiscale.root, multiscale.levels[level]
    stored = read_json(root, folder / array_file(multiscale.version))
    if stored is None:
        raise ValueError(f"the array {folder.relative_to(root)} is missing")
    check_array(stored, len(multiscale.axes))
    store = _inner_store(storage.LocalStore, is_blosc=uses_blosc(stored))(root, read_only=read_only)
    # from what was checked, not read again: the file may have changed
    return zarr.Array.from_dict(storage.StorePath(store, folder.relative_to(root).as_posix()), stored)


def _inner_store(base: Any, *, is_blosc: bool) -> Any:
    """Return the kind of store that keeps to regular files below its root, and to whole chunks."""

    class InnerStore(base):  # type: ignore[misc]
        async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
            path = self.root / key
            check_inside(self.root, path)
            # of a shard only parts are asked for, by the bounds that it claims for them
            if path.exists() and not 0 <= _asked_bytes(byte_range, regular_size(path)) <= _MAX_CHUNK_BYTES:
                raise ValueError(f"{key} has more than {_MAX_CHUNK_BYTES} bytes")
            chunk = await super().get(key, prototype, byte_range)
            if is_blosc and chunk is not None:
                check_blosc(key, chunk[:16].to_bytes(), len(chunk))
            return chunk

        async def set(self, key: str, value: Any) -> None:
            check_inside(self.root, self.root / key)
            await super().set(key, value)

    return InnerStore


def _asked_bytes(byte_range: Any, size: int) -> int:
    """Return how many bytes of a file of `size` bytes a range asks for; None asks for all."""
    if hasattr(byte_range, "end"):
        return int(byte_range.end - byte_range.start)
    if hasattr(byte_range, "suffix"):
        return min(int(byte_range.suffix), size)
    return size - int(getattr(byte_range, "offset", 0))


def check_array(stored: Mapping[str, Any], n_axes: int) -> None:
    """Raise ValueError for what zarr must not be given: other values, unknown codecs, boundless chunks."""
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
    if math.prod(chunks) * np.dtype(dtype).itemsize > _MAX_CHUNK_BYTES:
        raise ValueError(f"chunks of shape {chunks}, expected at most {_MAX_CHUNK_BYTES} bytes each")


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
    """Return whether each chunk of an array is a file that Blosc has compressed; not of a shard."""
    if "compressor" in stored:
        return (stored["compressor"] or {}).get("id") == "blosc"
    codecs = stored.get("codecs") or [{}]
    return bool(codecs[-1].get("name") == "blosc")


def check_blosc(key: str, head: bytes, size: int) -> None:
    """Check that a chunk has the size in its head: Blosc would read beyond it in memory.

    Raises
    ------
    ValueError
        If it has another one.
    """
    expected = int.from_bytes(head[12:16], "little")
    if len(head) < 16 or expected != size:
        raise ValueError(f"{key} has {size} bytes, its head says {expected}")
