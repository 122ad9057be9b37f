"""Batches of crops from annotated folders and stores: to learn from, and to validate on."""

import contextlib
import itertools
import logging
import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from dinocell.datasets.folder import find_pairs
from dinocell.datasets.masks import first_few
from dinocell.datasets.store import DINOCellDataset, is_store
from dinocell.errors import ConfigError, DINOCellError, FileFormatError, InputError, WorkerError
from dinocell.labels import TARGETS, Target
from dinocell.preprocess.preprocessing import Preprocessing
from dinocell.training.annotated import Annotated, annotate
from dinocell.training.augment import Crop, StyleSource, random_crop, use_one_thread
from dinocell.training.augmentation import NO_AUGMENTATION
from dinocell.training.config import Dataset, TrainConfig
from dinocell.training.placement import place
from dinocell.training.warp import warp

logger = logging.getLogger(__name__)

TrainingBatch = tuple[Tensor, Tensor, Tensor, Tensor, *tuple[Tensor, ...]]
"""Images uint8 ``(B, Y, X)``, distance maps float32 ``(B, Y, X)``, valid pixels bool ``(B, Y, X)``, and int64
``(B,)``: the target that each crop annotates, by its number in `TARGETS`. The feature maps may follow, where
a frozen backbone was run before (`dinocell.training.cached_crops`)."""

VALIDATION_CROPS = 2
"""Fixed crops taken from every validation image."""


class StoreImages(Sequence[Annotated]):
    """The crops of a store, read when they are asked for."""

    def __init__(self, folder: Path, preprocessing: Preprocessing) -> None:
        self._dataset = DINOCellDataset(folder)
        self._preprocessing = preprocessing
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
        return Annotated(
            sample.name,
            sample.image[inside],
            labels[inside],
            sample.distance[inside],
            preprocessing=self._preprocessing,
        )

    @property
    def has_cells(self) -> bool:
        """True where an image has cells; taken for granted in SAMCell's stores, which do not record it."""
        return not self._dataset.index or any(entry.cells for entry in self._dataset.index)

    def shape(self, number: int) -> tuple[int, int]:
        """Return height and width of a crop without its padding."""
        height, width = self._dataset.size
        if not self._dataset.index:
            return height, width
        entry = self._dataset.index[number]
        return min(height, entry.image_shape[0] - entry.y), min(width, entry.image_shape[1] - entry.x)


def load_annotated(
    dataset: Dataset, preprocessing: Preprocessing, *, split_components: bool | None = None
) -> Sequence[Annotated]:
    """Open a store, or read and preprocess every image of a folder.

    A store is read crop by crop; a folder's images stay in memory, as 8-bit images and labels. Notes on its
    label images are logged.

    Parameters
    ----------
    dataset : Dataset
    preprocessing : Preprocessing
    split_components : bool, optional
        How the ids of a folder's label images are taken, see `dinocell.datasets.masks.check_masks`.

    Raises
    ------
    DINOCellError
        If it is missing, damaged or empty, or has no annotated cell.
    """
    if is_store(dataset.path):
        store = StoreImages(dataset.path, preprocessing)
        if not store.has_cells:
            raise _no_cell(dataset.path)
        return store
    loaded = []
    notes: list[str] = []
    for pair in find_pairs(dataset.path):
        annotated = replace(pair, split_components=split_components).read()
        notes += annotated.notes
        try:
            item = annotate(pair.name, annotated.pixels, annotated.labels, preprocessing)
        except InputError as error:
            raise FileFormatError(f"{pair.image}: {error}") from error
        loaded.append(item)
    if not any((item.labels > 0).any() for item in loaded):
        raise _no_cell(dataset.path)
    for note in first_few(notes):
        logger.warning(note)
    return loaded


def _no_cell(path: Path) -> InputError:
    return InputError(
        f"{path} has no annotated cell, so there is nothing to learn from it: annotate some, or leave it out"
    )


class TrainingSamples(TorchDataset[TrainingBatch]):
    """Augmented crops by number; crop ``i`` is the same whenever and wherever it is drawn.

    Parameters
    ----------
    datasets : list of sequence of Annotated
    config : TrainConfig
        Gives the datasets' weights, the crop size, the augmentation and the seed.
    """

    def __init__(self, datasets: Sequence[Sequence[Annotated]], config: TrainConfig) -> None:
        self.datasets = datasets
        self._image_shares = [_image_shares(items) for items in datasets]
        weights = np.asarray([dataset.weight for dataset in config.train])
        self.weights = weights / weights.sum()
        self.config = config

    def __getitem__(self, number: int) -> TrainingBatch:
        rng, chosen, item = self._choose(number)
        style = self._style_of_others(chosen)
        try:
            crop = random_crop(item, self.config.crop_size, self.config.augmentation, rng, style=style)
        except InputError as error:  # which does not name the image
            raise InputError(f"{item.name}: {error}") from error
        target = torch.tensor(TARGETS.index(self.config.train[chosen].annotates))
        image, distance, valid = map(torch.from_numpy, (crop.image, crop.distance, crop.valid))
        return image, distance, valid, target

    def _choose(self, number: int) -> tuple[np.random.Generator, int, Annotated]:
        """Draw dataset and image of a crop; the generator then draws the crop itself."""
        rng = np.random.default_rng((self.config.seed, number))
        chosen = int(rng.choice(len(self.datasets), p=self.weights))
        return rng, chosen, self._choose_image(chosen, rng)

    def _choose_image(self, chosen: int, rng: np.random.Generator) -> Annotated:
        items = self.datasets[chosen]
        return items[int(rng.choice(len(items), p=self._image_shares[chosen]))]

    def _style_of_others(self, chosen: int) -> StyleSource:
        """Return a function that draws pixels of another dataset, or of the only one."""
        weights = self.weights.copy()
        if len(weights) > 1:
            weights[chosen] = 0

        def draw(rng: np.random.Generator) -> NDArray[np.uint8]:
            other = int(rng.choice(len(weights), p=weights / weights.sum()))
            image, size = self._choose_image(other, rng).image, self.config.crop_size
            matrix = place((image.shape[0], image.shape[1]), size, NO_AUGMENTATION, rng).matrix
            return warp(image, matrix, (size, size), cv2.INTER_LINEAR)

        return draw

    def names(self, step: int) -> list[str]:
        """Name the images that the crops of a step come from, all processes together."""
        size = self.config.batch_size * self.config.accumulate
        return self.names_of(range(step * size, (step + 1) * size))

    def names_of(self, numbers: Iterable[int]) -> list[str]:
        """Name the images that crops come from."""
        return sorted({self._choose(number)[2].name for number in numbers})

    def steps(
        self, first: int, last: int, *, process: int = 0, processes: int = 1
    ) -> Generator[list[TrainingBatch], None, None]:
        """Yield the batches of the steps from `first` up to, not including, `last`.

        Parameters
        ----------
        first, last : int
        process, processes : int
            Number of this process, from 0, and of all processes that share every batch.

        Yields
        ------
        list of TrainingBatch
            `accumulate` batches, each of ``batch_size / processes`` crops.
        """
        config = self.config
        share = config.batch_size // processes
        starts = range(
            first * config.accumulate * config.batch_size + process * share,
            last * config.accumulate * config.batch_size,
            config.batch_size,
        )
        loader = DataLoader(
            self,
            batch_size=share,
            sampler=itertools.chain.from_iterable(range(start, start + share) for start in starts),
            num_workers=config.workers,
            worker_init_fn=use_one_thread,
            prefetch_factor=4 if config.workers else None,
            pin_memory=torch.cuda.is_available(),
        )
        batches = iter(loader)
        with _explain_worker_errors():
            for _ in range(first, last):
                yield list(itertools.islice(batches, config.accumulate))


@contextlib.contextmanager
def _explain_worker_errors() -> Iterator[None]:
    """Reduce to one line what a loader says of its processes."""
    try:
        yield
    except DINOCellError as error:  # its message holds the traceback of the process
        raise type(error)(
            str(error).strip().splitlines()[-1].partition("Error: ")[2] or str(error)
        ) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise WorkerError(
            "a process that prepares crops died, perhaps because the memory was not enough: lower workers"
        ) from error


def _image_shares(items: Sequence[Annotated]) -> NDArray[np.float64]:
    """Compute the share of the crops that each image gets: larger ones hold more to see."""
    if isinstance(items, StoreImages):
        areas = [math.prod(items.shape(number)) for number in range(len(items))]
    else:
        areas = [item.image.size for item in items]
    sizes = np.sqrt(areas)
    return np.asarray(sizes / sizes.sum())


def validation_batches(
    items: Sequence[Annotated], annotates: Target, crop_size: int, batch_size: int
) -> list[TrainingBatch]:
    """Cut the fixed, unaugmented crops of a validation dataset.

    Returns
    -------
    list of TrainingBatch
        The same every time.
    """
    crops = []
    for number, item in enumerate(items):
        rng = np.random.default_rng(number)
        whole = item.image.shape == (crop_size, crop_size)  # then a second crop would be the same
        for _ in range(1 if whole else VALIDATION_CROPS):
            crops.append(random_crop(item, crop_size, NO_AUGMENTATION, rng))
    return [_batch(crops[i : i + batch_size], annotates) for i in range(0, len(crops), batch_size)]


def _batch(crops: Sequence[Crop], annotates: Target) -> TrainingBatch:
    return (
        torch.from_numpy(np.stack([crop.image for crop in crops])),
        torch.from_numpy(np.stack([crop.distance for crop in crops])),
        torch.from_numpy(np.stack([crop.valid for crop in crops])),
        torch.full((len(crops),), TARGETS.index(annotates)),
    )
