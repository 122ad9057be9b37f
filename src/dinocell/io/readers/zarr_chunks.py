"""Chunks of a Zarr array: if there may be millions, only those that are in its folder are read."""

import math
import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MANY = 2**12
"""Most chunks that are asked for one by one: each takes about half a millisecond, even if it is missing."""

_KEY = re.compile(r"(?:c[./])?(\d{1,18}(?:[./]\d{1,18})*)")

Coordinates = tuple[int, ...]


class ChunkReader:
    """Reader of parts of an array, in a time that depends on the chunks stored, not on those claimed.

    Parameters
    ----------
    array : zarr.Array
    folder : Path
        The folder of its chunks.
    """

    def __init__(self, array: Any, folder: Path) -> None:
        self.array, self.folder = array, folder
        self.grid: Coordinates = array.shards or array.chunks  # a shard is a file of chunks

    def read(self, where: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read ``array[where]``; slices are without a step.

        Raises
        ------
        ValueError
            If a folder among the chunks is a link, and more than `_MANY` of them are asked for.
        """
        bounds = [
            (at, at + 1) if isinstance(at, int) else at.indices(length)[:2]
            for at, length in zip(where, self.array.shape, strict=True)
        ]
        spans = [
            range(start // side, -(-stop // side))
            for (start, stop), side in zip(bounds, self.grid, strict=True)
        ]
        count = math.prod(map(len, spans))
        if count <= _MANY:
            return np.asarray(self.array[where])
        there = [at for at in self._stored if all(i in span for i, span in zip(at, spans, strict=True))]
        if len(there) > count // 2:
            return np.asarray(self.array[where])
        block = np.full(
            [stop - start for start, stop in bounds], self.array.fill_value or 0, self.array.dtype
        )
        for chunk in there:
            part = [
                slice(max(start, i * side), min(stop, (i + 1) * side))
                for i, side, (start, stop) in zip(chunk, self.grid, bounds, strict=True)
            ]
            inner = tuple(
                slice(p.start - start, p.stop - start) for p, (start, _) in zip(part, bounds, strict=True)
            )
            block[inner] = self.array[tuple(part)]
        return block[tuple(0 if isinstance(at, int) else slice(None) for at in where)]

    @cached_property
    def _stored(self) -> list[Coordinates]:
        """Chunks or shards that are in the folder."""
        return [at for key in self._files() if (at := self._coordinates(key)) is not None]

    def _files(self) -> Iterator[str]:
        for path, folders, files in os.walk(self.folder):
            below = Path(path).relative_to(self.folder)
            links = [name for name in folders if Path(path, name).is_symlink()]
            if links:  # they could lead round in circles
                raise ValueError(f"{below / links[0]} is a link to a folder")
            yield from ((below / name).as_posix() for name in files)

    def _coordinates(self, key: str) -> Coordinates | None:
        found = _KEY.fullmatch(key)
        at = tuple(map(int, re.split("[./]", found[1]))) if found else ()
        is_key = len(at) == len(self.grid) and self.array.metadata.encode_chunk_key(at) == key
        return at if is_key else None
