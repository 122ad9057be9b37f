"""Fit of the choice between targets: its two numbers, and how often it is right with the weights that ship.

The numbers are those in the middle of the region in which most images are chosen as annotated, each set
counting as one. Images of train are taken as well as those of val and zeroshot, because a network has learned
both maps of neither.
"""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from dinocell import DINOCellPipeline
from dinocell.datasets.folder import find_pairs
from dinocell.inference import targets
from dinocell.inference.overview import look_over
from dinocell.labels import TARGETS
from generalisation_tables import target_of

MOST = 8
"""Images a folder, evenly over it."""

BRIGHT = np.arange(30, 96) / 100
WIDER = np.arange(10, 41) / 10

Evidences = Mapping[str, NDArray[np.float64]]
"""Sums that images were chosen by, ``(N, 8)`` a set, by the set's name."""


def weigh_folders(checkpoint: Path, folders: list[Path], workers: int) -> Evidences:
    """Compute the sums of some images of every folder; folders of one name are one set."""
    found: dict[str, list[NDArray[np.float64]]] = {}
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for folder, rows in zip(
            folders, pool.map(weigh_folder, [checkpoint] * len(folders), folders), strict=True
        ):
            found.setdefault(folder.name, []).append(rows)
    return {name: np.concatenate(rows) for name, rows in sorted(found.items())}


def weigh_folder(checkpoint: Path, folder: Path) -> NDArray[np.float64]:
    """Compute the sums of up to `MOST` images of a folder, at the scale of the default settings."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    pipeline = DINOCellPipeline(str(checkpoint), device="cpu")
    pairs = find_pairs(folder)
    places = np.unique(np.linspace(0, len(pairs) - 1, min(MOST, len(pairs))).round().astype(int))
    looks = [look_over(pipeline.predictor, pairs[place].read().pixels, pipeline.settings) for place in places]
    return np.stack([look.evidence for look in looks if look.evidence is not None])


def set_constants(bright: float, wider: float) -> None:
    """Let the choice use other numbers, in this process."""
    targets.BRIGHT, targets.WIDER = bright, wider


def right_shares(evidences: Evidences) -> dict[str, tuple[int, int]]:
    """Count the images of every set for which the target is chosen that the set annotates, and all."""
    return {
        name: (sum(targets.choose_target(row, TARGETS) == target_of(name) for row in rows), len(rows))
        for name, rows in evidences.items()
    }


def fit(evidences: Evidences) -> tuple[float, float]:
    """Return the two numbers, `BRIGHT` and `WIDER`."""
    scores = np.zeros((len(BRIGHT), len(WIDER)))
    for i, j in product(range(len(BRIGHT)), range(len(WIDER))):
        set_constants(BRIGHT[i], WIDER[j])
        scores[i, j] = np.mean([right / total for right, total in right_shares(evidences).values()])
    inside = distance_transform_edt(np.pad(scores >= scores.max() - 1e-9, 1))[1:-1, 1:-1]
    i, j = np.unravel_index(np.argmax(inside), inside.shape)
    return float(BRIGHT[i]), float(WIDER[j])


def choice_lines(evidences: Evidences) -> Iterator[str]:
    """Yield a row a set: how many of its images are chosen as annotated."""
    yield "| set | annotates | chosen so |"
    yield "|---|---|---|"
    for name, (right, total) in right_shares(evidences).items():
        yield f"| `{name}` | {target_of(name)} | {right} of {total} |"
