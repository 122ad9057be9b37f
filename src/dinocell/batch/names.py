"""Names of results: from the stem of the input, or the name that its earlier results have."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from dinocell.datasets.belonging import LOG_FILE, RECORD_ENDING
from dinocell.io.images import stem_of
from dinocell.io.saving import printable
from dinocell.results.record import read_record


def known_names(results: Path) -> dict[str, Path]:
    """Read the name of the results of every source from the records in a folder of results.

    A subfolder with a log of its own holds the results of other calls, and is skipped.

    Returns
    -------
    dict
        Name of the results by path of the source, relative to the folder, without the suffixes of planes.
    """
    names: dict[str, Path] = {}
    for folder, below, files in os.walk(results):
        below.sort()
        if Path(folder) != results and LOG_FILE in files:
            below.clear()
            continue
        for file in sorted(files):
            record = read_record(Path(folder, file)) if file.endswith(RECORD_ENDING) else None
            if record is not None and record.stem:
                home = Path(folder).parent if record.part_of else Path(folder)
                names.setdefault(record.source, home.relative_to(results) / record.stem)
    return names


def name_results(
    found: Iterable[tuple[Path, Path, tuple[Path, ...]]], known: dict[str, Path]
) -> dict[Path, Path]:
    """Choose a name for the results of every input.

    Parameters
    ----------
    found : iterable of (path, folder, files)
        An input, the folder that its results go to, and all files that it is read from.
    known : dict
        From `known_names`: results keep the name that they have, whatever other inputs there are now.

    Returns
    -------
    dict
        Relative name by path of the input, unique even where the file system ignores case.
    """
    names: dict[Path, Path] = {}
    left: dict[Path, list[Path]] = {}
    for path, folder, files in found:
        places = (os.path.realpath(file) for file in (path, *files))
        # records hold Unicode only: other names would look the same in them
        kept = next((known[place] for place in places if place in known and place == printable(place)), None)
        if kept is None:
            left.setdefault(folder, []).append(path)
        else:
            names[path] = kept
    for folder, paths in left.items():
        taken = {name.name.casefold() for name in names.values() if name.parent == folder}
        names |= {path: folder / stem for path, stem in unique_stems(paths, taken).items()}
    return names


def _short(path: Path) -> str:
    """Return a file's stem; ``.`` within an OME-Zarr is called after its folder."""
    named = path if path.name.strip(".") else Path(os.path.realpath(path))
    return stem_of(named).lstrip(".") or "image"


def _long(path: Path) -> str:
    return f"{Path(os.path.realpath(path)).parent.name}_{_short(path)}"


def unique_stems(images: list[Path], taken: Collection[str] = ()) -> dict[Path, str]:
    """Name every input by its stem; by a longer name where two would be the same.

    Parameters
    ----------
    images : list of Path
        Each once.
    taken : collection of str
        Names that others have, in lower case.

    Returns
    -------
    dict
        Name by image, unique even where the file system ignores case: ``STEM``, else ``FOLDER_STEM``, else
        ``FOLDER_STEM_SUFFIX``, else with a number.
    """
    schemes: tuple[Callable[[Path], str], ...] = (
        _short,
        _long,
        lambda path: f"{_long(path)}_{path.suffix[1:]}",
    )
    names: dict[Path, str] = {}
    left, used = list(images), set(taken)
    for scheme in schemes:
        counts = Counter(scheme(path).casefold() for path in left)
        free = [p for p in left if counts[scheme(p).casefold()] == 1 and scheme(p).casefold() not in used]
        names |= {path: scheme(path) for path in free}
        used |= {names[path].casefold() for path in free}
        left = [path for path in left if path not in names]
    for path in left:
        numbers = (f"{_long(path)}_{n}" for n in range(2, len(images) + len(used) + 2))
        names[path] = next(name for name in numbers if name.casefold() not in used)
        used.add(names[path].casefold())
    return names
