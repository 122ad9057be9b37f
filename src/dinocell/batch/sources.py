"""Files that arguments stand for: images, each once, and those left out, with the reason."""

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dinocell.batch.names import known_names, name_results
from dinocell.datasets.annotates import ANNOTATES_FILE
from dinocell.datasets.belonging import (
    ANNOTATION,
    BELOW,
    LOG_FILE,
    PART,
    RECORD_ENDING,
    Nearby,
    split_folder,
    stems_beside,
)
from dinocell.io.identity import join_sets
from dinocell.io.images import is_ome_zarr, is_readable
from dinocell.io.readers.formats import IMAGE_SUFFIXES, MICROSCOPE_SUFFIXES
from dinocell.io.readers.ome_zarr import is_labels
from dinocell.results.formats import PLANE_FORMATS

LINK = "links to a file that is taken"
NAMED_ONLY = "read when they are named, but not known by their ending"
NO_IMAGE = "not read as images"

_RESULT_ENDINGS = (
    RECORD_ENDING,
    *(found.ending for found in PLANE_FORMATS.values() if found.ending),
    LOG_FILE,
    ANNOTATES_FILE,
)


@dataclass(frozen=True)
class SourceFile:
    """A file to segment.

    Attributes
    ----------
    path : Path
        The file; a folder where it is an OME-Zarr; of a set of files the first that was named.
    name : Path
        Folders and stem of its results, relative and without ending.
    """

    path: Path
    name: Path


@dataclass(frozen=True)
class FoundSources:
    """Images that arguments stand for, and files left out.

    Attributes
    ----------
    sources : list of SourceFile
        Each image once, in the order given; files within a folder or glob are sorted.
    failures : list of str
        A line for every argument that matches nothing, and for every folder that cannot be listed.
    left_out : dict of str to list of Path
        Files left out, by reason.
    arguments : list of str
        Files, folders and globs that were asked for.
    """

    sources: list[SourceFile]
    failures: list[str]
    left_out: dict[str, list[Path]]
    arguments: list[str] = field(default_factory=list)


@dataclass
class _Search:
    """State of a search: its settings, and what was found so far."""

    recursive: bool
    skipped: str | None
    failures: list[str] = field(default_factory=list)
    nearby: Nearby = field(default_factory=Nearby)
    left_out: dict[str, dict[Path, None]] = field(default_factory=dict)  # each file once, in order

    def leave_out(self, reason: str, files: list[Path]) -> None:
        if files:
            self.left_out.setdefault(reason, {}).update(dict.fromkeys(files))


def find_sources(
    arguments: list[str], *, recursive: bool = False, results: Path | None = None
) -> FoundSources:
    """Resolve files, folders and globs.

    Parameters
    ----------
    arguments : list of str
        A folder stands for the image files in it, without annotations and results of these.
    recursive : bool
        Whether subfolders are searched as well; results keep the folder tree. Links to folders are
        followed, each folder is visited once.
    results : Path, optional
        Folder of the results: it is not searched, and results that are there keep their names.
    """
    search = _Search(recursive, None if results is None else os.path.realpath(results))
    found: dict[str, list[tuple[Path, Path]]] = {}
    for argument in arguments:
        is_empty, refused = True, len(search.failures)
        try:
            for path, folder in _expand(argument, search):
                found.setdefault(os.path.realpath(path), []).append((path, folder))
                is_empty = False
        except OSError as error:  # such as a name that is too long
            search.failures.append(f"{argument} cannot be opened: {error.strerror}")
        if is_empty and len(search.failures) == refused:
            search.failures.append(_explain_nothing(argument, recursive=recursive))
    folders = dict(_choose(same, search) for same in found.values())
    images, parts = join_sets(folders)
    search.leave_out(PART, parts)
    inputs = [(path, folders[path], files) for path, files in images.items()]
    names = name_results(inputs, {} if results is None else known_names(results))
    sources = [SourceFile(path, names[path]) for path in images]
    left_out = {why: list(files) for why, files in search.left_out.items()}
    return FoundSources(sources, search.failures, left_out, arguments)


def _choose(same: list[tuple[Path, Path]], search: _Search) -> tuple[Path, Path]:
    """Choose among several names of one file: the first that is not a link."""
    chosen = next((item for item in same if not item[0].is_symlink()), same[0])
    # Paths are not resolved here: the same name given twice is not a link.
    others = [path for path, _ in same if path.absolute() != chosen[0].absolute()]
    search.leave_out(LINK, others)
    return chosen


def _expand(argument: str, search: _Search) -> Iterator[tuple[Path, Path]]:
    """Yield files with the folders that their results go to."""
    path = Path(argument)
    if path.is_dir() and not is_ome_zarr(path):
        for folder, files in _walk(path, search):
            yield from ((file, folder.relative_to(path)) for file in files)
    elif os.path.lexists(path):
        yield path, Path()
    else:
        for match in sorted(map(Path, glob.glob(argument, recursive=True))):  # noqa: PTH207 (absolute patterns)
            if match.is_file() or is_ome_zarr(match):
                yield match, Path()


def _walk(top: Path, search: _Search) -> Iterator[tuple[Path, list[Path]]]:
    """List the images of a folder, and of those below it."""
    visited = {search.skipped if search.recursive else None} - {os.path.realpath(top)}
    left = [top]
    while left:
        folder = left.pop()
        real = os.path.realpath(folder)
        if real in visited:
            continue
        visited.add(real)
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            search.failures.append(f"{folder} cannot be opened: {error.strerror}")
            continue
        near = search.nearby if folder != top else None
        yield folder, _images_in(folder, entries, search, near)
        below = [entry for entry in entries if _is_plain_folder(entry)]
        if search.recursive:
            left += reversed(below)
        else:
            unseen = [entry for entry in below if os.path.realpath(entry) != search.skipped]
            search.leave_out(BELOW, [entry for entry in unseen if _holds_images(entry)])


def _images_in(folder: Path, entries: list[Path], search: _Search, near: Nearby | None) -> list[Path]:
    """Choose the images of a folder, and note what is left out; hidden files are passed over."""
    shown = [entry for entry in entries if not entry.name.startswith(".")]
    files = [entry for entry in shown if _has_ending(entry)]
    labels = [entry for entry in files if entry.is_dir() and is_labels(entry)]
    others = [entry for entry in files if entry not in labels] if labels else files
    around = tuple if near is None else partial(near.stems, folder)
    images, derived = split_folder(others, {entry.name for entry in shown}, stems_beside(folder), around)
    search.leave_out(ANNOTATION, [*derived, *labels])
    known = set(files)
    for entry in shown:
        if entry not in known and not entry.is_dir():
            ours = entry.name.endswith(_RESULT_ENDINGS)
            reason = ANNOTATION if ours else NAMED_ONLY if is_readable(entry) else NO_IMAGE
            search.leave_out(reason, [entry])
    return images


def _has_ending(entry: Path) -> bool:
    if entry.is_dir():
        return is_ome_zarr(entry)
    return entry.suffix.lower() in (*IMAGE_SUFFIXES, *MICROSCOPE_SUFFIXES)


def _is_plain_folder(entry: Path) -> bool:
    return not entry.name.startswith(".") and entry.is_dir() and not is_ome_zarr(entry)


def _holds_images(folder: Path) -> bool:
    try:
        return any(_has_ending(entry) for entry in folder.iterdir())
    except OSError:  # may not be listed
        return False


def _explain_nothing(argument: str, *, recursive: bool) -> str:
    if Path(argument).is_dir():
        suffixes = ", ".join((*IMAGE_SUFFIXES, *MICROSCOPE_SUFFIXES))
        below = "" if recursive else " (--recursive looks into the folders below it)"
        return f"{argument} holds no images to segment: expected files ending in {suffixes}{below}"
    if glob.has_magic(argument):
        return f"{argument} matches no file: check the pattern"
    return f"{argument} does not exist: check the path"
