"""The physical limit of a network on a machine: what it must compute and move, over what the machine can.

A convolution or a product with weights reads its operands and writes its result once; all between them
(norms, activations, sums, what attention keeps to itself) is taken to move nothing. The two rates are
measured, not looked up: a large matrix product, and a large copy, counting bytes read and bytes written.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dinocell.model import DINOCell

MATRIX = {"cpu": 3072, "cuda": 8192}
COPIED = {"cpu": 2**28, "cuda": 2**32}


@dataclass(frozen=True)
class Work:
    """What one tile costs a network.

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
    """What a machine can do: operations a second, and bytes a second."""

    operations: float
    moved: float

    def floor(self, work: Work, batch: int, element: int) -> float:
        """Give the seconds a tile that no program can beat, with elements of so many bytes."""
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
    """Give the median seconds of some runs, after one that is not counted."""
    seconds = []
    for _ in range(repeats + 1):
        wait(device)
        start = time.perf_counter()
        work()
        wait(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def wait(device: torch.device) -> None:
    """Wait until the device has done all."""
    if device.type == "cuda":
        torch.cuda.synchronize()
