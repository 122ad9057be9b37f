"""Seconds that all metrics take on images of 1000×1000 px with 500 cells, beside stardist.matching.

python benchmarks/scoring.py [number of images]
"""

import sys
import time

import numpy as np
from scipy.ndimage import distance_transform_edt
from stardist.matching import matching

from dinocell.metrics.scores import evaluate

SIDE, CELLS = 1000, 500


def draw_pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw cells around random points, and the same cells jittered."""
    rng = np.random.default_rng(seed)
    points = rng.integers(0, SIDE, (CELLS, 2))
    pair = []
    for shift in (0, 3):
        seeds = np.zeros((SIDE, SIDE), np.int32)
        y, x = (points + rng.integers(-shift, shift + 1, points.shape)).clip(0, SIDE - 1).T
        seeds[y, x] = np.arange(1, CELLS + 1)
        distance, (row, column) = distance_transform_edt(seeds == 0, return_indices=True)
        pair.append(np.where(distance < 15, seeds[row, column], 0))
    return pair[0], pair[1]


def main() -> None:
    """Print the seconds for all images."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    pairs = [draw_pair(seed) for seed in range(count)]
    start = time.perf_counter()
    for true, predicted in pairs:
        evaluate(true, predicted)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    for true, predicted in pairs:
        matching(true, predicted, thresh=(0.5, 0.75, 0.9))
    theirs = time.perf_counter() - start
    print(f"{count} images of {SIDE}×{SIDE} with {CELLS} cells: all our scores {ours:.1f} s")
    print(f"stardist.matching at three thresholds {theirs:.1f} s, {theirs / ours:.1f} times as long")


if __name__ == "__main__":
    main()
