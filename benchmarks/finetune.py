"""Fine-tuning: its gain, its time, and the time that cached feature maps save.

python benchmarks/finetune.py [--sets NAME …] [--threads 2] [--change SETTING=VALUE …]    (default: all sets)
python benchmarks/finetune.py --speed small base    (seconds a step, on random weights)

A set is five annotated images of 512×512 px, or as large as they are, and others that nothing is learned
from. Frames of a movie resemble each other, so the yeast is tested on a part of the field that no image
shows. CPU minutes show how busy the machine was: two threads on two free cores use nearly 2 of them a minute.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dinocell import DINOCellPipeline, evaluate
from dinocell.datasets.folder import find_pairs
from dinocell.io.images import read_image, read_labels
from dinocell.io.saving import write_image, write_labels
from dinocell.io.settings_files import read_settings
from dinocell.labels import Target, relabel
from dinocell.metrics.pooling import pool
from dinocell.metrics.scores import Scores
from dinocell.models.network.dinocell import DINOCell
from dinocell.training.augment import Crop
from dinocell.training.finetuning.cached_features import CropCache
from dinocell.training.finetuning.config import FinetuneConfig
from dinocell.training.finetuning.learner import Learner
from dinocell.training.finetuning.loop import finetune

DATA = Path(__file__).parents[2] / "shared" / "data"
SIDE = np.s_[:512]

Annotated = tuple[NDArray[Any], NDArray[np.int32]]
Set = tuple[list[Annotated], list[Annotated]]
"""Images to learn from, and others to test on."""


def yeast() -> Set:
    """Read five frames of a movie, and a strip beside them of three frames between them."""
    folder = DATA / "timelapse" / "yeast_phase"
    frames = [
        (read_image(folder / f"t{number:03d}.png").pixels, read_labels(folder / f"mask{number:03d}.png"))
        for number in range(10)
    ]
    learned = [cut(frames[number], SIDE, SIDE) for number in (0, 2, 4, 7, 9)]
    return learned, [cut(frames[number], np.s_[:], np.s_[520:]) for number in (1, 5, 8)]


def usiigaci() -> Set:
    """Cut a quarter of five images to learn from, and the opposite quarter to test on."""
    images = annotated("val/usiigaci_phase")
    other = np.s_[512:]
    return [cut(image, SIDE, SIDE) for image in images], [cut(image, other, other) for image in images]


def histology() -> Set:
    """Read five stained tissue sections of DSB 2018, and the other seven."""
    images = [image for image in annotated("val/dsb2018_nuclei") if image[0].ndim == 3]
    return images[:5], images[5:]


def bbbc039() -> Set:
    """Read five images of fluorescent nuclei, and eight others."""
    images = annotated("val/bbbc039_nuclei")
    return [cut(image, SIDE, SIDE) for image in images[:5]], images[5:13]


SETS: dict[str, tuple[Target, Callable[[], Set]]] = {
    "yeast": ("cells", yeast),
    "usiigaci": ("cells", usiigaci),
    "histology": ("nuclei", histology),
    "bbbc039": ("nuclei", bbbc039),
}
"""Target that each set annotates, and its images."""

OTHERS: dict[Target, tuple[Target, Callable[[], Set]]] = {
    "cells": ("nuclei", bbbc039),
    "nuclei": ("cells", usiigaci),
}
"""Other target, and images on which its map must stay as good, by the target that learns."""


def annotated(name: str) -> list[Annotated]:
    """Read a folder of shared data."""
    return [(read.pixels, read.labels) for read in (pair.read() for pair in find_pairs(DATA / name))]


def cut(image: Annotated, rows: slice, columns: slice) -> Annotated:
    """Cut a part out of an image and its labels."""
    pixels, labels = image
    return np.ascontiguousarray(pixels[rows, columns]), relabel(labels[rows, columns])


def score(model: str, images: Sequence[Annotated], target: Target) -> Scores:
    """Score a model on images, pooled."""
    pipeline = DINOCellPipeline(model, target=target)
    return pool(evaluate(labels, pipeline.run(pixels).labels) for pixels, labels in images)


def measure(name: str, changes: Sequence[str], seed: int) -> None:
    """Measure fine-tuning on one set, and print a line of a table."""
    target, read = SETS[name]
    learned, others = read()
    kept, read_kept = OTHERS[target]
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        images.mkdir()
        for number, (pixels, labels) in enumerate(learned):
            write_image(images / f"{number}_img.png", pixels)
            write_labels(images / f"{number}_masks.tif", labels)
        config = read_settings(
            FinetuneConfig,
            None,
            changes,
            images=images,
            output=Path(folder) / "out",
            annotates=target,
            seed=seed,
        )
        used = time.process_time()
        result = finetune(config)
        used = time.process_time() - used
        before, after = (pool(scores.values()) for scores in (result.before, result.after))
        models = config.model, str(result.model)
        test = [score(model, others, target) for model in models]
        other = [score(model, read_kept()[1], kept) for model in models]
    saved = "–" if result.times is None else f"{result.times.speed_up:.1f}×"
    cells = sum(int(labels.max()) for _, labels in learned)
    changed = [f"{before.by_name()[key]:.3f} → {after.by_name()[key]:.3f}" for key in ("ap50", "seg")]
    tested = f"{test[0].ap[0.5]:.3f} → {test[1].ap[0.5]:.3f}"
    held = f"{other[0].ap[0.5]:.3f} → {other[1].ap[0.5]:.3f}"
    minutes = [f"{seconds / 60:.1f}" for seconds in (result.seconds, used)]
    columns = [name, str(cells), *changed, tested, held, *minutes, saved]
    print(f"| {' | '.join(columns)} |", flush=True)


def measure_speed(variant: str, config: FinetuneConfig) -> None:
    """Time steps with and without the backbone, on random weights and crops, and print a line."""
    model = DINOCell.from_variant(variant)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.freeze_backbone()
    size = config.crop_size or model.config.tile_size
    rng, shape = np.random.default_rng(0), (size, size)
    crops = [
        Crop(rng.integers(0, 255, shape, np.uint8), rng.random(shape, np.float32), np.ones(shape, bool))
        for _ in range(config.batch_size)
    ]
    with CropCache(model, 0, len(crops), size, features=True, folder=Path(tempfile.gettempdir())) as cache:
        list(cache.fill(crops, config.batch_size))
        learner = Learner(model, cache, config)
        list(learner.learn(np.arange(len(crops))))
    times = learner.times
    if times is not None:
        kilobytes = cache.bytes / len(crops) / 1024
        print(
            f"| {variant} | {times.with_backbone:.2f} | {times.cached:.2f} | {times.speed_up:.1f}× "
            f"| {kilobytes:.0f} |",
            flush=True,
        )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--speed", nargs="+", metavar="VARIANT")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--change", dest="changes", nargs="+", default=[], metavar="SETTING=VALUE")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    if arguments.speed:
        print("| model | s a step | s, cached | faster | KiB a crop |\n|---|---|---|---|---|")
        values = {"images": Path(), "output": Path(), "steps": 6}
        for variant in arguments.speed:
            measure_speed(variant, read_settings(FinetuneConfig, None, arguments.changes, **values))
        return
    columns = ["images", "cells", "AP@0.5", "SEG", "other images, AP@0.5", "other target, AP@0.5"]
    columns += ["minutes", "CPU minutes", "cache"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name in arguments.sets:
        measure(name, arguments.changes, arguments.seed)


if __name__ == "__main__":
    main()
