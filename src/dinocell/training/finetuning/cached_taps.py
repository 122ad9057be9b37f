"""Augmented crops with the taps of a frozen backbone, computed once, so that a decoder learns without it."""

import itertools
import math
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinocell.errors import OutputError, TrainingError
from dinocell.models.network.devices import explain_out_of_memory
from dinocell.models.network.dinocell import DINOCell, normalise
from dinocell.training.augment import Crop

TapDtype = Literal["float32", "float16", "bfloat16"]

Maps = tuple[Tensor, ...]

TAPS_PREFIX = ".taps-"
"""Of the folder of a temporary file."""


@dataclass(frozen=True)
class CropBatch:
    """What one step learns from.

    Attributes
    ----------
    x : float32 tensor, shape (B, 3, Y, X)
        Network input.
    maps : tuple of float32 tensor
        The backbone's four feature maps of it; empty where they are not kept.
    distance : float32 tensor, shape (B, Y, X)
        The target.
    valid : bool tensor, shape (B, Y, X)
    """

    x: Tensor
    maps: Maps
    distance: Tensor
    valid: Tensor

    def logits(self, model: DINOCell) -> Tensor:
        """Predict the logits ``(B, Y, X)`` of the distance map; the backbone runs only without kept taps."""
        predicted: Tensor = model.decoder(self.x, self.maps) if self.maps else model(self.x)
        return predicted[:, 0]


class CropCache:
    """Numbered crops, each with its taps or without any; in memory, or in a file when they are too large.

    Use it in a ``with`` block; the file is gone after it.

    Parameters
    ----------
    model : DINOCell
        Gives the device, and the size of the taps.
    count, crop_size : int
        How many crops there will be, and their side in pixels.
    taps : bool
        Whether to keep taps; the backbone must be frozen then.
    dtype : str
        What the taps are stored as.
    memory_limit : int
        In bytes. More than that goes to a temporary file in `folder`, of which the system keeps in memory
        what it can.
    folder : Path
    """

    def __init__(
        self,
        model: DINOCell,
        count: int,
        crop_size: int,
        *,
        taps: bool,
        dtype: TapDtype = "float16",
        memory_limit: int = 2**31,
        folder: Path,
    ) -> None:
        self.model, self.count = model, count
        square = (count, crop_size, crop_size)
        backbone = model.backbone
        sides = [crop_size // stride for stride in backbone.strides] if taps else []
        # Channels last: what convolutions read fastest, and what the model runs in.
        shapes = [(count, side, side, n) for side, n in zip(sides, backbone.out_channels, strict=False)]
        kinds = [torch.uint8, torch.float32, torch.bool, *[getattr(torch, dtype)] * len(shapes)]
        planned = list(zip([square, square, square, *shapes], kinds, strict=True))
        self.bytes = sum(math.prod(shape) * kind.itemsize for shape, kind in planned)
        self._folder = None if self.bytes <= memory_limit else _temporary_folder(folder, self.bytes)
        parts = [self._allocate(number, *each) for number, each in enumerate(planned)]
        self._images, self._distance, self._valid, *self._taps = parts

    @property
    def has_taps(self) -> bool:
        """Whether taps are kept."""
        return bool(self._taps)

    @property
    def in_memory(self) -> bool:
        """Whether the crops are in memory and in no file."""
        return self._folder is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._images, self._distance, self._valid, self._taps  # an open file could not be deleted
        if self._folder is not None:
            self._folder.cleanup()

    def _allocate(self, number: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if self._folder is None:
            return torch.empty(shape, dtype=dtype)
        file = str(Path(self._folder.name) / str(number))
        return torch.from_file(file, shared=True, size=math.prod(shape), dtype=dtype).view(shape)

    def fill(self, crops: Iterable[Crop], batch_size: int) -> Iterator[int]:
        """Store `count` crops in order and run the backbone on them where taps are kept.

        Yields
        ------
        int
            How many are done, after every batch.

        Raises
        ------
        TrainingError
            If a tap is beyond what `dtype` can hold.
        DeviceMemoryError
            If the memory is not enough for a batch.
        """
        remaining = iter(crops)
        for first in range(0, self.count, batch_size):
            some = list(itertools.islice(remaining, batch_size))
            last = first + len(some)
            self._images[first:last] = torch.from_numpy(np.stack([crop.image for crop in some]))
            self._distance[first:last] = torch.from_numpy(np.stack([crop.distance for crop in some]))
            self._valid[first:last] = torch.from_numpy(np.stack([crop.valid for crop in some]))
            if self._taps:
                maps = self.run_backbone(self._input(slice(first, last)))
                for kept, found in zip(self._taps, maps, strict=True):
                    kept[first:last] = found.permute(0, 2, 3, 1).to("cpu", kept.dtype)
                    if not kept[first:last].isfinite().all():
                        raise TrainingError(
                            f"the backbone's features are not finite as {kept.dtype}: "
                            "set cache_dtype to bfloat16 or float32"
                        )
            yield last

    def batch(self, numbers: NDArray[np.int64]) -> CropBatch:
        """Fetch crops by number."""
        index = torch.from_numpy(numbers)
        device = self.model.device
        maps = (kept[index].to(device).float().permute(0, 3, 1, 2) for kept in self._taps)
        return CropBatch(
            self._input(index), tuple(maps), self._distance[index].to(device), self._valid[index].to(device)
        )

    @torch.no_grad()
    def run_backbone(self, x: Tensor) -> Maps:
        """Compute the taps of a batch ``(B, 3, Y, X)``, as a step without the cache would."""
        with (
            explain_out_of_memory(
                f"the memory of {x.device} is not enough for the backbone on {len(x)} crops of "
                f"{x.shape[-1]} px: choose a smaller batch_size or crop_size"
            ),
            torch.autocast("cuda", torch.bfloat16, enabled=x.device.type == "cuda"),
        ):
            maps: Maps = self.model.backbone(x)
        return maps

    def _input(self, index: Tensor | slice) -> Tensor:
        x = normalise(self._images[index].to(self.model.device))
        return x.contiguous(memory_format=torch.channels_last)


def _temporary_folder(folder: Path, needed: int) -> "tempfile.TemporaryDirectory[str]":
    """Make a folder for `needed` bytes; a mapped file that outgrows its disk would kill the process."""
    free = shutil.disk_usage(folder).free
    if free < 1.05 * needed:
        raise OutputError(
            f"{folder} has {free / 2**30:.1f} GiB left, but the cached features need {needed / 2**30:.1f}: "
            "choose fewer variants, a smaller crop size, or another disk"
        )
    return tempfile.TemporaryDirectory(dir=folder, prefix=TAPS_PREFIX, ignore_cleanup_errors=True)
