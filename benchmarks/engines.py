"""Engines on this CPU: speed and accuracy of PyTorch, ONNX Runtime and OpenVINO, side by side.

python benchmarks/engines.py [--models nano small convnext-tiny] [--threads 2] [--batch 8] [--repeats 5]
                             [--data FOLDER …] [--every 3]

Engines take turns on the same tiles; the fastest turn counts. Weights are random but for `nano`'s, for which
the AP of every engine is measured on annotated images (validation: every third of ../shared/data/val/*,
else samples). Of the others the largest difference of a map is given, with weights drawn
so that every layer changes its input.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch

from dinocell import DINOCellPipeline, evaluate
from dinocell.datasets.folder import find_pairs
from dinocell.errors import DINOCellError
from dinocell.inference.engines.engine import Engine
from dinocell.metrics.pooling import pool
from dinocell.models.network.dinocell import DINOCell
from machine import describe_machine
from upper_bound import default_folders

ARMS = (
    ("torch", "float32"),
    ("torch", "bfloat16"),
    ("onnx", "float32"),
    ("onnx", "int8"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
)


def build(name: str) -> DINOCell:
    """Build the trained `nano`, or a variant with random weights as large as trained ones."""
    if name == "nano":
        return DINOCell.from_pretrained(name)
    torch.manual_seed(0)
    model = DINOCell.from_variant(name).eval()
    with torch.no_grad():
        for key, weights in model.named_parameters():
            if "layer_scale" in key or key.endswith("gamma"):
                weights.uniform_(0.3, 1.0)
            elif weights.ndim > 1:
                weights.normal_(0, 1.4 * weights[0].numel() ** -0.5)
    return model


def open_all(model: DINOCell) -> dict[tuple[str, str], Engine]:
    """Open every engine that can run a model."""
    engines: dict[tuple[str, str], Engine] = {}
    for name, precision in ARMS:
        try:
            engines[name, precision] = DINOCellPipeline(
                model, device="cpu", engine=name, precision=precision, allow_untrained=True
            ).predictor.engine
        except DINOCellError as error:
            print(f"{name} {precision}: {error}")
    return engines


def fastest(
    engines: dict[tuple[str, str], Engine], tiles: np.ndarray, repeats: int
) -> dict[tuple[str, str], float]:
    """Return the seconds for a tile in the fastest of some turns."""
    seconds = dict.fromkeys(engines, np.inf)
    for _ in range(repeats + 1):
        for arm, engine in engines.items():
            start = time.perf_counter()
            engine.forward(tiles)
            seconds[arm] = min(seconds[arm], (time.perf_counter() - start) / len(tiles))
    return seconds


def accuracy(arm: tuple[str, str], folders: list[Path], every: int) -> list[str]:
    """Return AP@0.5 and AP@0.75 of `nano` on every folder."""
    pipeline = DINOCellPipeline("nano", device="cpu", engine=arm[0], precision=arm[1])
    columns = []
    for folder in folders:
        annotated = (pair.read() for pair in find_pairs(folder)[::every])
        scores = pool(evaluate(item.labels, pipeline.run(item.pixels).labels) for item in annotated)
        columns.append(f"{scores.ap[0.5]:.4f}, {scores.ap[0.75]:.4f}")
    return columns


def main() -> None:
    """Print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["nano", "small", "convnext-tiny"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data", type=Path, nargs="+", default=default_folders())
    parser.add_argument("--every", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # of the other engines
    print(f"{describe_machine()}; {arguments.threads} threads, batches of {arguments.batch} tiles of 256²")
    tiles = np.random.default_rng(0).integers(0, 256, (arguments.batch, 256, 256), np.uint8)
    for name in arguments.models:
        engines = open_all(build(name))
        exact = engines["torch", "float32"].forward(tiles)
        seconds = fastest(engines, tiles, arguments.repeats)
        titles = [f"{folder.name} AP@0.5, 0.75" for folder in arguments.data] if name == "nano" else []
        print(f"\n| {name} | precision | ms a tile | × torch float32 | difference | {' | '.join(titles)}")
        print("|---|---|--:|--:|--:|" + "--:|" * len(titles))
        for arm, engine in engines.items():
            difference = float(np.abs(engine.forward(tiles) - exact).max())
            columns = accuracy(arm, arguments.data, arguments.every) if name == "nano" else []
            speed = f"{seconds[arm] * 1e3:.1f} | {seconds['torch', 'float32'] / seconds[arm]:.2f}"
            print(f"| {arm[0]} | {arm[1]} | {speed} | {difference:.1e} | {' | '.join(columns)}", flush=True)


if __name__ == "__main__":
    main()
