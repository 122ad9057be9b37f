"""Which files the user named, and what their results are called."""

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dinocell.datasets.folder import DERIVED_ENDINGS
from dinocell.images import IMAGE_SUFFIXES, MICROSCOPE_SUFFIXES, is_ome_zarr


@dataclass(frozen=True)
class Source:
    """A file to segment.

    Attributes
    ----------
    path : Path
        The file; a folder where it is an OME-Zarr.
    name : Path
        Relative, without ending: the folders and the stem of its results.
    """

    path: Path
    name: Path


def find_sources(
    arguments: list[str], *, recursive: bool = False, leave_out: Path | None = None
) -> tuple[list[Source], list[str]]:
    """Resolve files, folders and globs.

    Parameters
    ----------
    arguments : list of str
        A folder stands for the image files in it, without annotations and results.
    recursive : bool
        Whether folders stand for all that is below them as well; results keep the folder tree. Links to
        folders are followed, each folder is visited once.
    leave_out : Path, optional
        A folder that is not searched: that of the results.

    Returns
    -------
    sources : list of Source
        Each file once, in the order given; files within a folder or glob are sorted.
    failures : list of str
        One line an argument that stands for nothing, and one a folder that may not be listed.
    """
    found: dict[str, tuple[Path, Path]] = {}
    failures: list[str] = []
    skipped = None if leave_out is None else os.path.realpath(leave_out)
    for argument in arguments:
        count = len(found)
        refused = len(failures)
        try:
            for path, folder in _expand(argument, skipped if recursive else None, recursive, failures):
                found.setdefault(os.path.realpath(path), (path, folder))
                count = -1
        except OSError as error:  # such as a name that is too long
            failures.append(f"{argument} cannot be opened: {error.strerror}")
        if count >= 0 and len(failures) == refused:
            failures.append(_explain_nothing(argument, recursive=recursive))
    return _name(list(found.values())), failures


def _expand(
    argument: str, leave_out: str | None, recursive: bool, failures: list[str]
) -> Iterator[tuple[Path, Path]]:
    """Give files with the folders that their results go to."""
    path = Path(argument)
    if path.is_dir() and not is_ome_zarr(path):
        for folder, files in _walk(path, leave_out, recursive, failures):
            yield from ((file, folder.relative_to(path)) for file in files)
    elif os.path.lexists(path):
        yield path, Path()
    else:
        for match in sorted(map(Path, glob.glob(argument, recursive=True))):  # noqa: PTH207 (absolute patterns)
            if match.is_file() or is_ome_zarr(match):
                yield match, Path()


def _walk(
    top: Path, leave_out: str | None, recursive: bool, failures: list[str]
) -> Iterator[tuple[Path, list[Path]]]:
    """List the images of a folder, and of those below it."""
    visited = {leave_out} - {os.path.realpath(top)}
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
            failures.append(f"{folder} cannot be opened: {error.strerror}")
            continue
        yield folder, [entry for entry in entries if _is_image(entry)]
        if recursive:
            left += [entry for entry in reversed(entries) if _is_plain_folder(entry)]


def _is_image(entry: Path) -> bool:
    if entry.name.startswith(".") or entry.stem.endswith(DERIVED_ENDINGS):
        return False
    if entry.suffix.lower() in (*IMAGE_SUFFIXES, *MICROSCOPE_SUFFIXES) and not entry.is_dir():
        return True
    return entry.is_dir() and is_ome_zarr(entry)


def _is_plain_folder(entry: Path) -> bool:
    return not entry.name.startswith(".") and entry.is_dir() and not is_ome_zarr(entry)


def _explain_nothing(argument: str, *, recursive: bool) -> str:
    if Path(argument).is_dir():
        suffixes = ", ".join((*IMAGE_SUFFIXES, *MICROSCOPE_SUFFIXES))
        below = "" if recursive else " (--recursive looks into the folders below it)"
        return f"{argument} holds no images to segment: expected files ending in {suffixes}{below}"
    if glob.has_magic(argument):
        return f"{argument} matches no file: check the pattern"
    return f"{argument} does not exist: check the path"


def _name(found: list[tuple[Path, Path]]) -> list[Source]:
    """Name every file after its stem, folder by folder of the results."""
    names: dict[Path, Path] = {}
    for folder in dict.fromkeys(folder for _, folder in found):
        stems = unique_stems([path for path, of in found if of == folder])
        names |= {path: folder / stem for path, stem in stems.items()}
    return [Source(path, names[path]) for path, _ in found]


def _stem_of(path: Path) -> str:
    """Name a file without its ending; ``.`` within an OME-Zarr after its folder."""
    named = path if path.name.strip(".") else Path(os.path.realpath(path))
    return named.stem.lstrip(".") or "image"


def _folder_of(path: Path) -> str:
    return Path(os.path.realpath(path)).parent.name


def unique_stems(images: list[Path]) -> dict[Path, str]:
    """Name the results of every input after its stem, longer where two would be the same.

    Parameters
    ----------
    images : list of Path
        Each once.

    Returns
    -------
    dict
        Name by image, unique even where the file system ignores case: ``STEM``, else ``FOLDER_STEM``, else
        ``FOLDER_STEM_SUFFIX``, else with a number.
    """
    schemes: tuple[Callable[[Path], str], ...] = (
        _stem_of,
        lambda path: f"{_folder_of(path)}_{_stem_of(path)}",
        lambda path: f"{_folder_of(path)}_{_stem_of(path)}_{path.suffix[1:]}",
    )
    names: dict[Path, str] = {}
    left = list(images)
    for scheme in schemes:
        taken = {name.casefold() for name in names.values()}
        counts = Counter(scheme(path).casefold() for path in left)
        unique = [p for p in left if counts[scheme(p).casefold()] == 1 and scheme(p).casefold() not in taken]
        names |= {path: scheme(path) for path in unique}
        left = [path for path in left if path not in names]
    taken = {name.casefold() for name in names.values()}
    for path in left:
        numbers = (f"{_folder_of(path)}_{_stem_of(path)}_{n}" for n in range(2, len(images) + 2))
        names[path] = next(name for name in numbers if name.casefold() not in taken)
        taken.add(names[path].casefold())
    return names
