"""Writer of a store item by item, resumed after a kill.

Everything goes into ``.NAME.partial`` beside the store's final place. An image's items are appended to the
arrays first and to the index last, so the items in the index are complete; the rest is cut off on resuming.
"""

import contextlib
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from dinocell.datasets.npy import GrowingArray, write_all
from dinocell.datasets.records import INDEX_FILE, INFO_FILE, Arrays, IndexEntry, StoreInfo, item_arrays
from dinocell.errors import DINOCellError, OutputError
from dinocell.io.opening import read_json_object

if sys.platform != "win32":
    import fcntl

PLAN, STORE = "plan.json", "store"
"""Names in the unfinished folder: of what the store is made of, and of the store itself."""


class StoreWriter:
    """Unfinished store that items are appended to.

    Parameters
    ----------
    folder : Path
        The store's final place; must not exist, or be empty.
    plan : dict
        Settings and data of the store, JSON values; an unfinished store of another plan is refused.
    size : (int, int)
        Height and width of every item in pixels.

    Attributes
    ----------
    entries : list of IndexEntry
        Items that are written already.

    Raises
    ------
    OutputError
        If the folder holds files or cannot be written, or an unfinished store is there that is of another
        plan or being written by another process.
    """

    def __init__(self, folder: Path, plan: dict[str, Any], size: tuple[int, int]) -> None:
        check_vacant(folder)
        self.folder, self.partial = folder, partial_folder(folder)
        self.entries: list[IndexEntry] = []
        store = self.partial / STORE
        with _explain_errors(folder), contextlib.ExitStack() as stack:
            store.mkdir(parents=True, exist_ok=True)
            if folder.is_dir():
                folder.rmdir()
            self._index = stack.enter_context(_open(store / INDEX_FILE))
            _lock(self._index, self.partial)
            self._check_plan(plan | {"size": [*size]})
            self._arrays = [
                GrowingArray(stack.enter_context(_open(store / name)), shape, dtype)
                for name, (shape, dtype) in item_arrays(size).items()
            ]
            self._truncate()
            self._files = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def append(self, items: Sequence[tuple[Arrays, IndexEntry]]) -> None:
        """Add all items of one image; they are numbered here.

        Raises
        ------
        OutputError
            If the disk is full, or the files cannot be written; what was appended before is kept.
        """
        entries = [
            entry.model_copy(update={"item": number})
            for number, (_, entry) in enumerate(items, len(self.entries))
        ]
        with _explain_errors(self.folder):
            for arrays, _ in items:
                for number, file in enumerate(self._arrays):
                    file.append(arrays[number])
            lines = "".join(f"{entry.model_dump_json()}\n" for entry in entries)
            write_all(self._index, memoryview(lines.encode()))
        self.entries += entries

    def finish(self, info: StoreInfo) -> None:
        """Complete the store and move it to its place.

        Raises
        ------
        OutputError
            If it cannot be written there; the unfinished store is kept.
        """
        text = json.dumps(info.model_dump(mode="json"), indent=2, ensure_ascii=False)
        with _explain_errors(self.folder):
            for array in self._arrays:
                array.finish()
            (self.partial / STORE / INFO_FILE).write_text(f"{text}\n", encoding="utf-8")
            os.fsync(self._index.fileno())
            self._files.close()
            (self.partial / STORE).rename(self.folder)
            shutil.rmtree(self.partial, ignore_errors=True)

    def _check_plan(self, plan: dict[str, Any]) -> None:
        """Raise for the items of another plan, before anything is touched."""
        path = self.partial / PLAN
        if read_json_object(path) == plan:
            return
        entries, _ = _whole_entries((self.partial / STORE / INDEX_FILE).read_bytes())
        if entries:
            raise OutputError(
                f"{self.partial} is an unfinished store of other data or settings, or of another version: "
                "finish it with those, or delete it"
            )
        path.write_text(json.dumps(plan), encoding="utf-8")

    def _truncate(self) -> None:
        """Find the items that are complete, and cut the files after them."""
        room = min(len(array) for array in self._arrays)
        self.entries, end = _whole_entries((self.partial / STORE / INDEX_FILE).read_bytes(), room)
        self._index.truncate(end)
        self._index.seek(end)
        for array in self._arrays:
            array.truncate(len(self.entries))


def planned_size(folder: Path, plan: dict[str, Any]) -> tuple[int, int] | None:
    """Return the size of the items in the unfinished store of a plan; None where it has none."""
    known = read_json_object(partial_folder(folder) / PLAN)
    size = known.pop("size", None)
    return (size[0], size[1]) if known == plan and size else None


def partial_folder(folder: Path) -> Path:
    """Return the folder of an unfinished store."""
    return folder.with_name(f".{folder.name}.partial")


def check_vacant(folder: Path) -> None:
    """Raise for a place that is taken.

    Raises
    ------
    OutputError
        If it is a file, or a folder that is not empty or cannot be opened.
    """
    with _explain_errors(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(f"{folder} exists and is not empty: choose another output, or delete it")


def _open(path: Path) -> io.FileIO:
    """Open a file to read and write, created if it does not exist; unbuffered, so closing writes nothing."""
    path.touch()
    return path.open("r+b", buffering=0)


def _whole_entries(index: bytes, room: int = sys.maxsize) -> tuple[list[IndexEntry], int]:
    """Read the entries of images that have all of their items in the arrays; and count their bytes.

    Whatever follows (half a line, half an image, anything else) is left out.
    """
    entries: list[IndexEntry] = []
    whole = whole_end = end = 0
    for line in index.split(b"\n")[:room]:
        try:
            entry = IndexEntry.model_validate_json(line)
        except ValidationError:
            break
        end += len(line) + 1
        if entry.item != len(entries) or end > len(index):
            break
        entries.append(entry)
        if len(entries) - whole == entry.crops:
            whole, whole_end = len(entries), end
    return entries[:whole], whole_end


def _lock(file: io.FileIO, partial: Path) -> None:
    """Raise for a second process; the system ends the lock with the first, however that ends."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"{partial} is being written by another process: wait for it, or choose another output"
            ) from error
        except OSError:  # a file system without locks
            return


@contextlib.contextmanager
def _explain_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except DINOCellError:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write {folder}: {error.strerror or error}. Free space or choose another output; "
            "what is done is kept"
        ) from error
