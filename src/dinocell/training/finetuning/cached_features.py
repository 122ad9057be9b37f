"""Augmented crops with the feature maps of a frozen backbone, computed once: a decoder learns without it."""

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
from dinocell.models.memory import explain_out_of_memory
from dinocell.models.network.dinocell import DINOCell, normalise
from dinocell.training.augment import Crop

FeatureDtype = Literal["float32", "float16", "bfloat16"]

Maps = tuple[Tensor, ...]

FEATURES_PREFIX = ".features-"
"""Beginning of the name of the folder of temporary files."""


@dataclass(frozen=True)
class CropBatch:
    """Crops that one step learns from.

    Attributes
    ----------
    x : float32 tensor, shape (B, 3, Y, X)
        Network input.
    maps : tuple of float32 tensor
        The backbone's four feature maps of it; empty where they are not kept.
    distance : float32 tensor, shape (B, Y, X)
        The map to learn.
    valid : bool tensor, shape (B, Y, X)
    others : float32 tensor, shape (B, T - 1, Y, X)
        The maps to keep: what the model predicted, before it learned, for its other targets.
    """

    x: Tensor
    maps: Maps
    distance: Tensor
    valid: Tensor
    others: Tensor

    def logits(self, model: DINOCell) -> Tensor:
        """Predict the logits ``(B, T, Y, X)`` of the maps; with feature maps, without the backbone."""
        predicted: Tensor = model.decoder(self.x, self.maps) if self.maps else model(self.x)
        return predicted


class CropCache:
    """Numbered crops, with or without their feature maps; in memory, or in files when they are too large.

    Use it in a ``with`` block; the files are gone after it.

    Parameters
    ----------
    model : DINOCell
        Decides the device, and the size of the feature maps; it predicts the maps of the other targets.
    target : int
        Number of the map that is learned.
    count, crop_size : int
        How many crops there will be, and their side in pixels.
    features : bool
        Whether to keep feature maps; the backbone must be frozen then.
    dtype : str
        Number format that feature maps are stored in.
    memory_limit : int
        In bytes. More than that goes to a temporary file in `folder`, of which the system keeps in memory
        what it can.
    folder : Path
    """

    def __init__(
        self,
        model: DINOCell,
        target: int,
        count: int,
        crop_size: int,
        *,
        features: bool,
        dtype: FeatureDtype = "float16",
        memory_limit: int = 2**31,
        folder: Path,
    ) -> None:
        self.model, self.target, self.count = model, target, count
        square = (count, crop_size, crop_size)
        backbone = model.backbone
        sides = [crop_size // stride for stride in backbone.strides] if features else []
        # Channels last: what convolutions read fastest, and what the model runs in.
        shapes = [(count, side, side, n) for side, n in zip(sides, backbone.out_channels, strict=False)]
        others = (count, len(model.config.targets) - 1, crop_size, crop_size)
        kinds = [
            torch.uint8,
            torch.float32,
            torch.bool,
            torch.float16,
            *[getattr(torch, dtype)] * len(shapes),
        ]
        planned = list(zip([square, square, square, others, *shapes], kinds, strict=True))
        self.bytes = sum(math.prod(shape) * kind.itemsize for shape, kind in planned)
        self._folder = None if self.bytes <= memory_limit else _temporary_folder(folder, self.bytes)
        parts = [self._allocate(number, *each) for number, each in enumerate(planned)]
        self._images, self._distance, self._valid, self._others, *self._features = parts

    @property
    def has_features(self) -> bool:
        """True where feature maps are kept."""
        return bool(self._features)

    @property
    def in_memory(self) -> bool:
        """True where the crops are in memory and in no file."""
        return self._folder is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del (
            self._images,
            self._distance,
            self._valid,
            self._others,
            self._features,
        )  # an open file could not be deleted
        if self._folder is not None:
            self._folder.cleanup()

    def _allocate(self, number: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if self._folder is None:
            return torch.empty(shape, dtype=dtype)
        file = str(Path(self._folder.name) / str(number))
        return torch.from_file(file, shared=True, size=math.prod(shape), dtype=dtype).view(shape)

    def fill(self, crops: Iterable[Crop], batch_size: int) -> Iterator[int]:
        """Store `count` crops in order, with what is to be kept of the model's other maps and features.

        Yields
        ------
        int
            How many are done, after every batch.

        Raises
        ------
        TrainingError
            If a feature is beyond what `dtype` can hold.
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
            if self._features or self._others.numel():
                self._store_predicted(first, last)
            yield last

    def _store_predicted(self, first: int, last: int) -> None:
        """Run the model on some crops, and store feature maps and the maps of the other targets."""
        x = self._input(slice(first, last))
        maps = self.run_backbone(x)
        for kept, found in zip(self._features, maps, strict=False):
            kept[first:last] = found.permute(0, 2, 3, 1).to("cpu", kept.dtype)
            if not kept[first:last].isfinite().all():
                raise TrainingError(
                    f"the backbone's features are not finite as {kept.dtype}: "
                    "set cache_dtype to bfloat16 or float32"
                )
        if self._others.numel():
            with torch.no_grad():
                predicted = torch.sigmoid(self.model.decoder(x, maps).float())
            self._others[first:last] = other_maps(predicted, self.target).to("cpu", torch.float16)

    def batch(self, numbers: NDArray[np.int64]) -> CropBatch:
        """Read crops by number."""
        index = torch.from_numpy(numbers)
        device = self.model.device
        maps = (kept[index].to(device).float().permute(0, 3, 1, 2) for kept in self._features)
        return CropBatch(
            self._input(index),
            tuple(maps),
            self._distance[index].to(device),
            self._valid[index].to(device),
            self._others[index].to(device).float(),
        )

    @torch.no_grad()
    def run_backbone(self, x: Tensor) -> Maps:
        """Compute the feature maps of a batch ``(B, 3, Y, X)``, as a step without the cache would."""
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


def other_maps(maps: Tensor, target: int) -> Tensor:
    """Return the maps ``(B, T - 1, Y, X)`` of all targets but one."""
    return torch.cat((maps[:, :target], maps[:, target + 1 :]), dim=1)


def _temporary_folder(folder: Path, needed: int) -> "tempfile.TemporaryDirectory[str]":
    """Create a folder for `needed` bytes; a mapped file that outgrows its disk would kill the process."""
    free = shutil.disk_usage(folder).free
    if free < 1.05 * needed:
        raise OutputError(
            f"{folder} has {free / 2**30:.1f} GiB left, but the cached features need {needed / 2**30:.1f}: "
            "choose fewer variants, a smaller crop size, or another disk"
        )
    return tempfile.TemporaryDirectory(dir=folder, prefix=FEATURES_PREFIX, ignore_cleanup_errors=True)
