"""Names of datasets in the output folder of a command."""

from pathlib import Path


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
