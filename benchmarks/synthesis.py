"""Seconds that an image of every recipe takes, and a picture of the recipes for the documents.

python benchmarks/synthesis.py [-o docs/images/synthesis.jpg] [--images 20]

Times are the processor's, one thread, images of 320². In the picture a row is a recipe; outlines are drawn on
the last two images of a row.
"""

import argparse
import time
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from dinocell.io.saving import atomic_path
from dinocell.labels import Labels
from dinocell.synthesis import RECIPES, SynthesisSettings, draw
from machine import describe_machine

ROOT = Path(__file__).parents[1]
COLUMNS, SIDE, SEED = 7, 144, 9


def main() -> None:
    """Print a row a recipe, and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "images" / "synthesis.jpg")
    parser.add_argument("--images", type=int, default=20, help="Images of a recipe whose time is measured")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print(describe_machine())
    print("| recipe | seconds an image | cells an image |\n|---|--:|--:|")
    for name in RECIPES:
        settings = SynthesisSettings(recipe=name, seed=1)
        draw(settings)  # what is loaded once
        start = time.process_time()
        cells = [int(draw(settings, index)[1].max()) for index in range(arguments.images)]
        seconds = (time.process_time() - start) / arguments.images
        print(f"| `{name}` | {seconds:.3f} | {np.mean(cells):.0f} |")
    picture = np.vstack([row(name) for name in RECIPES])
    with atomic_path(arguments.output) as temporary:
        temporary.write_bytes(imagecodecs.jpeg_encode(picture, level=85))


def row(name: str) -> NDArray[np.uint8]:
    """Draw images of a recipe side by side, small cells to the left, outlines on the last two."""
    drawn = []
    for index in range(COLUMNS):
        middle = 10 * 1.35**index
        settings = SynthesisSettings(recipe=name, seed=SEED, size=288, diameters=(middle, middle))
        drawn.append(tile(*draw(settings, index), outlined=index >= COLUMNS - 2))
    return np.hstack(drawn)


def tile(image: NDArray[np.uint8], labels: Labels, *, outlined: bool) -> NDArray[np.uint8]:
    """Return an image in RGB at the size of the picture."""
    shown = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    shown = np.asarray(cv2.resize(shown, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    if outlined:
        small = np.ascontiguousarray(labels[:: len(labels) // SIDE, :: len(labels) // SIDE])
        shown[find_boundaries(small, mode="inner")] = (255, 220, 0)
    return shown


if __name__ == "__main__":
    main()
