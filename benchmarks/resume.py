"""A run killed at random moments and resumed, beside one left alone, whose every number must be the same.

``python benchmarks/resume.py`` (options: ``--data FOLDER``, ``--kills 5``, ``--seed 0``). Exits with 1 where
a number differs. CPU only: GPUs do not add up in the same order twice.
"""

import argparse
import csv
import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLES = Path(__file__).parents[1] / "samples"
RECIPE = Path(__file__).parents[1] / "configs" / "nano.yaml"
EPOCHS, STEPS = 8, 4


def main() -> None:
    """Print both runs side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SAMPLES)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)  # noqa: S311 (moments, no secrets)
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        start = time.monotonic()
        run(arguments.data, whole).wait()
        seconds = time.monotonic() - start
        for _ in range(arguments.kills):
            process = run(arguments.data, killed)
            time.sleep(moments.uniform(0.2, 0.45) * seconds)
            process.kill()
            how = "killed" if process.wait() else "had ended before it could be killed"
            print(f"{how} with {len(rows(killed))} of {EPOCHS} epochs saved")
        run(arguments.data, killed).wait()
        differences = compare(rows(whole), rows(killed))
    sys.exit(differences > 0)


def run(data: Path, output: Path) -> subprocess.Popen[bytes]:
    """Begin, or go on with, a run on one thread."""
    settings = [
        f"epochs={EPOCHS}",
        f"steps_per_epoch={STEPS}",
        "precision=float32",
        "optimiser.warmup_steps=5",
    ]
    changes = [word for setting in settings for word in ("--set", setting)]
    folders = ["--train", data, "--validation", data, "--output", output]
    command = [sys.executable, "-m", "dinocell", "train", "--config", RECIPE, "--resume", *folders, *changes]
    return subprocess.Popen(  # noqa: S603 (our own program)
        [str(word) for word in command], stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )


def rows(folder: Path) -> list[dict[str, str]]:
    """Read ``metrics.csv`` without the time taken."""
    if not (folder / "metrics.csv").is_file():
        return []
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return [
            {key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)
        ]


def compare(whole: list[dict[str, str]], killed: list[dict[str, str]]) -> int:
    """Print the losses of both, and return how many rows differ."""
    print("epoch   training loss, left alone / killed            validation loss, left alone / killed")
    for one, other in zip(whole, killed, strict=False):
        shown = [f"{one[key]} / {other[key]}" for key in ("train_loss", "validation_loss")]
        print(f"{one['epoch']:<7} {shown[0]:<45} {shown[1]}")
    different = sum(one != other for one, other in itertools.zip_longest(whole, killed))
    print(f"{len(whole)} and {len(killed)} rows, {different} differ")
    return different


if __name__ == "__main__":
    main()
