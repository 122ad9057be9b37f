"""`run()` on a large image over the same tiles through the bare model: what all the rest costs.

python benchmarks/end_to_end.py [FOLDER] [--models nano small] [--side 2048] [--threads 2] [--repeats 3]

The image is a mosaic of annotated ones. The bare model gets the same batches of preprocessed tiles, cut
beforehand. The two take turns; the fastest turn counts. The models' parts are timed apart as well.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from dinocell import DINOCellPipeline
from dinocell.inference.segmentation import Prediction
from dinocell.tiling import cut_tile, plan_tiles
from machine import describe_machine
from postprocessing import mosaic
from upper_bound import default_folders


def seconds(work: Callable[[], object]) -> float:
    """Time a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(name: str, image: np.ndarray, repeats: int) -> str:
    """Measure a model, and return its row of the table."""
    pipeline = DINOCellPipeline(name, device="cpu", allow_untrained=name != "nano")
    predictor = pipeline.predictor
    gray = pipeline.prepare(image)
    tiles = plan_tiles(gray.shape, predictor.tile_size, predictor.overlap)
    batches = [
        np.stack([cut_tile(gray, tile) for tile in tiles[first : first + predictor.batch_size]])
        for first in range(0, len(tiles), predictor.batch_size)
    ]

    def bare() -> None:
        for batch in batches:
            predictor.engine.forward(batch)

    predictor.engine.forward(batches[0])
    distance = DINOCellPipeline("nano", device="cpu").predict_on_full_img(
        image
    )  # random weights find no cells
    parts = {
        "bare": bare,
        "run": lambda: pipeline.run(image),
        "preprocessing": lambda: pipeline.prepare(image),
        "watershed": lambda: pipeline.finish(image, Prediction(distance, 1.0, pipeline.predictor.targets[0])),
    }
    best = dict.fromkeys(parts, np.inf)
    for _ in range(repeats):
        for part, work in parts.items():
            best[part] = min(best[part], seconds(work))
    shares = f"{best['preprocessing'] / best['bare']:.3f} | {best['watershed'] / best['bare']:.3f}"
    return (
        f"| `{name}` | {best['bare']:.2f} | {best['run']:.2f} | {best['run'] / best['bare']:.3f} | {shares} |"
    )


def main() -> None:
    """Print a row a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=default_folders()[0])
    parser.add_argument("--models", nargs="+", default=["nano", "small"])
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    print(f"{describe_machine()}; {arguments.threads} threads, {arguments.side}²")
    print("| model | bare, s | run(), s | run() / bare | preprocessing / bare | watershed / bare |")
    print("|---|--:|--:|--:|--:|--:|")
    image, _ = mosaic(arguments.folder, arguments.side, 1)
    for name in arguments.models:
        print(measure(name, image, arguments.repeats), flush=True)


if __name__ == "__main__":
    main()
