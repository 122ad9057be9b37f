"""Physical limit of a network on a machine: what it must compute and move, over what the machine can.

python benchmarks/floor.py [--models nano small …] [--threads 2] [--batch 4]    (on the CPU; gpu.py for GPUs)

A convolution or a product with weights reads its operands and writes its result once; all between them
(norms, activations, sums, what attention keeps to itself) is taken to move nothing. The two rates are
measured, not looked up: a large matrix product, and a large copy, counting bytes read and bytes written.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dinocell.inference.engines.torch_engine import TorchEngine
from dinocell.inference.settings import InferenceSettings
from dinocell.models.network.dinocell import DINOCell
from machine import describe_machine

MATRIX = {"cpu": 3072, "cuda": 8192}
COPIED = {"cpu": 2**28, "cuda": 2**32}


@dataclass(frozen=True)
class Work:
    """Cost of one tile for a network.

    Attributes
    ----------
    operations : float
        Multiplications and additions, each counted.
    moved : float
        Elements of activations that are read or written.
    weights : float
        Elements of weights, read once a batch.
    """

    operations: float
    moved: float
    weights: float


@dataclass(frozen=True)
class Rates:
    """Rates of a machine: operations and bytes in a second."""

    operations: float
    moved: float

    def floor(self, work: Work, batch: int, element: int) -> float:
        """Return the seconds for a tile that no program can beat, with elements of `element` bytes."""
        traffic = element * (work.moved + work.weights / batch)
        return max(work.operations / self.operations, traffic / self.moved)


def count_work(model: DINOCell, side: int = 256) -> Work:
    """Count what one tile costs; the model is moved to a device without memory."""
    model = model.to("meta").eval()
    moved = 0

    def note(_module: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        nonlocal moved
        moved += given[0].numel() + result.numel()

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.register_forward_hook(note)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, side, side, device="meta"))
    weights = sum(parameter.numel() for parameter in model.parameters())
    return Work(float(counter.get_total_flops()), float(moved), float(weights))


def measure_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """Time a large matrix product in a dtype, and a large copy."""
    side, size = MATRIX[device.type], COPIED[device.type]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    source = torch.empty(size // 4, dtype=torch.float32, device=device).normal_()
    target = torch.empty_like(source)
    return Rates(
        2 * side**3 / timed(lambda: torch.mm(a, b), device),
        2 * size / timed(lambda: target.copy_(source), device),
    )


def timed(work: Callable[[], object], device: torch.device, *, repeats: int = 5) -> float:
    """Return the median seconds of some runs, after one that is not counted."""
    seconds = []
    for _ in range(repeats + 1):
        wait(device)
        start = time.perf_counter()
        work()
        wait(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def wait(device: torch.device) -> None:
    """Wait until the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Print a row for each model: what a tile costs, the floor, and how far above it a forward pass is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--models", nargs="+", default=["nano", "small", "small-plus", "base", "convnext-tiny", "large"]
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    cpu = torch.device("cpu")
    rates = measure_rates(cpu, torch.float32)
    speeds = f"{rates.operations / 1e9:.0f} GFLOP/s in float32, {rates.moved / 1e9:.1f} GB/s"
    print(f"{describe_machine()}, {arguments.threads} threads: {speeds}")
    print("| model | Gop a tile | MB a tile | floor, ms a tile | measured | measured / floor |")
    print("|---|--:|--:|--:|--:|--:|")
    tiles = np.random.default_rng(0).integers(0, 256, (arguments.batch, 256, 256), np.uint8)
    for name in arguments.models:
        with torch.device("meta"):
            work = count_work(DINOCell.from_variant(name))
        engine = TorchEngine(DINOCell.from_variant(name), InferenceSettings(device="cpu"))
        measured = timed(lambda: engine.forward(tiles), cpu, repeats=3) / arguments.batch  # noqa: B023 (called here)
        floor = rates.floor(work, arguments.batch, 4)
        traffic = 4 * (work.moved + work.weights / arguments.batch) / 1e6
        row = f"{work.operations / 1e9:.1f} | {traffic:.0f} | {floor * 1e3:.1f} | {measured * 1e3:.1f}"
        print(f"| `{name}` | {row} | {measured / floor:.2f}× |", flush=True)


if __name__ == "__main__":
    main()
