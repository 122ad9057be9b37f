"""What the user named on the command line: which files that is, and what their results are called."""

import glob
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from dinocell.datasets.folder import DERIVED_ENDINGS
from dinocell.images import IMAGE_SUFFIXES


def find_inputs(arguments: list[str]) -> tuple[list[Path], list[str]]:
    """Resolve files, folders and globs.

    Parameters
    ----------
    arguments : list of str
        A folder stands for the image files directly in it, without annotations and results.

    Returns
    -------
    images : list of Path
        Each file once, in the order given; files within a folder or glob are sorted.
    failures : list of str
        One line an argument that stands for nothing.
    """
    images: dict[Path, Path] = {}
    failures = []
    for argument in arguments:
        try:
            found = _expand(argument)
            if not found:
                failures.append(_explain_nothing(argument))
        except OSError as error:  # a folder that may not be listed, a name that is too long
            found = []
            failures.append(f"{argument} cannot be opened: {error.strerror}")
        for path in found:
            images.setdefault(path.resolve(), path)
    return list(images.values()), failures


def _expand(argument: str) -> list[Path]:
    path = Path(argument)
    if path.is_dir():
        return sorted(
            file
            for file in path.iterdir()
            if file.suffix.lower() in IMAGE_SUFFIXES
            and not file.stem.endswith(DERIVED_ENDINGS)
            and not file.name.startswith(".")
        )
    if path.exists():
        return [path]
    return sorted(p for p in map(Path, glob.glob(argument, recursive=True)) if p.is_file())  # noqa: PTH207 (absolute patterns)


def _explain_nothing(argument: str) -> str:
    if Path(argument).is_dir():
        suffixes = ", ".join(IMAGE_SUFFIXES)
        return f"{argument} holds no images to segment: expected files ending in {suffixes}"
    if glob.has_magic(argument):
        return f"{argument} matches no file: check the pattern"
    return f"{argument} does not exist: check the path"


def output_names(images: list[Path]) -> dict[Path, str]:
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
        lambda path: path.stem,
        lambda path: f"{path.resolve().parent.name}_{path.stem}",
        lambda path: f"{path.resolve().parent.name}_{path.stem}_{path.suffix[1:]}",
    )
    names: dict[Path, str] = {}
    left = list(images)
    for scheme in schemes:
        taken = {name.casefold() for name in names.values()}
        counts = Counter(scheme(path).casefold() for path in left)
        unique = [p for p in left if counts[scheme(p).casefold()] == 1 and scheme(p).casefold() not in taken]
        names |= {path: scheme(path) for path in unique}
        left = [path for path in left if path not in names]
    for path in left:
        taken = {name.casefold() for name in names.values()}
        numbers = (f"{path.resolve().parent.name}_{path.stem}_{n}" for n in range(2, len(images) + 2))
        names[path] = next(name for name in numbers if name.casefold() not in taken)
    return names
