"""One annotated image → its items: preprocess, measure the distance map on whole cells, cut."""

import hashlib
import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dinocell.datasets.items import AnnotatedImage, Item
from dinocell.datasets.records import Arrays, IndexEntry
from dinocell.errors import FileFormatError, InputError
from dinocell.labels import IGNORE, Labels, Target, cell_areas, median_diameter, relabel
from dinocell.postprocess.distance import labels_to_distance
from dinocell.preprocess.preprocessing import Preprocessing, preprocess
from dinocell.preprocess.resampling import resize_labels, scaled_shape
from dinocell.tiling import plan_tiles

MAX_DIAMETER_SCALE = 8.0
"""Largest factor by which an image is enlarged or shrunk to bring its cells to a diameter."""


@dataclass(frozen=True)
class ProcessSettings:
    """Settings of a store.

    Attributes
    ----------
    format : str
        Format that the items come from; recorded.
    annotates : {"cells", "nuclei"}
        Target that the labels are of; recorded.
    whole : bool
        Keep images whole, padded to the largest, to evaluate on; else cut them into crops to train on.
    size : int
        Side of a crop in pixels; smaller images are padded.
    overlap : int
        Of neighbouring crops, in pixels, at least; up to half of `size`.
    diameter : float, optional
        Bring the median cell diameter of every image to so many pixels, as far as `MAX_DIAMETER_SCALE`
        allows; an image without cells stays as it is. None leaves all images as they are.
    preprocessing : Preprocessing

    Raises
    ------
    InputError
        If a number is out of bounds.
    """

    format: str
    annotates: Target = "cells"
    whole: bool = False
    size: int = 512
    overlap: int = 64
    diameter: float | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    def __post_init__(self) -> None:
        if not self.whole:
            plan_tiles((1, 1), self.size, self.overlap)  # refuses what does not fit
        if self.diameter is not None and not (math.isfinite(self.diameter) and self.diameter > 0):
            raise InputError(f"diameter is {self.diameter}, expected pixels above 0")


def measure(item: Item, settings: ProcessSettings) -> tuple[int, int]:
    """Read an image and return its height and width after scaling.

    Raises
    ------
    DINOCellError
        As `Item.read` does.
    """
    annotated = _read(item)
    pixels = annotated.pixels
    return scaled_shape((pixels.shape[0], pixels.shape[1]), _find_scale(annotated.labels, settings))


def prepare(item: Item, settings: ProcessSettings, size: tuple[int, int]) -> list[tuple[Arrays, IndexEntry]]:
    """Read an image and cut it into items; the writer numbers them.

    Parameters
    ----------
    item : Item
    settings : ProcessSettings
    size : (int, int)
        Height and width of an item in pixels; with `settings.whole` at least those of the image.

    Returns
    -------
    list of (arrays, entry)
        One, or the crops in row-major order.

    Raises
    ------
    DINOCellError
        As `Item.read` and `preprocess` do.
    """
    annotated = _read(item)
    scale = _find_scale(annotated.labels, settings)
    image = preprocess(annotated.pixels, settings.preprocessing, scale=scale)
    shape = image.shape[0], image.shape[1]
    labels = resize_labels(annotated.labels, shape)
    distance = labels_to_distance(labels)
    corners = [(0, 0)]
    if not settings.whole:
        corners = [(tile.y, tile.x) for tile in plan_tiles(shape, settings.size, settings.overlap)]
    elif shape[0] > size[0] or shape[1] > size[1]:
        raise FileFormatError(f"is {shape} px, larger than when it was measured: do not change it meanwhile")
    entry = IndexEntry(
        item=0,
        name=item.name,
        files=tuple(file.name for file in item.files),
        image_shape=shape,
        y=0,
        x=0,
        scale=scale,
        crops=len(corners),
        cells=int((cell_areas(labels)[1:] > 0).sum()),
        overlapped_pixels=annotated.overlapped_pixels,
        sha256="",
        notes=annotated.notes,
    )
    prepared = []
    for y, x in corners:
        arrays = _cut(image, distance, labels, y, x, size)
        prepared.append((arrays, entry.model_copy(update={"y": y, "x": x, "sha256": _hash(arrays)})))
        entry = entry.model_copy(update={"notes": ()})
    return prepared


def _read(item: Item) -> AnnotatedImage:
    """Read an item; its ids are small enough to be counted in tables."""
    annotated = item.read()
    annotated.check_channels()
    labels = annotated.labels
    return annotated if labels.max(initial=0) <= labels.size else replace(annotated, labels=relabel(labels))


def _find_scale(labels: Labels, settings: ProcessSettings) -> float:
    """Find the factor that brings the median cell to the diameter asked for; 1 without cells."""
    if settings.diameter is None:
        return 1.0
    found = median_diameter(labels)
    if math.isnan(found):
        return 1.0
    return float(np.clip(settings.diameter / found, 1 / MAX_DIAMETER_SCALE, MAX_DIAMETER_SCALE))


def _cut(
    image: NDArray[np.uint8],
    distance: NDArray[np.float32],
    labels: Labels,
    y: int,
    x: int,
    size: tuple[int, int],
) -> Arrays:
    """Cut an item out; beyond the image, pixels are mirrored, the map is 0 and labels are ignored."""
    window = np.s_[y : y + size[0], x : x + size[1]]
    part = image[window]
    pad = ((0, size[0] - part.shape[0]), (0, size[1] - part.shape[1]))
    gray = np.pad(part, pad, mode="symmetric")
    return (
        np.repeat(gray[:, :, None], 3, axis=2),
        np.pad(distance[window], pad),
        np.pad(_renumber(labels[window]), pad, constant_values=IGNORE),
    )


def _hash(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _renumber(labels: Labels) -> Labels:
    """Relabel by a table of ids, which are small; `relabel` would sort all pixels."""
    present = np.bincount(labels.ravel() - IGNORE, minlength=2) > 0  # −1, 0, 1, …
    numbers = np.cumsum(present, dtype=np.int32) - np.count_nonzero(present[:2])
    numbers[:2] = IGNORE, 0
    return numbers.astype(np.int32, copy=False)[labels - IGNORE]
