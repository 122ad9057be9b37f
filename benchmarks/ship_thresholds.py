"""Thresholds of the shipped model: for each target those with the best mean over sets of val and zeroshot.

A set counts as one, however many images it has; sets that are too small for a veto are left out. What loses
more than `LOSS` on a set of val, against the best choice for it, is not taken: a mean hides that. From one
prediction an image, every choice of the grid is scored. No test image is looked at.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from dinocell import DINOCellPipeline
from dinocell.datasets.folder import find_pairs
from dinocell.metrics.scores import score_labels
from dinocell.models.checkpoint import read_config, write_config
from dinocell.models.finding import CONFIG_FILE
from dinocell.postprocess.thresholds import Thresholds
from dinocell.postprocess.watershed import distance_to_labels
from generalisation import PARTS, read
from generalisation_tables import SMALL, as_count, target_of
from resampling import Count, set_precision

MOST = 12
"""Images a set, evenly over it."""

LOSS = 0.03
"""Largest loss of AP@0.5 on a set of val."""

GRID = tuple(
    Thresholds(cells_max_threshold=high, cell_fill_threshold=low, merge=merge, regrow=True)
    for high, low, merge in product(
        (0.4, 0.45, 0.5, 0.55, 0.6), (0.06, 0.09, 0.14), (0.5, 0.6, 0.65, 0.7, 0.75)
    )
)

Scored = list[dict[str, Count]]
"""Counts by image, for every choice of `GRID`."""


def choose_thresholds(checkpoint: Path, data: Path, workers: int) -> None:
    """Write the best thresholds of every target into the checkpoint, and print what they reach."""
    folders = [
        folder
        for part in PARTS
        for folder in sorted((data / part).iterdir())
        if len(find_pairs(folder)) >= SMALL
    ]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        scored = dict(zip(folders, pool.map(partial(score_folder, checkpoint), folders), strict=True))
    config = read_config(checkpoint)
    for target in config.targets:
        sets = {folder: counts for folder, counts in scored.items() if target_of(folder.name) == target}
        best = best_choice(sets.values(), [folder.parent.name == "val" for folder in sets])
        reached = ", ".join(
            f"{folder.name} {set_precision(counts[best]):.3f}" for folder, counts in sets.items()
        )
        print(f"  {target}: {GRID[best]} ({reached})")
        config = config.with_settings(target, thresholds=GRID[best])
    write_config(checkpoint / CONFIG_FILE, config)


def best_choice(sets: Iterable[Scored], bounded: Sequence[bool]) -> int:
    """Return the number of the choice with the best mean of AP@0.5 over sets; of several the first.

    Where there is one, it loses at most `LOSS` on each set that is `bounded`.
    """
    values = np.array([[set_precision(counts) for counts in scored] for scored in sets])
    losses = (values.max(axis=1, keepdims=True) - values)[np.asarray(bounded)]
    allowed = (losses <= LOSS).all(axis=0)
    return int(np.argmax(np.where(allowed | ~allowed.any(), values.mean(axis=0), -1)))


def score_folder(checkpoint: Path, folder: Path) -> Scored:
    """Score some images of a folder, with its target given, by every choice of the grid."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    pipeline = DINOCellPipeline(str(checkpoint), device="cpu")
    pairs = find_pairs(folder)
    places = np.unique(np.linspace(0, len(pairs) - 1, min(MOST, len(pairs))).round().astype(int))
    found: Scored = [{} for _ in GRID]
    for place in places:
        annotated = read(pairs[place], folder.name)
        distance = pipeline.run(annotated.pixels, target=target_of(folder.name)).distance_map  # type: ignore[arg-type]
        for counts, labels in zip(found, _labels(distance), strict=True):
            counts[pairs[place].name] = as_count(asdict(score_labels(annotated.labels, labels).counts))
    return found


def _labels(distance: np.ndarray) -> Iterator[np.ndarray]:
    return (distance_to_labels(distance, thresholds=choice) for choice in GRID)
