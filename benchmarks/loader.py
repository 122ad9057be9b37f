"""Does training wait for its data? Crops a second of the loader alone, and the share of a step spent waiting.

``python benchmarks/loader.py`` (``--data FOLDER …``, ``--model nano``, ``--steps 20``, ``--workers 0 1``,
``--batch-size 8``, ``--crop-size 192``, ``--set NAME=VALUE …``). With ``--workers device`` the device that
trains prepares its crops. The first step of each arm, which starts the processes, is left out.
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
from dinocell.training.samples import load_annotated
from dinocell.training.sources import open_samples
from dinocell.training.state import new_state
from dinocell.training.step import optimise

SAMPLES = Path(__file__).parents[1] / "samples"


def main() -> None:
    """Measure folders, whose images stay in memory, and the store made of the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", default=[SAMPLES])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--workers", nargs="+", default=["0", "1", "2", "device"])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--crop-size", type=int, default=192)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--no-store", action="store_true", help="measure the folders only")
    arguments = parser.parse_args()
    threads = f"{torch.get_num_threads()} threads"
    sizes = f"batch {arguments.batch_size}, crops of {arguments.crop_size} px"
    print(f"{arguments.model}, {sizes}, {threads}, {arguments.steps} steps")
    print("data      workers   loader alone, crops/s   step, s   of it waiting   crops/s in training")
    with tempfile.TemporaryDirectory() as folder:
        sources = {"folder": arguments.data}
        if not arguments.no_store:
            sources["store"] = [Path(folder) / "store"]
            settings = ProcessSettings("folder")
            for _ in process(find_pairs(arguments.data[0]), sources["store"][0], settings, workers=0):
                pass
        for name, paths in sources.items():
            for workers in arguments.workers:
                config = configuration(arguments, paths, Path(folder) / "run", workers)
                rate, seconds, waiting = measure(config, arguments.steps)
                trained = arguments.batch_size / seconds
                print(f"{name:<9} {workers:<9} {rate:<23.0f} {seconds:<9.3f} {waiting:<15.1%} {trained:.0f}")


def configuration(arguments: argparse.Namespace, data: list[Path], output: Path, workers: str) -> TrainConfig:
    """Take the settings of the shipped recipe."""
    recipe = Path(__file__).parents[1] / "configs" / "nano.yaml"
    data_only = [{"path": path} for path in data]
    on_device = workers == "device"
    return read_settings(
        TrainConfig,
        recipe,
        ["precision=auto", f"data_on={'device' if on_device else 'cpu'}", *arguments.set],
        model=arguments.model,
        train=data_only,
        validation=data_only[:1],
        output=output,
        workers=0 if on_device else int(workers),
        batch_size=arguments.batch_size,
        crop_size=arguments.crop_size,
    )


def measure(config: TrainConfig, steps: int) -> tuple[float, float, float]:
    """Return the loader's crops a second, the seconds of a step, and the share of it spent waiting."""
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    datasets = [load_annotated(dataset, config.preprocessing) for dataset in config.train]
    samples = open_samples(datasets, config, accelerator.device)
    batches = samples.steps(0, 4 * steps + 1)
    next(batches)
    wait_for_device()
    start = time.perf_counter()
    alone = sum(len(next(batches)[0][0]) for _ in range(4 * steps))
    wait_for_device()
    rate = alone / (time.perf_counter() - start)
    state = new_state(config, accelerator, resume=False)
    batches = samples.steps(0, steps + 1)
    optimise(state, next(batches), 0, config)
    waited, start = 0.0, time.perf_counter()
    for step in range(1, steps + 1):
        asked = time.perf_counter()
        batch = next(batches)
        wait_for_device()
        waited += time.perf_counter() - asked
        optimise(state, batch, step, config)
    total = time.perf_counter() - start
    return rate, total / steps, waited / total


def wait_for_device() -> None:
    """Wait until a GPU has done what it was told to: crops that it prepares take its time, too."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
