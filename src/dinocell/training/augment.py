"""Random crops for training: one place for image and labels, then changes of what the image looks like."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.labels import IGNORE
from dinocell.training.annotated import Annotated
from dinocell.training.augmentation import Augmentation, BasicAugmentation, complete
from dinocell.training.blank import draw_border, draw_empty, hidden
from dinocell.training.intensity import change_intensity
from dinocell.training.placement import Placement, place
from dinocell.training.rendering import choose_rendering, render
from dinocell.training.style import LOW_FREQUENCIES, SHARES, exchange_amplitudes, exchange_histogram
from dinocell.training.warp import distance_of_whole_cells, warp

LARGEST_SIDE = 2**15 - 2
"""In pixels, of an image that OpenCV warps."""

StyleSource = Callable[[np.random.Generator], NDArray[np.uint8]]
"""Function that draws a crop of another dataset, whose style is taken."""


@dataclass(frozen=True)
class Crop:
    """A training sample.

    Attributes
    ----------
    image : uint8 array, shape (Y, X)
        Preprocessed and augmented grayscale.
    distance : float32 array, shape (Y, X)
        The target.
    valid : bool array, shape (Y, X)
        False where the labels say "ignore".
    """

    image: NDArray[np.uint8]
    distance: NDArray[np.float32]
    valid: NDArray[np.bool_]


def random_crop(
    item: Annotated,
    size: int,
    settings: BasicAugmentation,
    rng: np.random.Generator,
    *,
    style: StyleSource | None = None,
) -> Crop:
    """Cut a random, augmented square out of an image.

    Parameters
    ----------
    item : Annotated
    size : int
        Side of the crop in pixels.
    settings : BasicAugmentation
    rng : numpy.random.Generator
    style : callable, optional
        Given the generator, draws pixels (size, size) of another dataset; without it no style is exchanged.

    Returns
    -------
    Crop
    """
    shape = (item.image.shape[0], item.image.shape[1])
    if max(shape) > LARGEST_SIDE:
        raise InputError(
            f"an image of {shape} px is too large to be augmented, expected at most {LARGEST_SIDE} a side: "
            "cut it into parts, as `dinocell process` does"
        )
    settings = complete(settings)
    if settings.empty and rng.random() < settings.empty:
        return _empty_crop(item, size, settings, rng)
    diameter = item.diameter if settings.diameter else np.nan
    placement = place(shape, size, settings, rng, diameter=diameter)
    pixels = render(
        choose_rendering(item, placement.zoom, settings, rng), placement, size, item.preprocessing
    )
    distance, valid = _target(item, placement, size)
    if style is not None:
        pixels = _exchange_style(pixels, style, settings, rng)
    pixels = change_intensity(pixels, settings, rng)
    if settings.border and rng.random() < settings.border:
        border = draw_border(size, rng)
        y, x = np.indices((size, size), np.float32)
        covered = hidden(border.circle, border.lines, x, y)
        pixels[covered], distance[covered], valid[covered] = border.value, 0, True
    return Crop(pixels, distance, valid)


def _empty_crop(item: Annotated, size: int, settings: Augmentation, rng: np.random.Generator) -> Crop:
    pixels = change_intensity(draw_empty(size, item.preprocessing, rng), settings, rng)
    return Crop(pixels, np.zeros((size, size), np.float32), np.ones((size, size), np.bool_))


def _target(
    item: Annotated, placement: Placement, size: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return distance map and valid pixels of a crop."""
    cropped = warp(item.labels, placement.matrix, (size, size), cv2.INTER_NEAREST)
    if item.distance is None:
        warped = distance_of_whole_cells(item.labels, item.boxes, cropped, placement.matrix)
    else:
        warped = warp(item.distance, placement.matrix, (size, size), cv2.INTER_LINEAR)
        warped = np.where(cropped > 0, warped, 0).astype(np.float32)
    return warped, cropped != IGNORE


def _exchange_style(
    pixels: NDArray[np.uint8], style: StyleSource, settings: Augmentation, rng: np.random.Generator
) -> NDArray[np.uint8]:
    if settings.histogram and rng.random() < settings.histogram:
        pixels = exchange_histogram(pixels, style(rng), rng.uniform(*SHARES))
    if settings.fourier and rng.random() < settings.fourier:
        pixels = exchange_amplitudes(pixels, style(rng), rng.uniform(*SHARES), rng.uniform(*LOW_FREQUENCIES))
    return pixels


def use_one_thread(_worker: int) -> None:
    """Limit OpenCV to one thread, in a process that prepares crops beside others."""
    cv2.setNumThreads(0)
