"""From annotated folders to batches: what the training loop draws and what it validates on."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from dinocell.augment import NO_AUGMENTATION, bounding_boxes, random_crop
from dinocell.datasets.folder import find_pairs
from dinocell.errors import FileFormatError, InputError
from dinocell.preprocessing import Preprocessing, preprocess
from dinocell.training.config import Dataset, TrainConfig

Batch = tuple[Tensor, Tensor, Tensor]
"""Images uint8 ``(B, Y, X)``, distance maps float32 ``(B, Y, X)``, valid pixels bool ``(B, Y, X)``."""

VALIDATION_CROPS = 2
"""Fixed crops taken from every validation image."""


@dataclass(frozen=True)
class Annotated:
    """A preprocessed image with its labels and the labels' bounding boxes."""

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    boxes: NDArray[np.int64]


def load(dataset: Dataset, preprocessing: Preprocessing) -> list[Annotated]:
    """Read and preprocess every image of a dataset; all of them stay in memory as 8-bit images and labels."""
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
    datasets : list of list of Annotated
    config : TrainConfig
        Gives the datasets' weights, the crop size, the augmentation and the seed.
    """

    def __init__(self, datasets: list[list[Annotated]], config: TrainConfig) -> None:
        self.datasets = datasets
        weights = np.asarray([dataset.weight for dataset in config.train])
        self.weights = weights / weights.sum()
        self.config = config

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng((self.config.seed, number))
        items = self.datasets[rng.choice(len(self.datasets), p=self.weights)]
        # Larger images hold more to see, so they are drawn more often.
        sizes = np.sqrt([item.image.size for item in items])
        item = items[rng.choice(len(items), p=sizes / sizes.sum())]
        crop = random_crop(
            item.image, item.labels, item.boxes, self.config.crop_size, self.config.augmentation, rng
        )
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


def validation_batches(items: list[Annotated], crop_size: int, batch_size: int) -> list[Batch]:
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
            crops.append(random_crop(item.image, item.labels, item.boxes, crop_size, NO_AUGMENTATION, rng))
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
