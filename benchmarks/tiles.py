"""Larger tiles and smaller overlaps: operations, time and accuracy of `nano` beside its own setting.

python benchmarks/tiles.py [FOLDER …] [--every 3]    (default: ../shared/data/val/*, else samples)

A tile never reaches beyond the image by more than its stride asks for: sides of 512 or 1024 are cut down to
the image where that is smaller, so that no pixel is computed for nothing. Times are the processor's, one
thread, the settings in turn on every image.
"""

import argparse
import os
import time
from collections import defaultdict
from pathlib import Path

import torch

from dinocell import DINOCellPipeline, evaluate
from dinocell.datasets.folder import find_pairs
from dinocell.metrics.pooling import pool
from dinocell.metrics.scores import Scores
from dinocell.tiling import plan_tiles
from generalisation_tables import target_of
from upper_bound import default_folders

SETTINGS = ((256, 32), (256, 0), (256, 16), (256, 64), (384, 32), (512, 32), (512, 64), (1024, 64))


def main() -> None:
    """Print a row a setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, default=default_folders())
    parser.add_argument("--every", type=int, default=1, help="Take every n-th image")
    parser.add_argument("--model", default="nano")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    pipeline = DINOCellPipeline(arguments.model, device="cpu", batch_size=1)
    predictor = pipeline.predictor
    seconds: dict[tuple[int, int], float] = defaultdict(float)
    computed: dict[tuple[int, int], int] = defaultdict(int)
    scores: dict[tuple[int, int, str], list[Scores]] = defaultdict(list)
    for folder in arguments.folders:
        target = target_of(folder.name)
        for pair in find_pairs(folder)[:: arguments.every]:
            annotated = pair.read()
            gray = pipeline.prepare(annotated.pixels)
            longest = -(-max(gray.shape) // 32) * 32
            for setting in SETTINGS:
                predictor.tile_size = min(setting[0], longest)
                predictor.overlap = min(setting[1], predictor.tile_size // 2)
                start = time.process_time()
                distance = pipeline.predict_on_full_img(gray, preprocessed=True, target=target)
                seconds[setting] += time.process_time() - start
                tiles = plan_tiles(gray.shape, predictor.tile_size, predictor.overlap)
                computed[setting] += len(tiles) * predictor.tile_size**2
                labels = pipeline.cells_from_dist_map(distance, target=target)
                scores[*setting, folder.name].append(evaluate(annotated.labels, labels))
    names = [folder.name for folder in arguments.folders]
    print("| tile | overlap | operations | time | " + " | ".join(f"{n} AP@0.5, 0.75" for n in names) + " |")
    print("|--:|--:|--:|--:|" + "--:|" * len(names))
    first = SETTINGS[0]
    for setting in SETTINGS:
        pooled = [pool(scores[*setting, name]) for name in names]
        columns = " | ".join(f"{score.ap[0.5]:.3f}, {score.ap[0.75]:.3f}" for score in pooled)
        operations, taken = computed[setting] / computed[first], seconds[setting] / seconds[first]
        print(f"| {setting[0]} | {setting[1]} | {operations:.2f}× | {taken:.2f}× | {columns} |")


if __name__ == "__main__":
    main()
