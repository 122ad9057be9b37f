"""Does training wait for its data? Crops a second of the loader alone, and the share of a step spent waiting.

``python benchmarks/loader.py`` (``--data FOLDER``, ``--model nano``, ``--steps 20``, ``--workers 0 1``). The
first step of each arm, which starts the processes, is left out.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from accelerate import Accelerator

from dinocell.datasets.folder import find_pairs
from dinocell.datasets.process import ProcessSettings, process
from dinocell.io.settings_files import read_settings
from dinocell.training import TrainConfig
from dinocell.training.samples import TrainingSamples, load_annotated
from dinocell.training.state import new_state
from dinocell.training.step import optimise

SAMPLES = Path(__file__).parents[1] / "samples"


def main() -> None:
    """Measure a folder, whose images stay in memory, and the store made of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SAMPLES)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    threads = f"{torch.get_num_threads()} threads"
    print(f"{arguments.model}, batch 8, crops of 192 px, {threads}, {arguments.steps} steps")
    print("data      workers   loader alone, crops/s   step, s   of it waiting")
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        for _ in process(find_pairs(arguments.data), store, ProcessSettings("folder"), workers=0):
            pass
        for name, path in (("folder", arguments.data), ("store", store)):
            for workers in arguments.workers:
                config = configuration(arguments.model, path, Path(folder) / "run", workers)
                rate, seconds, waiting = measure(config, arguments.steps)
                print(f"{name:<9} {workers:<9} {rate:<23.0f} {seconds:<9.2f} {waiting:.1%}")


def configuration(model: str, data: Path, output: Path, workers: int) -> TrainConfig:
    """Take the settings of the shipped recipe."""
    recipe = Path(__file__).parents[1] / "configs" / "nano.yaml"
    data_only = [{"path": data}]
    return read_settings(
        TrainConfig,
        recipe,
        ["precision=auto"],
        model=model,
        train=data_only,
        validation=data_only,
        output=output,
        workers=workers,
    )


def measure(config: TrainConfig, steps: int) -> tuple[float, float, float]:
    """Return the loader's crops a second, the seconds of a step, and the share of it spent waiting."""
    samples = TrainingSamples(
        [load_annotated(dataset, config.preprocessing) for dataset in config.train], config
    )
    batches = samples.steps(0, 4 * steps + 1)
    next(batches)
    start = time.perf_counter()
    alone = sum(len(next(batches)[0][0]) for _ in range(4 * steps)) / (time.perf_counter() - start)
    state = new_state(config, Accelerator(cpu=not torch.cuda.is_available()), resume=False)
    batches = samples.steps(0, steps + 1)
    optimise(state, next(batches), 0, config)
    waited, start = 0.0, time.perf_counter()
    for step in range(1, steps + 1):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        optimise(state, batch, step, config)
    total = time.perf_counter() - start
    return alone, total / steps, waited / total


if __name__ == "__main__":
    main()
