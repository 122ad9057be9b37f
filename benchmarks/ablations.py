"""Ablation of the recipe: arms that differ in one thing, at one equal, small budget.

``python benchmarks/hold_back.py ../shared/data/train/*``, ``python benchmarks/ablations.py --synthesize`` and
``python benchmarks/ablations.py`` print the table of docs/ablations.md. All have nano's design at half its
widths and crops of 128 px. The recipe is first trained for ``--base-steps``; every arm goes on from there for
``--steps`` with its change, and so does the recipe itself. Only another norm begins anew. Every finished arm
is kept in ``--output``, so that a stopped run goes on. Scores are AP@0.5 with the right target given, on a
few images of every set of val/ and zeroshot/; the thresholds of an arm are those that are best for it on
these images of val/. Beside them stands the correlation of predicted with true maps.
"""

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from skimage.color import rgb2hed

from dinocell.datasets.folder import find_pairs
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.io.settings_files import read_settings
from dinocell.models.network.dinocell import DINOCell
from dinocell.models.variants import VARIANTS
from dinocell.postprocess.distance import labels_to_distance
from dinocell.preprocess.intensity_range import scale_to_uint8
from dinocell.training import TrainConfig, train
from dinocell.training.config import BEST_FOLDER, LAST_FOLDER
from generalisation import DATA, PARTS, read, spread_out
from generalisation_tables import target_of
from resampling import set_precision
from robustness import count, cut_middle

ROOT = Path(__file__).parents[1]
WEIGHTS = {
    "usiigaci_phase": 0.25,
    "dsb2018_nuclei": 0.28,
    "bbbc039_nuclei": 0.10,
    "aitslab_nuclei": 0.10,
    "tnbc_histology": 0.14,
    "c2c12_phase": 0.07,
    "rbc_dic": 0.06,
}
SYNTHETIC_SHARE = 0.3
SYNTHETIC = {
    "fluorescence": ("fluorescence_cells", "membrane", "fluorescence_nuclei"),
    "phase, DIC, brightfield": ("phase", "dic", "brightfield", "confluent_phase"),
    "QPI": ("qpi",),
    "histology": ("histology",),
}
STYLE = ("histogram=0.25", "fourier=0.25", "no_clahe=0.25", "border=0.1", "empty=0.03")
ARMS = (
    "recipe",
    "norm over channels",
    *(f"+ {group}" for group in SYNTHETIC),
    "+ style",
    "haematoxylin",
    "+ mixed colours",
)
CELLS_MAX, CELL_FILL = (0.2, 0.3, 0.4, 0.5), (0.05, 0.1, 0.2)
SIDE = 512
"""Of the middle of an image that is scored, in pixels."""

Maps = Mapping[str, list[tuple[NDArray[np.float32], NDArray[np.int32]]]]
"""Predicted maps and true labels by set."""


def main() -> None:
    """Train and score every arm with every seed, then print the tables."""
    options = parse()
    if options.synthesize:
        synthesize(options.synthetic)
        return
    torch.set_num_threads(1)
    define_half_width()
    results = json.loads(options.output.read_text()) if options.output.is_file() else {}
    for seed in options.seeds:  # all arms with one seed first: a stopped run has a table, too
        for arm in options.arms:
            key = key_of(arm, seed, options)
            if key in results:
                continue
            results[key] = measure(arm, seed, options)
            options.output.write_text(json.dumps(results, indent=1) + "\n")
            print(key, results[key], flush=True)
    print("\n".join(table(results, options)))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base-steps", type=int, default=900, help="steps before the arms part")
    parser.add_argument("--steps", type=int, default=300, help="steps of every arm after that")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--every", type=int, default=1000, help="score about every n-th image, at least 3")
    parser.add_argument("--fit", type=Path, default=ROOT / "datasets" / "fit")
    parser.add_argument("--synthetic", type=Path, default=ROOT / "datasets" / "synthetic")
    parser.add_argument("--synthesize", action="store_true", help="draw the synthetic images, and end")
    parser.add_argument("--output", type=Path, default=ROOT / "checkpoints" / "ablations.json")
    return parser.parse_args()


def key_of(arm: str, seed: int, options: argparse.Namespace) -> str:
    """Return the name of a run in the results."""
    return f"{arm}, {options.base_steps} and {options.steps} steps, seed {seed}"


def synthesize(folder: Path) -> None:
    """Draw 300 images of every recipe, a folder each."""
    for recipe in itertools.chain.from_iterable(SYNTHETIC.values()):
        command = [sys.executable, "-m", "dinocell", "synthesize", "--recipe", recipe, "-n", "300"]
        subprocess.run([*command, "-o", str(folder / recipe)], check=True)  # noqa: S603


def define_half_width() -> None:
    """Add nano's design at half its widths to the variants, with either norm."""
    nano = VARIANTS["nano"]
    for name, norm in (("nano-half", "batch"), ("nano-half-channel", "channel")):
        parts = {
            part: config.model_copy(
                update={"widths": tuple(width // 2 for width in config.widths), "norm": norm}
                | ({"stem_width": config.stem_width // 2} if part == "backbone" else {})
            )
            for part, config in (("backbone", nano.backbone), ("decoder", nano.decoder))
        }
        VARIANTS[name] = replace(nano, name=name, **parts)


def train_arm(arm: str, seed: int, options: argparse.Namespace) -> Path:
    """Train the recipe, then an arm from there on; return the arm's folder."""
    design = "nano-half-channel" if arm == "norm over channels" else "nano-half"
    runs = options.output.parent / "ablations"
    base = ["epochs=1", f"steps_per_epoch={options.base_steps}", "optimiser.warmup_steps=100"]
    base += [f"model={design}", f"output={runs / design}"]
    if not (runs / design / LAST_FOLDER).is_dir():  # as below: written once, at the end
        train(configuration("recipe", 0, base, options))
    name = f"{arm}_{seed}".replace(" ", "_").replace(",", "")
    changes = ["epochs=1", f"steps_per_epoch={options.steps}", "optimiser.warmup_steps=50"]
    changes += [f"model={design}", f"output={runs / name}", f"start_from={runs / design / LAST_FOLDER}"]
    if not (runs / name / BEST_FOLDER).is_dir():
        train(configuration(arm, seed + 1, changes, options))
    return runs / name / BEST_FOLDER


def configuration(arm: str, seed: int, changes: list[str], options: argparse.Namespace) -> TrainConfig:
    """Take nano's recipe with smaller crops, and the change of an arm."""
    style = STYLE if arm == "+ style" else ("gray_mix=0.5",) if arm == "+ mixed colours" else ()
    changes = [*changes, "crop_size=128", "workers=0", "ema_decay=0.98", "optimiser.learning_rate=2.0e-3"]
    changes += [f"augmentation.{change}" for change in style]
    train_sets = [described(options.fit / name, weight, arm, options) for name, weight in WEIGHTS.items()]
    recipes = SYNTHETIC.get(arm.removeprefix("+ "), ())
    for recipe in recipes:
        weight = SYNTHETIC_SHARE / (1 - SYNTHETIC_SHARE) / len(recipes)
        train_sets.append(described(options.synthetic / recipe, weight, arm, options))
    validation = [
        described(DATA / "val" / name, 1.0, arm, options) for name in ("tnbc_histology", "c2c12_phase")
    ]
    recipe = ROOT / "configs" / "nano.yaml"
    return read_settings(TrainConfig, recipe, changes, seed=seed, train=train_sets, validation=validation)


def described(folder: Path, weight: float, arm: str, options: argparse.Namespace) -> dict[str, Any]:
    """Describe a dataset for the settings of a training; its colours are what the arm wants."""
    annotates = "nuclei" if folder.name == "histology" else target_of(folder.name)
    if arm == "haematoxylin":
        folder = without_colours(folder, options.output.parent / "haematoxylin")
    return {"path": folder, "weight": weight, "annotates": annotates}


def without_colours(folder: Path, output: Path) -> Path:
    """Copy a folder, with the haematoxylin in place of colours; folders without colours stay as they are."""
    pairs = find_pairs(folder)
    if not any(pair.read().pixels.ndim == 3 for pair in pairs):
        return folder
    target = output / folder.parent.name / folder.name
    target.mkdir(parents=True, exist_ok=True)
    for pair in pairs:
        masks = target / pair.masks.name
        if not masks.exists():
            cv2.imwrite(str(target / f"{pair.name}_img.png"), haematoxylin(pair.read().pixels))
            masks.symlink_to(pair.masks.resolve())
    return target


def haematoxylin(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert colours to the density of haematoxylin, dark where it is dense; gray stays gray."""
    if pixels.ndim == 2:
        return pixels
    return 255 - scale_to_uint8(rgb2hed(pixels[..., :3])[..., 0].astype(np.float32))


def measure(arm: str, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """Train an arm; return its CPU minutes, without a base that was there, and AP@0.5 of every set."""
    start = time.process_time()
    folder = train_arm(arm, seed, options)
    minutes = (time.process_time() - start) / 60
    pipeline = DINOCellPipeline(DINOCell.from_pretrained(folder), device="cpu", precision="bfloat16")
    maps = {
        f"{part}/{folder.name}": list(predict(arm, folder, pipeline, options.every))
        for part in PARTS
        for folder in sorted((DATA / part).iterdir())
    }
    scores: dict[str, float] = {"CPU minutes": minutes}
    for target in ("cells", "nuclei"):
        own = {name: found for name, found in maps.items() if target_of(name) == target}
        scores |= best_scores(pipeline, own)
    for part in PARTS:
        names = [name for name in maps if name.startswith(part)]
        scores[part] = float(np.mean([scores[name] for name in names]))
        scores[f"{part} map"] = float(np.mean([correlation(maps[name]) for name in names]))
    return scores


def predict(
    arm: str, folder: Path, pipeline: DINOCellPipeline, every: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int32]]]:
    """Yield the map of the annotated target, and the true labels, of the middle of some images."""
    for pair in spread_out(find_pairs(folder), every):
        annotated = read(pair, folder.name)
        pixels, labels = cut_middle(annotated.pixels, annotated.labels, SIDE)
        pixels = haematoxylin(pixels) if arm == "haematoxylin" else pixels
        yield pipeline.predict_on_full_img(pixels, target=target_of(folder.name)), labels


def correlation(found: list[tuple[NDArray[np.float32], NDArray[np.int32]]]) -> float:
    """Compute the correlation of predicted with true maps, over all pixels of a set that count.

    After so short a training a map says more than the cells that are cut out of it.
    """
    pairs = [(distance[labels >= 0], labels_to_distance(labels)[labels >= 0]) for distance, labels in found]
    predicted, true = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return float(np.corrcoef(predicted, true)[0, 1])


def best_scores(pipeline: DINOCellPipeline, maps: Maps) -> dict[str, float]:
    """Score all sets with the thresholds whose mean over those of val/ is highest."""
    tried = [
        {
            name: set_precision(
                {
                    str(number): count(
                        labels,
                        pipeline.cells_from_dist_map(
                            distance, cells_max_threshold=cells_max, cell_fill_threshold=cell_fill
                        ),
                    )
                    for number, (distance, labels) in enumerate(found)
                }
            )
            for name, found in maps.items()
        }
        for cells_max, cell_fill in itertools.product(CELLS_MAX, CELL_FILL)
    ]
    return max(tried, key=lambda scores: np.mean([scores[name] for name in scores if name[:3] == "val"]))


def table(results: Mapping[str, Mapping[str, float]], options: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of a Markdown table: all seeds of each number."""
    columns = list(next(iter(results.values())))
    yield f"| {options.base_steps} and {options.steps} steps | " + " | ".join(columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for arm in options.arms:
        keys = [key_of(arm, seed, options) for seed in options.seeds]
        runs = [results[key] for key in keys if key in results]
        cells = [" / ".join(f"{run[column]:.2f}" for run in runs) for column in columns]
        yield f"| {arm} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
