"""The network in PyTorch: on a CPU, a CUDA or an MPS device."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinocell.devices import choose_device
from dinocell.engines.device_map import DeviceMap
from dinocell.model import DINOCell, normalise
from dinocell.tiling import Tile


class TorchEngine:
    """A model in PyTorch; bfloat16 on CUDA, else float32.

    Parameters
    ----------
    model : DINOCell
        Moved to the device and set to eval mode.
    device : str
        ``auto`` (CUDA, else MPS, else CPU) or a torch device.
    compiled : bool
        Translate the network to the device first: that takes a minute for each shape of a batch, so batches
        are filled up to `batch_size`.

    Raises
    ------
    InputError
        If the device is not there.
    """

    name = "torch"

    def __init__(self, model: DINOCell, device: str = "auto", *, compiled: bool = False) -> None:
        self._device = choose_device(device)
        self._model = model.eval().to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network = torch.compile(self._model, dynamic=False) if compiled else self._model
        self._filled = compiled
        self._largest = 0

    @property
    def device(self) -> str:
        """Name of the device."""
        return str(self._device)

    @property
    def blends(self) -> bool:
        """Whether `open_map` pays: on a device with a memory of its own."""
        return self._device.type != "cpu"

    @torch.inference_mode()
    def forward(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Distance maps float32 ``(B, Y, X)`` in [0, 1] of 8-bit tiles ``(B, Y, X)``."""
        return np.asarray(self._run(torch.from_numpy(tiles).to(self._device)).cpu().numpy())

    def open_map(self, gray: NDArray[np.uint8], tiles: Sequence[Tile]) -> DeviceMap:
        """Begin the map of a preprocessed image ``(Y, X)``, to be put together on the device."""
        return DeviceMap(gray, tiles, self._run, self._device)

    def release(self) -> None:
        """Give memory that is kept for later back to the device."""
        if self._device.type in ("cuda", "mps"):
            getattr(torch, self._device.type).empty_cache()

    def _run(self, tiles: Tensor) -> Tensor:
        count = len(tiles)
        if self._filled and count < self._largest:
            tiles = torch.cat([tiles, tiles[-1:].expand(self._largest - count, -1, -1)])
        self._largest = max(self._largest, count)
        x = normalise(tiles).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cuda", torch.bfloat16, enabled=self._device.type == "cuda"):
            logits = self._network(x)
        return torch.sigmoid(logits.float())[:count, 0]
