"""The work folder of a large image: arrays on disk, and a record of every block that is done.

A record is written after the pixels of its block, and appears at once under its name. So a block with a
record is done, and one without is done again, whichever process was killed.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import FileFormatError, OutputError
from dinocell.extras import import_extra
from dinocell.io.opening import read_whole
from dinocell.io.planes import Window, decoding
from dinocell.io.saving import atomic_path

CHUNK = 512
"""Side in pixels of the chunks that are compressed, where blocks are a multiple of it."""

BlockRecord = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Workspace:
    """A work folder; workers on other machines open it by its path.

    Attributes
    ----------
    folder : Path
        On a disk that all workers see.
    """

    folder: Path

    def create_array(
        self, name: str, shape: tuple[int, int], dtype: str, block: int, *, compressor: str = "lz4"
    ) -> None:
        """Create an array of zeros, whose blocks can be written by different processes.

        Parameters
        ----------
        name : str
            Path below the folder.
        shape : (int, int)
        dtype : str
        block : int
            Side of a block in pixels, stored as one file.
        compressor : str
            ``lz4`` is fast, ``zstd`` small.
        """
        zarr, codecs = _import_zarr(), import_extra("zarr.codecs", extra="large", purpose="writing OME-Zarr")
        chunk = CHUNK if block % CHUNK == 0 else block
        with self._writing():
            zarr.create_array(
                self.folder / name,
                shape=shape,
                dtype=dtype,
                chunks=(chunk, chunk),
                shards=(block, block) if block > chunk else None,
                compressors=codecs.BloscCodec(cname=compressor, clevel=5),
                fill_value=0,
                dimension_names=["y", "x"],
                overwrite=True,
            )

    def shape_of(self, name: str) -> tuple[int, int]:
        """Return the shape (Y, X) of an array in this folder."""
        height, width = self._open_array(name).shape
        return height, width

    def read_array(self, name: str, window: Window) -> NDArray[Any]:
        """Read a window of an array in this folder."""
        array = self._open_array(name)
        with self._reading(self.folder / name):
            return np.asarray(array[window])

    def write_array(self, name: str, window: Window, pixels: NDArray[Any]) -> None:
        """Write a window of an array in this folder."""
        array = self._open_array(name)
        with self._writing():
            array[window] = pixels

    def _open_array(self, name: str) -> Any:
        with self._reading(self.folder / name):
            return _import_zarr().open_array(self.folder / name, mode="r+")

    def has_array(self, name: str) -> bool:
        """Return whether an array exists."""
        return (self.folder / name / "zarr.json").is_file()

    def write_record(self, stage: str, name: str, record: Mapping[str, NDArray[Any]]) -> None:
        """Write the record of a block, which also marks it as done in a stage."""
        target = self.folder / "records" / stage / f"{name}.npz"
        with self._writing():
            target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary, temporary.open("wb") as file:
            np.savez(file, **record)  # type: ignore[arg-type]  # no name is that of an option

    def read_record(self, stage: str, name: str) -> BlockRecord:
        """Read a record."""
        path = self.folder / "records" / stage / f"{name}.npz"
        with self._reading(path), np.load(path, allow_pickle=False) as stored:
            return dict(stored)

    def records(self, stage: str) -> set[str]:
        """Return the names of all records of a stage."""
        folder = self.folder / "records" / stage
        return {file.stem for file in folder.glob("*.npz") if not file.name.startswith(".")}

    def create_folder(self, name: str) -> None:
        """Create a folder for files, unless it exists."""
        with self._writing():
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file at once, into an existing folder: a new one would hide that the old is lost."""
        with atomic_path(self.folder / name) as temporary:
            temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file; return an empty mapping where there is none."""
        path = self.folder / name
        with decoding(path, "JSON"):
            found = json.loads(read_whole(path)) if path.is_file() else {}
        return found if isinstance(found, dict) else {}

    @contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        """Raise for damaged files, with the advice to remove the work."""
        try:
            with decoding(path, "work"):
                yield
        except FileFormatError as error:
            raise FileFormatError(
                f"{path} is damaged or gone ({error.__cause__}), expected what an earlier step wrote: remove "
                f"{self.folder.parent} and start again"
            ) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Name the folder in errors of the disk."""
        try:
            yield
        except OutputError:
            raise
        except OSError as error:
            raise OutputError(
                f"{self.folder} cannot be written ({error.strerror or error}), expected a writable folder: "
                "choose another output, or free some space"
            ) from error


def _import_zarr() -> Any:
    return import_extra("zarr", extra="large", purpose="segmenting large images")


def strips(length: int, height: int) -> Iterator[slice]:
    """Return spans of an axis, of a given height, so that not all of it is in memory at a time."""
    return (slice(start, min(start + height, length)) for start in range(0, length, height))
