"""Time before anything happens: help, import, and the first labels of a 512² image.

python benchmarks/startup.py [--repeats 5]

Every measurement is a process of its own, without network; an empty Python beside them says what the machine
takes for that. The fastest of the repeats counts: files are in the disk's cache then.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from machine import describe_machine

SAMPLE = Path(__file__).parents[1] / "samples" / "fluorescence_1_img.png"


def main() -> None:
    """Print a row for each command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    print(describe_machine())
    print("| what | seconds | goal |\n|---|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        sample = cv2.imread(str(SAMPLE), cv2.IMREAD_GRAYSCALE)
        times = -(-512 // min(sample.shape))
        cv2.imwrite(f"{folder}/image.png", np.tile(sample, (times, times))[:512, :512])
        dinocell = [sys.executable, "-m", "dinocell"]
        segment = [*dinocell, "segment", f"{folder}/image.png", "-o", f"{folder}/out", "--overwrite"]
        for what, command, goal in (
            ("python, nothing else", [sys.executable, "-c", ""], ""),
            ("`import dinocell`", [sys.executable, "-c", "import dinocell"], "0.1"),
            ("`dinocell --help`", [*dinocell, "--help"], "0.25"),
            ("first labels of 512², `dinocell segment`", segment, "1.2"),
        ):
            best = min(run(command) for _ in range(repeats))
            print(f"| {what} | {best:.2f} | {goal} |", flush=True)


def run(command: list[str]) -> float:
    """Measure the seconds of a process."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)  # noqa: S603 (our own command)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
