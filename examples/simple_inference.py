"""Labels, a table and a picture of an image file, step by step.

    python examples/simple_inference.py
    python examples/simple_inference.py IMAGE -o FOLDER

`dinocell segment` does the same, for any number of files; use this where you need the steps in between.
"""

import argparse
from pathlib import Path

from rich.console import Console

from dinocell import DINOCellPipeline, measure_cells, read_image, write_labels
from dinocell.io.saving import write_image
from dinocell.measure.confidence import cell_confidence
from dinocell.measure.outlines import draw_outlines
from dinocell.preprocess.intensity_range import scale_to_uint8
from dinocell.preprocess.preprocessing import to_grayscale
from dinocell.results.table import write_csv

SAMPLE = Path(__file__).parents[1] / "samples" / "phase_1_img.png"


def main() -> None:
    """Segment one image, and write what was found."""
    parser = argparse.ArgumentParser(description="From an image file to labels, a table and a picture.")
    parser.add_argument("image", nargs="?", type=Path, default=SAMPLE)
    parser.add_argument("-o", "--output", type=Path, default=Path("results"), help="folder of the results")
    parser.add_argument("--model", default="nano", help="a trained model, or a checkpoint folder")
    arguments = parser.parse_args()

    image = read_image(arguments.image)  # (Y, X) or (Y, X, C), as the file has it
    pipeline = DINOCellPipeline(arguments.model)
    result = pipeline.run(image.pixels)

    gray = to_grayscale(image.pixels)
    table = measure_cells(
        result.labels,
        gray,
        pixel_size_um=image.pixel_size_um,
        confidence=cell_confidence(result.labels, result.distance_map),
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    stem = arguments.output / arguments.image.stem
    write_labels(f"{stem}_labels.tif", result.labels, pixel_size_um=image.pixel_size_um)
    write_csv(f"{stem}_cells.csv", table)
    write_image(f"{stem}_overlay.png", draw_outlines(scale_to_uint8(gray), result.labels))
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{result.count} cells → {stem}_labels.tif, _cells.csv, _overlay.png", markup=False)
    console.print(f"made with {result.parameters}", markup=False)


if __name__ == "__main__":
    main()
