"""Description of a store in lines, and a contact sheet of its items."""

import math
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell.datasets.masks import first_few
from dinocell.datasets.store import DINOCellDataset, Sample
from dinocell.labels import IGNORE, cell_areas
from dinocell.measure.outlines import draw_outlines

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SHEET_ITEMS, THUMBNAIL = 20, 256
"""Items on a contact sheet, and the side of each in pixels."""


def describe(dataset: DINOCellDataset) -> Iterator[str]:
    """Describe a store in lines; reads the labels of every item once."""
    height, width = dataset.size
    info = dataset.info
    if info is None:
        yield f"{len(dataset)} items of {height}×{width} px, written by SAMCell's scripts"
    else:
        yield f"{info.items} items of {height}×{width} px from {info.images} images, to {info.purpose} on"
        annotated = f", annotates {info.annotates}" if info.annotates else ""
        yield f"format {info.format}{annotated}"
        yield f"{info.cells} cells, {info.overlapped_pixels} overlapped pixels"
        yield f"preprocessing: {info.preprocessing}"
        yield f"dinocell {info.dinocell}, content {info.content_sha256}"
        for failure in info.failed:
            yield f"skipped: {failure.reason}"
        yield from (f"note: {note}" for note in first_few(info.notes))
    counts, diameters = _measure(dataset)
    if not counts:
        yield "no labels: the cells are not counted"
        return
    yield f"cells an item: {min(counts)} to {max(counts)}, median {np.median(counts):g}"
    if diameters.size:
        found = ", ".join(
            f"{100 * share:g} % {value:.1f}"
            for share, value in zip(QUANTILES, np.quantile(diameters, QUANTILES), strict=True)
        )
        yield f"equivalent cell diameter in pixels (quantiles): {found}"


def _measure(dataset: DINOCellDataset) -> tuple[list[int], NDArray[np.float64]]:
    """Count the cells of every item, and measure their equivalent diameters."""
    counts: list[int] = []
    areas: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for sample in dataset:
        if sample.labels is not None:
            found = cell_areas(sample.labels)[1:]
            found = found[found > 0]
            counts.append(int(found.size))
            areas.append(found)
    return counts, 2 * np.sqrt(np.concatenate(areas) / math.pi)


def contact_sheet(dataset: DINOCellDataset) -> NDArray[np.uint8]:
    """Draw items spread evenly over the store, with the outlines of their cells.

    Returns
    -------
    uint8 array, shape (Y, X, 3)
    """
    numbers = np.unique(np.linspace(0, len(dataset) - 1, min(SHEET_ITEMS, len(dataset))).round().astype(int))
    columns = min(5, len(numbers))
    rows = math.ceil(len(numbers) / columns)
    sheet = np.full((rows * THUMBNAIL, columns * THUMBNAIL, 3), 255, np.uint8)
    for place, number in enumerate(numbers):
        picture = _thumbnail(dataset[int(number)])
        y, x = (place // columns) * THUMBNAIL, (place % columns) * THUMBNAIL
        sheet[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return sheet


def _thumbnail(sample: Sample) -> NDArray[np.uint8]:
    """Shrink or enlarge an item to fit, then draw one-pixel outlines; what is ignored is dimmed."""
    scale = (THUMBNAIL - 4) / max(sample.image.shape)
    size = [max(1, round(side * scale)) for side in sample.image.shape[::-1]]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = np.asarray(cv2.resize(sample.image, size, interpolation=method), np.uint8)
    if sample.labels is None:
        return np.repeat(image[:, :, None], 3, axis=2)
    labels = np.asarray(cv2.resize(sample.labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.int32)
    return draw_outlines(np.where(labels == IGNORE, image // 3, image), labels)
