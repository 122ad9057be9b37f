"""The output folder of a command, and the names of datasets in it."""

import tempfile
from pathlib import Path

from dinocell.errors import OutputError


def create_output_folder(folder: Path) -> None:
    """Create the output folder, and check that it can be written to, before any work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"cannot write to output folder {folder}: {error.strerror}. Choose another with -o"
        ) from error


def dataset_names(paths: list[Path]) -> list[str]:
    """Name datasets after their folders, longer where two have the same name; fit for names of folders.

    No two of them are the same, even where the file system ignores case.
    """
    plain = [path.resolve().name for path in paths]
    taken = [name.casefold() for name in plain]
    names = []
    for number, (name, path) in enumerate(zip(plain, paths, strict=True), 1):
        unique = name
        if taken.count(name.casefold()) > 1:
            unique = f"{number}_{path.resolve().parent.name}_{name}"
            while unique.casefold() in taken:
                unique = f"{number}_{unique}"
            taken.append(unique.casefold())
        names.append(unique)
    return names
