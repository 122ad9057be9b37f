"""Labels, a table and a picture of an image file, in a few lines of Python.

    python examples/simple_inference.py
    python examples/simple_inference.py IMAGE -o FOLDER

`dinocell segment` does the same, for any number of files.
"""

import argparse
from pathlib import Path

from rich.console import Console

from dinocell import segment

SAMPLE = Path(__file__).parents[1] / "samples" / "phase_1_img.png"


def main() -> None:
    """Segment one image, and write what was found."""
    parser = argparse.ArgumentParser(description="From an image file to labels, a table and a picture.")
    parser.add_argument("image", nargs="?", type=Path, default=SAMPLE)
    parser.add_argument("-o", "--output", type=Path, default=Path("results"), help="folder of the results")
    parser.add_argument("--model", default="nano", help="a trained model, or a checkpoint folder")
    arguments = parser.parse_args()

    result = segment(arguments.image, arguments.model)
    files = result.save(arguments.output, overwrite=True)
    areas = result.table()["area"]  # and many more columns: a row a cell

    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{result.count} cells of {areas.sum():.0f} pixels → {', '.join(map(str, files))}", markup=False
    )
    console.print(f"made with {result.parameters}", markup=False)


if __name__ == "__main__":
    main()
