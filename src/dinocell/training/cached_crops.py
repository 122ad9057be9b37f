"""Fixed augmented crops with the feature maps of a frozen backbone, in files; a decoder learns from them."""

import functools
import hashlib
import json
import math
import shutil
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from dinocell.errors import ConfigError, OutputError, TrainingError
from dinocell.io.saving import atomic_path
from dinocell.models.network.dinocell import DINOCell, normalise
from dinocell.training.config import TrainConfig
from dinocell.training.samples import TrainingBatch, TrainingSamples
from dinocell.training.state import TrainingState

CACHE_FOLDER = "cached_crops"
"""Folder in the run folder; deleted when the run is complete."""

RECORD_FILE = "record.json"

_BETWEEN_RECORDS = 64
"""Crops between two records of how far the cache is: what is lost when it is stopped."""


class Crops(Protocol):
    """Numbered crops, each a batch without its first axis."""

    def __getitem__(self, number: int, /) -> TrainingBatch:
        """Return a crop."""


@dataclass(frozen=True)
class CropsCached:
    """Progress of a cache: crops that are done, of how many."""

    done: int
    total: int


class CropFiles:
    """Crops and their feature maps, memory-mapped.

    Parameters
    ----------
    folder : Path
        Created; continued where it was begun for the same `identity`, else emptied.
    model : DINOCell
        Decides the size of the feature maps.
    count, crop_size : int
        How many crops there will be, and their side in pixels.
    identity : str
        Stands for all that the crops and their maps depend on.
    """

    def __init__(self, folder: Path, model: DINOCell, count: int, crop_size: int, identity: str) -> None:
        self.folder, self.model, self.count, self.identity = folder, model, count, identity
        square = (count, crop_size, crop_size)
        backbone = model.backbone
        sides = [crop_size // stride for stride in backbone.strides]
        # Channels last: what convolutions read fastest.
        maps = [(count, side, side, n) for side, n in zip(sides, backbone.out_channels, strict=True)]
        self._planned: list[tuple[tuple[int, ...], np.dtype[Any]]] = [
            (square, np.dtype(np.uint8)),
            (square, np.dtype(np.float32)),
            (square, np.dtype(np.bool_)),
            ((count,), np.dtype(np.int64)),
            *((shape, np.dtype(np.float16)) for shape in maps),
        ]
        self.done = self._recorded()
        if not self.done:
            self._make_room()
        self._parts = [self._open(number, *plan) for number, plan in enumerate(self._planned)]

    def fill(self, crops: Crops, batch_size: int, precision: torch.dtype) -> Iterator[int]:
        """Store the crops that are not there yet, in order, and run the backbone on them.

        Yields
        ------
        int
            How many are done, after every batch.

        Raises
        ------
        TrainingError
            If a feature is beyond what 16 bits can hold.
        """
        recorded = self.done
        while self.done < self.count:
            last = min(self.done + batch_size, self.count)
            some = [crops[number] for number in range(self.done, last)]
            batch = [torch.stack(part) for part in zip(*some, strict=True)]
            batch += self._run_backbone(batch[0], precision)
            for kept, found in zip(self._parts, batch, strict=True):
                kept[self.done : last] = found.numpy()
            self.done = last
            if last == self.count or last >= recorded + _BETWEEN_RECORDS:
                self._record()
                recorded = last
            yield last

    def batch(self, numbers: slice | NDArray[np.int64]) -> TrainingBatch:
        """Read crops by number; those of a slice stay in their file until they are looked at."""
        image, distance, valid, target, *maps = (torch.from_numpy(part[numbers]) for part in self._parts)
        return image, distance, valid, target, *(each.permute(0, 3, 1, 2) for each in maps)

    @torch.no_grad()
    def _run_backbone(self, image: torch.Tensor, precision: torch.dtype) -> list[torch.Tensor]:
        """Compute the feature maps of images as float16 ``(B, Y, X, C)``."""
        device = self.model.device
        x = normalise(image.to(device)).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            maps = self.model.backbone(x)
        kept = [each.permute(0, 2, 3, 1).to("cpu", torch.float16) for each in maps]
        if not all(each.isfinite().all() for each in kept):
            raise TrainingError("the backbone's features are not finite as float16: leave cached_crops out")
        return kept

    def _recorded(self) -> int:
        """Return how many crops the folder holds of those that are wanted."""
        try:
            record = json.loads((self.folder / RECORD_FILE).read_text(encoding="utf-8"))
            same = record["identity"] == self.identity and record["count"] == self.count
            return int(record["done"]) if same and not any(map(self._lacks, range(len(self._planned)))) else 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def _lacks(self, number: int) -> bool:
        shape, dtype = self._planned[number]
        path = self._path(number)
        return not path.is_file() or path.stat().st_size < math.prod(shape) * dtype.itemsize

    def _record(self) -> None:
        for part in self._parts:
            part.flush()
        record = {"identity": self.identity, "count": self.count, "done": self.done}
        with atomic_path(self.folder / RECORD_FILE) as path:
            path.write_text(json.dumps(record), encoding="utf-8")

    def _make_room(self) -> None:
        """Clear the folder; a mapped file that outgrows its disk would kill the process."""
        needed = sum(math.prod(shape) * dtype.itemsize for shape, dtype in self._planned)
        try:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise OutputError(
                f"{self.folder} cannot be written ({error.strerror}): choose another"
            ) from error
        if free < 1.05 * needed:
            raise OutputError(
                f"{self.folder} has {free / 2**30:.1f} GiB left, but the cached crops need "
                f"{needed / 2**30:.1f}: lower cached_crops or crop_size, or choose another disk"
            )

    def _path(self, number: int) -> Path:
        return self.folder / f"{number}.npy"

    def _open(self, number: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.memmap[Any, Any]:
        mode = "r+" if self.done else "w+"
        return open_memmap(self._path(number), mode=mode, dtype=dtype, shape=shape)


class CachedSamples:
    """Batches of cached crops, in another order in every round.

    Parameters
    ----------
    samples : TrainingSamples
        Where the crops came from.
    files : CropFiles
    """

    def __init__(self, samples: TrainingSamples, files: CropFiles) -> None:
        self.samples, self.files = samples, files
        self.config: TrainConfig = samples.config

    def steps(
        self, first: int, last: int, *, process: int = 0, processes: int = 1
    ) -> Generator[list[TrainingBatch], None, None]:
        """Yield the batches of steps, as `TrainingSamples.steps` does, in the one process there is."""
        for step in range(first, last):
            yield [self.files.batch(numbers) for numbers in self._numbers(step)]

    def names(self, step: int) -> list[str]:
        """Name the images that the crops of a step come from."""
        return self.samples.names_of(np.concatenate(self._numbers(step)))

    def _numbers(self, step: int) -> list[NDArray[np.int64]]:
        """Return the numbers of the crops of each batch of a step."""
        size, accumulate = self.config.batch_size, self.config.accumulate
        first = step * accumulate * size
        positions = np.arange(first, first + accumulate * size)
        count = self.files.count
        numbers = np.asarray([self._round(p // count)[p % count] for p in positions.tolist()])
        return np.split(numbers, accumulate)

    @functools.lru_cache(maxsize=2)  # noqa: B019 - lives as long as the run
    def _round(self, number: int) -> NDArray[np.int64]:
        return np.random.default_rng((self.config.seed, number)).permutation(self.files.count)


def cache_crops(
    state: TrainingState,
    samples: TrainingSamples,
    validation: Sequence[Sequence[TrainingBatch]],
) -> Generator[CropsCached, None, tuple[CachedSamples, list[list[TrainingBatch]]]]:
    """Run a frozen backbone once on all crops that a run learns from and is validated on.

    Parameters
    ----------
    state : TrainingState
    samples : TrainingSamples
        The first ``cached_crops`` of them are kept.
    validation : sequence of sequence of TrainingBatch

    Yields
    ------
    CropsCached
        After every batch.

    Returns
    -------
    CachedSamples, list of list of TrainingBatch
        The same crops, with their feature maps.

    Raises
    ------
    ConfigError
        If the backbone learns, or there are several processes.
    """
    config = samples.config
    _check(state, config)
    datasets = [_unbatched(batches) for batches in validation]
    counts = [config.cached_crops, *map(len, datasets)]
    identity = _identity(state, config)
    kept = [
        CropFiles(config.output / CACHE_FOLDER / str(number), state.model, count, config.crop_size, identity)
        for number, count in enumerate(counts)
    ]
    before = 0
    sources: list[Crops] = [samples, *datasets]
    for files, crops in zip(kept, sources, strict=True):
        for done in files.fill(crops, config.batch_size, state.precision):
            yield CropsCached(before + done, sum(counts))
        before += files.count
    size = config.batch_size
    batches = [
        [files.batch(slice(first, first + size)) for first in range(0, files.count, size)]
        for files in kept[1:]
    ]
    return CachedSamples(samples, kept[0]), batches


def remove_cache(config: TrainConfig) -> None:
    """Delete the files of a complete run's crops."""
    shutil.rmtree(config.output / CACHE_FOLDER, ignore_errors=True)


def _check(state: TrainingState, config: TrainConfig) -> None:
    if state.mode != "frozen" or config.backbone.unfreeze_last:
        raise ConfigError(
            "cached_crops keeps the feature maps of a backbone that learns nothing: set backbone.mode to "
            "frozen and backbone.unfreeze_last to 0, or leave cached_crops out"
        )
    if state.accelerator.num_processes > 1:
        raise ConfigError("cached_crops is for one process: start it without torchrun, or leave it out")


def _unbatched(batches: Sequence[TrainingBatch]) -> list[TrainingBatch]:
    return [crop for batch in batches for crop in zip(*batch, strict=True)]


def _identity(state: TrainingState, config: TrainConfig) -> str:
    """Hash all that the cached crops depend on: settings, data, and the backbone's weights."""
    names = {"seed", "crop_size", "preprocessing", "augmentation", "split_components"}
    settings = config.model_dump(mode="json", include=names) | state.data
    annotates = [dataset.annotates for dataset in (*config.train, *config.validation)]
    text = json.dumps([settings, annotates, str(state.precision)], sort_keys=True)
    digest = hashlib.sha256(text.encode())
    for weights in state.model.backbone.state_dict().values():
        digest.update(weights.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
