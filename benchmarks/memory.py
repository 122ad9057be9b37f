"""Memory of each variant: weights, and activations for one 256×256 tile, without a GPU.

python benchmarks/memory.py [--variants small base …]    (default: all)

The real modules run, on fake tensors, which have shapes but no memory, so that 7b fits anywhere; a tracker
adds up which are alive. Activations are all that a pass creates beyond weights, input and the weights'
gradients. What a kernel takes for itself while it runs, and what an allocator rounds up, is not counted.
Where CUDA is there, the memory it allocates in bfloat16 autocast, weights included, is printed beside.
"""

import argparse
import gc
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dinocell.models.architecture import ViTConfig
from dinocell.models.network.building import build_backbone
from dinocell.models.network.dinocell import DINOCell
from dinocell.models.variants import VARIANTS

TILE = 256
BATCH = 8
MIB, GIB = 2**20, 2**30
ESTIMATES = {"small": "6 GB", "base": "10 GB", "large": "20 GB", "7b": "80 GB"}
"""GPU memory with a frozen backbone, as the design estimated it."""
COLUMNS = "variant|weights, MiB|inference, MiB|training frozen, MiB|training fine-tuned, MiB"
COLUMNS += f"|training {BATCH} frozen, all, GiB|the design's estimate"
CUDA_COLUMNS = f"|CUDA, 1 tile, GiB|CUDA, {BATCH} tiles, GiB|CUDA, training {BATCH} frozen, GiB"


class MemoryTracker(TorchDispatchMode):
    """Note which storages come and go while it is entered.

    Parameters
    ----------
    existing : list of Tensor
        Weights and inputs: neither they nor views of them are counted.

    Attributes
    ----------
    operators : set of str
        The names of the operators that ran.
    """

    # Every operator's outputs pass by here. A storage not seen before is an allocation, and a finaliser tells
    # when nobody, autograd included, holds it any more. The peak is read from these notes afterwards, since
    # only then is it known which storages are gradients.

    def __init__(self, existing: list[Tensor]) -> None:
        super().__init__()
        self.operators: set[str] = set()
        self._alive = {_address(tensor): -1 for tensor in existing}  # a storage's address: its number
        self._changes: list[tuple[int, int]] = []  # a storage's number, bytes

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operator and note the storages it creates."""
        result = operator(*args, **(kwargs or {}))
        self.operators.add(str(operator))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and _address(tensor) not in self._alive:
                number, storage = len(self._changes), tensor.untyped_storage()
                self._alive[_address(tensor)] = number
                self._changes.append((number, storage.nbytes()))
                weakref.finalize(storage, self._remove, _address(tensor), storage.nbytes())
        return result

    def _remove(self, address: int, size: int) -> None:
        self._changes.append((self._alive.pop(address), -size))

    def peak(self, *, without: Iterable[Tensor] = ()) -> int:
        """Find the most bytes alive at once, not counting the storages of some tensors."""
        ignored = {self._alive[_address(tensor)] for tensor in without}
        alive = most = 0
        for number, size in self._changes:
            alive += 0 if number in ignored else size
            most = max(most, alive)
        return most


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def track_inference(model: nn.Module, x: Tensor) -> MemoryTracker:
    """Run a forward pass without gradients."""
    with torch.no_grad(), MemoryTracker([*model.parameters(), *model.buffers(), x]) as tracker:
        model(x)
    return tracker


def track_training(model: nn.Module, x: Tensor, target: Tensor) -> MemoryTracker:
    """Run forward and backward; `gradients` are there afterwards."""
    model.zero_grad()
    with MemoryTracker([*model.parameters(), *model.buffers(), x, target]) as tracker:
        training_loss(model, x, target).backward()
    return tracker


def training_loss(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Compute the mean squared error of the model's map."""
    return nn.functional.mse_loss(torch.sigmoid(model(x).float()), target)


def gradients(model: nn.Module) -> list[Tensor]:
    """List the gradients of the weights that have one."""
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


@dataclass(frozen=True)
class Measurement:
    """Bytes of a variant's weights and of its decoder's gradients; peaks of the activations for one tile."""

    weights: int
    decoder_gradients: int
    inference: int
    frozen: int
    tuned: int
    attention: set[str]

    @property
    def frozen_batch(self) -> int:
        """All that training a batch with a frozen backbone takes; AdamW keeps two values a weight."""
        return self.weights + 3 * self.decoder_gradients + BATCH * self.frozen


def measure(name: str) -> Measurement:
    """Measure a variant on fake tensors."""
    with torch.device("meta"):  # drawing random weights looks at values, which fake tensors lack
        model = DINOCell.from_variant(name)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = model.to_empty(device="cpu")
        x, target = torch.empty(1, 3, TILE, TILE), torch.empty(1, 1, TILE, TILE)
        inference = track_inference(model.eval(), x).peak()
        training = track_training(model.train(), x, target)
        tuned = training.peak(without=gradients(model))
        model.freeze_backbone()
        frozen = track_training(model, x, target).peak(without=gradients(model))
        return Measurement(
            weights=sum(weight.nbytes for weight in model.parameters()),
            decoder_gradients=sum(gradient.nbytes for gradient in gradients(model)),
            inference=inference,
            frozen=frozen,
            tuned=tuned,
            attention={operator for operator in training.operators if "attention" in operator},
        )


def fill_cache() -> None:
    """Run a tiny ViT on a real tile: `transformers` caches patch positions, which must not be fake."""
    tiny = ViTConfig(hidden_size=8, depth=4, heads=1, intermediate_size=8, feature_blocks=(0, 1, 2, 3))
    build_backbone(tiny)(torch.zeros(1, 3, TILE, TILE))


def cuda_peak(name: str, batch: int, *, training: bool) -> int:
    """Measure the bytes CUDA allocates for a forward pass, or for training steps with a frozen backbone."""
    gc.collect()
    torch.cuda.empty_cache()
    with torch.device("cuda"):
        model = DINOCell.from_variant(name)
        x, target = torch.zeros(batch, 3, TILE, TILE), torch.zeros(batch, 1, TILE, TILE)
    model.train(training).freeze_backbone()
    optimiser = torch.optim.AdamW(model.decoder.parameters())
    torch.cuda.reset_peak_memory_stats()
    for _ in range(2):  # AdamW's state is there from the second step on
        with torch.set_grad_enabled(training), torch.autocast("cuda", torch.bfloat16):
            loss = training_loss(model, x, target)
        if training:
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return torch.cuda.max_memory_allocated()


def cells(name: str, measured: Measurement) -> list[str]:
    """Write a variant's row, measuring on CUDA where it is there."""
    peaks = (measured.weights, measured.inference, measured.frozen, measured.tuned)
    row = [name, *(f"{peak / MIB:,.1f}" for peak in peaks)]
    row += [f"{measured.frozen_batch / GIB:.2f}", ESTIMATES.get(name, "–")]
    if torch.cuda.is_available():
        for batch, training in ((1, False), (BATCH, False), (BATCH, True)):
            try:
                row.append(f"{cuda_peak(name, batch, training=training) / GIB:.2f}")
            except torch.OutOfMemoryError:
                row.append("does not fit")
    return row


def main() -> None:
    """Print a Markdown table, a row for each variant."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    names = parser.parse_args().variants
    fill_cache()
    measured = {name: measure(name) for name in names}
    attention = {operator for one in measured.values() for operator in one.attention}
    print(f"Activations: one {TILE}×{TILE} tile, float32, by the CPU operators of torch {torch.__version__}.")
    print(f"Attention ran as {', '.join(sorted(attention)) or 'nothing'}; flash keeps no N×N matrix.\n")
    columns = COLUMNS + (CUDA_COLUMNS if torch.cuda.is_available() else "")
    print(f"|{columns}|\n|---{'|--:' * columns.count('|')}|")
    for name in names:
        print(f"|{'|'.join(cells(name, measured[name]))}|", flush=True)


if __name__ == "__main__":
    main()
