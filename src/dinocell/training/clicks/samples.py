"""Samples of single cells: a crop around a cell, with clicks in it and in its neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import edt
import numpy as np
from numpy.typing import NDArray

from dinocell.datasets.folder import find_pairs
from dinocell.errors import InputError
from dinocell.labels import Labels
from dinocell.measure.inside_points import inside_points
from dinocell.models.clicks import Pixel, click_maps
from dinocell.preprocess.preprocessing import Preprocessing, preprocess
from dinocell.training.augmentation import BasicAugmentation
from dinocell.training.clicks.config import ClickConfig
from dinocell.training.intensity import change_intensity

_LEAST = 12
"""Pixels of a cell in a crop; of fewer nothing is learned."""

_SPREAD = 0.25
"""Deviation of the place of a cell from the middle of its crop, as a share of the crop."""

_TAKEN = 0.7
"""Share of the other cells that are labelled already, where a crop has others."""

_NEIGHBOUR_CLICKS = 0.25
"""Share of samples that begin with a click in another cell."""


@dataclass(frozen=True, eq=False)
class Cells:
    """An image with the cells that can be clicked on.

    Attributes
    ----------
    gray : uint8 array, shape (Y, X)
        As the network sees it.
    labels : int32 array, shape (Y, X)
    centres : int64 array, shape (N, 2)
    ids : int32 array, shape (N,)
    """

    gray: NDArray[np.uint8]
    labels: Labels
    centres: NDArray[np.int64]
    ids: NDArray[np.int32]


@dataclass(eq=False)
class Sample:
    """A crop around a cell, and the clicks so far.

    Attributes
    ----------
    gray : uint8 array, shape (Y, X)
    cell, valid, taken : bool array, shape (Y, X)
        The clicked cell; what counts in the loss; what other cells have already.
    inside, outside : list of (int, int)
        Rows and columns of clicks.
    """

    gray: NDArray[np.uint8]
    cell: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    taken: NDArray[np.bool_]
    inside: list[Pixel] = field(default_factory=list)
    outside: list[Pixel] = field(default_factory=list)

    def maps(self) -> NDArray[np.float32]:
        """Draw the clicks, float32 ``(4, Y, X)``."""
        return click_maps(self.inside, self.outside, self.taken)

    def correct(self, predicted: NDArray[np.bool_]) -> None:
        """Add a click where the error is largest: in the middle of what is missing, or of a surplus."""
        missing, surplus = (
            self.cell & ~predicted & self.valid,
            predicted & ~self.cell & self.valid & ~self.taken,
        )
        depths = [
            edt.edt(np.ascontiguousarray(each, np.uint8), black_border=True) for each in (missing, surplus)
        ]
        larger = int(depths[1].max() > depths[0].max())
        if depths[larger].max() < 1:
            return
        row, column = np.unravel_index(int(depths[larger].argmax()), self.cell.shape)
        (self.outside if larger else self.inside).append((int(row), int(column)))


def read_cells(folder: Path, preprocessing: Preprocessing, most: int) -> list[Cells]:
    """Read images of a folder, as many as asked for at most, spread over it."""
    pairs = find_pairs(folder)
    chosen = [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, most).astype(int))]
    images = []
    for pair in chosen:
        annotated = pair.read()
        points = inside_points(annotated.labels)
        if points.ids.size:
            gray = preprocess(annotated.pixels, preprocessing)
            images.append(Cells(gray, annotated.labels, points.points, points.ids))
    return images


class SampleSource:
    """Draws samples: a folder, an image, a cell, each alike.

    Parameters
    ----------
    config : ClickConfig
    preprocessing : Preprocessing
        Of the model.
    """

    def __init__(self, config: ClickConfig, preprocessing: Preprocessing) -> None:
        self._config = config
        found = [read_cells(folder, preprocessing, config.images) for folder in config.data]
        self._folders = [images for images in found if images]
        if not self._folders:
            raise InputError(f"{config.data[0]} holds no annotated cell, expected some to learn from")

    def draw(self, rng: np.random.Generator) -> Sample:
        """Draw a sample with its first click."""
        while True:
            folder = self._folders[rng.integers(len(self._folders))]
            image = folder[rng.integers(len(folder))]
            sample = _cut(image, self._config.crop_size, self._config.augmentation, rng)
            if sample is not None:
                return sample


def _cut(image: Cells, size: int, settings: BasicAugmentation, rng: np.random.Generator) -> Sample | None:
    """Cut a crop around a random cell; None where too little of the cell is in it."""
    number = rng.integers(image.ids.size)
    matrix = _place(image.centres[number], size, settings, rng)
    reflect, constant = cv2.BORDER_REFLECT_101, cv2.BORDER_CONSTANT
    gray = np.asarray(
        cv2.warpAffine(image.gray, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=reflect), np.uint8
    )
    labels = np.asarray(
        cv2.warpAffine(
            image.labels, matrix, (size, size), flags=cv2.INTER_NEAREST, borderMode=constant, borderValue=-1
        ),
        np.int32,
    )
    cell = labels == image.ids[number]
    if cell.sum() < _LEAST:
        return None
    taken = _draw_taken(labels, int(image.ids[number]), rng)
    sample = Sample(change_intensity(gray, settings, rng), cell, (labels >= 0) & ~taken, taken)
    sample.inside.append(_click(cell, rng))
    others = (labels > 0) & ~cell & ~taken
    if others.any() and rng.random() < _NEIGHBOUR_CLICKS:
        chosen = rng.choice(np.unique(labels[others]))
        sample.outside.append(_click(others & (labels == chosen), rng))
    return sample


def _place(
    centre: NDArray[np.int64], size: int, settings: BasicAugmentation, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw the affine map (2, 3) from the image to a crop, flipped, turned and zoomed, around a cell."""
    zoom = np.exp(rng.uniform(*np.log(settings.scale)))
    angle = rng.uniform(-np.pi, np.pi) if rng.random() < settings.rotate else rng.integers(4) * np.pi / 2
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if rng.random() < settings.flip:
        turn = turn @ np.diag([-1.0, 1.0])
    goal = size / 2 + np.clip(rng.normal(0, _SPREAD * size / 2, 2), -0.4 * size, 0.4 * size)
    return np.column_stack([turn, goal - turn @ centre[::-1]])


def _draw_taken(labels: Labels, cell: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Choose the other cells that are labelled already: most of them, or none."""
    others = np.unique(labels[(labels > 0) & (labels != cell)])
    share = _TAKEN if rng.random() < 0.75 else 0.0
    return np.isin(labels, others[rng.random(others.size) < share])


def _click(cell: NDArray[np.bool_], rng: np.random.Generator) -> Pixel:
    """Draw a click in the middle part of a cell, as people click."""
    depth = edt.edt(np.ascontiguousarray(cell, np.uint8), black_border=False)
    rows, columns = np.nonzero(cell & (depth >= 0.6 * min(depth[cell].max(), cell.size)))
    number = rng.integers(rows.size)
    return int(rows[number]), int(columns[number])


def stack(samples: Sequence[Sample], name: str) -> NDArray[np.float32]:
    """Stack an attribute of samples as float32 ``(B, Y, X)``."""
    return np.stack([getattr(sample, name) for sample in samples]).astype(np.float32)
