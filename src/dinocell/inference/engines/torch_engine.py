"""The network in PyTorch: on a CPU, a CUDA or an MPS device."""

import contextlib
import copy
import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinocell.errors import InputError
from dinocell.inference.engines.device_map import DeviceMap
from dinocell.inference.settings import InferenceSettings, Precision
from dinocell.models.checkpoint import Checkpoint
from dinocell.models.network.devices import choose_device, multiplies_bfloat16
from dinocell.models.network.dinocell import DINOCell, normalise
from dinocell.tiling import Tile

logger = logging.getLogger(__name__)


class TorchEngine:
    """A model in PyTorch.

    Parameters
    ----------
    model : DINOCell or Checkpoint
        A network is set to eval mode and, in float32, moved to the device: the engine follows what it learns
        later. In other precisions the engine has a copy. A checkpoint is loaded.
    settings : InferenceSettings
        Of these, ``device``: ``auto`` (CUDA, else MPS, else CPU) or a torch device; ``precision``: ``auto``,
        ``float32`` or ``bfloat16``; and ``compiled``: translate the network to the device first. That takes
        most of a minute for each shape, so batches are filled up to the largest one so far.

    Attributes
    ----------
    blends : bool
        Whether `open_map` pays: on a device with a memory of its own.

    Raises
    ------
    InputError
        If the device is not there, or does not compute so; from `run` if nothing can be compiled here.
    """

    name = "torch"

    def __init__(self, model: DINOCell | Checkpoint, settings: InferenceSettings) -> None:
        if settings.precision == "int8":
            raise InputError("engine torch has no precision int8: choose engine onnx, or bfloat16")
        self._device = choose_device(settings.device)
        on_cuda = self._device.type == "cuda"
        self.blends = self._device.type != "cpu"
        self.precision: Precision = settings.precision
        if settings.precision == "auto":
            self.precision = "bfloat16" if on_cuda else "float32"
        self._dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        if self._dtype == torch.bfloat16 and not on_cuda and not multiplies_bfloat16():
            logger.warning("this processor has no instructions for bfloat16: float32 is much faster on it")
        if isinstance(model, Checkpoint):
            model = DINOCell.load(model)
        model = model.eval() if self._dtype == torch.float32 else copy.deepcopy(model).eval()
        self._model = model.to(self._device, self._dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network = torch.compile(self._model, dynamic=False) if settings.compiled else self._model
        self._filled = settings.compiled
        self._largest = 0

    @property
    def device(self) -> str:
        """Name of the device."""
        return str(self._device)

    @torch.inference_mode()
    def forward(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return distance maps float32 ``(B, T, Y, X)`` in [0, 1] of 8-bit tiles ``(B, Y, X)``."""
        return np.asarray(self.run(torch.from_numpy(tiles).to(self._device)).cpu().numpy())

    @torch.inference_mode()
    def features(self, tiles: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Return the four feature maps float32 ``(B, C, Y / s, X / s)`` of 8-bit tiles ``(B, Y, X)``."""
        x = normalise(torch.from_numpy(tiles).to(self._device)).to(self._dtype)
        maps = self._model.backbone(x.contiguous(memory_format=torch.channels_last))
        return tuple(np.asarray(one.float().cpu().numpy()) for one in maps)

    def open_map(
        self, gray: NDArray[np.uint8], tiles: Sequence[Tile], channels: Sequence[int]
    ) -> DeviceMap | None:
        """Begin some maps of a preprocessed image ``(Y, X)`` on the device; None where that does not pay."""
        if not self.blends:
            return None
        chosen = list(channels)
        return DeviceMap(
            gray, tiles, lambda batch: self.run(batch)[:, chosen], self._device, maps=len(chosen)
        )

    def side_by_side(self) -> AbstractContextManager[int]:
        """Return a block of 1: passes run one after the other."""
        return nullcontext(1)

    def release(self) -> None:
        """Return memory that is kept for later to the device."""
        if self._device.type in ("cuda", "mps"):
            getattr(torch, self._device.type).empty_cache()

    def run(self, tiles: Tensor) -> Tensor:
        """Do what `forward` does, with tensors on the device; call it in inference mode."""
        count = len(tiles)
        if self._filled and count < self._largest:
            tiles = torch.cat([tiles, tiles[-1:].expand(self._largest - count, -1, -1)])
        x = normalise(tiles).to(self._dtype).contiguous(memory_format=torch.channels_last)
        compiled = self._network is not self._model
        with _explain_compiler() if compiled else contextlib.nullcontext():
            logits = self._network(x)
        self._largest = max(self._largest, len(x))  # only now: a batch that did not fit is not filled up to
        return torch.sigmoid(logits.float()[:count])


@contextlib.contextmanager
def _explain_compiler() -> Iterator[None]:
    """Turn what a compiler says of itself into one line."""
    try:
        yield
    except torch._dynamo.exc.BackendCompilerFailed as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"the network cannot be compiled here ({reason}): leave --compile (compiled) out, or install a "
            "C++ compiler, and triton for GPUs"
        ) from error
