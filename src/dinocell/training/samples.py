"""From annotated folders to batches: what the training loop draws and what it validates on."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from dinocell.augment import NO_AUGMENTATION, Augmentation, Crop, bounding_boxes, random_crop
from dinocell.datasets.folder import find_pairs
from dinocell.datasets.store import DINOCellDataset, is_store
from dinocell.errors import ConfigError, FileFormatError, InputError
from dinocell.preprocessing import Preprocessing, preprocess
from dinocell.training.config import Dataset, TrainConfig

Batch = tuple[Tensor, Tensor, Tensor]
"""Images uint8 ``(B, Y, X)``, distance maps float32 ``(B, Y, X)``, valid pixels bool ``(B, Y, X)``."""

VALIDATION_CROPS = 2
"""Fixed crops taken from every validation image."""


@dataclass(frozen=True)
class Annotated:
    """A preprocessed image with its labels and the labels' bounding boxes.

    The distance map comes with a crop of a store, which cuts cells; else it is measured on the labels.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    boxes: NDArray[np.int64]
    distance: NDArray[np.float32] | None = None


class StoreImages(Sequence[Annotated]):
    """The crops of a store, read when they are asked for."""

    def __init__(self, folder: Path, preprocessing: Preprocessing) -> None:
        self._dataset = DINOCellDataset(folder)
        info = self._dataset.info
        if info is not None and info.preprocessing != preprocessing:
            raise ConfigError(
                f"{folder} went through {info.preprocessing}, but preprocessing is {preprocessing}: "
                "make them the same, or process the data again"
            )

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, number: int) -> Annotated:  # type: ignore[override]
        sample = self._dataset[number]
        labels = sample.labels
        if labels is None:  # SAMCell's stores may have maps alone; then nothing is ignored
            labels = (sample.distance > 0).astype(np.int32)
        height, width = self.shape(number)
        inside = np.s_[:height, :width]
        no_boxes = np.zeros((0, 4), np.int64)
        return Annotated(sample.image[inside], labels[inside], no_boxes, sample.distance[inside])

    def shape(self, number: int) -> tuple[int, int]:
        """Height and width of a crop without its padding."""
        height, width = self._dataset.size
        if not self._dataset.index:
            return height, width
        entry = self._dataset.index[number]
        return min(height, entry.image_shape[0] - entry.y), min(width, entry.image_shape[1] - entry.x)


def load(dataset: Dataset, preprocessing: Preprocessing) -> Sequence[Annotated]:
    """Open a store, or read and preprocess every image of a folder.

    A store is read crop by crop; a folder's images stay in memory, as 8-bit images and labels.
    """
    if is_store(dataset.path):
        return StoreImages(dataset.path, preprocessing)
    loaded = []
    for pair in find_pairs(dataset.path):
        annotated = pair.read()
        labels = annotated.labels
        try:
            image = preprocess(annotated.pixels, preprocessing)
        except InputError as error:
            raise FileFormatError(f"{pair.image}: {error}") from error
        loaded.append(Annotated(image, labels, bounding_boxes(labels)))
    return loaded


class TrainingSamples(TorchDataset[Batch]):
    """Augmented crops by number; crop ``i`` is the same whenever and wherever it is drawn.

    Parameters
    ----------
    datasets : list of sequence of Annotated
    config : TrainConfig
        Gives the datasets' weights, the crop size, the augmentation and the seed.
    """

    def __init__(self, datasets: Sequence[Sequence[Annotated]], config: TrainConfig) -> None:
        self.datasets = datasets
        self._shares = [_shares(items) for items in datasets]
        weights = np.asarray([dataset.weight for dataset in config.train])
        self.weights = weights / weights.sum()
        self.config = config

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng((self.config.seed, number))
        chosen = rng.choice(len(self.datasets), p=self.weights)
        items = self.datasets[chosen]
        item = items[int(rng.choice(len(items), p=self._shares[chosen]))]
        crop = _draw(item, self.config.crop_size, self.config.augmentation, rng)
        return torch.from_numpy(crop.image), torch.from_numpy(crop.distance), torch.from_numpy(crop.valid)

    def batches(self, first_step: int, last_step: int) -> Iterator[Batch]:
        """Yield the batches of the steps from `first_step` up to, not including, `last_step`."""
        size, workers = self.config.batch_size, self.config.workers
        loader = DataLoader(
            self,
            batch_size=size,
            sampler=range(first_step * size, last_step * size),
            num_workers=workers,
            worker_init_fn=_single_threaded,
            prefetch_factor=4 if workers else None,
        )
        yield from loader


def _shares(items: Sequence[Annotated]) -> NDArray[np.float64]:
    """How often each image is drawn: larger ones hold more to see."""
    if isinstance(items, StoreImages):
        areas = [math.prod(items.shape(number)) for number in range(len(items))]
    else:
        areas = [item.image.size for item in items]
    sizes = np.sqrt(areas)
    return np.asarray(sizes / sizes.sum())


def _draw(item: Annotated, size: int, settings: Augmentation, rng: np.random.Generator) -> Crop:
    return random_crop(item.image, item.labels, item.boxes, size, settings, rng, distance=item.distance)


def validation_batches(items: Sequence[Annotated], crop_size: int, batch_size: int) -> list[Batch]:
    """Cut the fixed, unaugmented crops of a validation dataset.

    Returns
    -------
    list of Batch
        The same every time.
    """
    crops = []
    for number, item in enumerate(items):
        rng = np.random.default_rng(number)
        for _ in range(VALIDATION_CROPS):
            crops.append(_draw(item, crop_size, NO_AUGMENTATION, rng))
    return [
        (
            torch.from_numpy(np.stack([crop.image for crop in crops[i : i + batch_size]])),
            torch.from_numpy(np.stack([crop.distance for crop in crops[i : i + batch_size]])),
            torch.from_numpy(np.stack([crop.valid for crop in crops[i : i + batch_size]])),
        )
        for i in range(0, len(crops), batch_size)
    ]


def _single_threaded(_worker: int) -> None:
    cv2.setNumThreads(0)
