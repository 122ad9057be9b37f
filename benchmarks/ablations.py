"""Ablation of the recipe: arms that differ in one thing, at one equal, small budget.

``python benchmarks/hold_back.py ../shared/data/train/*``, then ``python benchmarks/ablations.py`` print the
table of docs/ablations.md. Every finished arm is kept in ``--output``, so that a stopped run goes on. Scores
are on the tenth of the training data that is held back, with the shipped thresholds.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from dinocell.datasets.folder import find_pairs
from dinocell.evaluation.scoring import evaluate_items, pool_results
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.io.settings_files import read_settings
from dinocell.models.network.dinocell import DINOCell
from dinocell.training import TrainConfig
from dinocell.training.samples import TrainingSamples, load_annotated, validation_batches
from dinocell.training.state import TrainingState, new_state
from dinocell.training.step import optimise, validate

ROOT = Path(__file__).parents[1]
SETS = ("usiigaci_phase", "dsb2018_nuclei", "bbbc039_nuclei")
ARMS = {
    "recipe": [],
    "foreground term": ["loss.foreground=0.5"],
    "no CLAHE": ["preprocessing={clahe: false}"],
    "no full-resolution skip": [],
    "no moving average": ["ema_decay=0"],
    "pretrained backbone": [],
}


def main() -> None:
    """Train and score every arm with every seed, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--pretrained", help="Backbone that `dinocell pretrain --model nano` wrote.")
    parser.add_argument("--output", type=Path, default=Path("checkpoints/ablations.json"))
    arguments = parser.parse_args()
    results = json.loads(arguments.output.read_text()) if arguments.output.is_file() else {}
    for seed in arguments.seeds:  # all arms with one seed first: a stopped run has a table, too
        for arm in arguments.arms:
            key = f"{arm}, {arguments.steps} steps, seed {seed}"
            if key in results or (arm == "pretrained backbone" and not arguments.pretrained):
                continue
            config = configuration(arm, arguments.steps, seed, arguments.pretrained)
            results[key] = measure(arm, config)
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            arguments.output.write_text(json.dumps(results, indent=1))
            print(key, {name: round(value, 5) for name, value in results[key].items()}, flush=True)
    for line in table(results, arguments):
        print(line)


def configuration(arm: str, steps: int, seed: int, pretrained: str | None) -> TrainConfig:
    """Take the shipped recipe with smaller crops, fewer steps, and the change of an arm."""
    changes = [
        f"epochs={steps}",
        "steps_per_epoch=1",
        "crop_size=128",
        "optimiser.warmup_steps=100",
        "ema_decay=0.99",
    ]
    if arm == "pretrained backbone":
        changes += [f"backbone.weights={pretrained}", "backbone.mode=full"]
    data = {"train": ROOT / "datasets" / "fit", "validation": ROOT.parent / "shared" / "data" / "val"}
    weights = {"train": (0.45, 0.35, 0.20), "validation": (1, 1, 1)}
    datasets = {
        part: [
            {"path": folder / name, "weight": weight}
            for name, weight in zip(SETS, weights[part], strict=True)
        ]
        for part, folder in data.items()
    }
    recipe = ROOT / "configs" / "nano.yaml"
    return read_settings(TrainConfig, recipe, [*changes, *ARMS[arm]], seed=seed, **datasets)


def measure(arm: str, config: TrainConfig) -> dict[str, float]:
    """Train an arm; give the validation MSE of the map and AP@0.5 on what is held back."""
    torch.manual_seed(config.seed)
    state = new_state(config, Accelerator(cpu=not torch.cuda.is_available()), resume=False)
    if arm == "no full-resolution skip":
        for model in (state.model, state.average.model):
            without_skip(model)
    samples = TrainingSamples(
        [load_annotated(dataset, config.preprocessing) for dataset in config.train], config
    )
    for step, batches in enumerate(samples.steps(0, config.total_steps)):
        optimise(state, batches, step, config)
    validation = [
        validation_batches(load_annotated(dataset, config.preprocessing), 192, 8)
        for dataset in config.validation
    ]
    return {"validation MSE": validate(state, validation, config)[1]} | dict(scores(state))


def without_skip(model: DINOCell) -> None:
    """Let the decoder see nothing of the image itself, only the backbone's maps."""
    for part in (model.decoder.image_full, model.decoder.image_half):
        part.register_forward_hook(_zeros)


def _zeros(_part: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(output)


def scores(state: TrainingState) -> Iterator[tuple[str, float]]:
    """Yield AP@0.5 of each held-back set."""
    model = state.average.model
    shipped = DINOCell.from_pretrained("nano").config
    model.config = model.config.model_copy(update={"thresholds": shipped.thresholds})
    pipeline = DINOCellPipeline(model)
    for name in SETS:
        items = find_pairs(ROOT / "datasets" / "held_back" / name)
        yield name, pool_results(list(evaluate_items(pipeline, items))).ap[0.5]


def table(results: dict[str, dict[str, float]], arguments: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of a Markdown table: all seeds of each number."""
    columns = ("validation MSE", *SETS)
    yield f"| {arguments.steps} steps | " + " | ".join(columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for arm in arguments.arms:
        runs = [results.get(f"{arm}, {arguments.steps} steps, seed {seed}") for seed in arguments.seeds]
        cells = [" / ".join(f"{run[column]:.4f}" for run in runs if run) for column in columns]
        yield f"| {arm} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
