"""Store: ``imgs.npy``, ``dist_maps.npy`` and ``anns.npy`` beside an index, read through memory maps.

SAMCell's scripts write the same three arrays; a warning tells what differs in theirs when one is opened.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from dinocell.datasets import samcell
from dinocell.datasets.items import AnnotatedImage
from dinocell.datasets.masks import check_masks
from dinocell.datasets.npy import open_npy
from dinocell.datasets.records import (
    IMAGES_FILE,
    INDEX_FILE,
    INFO_FILE,
    LABELS_FILE,
    MAPS_FILE,
    Failure,
    IndexEntry,
    StoreInfo,
    hash_entries,
    item_arrays,
    read_index,
    read_info,
)
from dinocell.errors import FileFormatError, FileMissingError, InputError
from dinocell.labels import Labels
from dinocell.preprocess.preprocessing import Preprocessing

logger = logging.getLogger(__name__)

ArrayT = TypeVar("ArrayT", bound=NDArray[Any])

__all__ = [
    "IMAGES_FILE", "INDEX_FILE", "INFO_FILE", "LABELS_FILE", "MAPS_FILE", "DINOCellDataset", "Failure",
    "IndexEntry", "Sample", "StoreInfo", "StoreItem", "find_items", "is_store",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Sample:
    """One item of a store.

    Attributes
    ----------
    name : str
    image : uint8 array, shape (Y, X)
        Preprocessed.
    distance : float32 array, shape (Y, X)
        In [0, 1], measured on uncropped cells.
    labels : int32 array, shape (Y, X), or None
        0 background, −1 ignored, padding included; None where the store has none.
    """

    name: str
    image: NDArray[np.uint8]
    distance: NDArray[np.float32]
    labels: Labels | None


class DINOCellDataset:
    """A store, read item by item; holds no image in memory, and is small to send to another process.

    Parameters
    ----------
    folder : Path

    Attributes
    ----------
    info : StoreInfo or None
        None for a store that SAMCell's scripts wrote.
    index : list of IndexEntry
        One an item; empty for SAMCell's.

    Raises
    ------
    FileMissingError
        If the folder or one of its files is missing.
    FileFormatError
        If the files do not fit each other, or one is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileMissingError(f"no folder {folder}: expected the output folder of `dinocell process`")
        self.info = read_info(self.folder)
        self.index = [] if self.info is None else read_index(self.folder)
        self._arrays = {name: open_npy(self.folder / name) for name in (IMAGES_FILE, MAPS_FILE)}
        if self.info is not None or (self.folder / LABELS_FILE).is_file():
            self._arrays[LABELS_FILE] = open_npy(self.folder / LABELS_FILE)
        self._check()
        if self.info is None:
            lacks = "" if self.has_labels else f"; without {LABELS_FILE} it cannot be evaluated"
            logger.warning(
                "%s has no %s and is taken for SAMCell's: %s%s", folder, INFO_FILE, samcell.DIFFERENCES, lacks
            )

    def __len__(self) -> int:
        return len(self._arrays[IMAGES_FILE])

    def __getitem__(self, number: int) -> Sample:
        if not -len(self) <= number < len(self):
            raise IndexError(f"item {number} of {self.folder}, which has {len(self)}")
        number %= len(self)
        return Sample(
            name=self.index[number].name if self.index else str(number),
            image=self._read(IMAGES_FILE, number, samcell.convert_image),
            distance=self._read(MAPS_FILE, number, samcell.convert_map, self.size),
            labels=self._read(LABELS_FILE, number, samcell.convert_labels, self.size)
            if self.has_labels
            else None,
        )

    def _read(self, file: str, number: int, convert: Callable[..., ArrayT], *arguments: Any) -> ArrayT:
        return _convert(self.folder / file, self._arrays[file], number, convert, *arguments)

    def __iter__(self) -> Iterator[Sample]:
        return (self[number] for number in range(len(self)))

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        return type(self), (self.folder,)  # the pickle of a memory map holds all of its file

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every item in pixels."""
        return self._arrays[IMAGES_FILE].shape[1], self._arrays[IMAGES_FILE].shape[2]

    @property
    def has_labels(self) -> bool:
        """True where the items have labels; SAMCell's may lack them."""
        return LABELS_FILE in self._arrays

    def _check(self) -> None:
        if self.info is None:
            fits = len({len(array) for array in self._arrays.values()}) == 1
        else:
            fits = (
                all(
                    self._arrays[name].shape == (self.info.items, *shape)
                    and self._arrays[name].dtype == dtype
                    for name, (shape, dtype) in item_arrays(self.info.size).items()
                )
                and [entry.item for entry in self.index] == [*range(self.info.items)]
                and hash_entries(self.index) == self.info.content_sha256
            )
        if not fits:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in self._arrays.items())
            raise FileFormatError(
                f"{self.folder}: {shapes}, {INDEX_FILE} and {INFO_FILE} do not fit each other: one was "
                "changed or copied in part. Copy the whole folder, or process the data again"
            )
        self[0]  # an item of SAMCell's may have a shape that is not ours


@dataclass(frozen=True)
class StoreItem:
    """An item of a store, to be evaluated.

    Attributes
    ----------
    folder : Path
    number : int
    name : str
    shape : (int, int)
        Height and width of the image without its padding.
    preprocessing : Preprocessing
        Preprocessing that was applied to the image.
    split_components : bool or None
        How ids are taken, see `dinocell.datasets.masks.check_masks`.
    """

    folder: Path
    number: int
    name: str
    shape: tuple[int, int]
    preprocessing: Preprocessing
    split_components: bool | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The store's images and labels."""
        return self.folder / IMAGES_FILE, self.folder / LABELS_FILE

    def read(self) -> AnnotatedImage:
        """Read the image without its padding.

        Raises
        ------
        FileMissingError, FileFormatError
            If the store is no longer there or damaged, or its labels cannot be meant as such.
        """
        images, labels = (open_npy(file) for file in self.files)
        image = _convert(self.files[0], images, self.number, samcell.convert_image)
        cells = _convert(self.files[1], labels, self.number, samcell.convert_labels, image.shape)
        inside = np.s_[: self.shape[0], : self.shape[1]]
        labels, notes = check_masks(
            np.ascontiguousarray(cells[inside]),
            f"{self.files[1]} item {self.number}",
            split_components=self.split_components,
        )
        pixels = np.ascontiguousarray(image[inside])
        return AnnotatedImage(pixels, labels, preprocessing=self.preprocessing, notes=notes)


def find_items(folder: Path) -> list[StoreItem]:
    """List the images of a store that was made to evaluate on, or of one of SAMCell's that has labels.

    Raises
    ------
    FileMissingError, FileFormatError
        As `DINOCellDataset`; and if the store has no labels, or was made to train on: its crops cut cells and
        count some twice.
    """
    dataset = DINOCellDataset(folder)
    if not dataset.has_labels:
        raise FileFormatError(
            f"{folder} has no {LABELS_FILE} to evaluate on: process the original data with --whole"
        )
    if dataset.info is None:
        return [
            StoreItem(dataset.folder, number, str(number), dataset.size, samcell.PREPROCESSING)
            for number in range(len(dataset))
        ]
    if dataset.info.purpose != "evaluate":
        raise FileFormatError(
            f"{folder} holds crops to train on, which cut cells and show some twice: "
            "process the original data with --whole to evaluate on it"
        )
    return [
        StoreItem(dataset.folder, entry.item, entry.name, entry.image_shape, dataset.info.preprocessing)
        for entry in dataset.index
    ]


def is_store(folder: Path) -> bool:
    """Return whether a folder is a store."""
    return (folder / IMAGES_FILE).is_file()


def _convert(
    path: Path, array: NDArray[Any], number: int, convert: Callable[..., ArrayT], *arguments: Any
) -> ArrayT:
    """Read an item from the disk; an error names its file and number."""
    try:
        return convert(np.array(array[number]), *arguments)
    except (InputError, IndexError) as error:
        raise FileFormatError(f"{path} item {number}: {error}. Process the data again") from error
