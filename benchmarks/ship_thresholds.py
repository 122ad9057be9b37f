"""Thresholds of the shipped model: chosen target by target on val, and rejected where zeroshot falls."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from dinocell import DINOCellPipeline
from dinocell.datasets.folder import find_pairs
from dinocell.metrics.scores import score_labels
from dinocell.models.checkpoint import CONFIG_FILE, read_config, write_config
from dinocell.postprocess.thresholds import Thresholds
from dinocell.postprocess.watershed import distance_to_labels
from generalisation import read
from generalisation_tables import as_count, target_of
from resampling import set_precision

MOST = 6
"""Images a set that thresholds are searched on, evenly over the set."""


def choose_thresholds(checkpoint: Path, data: Path) -> None:
    """Search, compare on zeroshot, and write the better thresholds of every target into the checkpoint."""
    for target in read_config(checkpoint).targets:
        before = read_config(checkpoint)
        search(checkpoint, _sets(data / "val", target), target)
        after = read_config(checkpoint)
        old, new = before.targets[target].thresholds, after.targets[target].thresholds
        means = zeroshot_means(checkpoint, _sets(data / "zeroshot", target), target, (old, new))
        kept = means[1] >= means[0]
        verdict = "taken" if kept else "rejected"
        print(f"  {target}: zeroshot has {means[0]:.3f} with {old}, {means[1]:.3f} with {new}: {verdict}")
        if not kept:
            write_config(checkpoint / CONFIG_FILE, after.with_settings(target, thresholds=old))


def _sets(part: Path, target: str) -> list[Path]:
    return [folder for folder in sorted(part.iterdir()) if target_of(folder.name) == target]


def search(checkpoint: Path, folders: list[Path], target: str) -> None:
    """Search on some images of every folder, and write what is best."""
    with tempfile.TemporaryDirectory() as temporary:
        parts = [link_some(folder, Path(temporary) / folder.name) for folder in folders]
        command = [sys.executable, "-m", "dinocell", "evaluate", "--model", str(checkpoint), "--workers", "2"]
        options = ["--annotates", target, "--write-thresholds", "--data", *map(str, parts)]
        subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 (our own program)


def link_some(folder: Path, target: Path) -> Path:
    """Link up to `MOST` pairs of a folder, evenly over it, into another."""
    target.mkdir()
    pairs = find_pairs(folder)
    for place in np.unique(np.linspace(0, len(pairs) - 1, min(MOST, len(pairs))).round().astype(int)):
        for file in pairs[place].files:
            (target / file.name).symlink_to(file.resolve())
    return target


def zeroshot_means(
    checkpoint: Path, folders: list[Path], target: str, choices: tuple[Thresholds, ...]
) -> list[float]:
    """Return the mean over folders of AP@0.5 for every choice of thresholds, from one prediction an image."""
    pipeline = DINOCellPipeline(str(checkpoint), device="cpu")
    values = [list(_precisions(pipeline, folder, target, choices)) for folder in folders]
    return [float(mean) for mean in np.mean(values, axis=0)]


def _precisions(
    pipeline: DINOCellPipeline, folder: Path, target: str, choices: tuple[Thresholds, ...]
) -> Iterator[float]:
    counts: list[dict[str, Any]] = [{} for _ in choices]
    for pair in find_pairs(folder):
        annotated = read(pair, folder.name)
        distance = pipeline.run(annotated.pixels, target=target).distance_map  # type: ignore[call-arg]
        for choice, found in zip(choices, counts, strict=True):
            labels = distance_to_labels(distance, thresholds=choice)
            found[pair.name] = as_count(asdict(score_labels(annotated.labels, labels).counts))
    return (set_precision(found) for found in counts)
