"""Put a trained dinov2-small into this package, as float16: ``python prepare.py RUN/best_model``."""

import argparse
import sys
from pathlib import Path

import torch

from dinocell.errors import DINOCellError
from dinocell.models.checkpoint import WEIGHTS_FILE
from dinocell.models.network.dinocell import DINOCell

NAME = "dinov2-small"
FOLDER = Path(__file__).parent / "checkpoint"
LARGEST = 50 * 2**20
"""Bytes that the weights may have."""


def prepare(checkpoint: Path, folder: Path = FOLDER) -> Path:
    """Write a checkpoint as float16 into a folder of this package; return the file of its weights."""
    model = DINOCell.from_pretrained(checkpoint)
    if model.config.variant != NAME or not model.config.trained:
        state = "a trained" if model.config.trained else "an untrained"
        raise SystemExit(f"{checkpoint} is {state} {model.config.variant}, expected a trained {NAME}")
    weights = model.save_pretrained(folder, dtype=torch.float16) / WEIGHTS_FILE
    size, most = weights.stat().st_size / 2**20, LARGEST / 2**20
    if size > most:
        raise SystemExit(f"{weights} has {size:.1f} MiB, expected at most {most:.0f}: narrow the decoder")
    return weights


def main() -> None:
    """Read the command line, and say what to do next."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="best_model of a run of configs/dinov2_small.yaml")
    try:
        weights = prepare(parser.parse_args().checkpoint)
    except DINOCellError as error:
        raise SystemExit(str(error)) from error
    sys.stdout.write(f"{weights}: {weights.stat().st_size / 2**20:.1f} MiB\n")
    sys.stdout.write(f"now: python -m pip wheel --no-deps --wheel-dir dist {FOLDER.parent}\n")


if __name__ == "__main__":
    main()
