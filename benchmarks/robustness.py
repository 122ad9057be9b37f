"""Changes of an image that should change no cell, and what they do to those that a model finds.

- *border*: 128 px of black, of white (the type's maximum) or of the mirrored image round the raw image; the
  cells found inside the original frame are matched with those found without a border;
- *size*: the image resampled, wherever the set's median cell is then 8 to 250 px wide; what is enlarged is
  a part from the middle of the image, so that no side exceeds a limit;
- *inversion*: bright becomes dark.

Size and inversion are scored against the true cells, before and after.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell.labels import Labels, median_diameter
from dinocell.metrics.counts import Counts
from dinocell.metrics.scores import score_labels

BORDER = 128
SCALES = (0.25, 0.5, 2.0, 3.0, 4.0)
SMALLEST, LARGEST = 8.0, 250.0
"""Diameters in pixels of the median cell that a model should manage."""

Pixels = NDArray[Any]
Segment = Callable[[Pixels], Labels]


@dataclass(frozen=True)
class Outcome:
    """Counts of (matched, true, predicted) cells before and after a change of an image.

    Of a border only `after` says something: it counts the cells found without a border as the true ones.
    """

    change: str
    before: list[int]
    after: list[int]


def count(true: Pixels, predicted: Pixels) -> list[int]:
    """Count the cells matched at an IoU of 0.5, the true and the predicted ones."""
    return as_count(score_labels(true, predicted).counts)


def as_count(counts: Counts) -> list[int]:
    """Return the three numbers of AP@0.5 of an image's counts."""
    return [counts.true_positives[0], counts.true_cells, counts.predicted_cells]


def add_border(image: Pixels, kind: str) -> Pixels:
    """Add a border of a kind round an image ``(Y, X)`` or ``(Y, X, C)``."""
    margin = [(BORDER, BORDER)] * 2 + [(0, 0)] * (image.ndim - 2)
    if kind == "mirrored":
        return np.pad(image, margin, "reflect")
    value = np.iinfo(image.dtype).max if kind == "white" else 0
    return np.pad(image, margin, constant_values=value)


def invert(image: Pixels) -> Pixels:
    """Turn bright into dark, in every channel."""
    return np.iinfo(image.dtype).max - image


def resample_pair(image: Pixels, labels: Labels, scale: float) -> tuple[Pixels, Labels]:
    """Resample an image, and its labels without making up ids."""
    size = [max(1, round(side * scale)) for side in (image.shape[1], image.shape[0])]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, size, interpolation=how), cv2.resize(
        labels, size, interpolation=cv2.INTER_NEAREST
    )


def cut_middle(image: Pixels, labels: Labels, side: int) -> tuple[Pixels, Labels]:
    """Cut the middle out of an image that is larger than a side."""
    corner = [max(0, (length - side) // 2) for length in labels.shape]
    window = tuple(slice(start, start + side) for start in corner)
    return np.ascontiguousarray(image[window]), np.ascontiguousarray(labels[window])


def scales_for(diameter: float) -> list[float]:
    """List the scales at which cells of a diameter are still of a size that a model should manage."""
    return [scale for scale in SCALES if SMALLEST <= diameter * scale <= LARGEST]


def set_diameter(labels: Iterable[Labels]) -> float:
    """Compute the median over images of the median diameter of their cells."""
    return float(np.nanmedian([median_diameter(each) for each in labels]))


def measure(
    segment: Segment, image: Pixels, labels: Labels, diameter: float, largest: int
) -> Iterator[Outcome]:
    """Yield an outcome for every change of an image.

    Parameters
    ----------
    segment : callable
        Image to labels.
    image : array, shape (Y, X) or (Y, X, C)
    labels : int32 array, shape (Y, X)
        The true cells.
    diameter : float
        Of the set's median cell.
    largest : int
        Side in pixels that a changed size does not exceed.
    """
    plain = segment(image)
    inside = slice(BORDER, -BORDER)
    for kind in ("black", "white", "mirrored"):
        found = segment(add_border(image, kind))[inside, inside]
        yield Outcome(f"{kind} border", count(plain, plain), count(plain, found))
    yield Outcome("inverted", count(labels, plain), count(labels, segment(invert(image))))
    for scale in scales_for(diameter):
        part, true = cut_middle(image, labels, int(largest / scale))
        resampled, resampled_true = resample_pair(part, true, scale)
        before = plain if part.shape == image.shape else segment(part)
        yield Outcome(f"{scale:g}×", count(true, before), count(resampled_true, segment(resampled)))
