"""Identity of images on disk: all files that are read for them, their hash, and stamps that show a change."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from dinocell.errors import FileFormatError
from dinocell.io.hashes import hash_content
from dinocell.io.images import is_ome_zarr
from dinocell.io.readers.tiff_ome import ome_set

Stamp = tuple[tuple[str, int, int], ...]
"""Path, size in bytes and time of change in nanoseconds of every file."""


def files_read(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Add the files that are read along with some files: the others of their OME-TIFF sets.

    Returns
    -------
    tuple of Path
        Each file once; one that does not exist or cannot be opened stands for itself.
    """
    found: dict[Path, None] = {}
    for path in paths:
        found |= dict.fromkeys(_set_of(path))
    return tuple(found)


def _set_of(path: Path) -> tuple[Path, ...]:
    try:
        return ome_set(path) if path.is_file() else (path,)
    except OSError:
        return (path,)


def join_sets(paths: Iterable[Path]) -> tuple[dict[Path, tuple[Path, ...]], list[Path]]:
    """Take the files of an OME-TIFF set as one image, read from the first of them that is given.

    If descriptions contradict each other, an image is dropped only if all its files are read with another
    one.

    Returns
    -------
    images : dict of Path to tuple of Path
        All files that each image is read from, in the order given.
    parts : list of Path
        Files that were given, but are read with another one.
    """
    images: dict[Path, tuple[Path, ...]] = {}
    parts: list[Path] = []
    readers: dict[str, Path] = {}  # by file: what it is read with
    for path in paths:
        if os.path.realpath(path) in readers:
            parts.append(path)
            continue
        images[path] = files_read([path])
        own = {os.path.realpath(file) for file in images[path]}
        for earlier in {readers[file]: None for file in own if file in readers}:
            if own.issuperset(map(os.path.realpath, images[earlier])):  # it knew less of the set
                parts.append(earlier)
                del images[earlier]
        readers |= dict.fromkeys(own, path)
    return images, parts


def stamp_of(files: Iterable[Path]) -> Stamp:
    """Return a stamp that changes when somebody writes to one of the files, or within a Zarr folder.

    A file that does not exist has size and time −1.
    """
    return tuple(_stamps(files))


def hash_stamps(files: Iterable[Path], top: Path) -> str:
    """Compute the SHA-256 of the names below a folder, sizes and times of change of files.

    It stands for their content if that is too much to be read.
    """
    digest = hashlib.sha256()
    for name, size, time in _stamps(files):
        digest.update(os.fsencode(f"{os.path.relpath(name, top)}\0{size}\0{time}\n"))
    return digest.hexdigest()


def _stamps(files: Iterable[Path]) -> Iterator[tuple[str, int, int]]:
    for file in files:
        if file.is_dir():
            yield from _stamps_within(file)
        else:
            yield _stamp(file)


def _stamp(file: Path) -> tuple[str, int, int]:
    try:
        status = file.stat()
    except OSError:
        return str(file), -1, -1
    return str(file), status.st_size, status.st_mtime_ns


def _stamps_within(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Yield stamps of all files in a Zarr folder but the labels: writing those does not change the image."""
    for path, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if name != "labels")
        yield from (_stamp(Path(path, name)) for name in sorted(files))


def hash_files(files: Iterable[Path]) -> str:
    """Compute the SHA-256 of the files that an image is read from.

    Parameters
    ----------
    files : iterable of Path
        Of one file the hash is that of its content; of several, that of a line `HASH NAME` for each, sorted
        by name.

    Raises
    ------
    FileFormatError
        If a file cannot be read.
    """
    several = sorted(files, key=lambda file: file.name)
    if len(several) == 1:
        return hash_file(several[0])
    lines = (f"{hash_file(file)} {file.name}\n" for file in several)
    return hashlib.sha256(os.fsencode("".join(lines))).hexdigest()


def hash_file(path: Path) -> str:
    """Compute the SHA-256 of a file's content.

    A Zarr folder may hold millions of files: their names, sizes and times of change are hashed instead of
    their content. The labels in it are left out, so that writing them does not change the hash of the image.

    Raises
    ------
    FileFormatError
        If it cannot be read.
    """
    try:
        if is_ome_zarr(path):
            return hash_stamps([path], path)
        return hash_content(path)
    except OSError as error:
        raise FileFormatError(
            f"{path} cannot be read ({error.strerror or error}): check its permissions, copy it again"
        ) from error
