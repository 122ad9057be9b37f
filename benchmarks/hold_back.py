"""Split annotated folders: every tenth image, by name, is held back for reporting; links, no copies.

``python benchmarks/hold_back.py FOLDER [FOLDER …] -o OUT`` makes ``OUT/fit/NAME`` and ``OUT/held_back/NAME``.
"""

import argparse
from pathlib import Path

from dinocell.datasets.folder import find_pairs

EVERY = 10

WHOLE_CELLS = {"cellbindb": ("mIF",)}
"""Images of whole cells in folders of nuclei: each target gets a folder of its own."""


def main() -> None:
    """Split the folders named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("datasets"))
    arguments = parser.parse_args()
    for folder in arguments.folders:
        counts = split(folder.resolve(), arguments.output)
        print(f"{folder.name}: {counts['fit']} to fit, {counts['held_back']} held back")


def split(folder: Path, output: Path) -> dict[str, int]:
    """Link the pairs of a folder into ``fit`` and ``held_back``; the fifth of every ten is held back."""
    counts = {"fit": 0, "held_back": 0}
    for number, pair in enumerate(find_pairs(folder)):
        part = "held_back" if number % EVERY == EVERY // 2 else "fit"
        target = output / part / name_of(folder.name, pair.name)
        target.mkdir(parents=True, exist_ok=True)
        for file in pair.files:
            link = target / file.name
            link.unlink(missing_ok=True)
            link.symlink_to(file)
        counts[part] += 1
    return counts


def name_of(folder: str, image: str) -> str:
    """Return the name of the folder that an image goes to: its own, or one of its target."""
    if folder not in WHOLE_CELLS:
        return folder
    return f"{folder}_{'cells' if image in WHOLE_CELLS[folder] else 'nuclei'}"


if __name__ == "__main__":
    main()
