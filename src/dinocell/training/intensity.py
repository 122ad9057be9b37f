"""Changes of the intensities of a crop, one after another."""

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell.training.augmentation import BasicAugmentation

Gray = NDArray[np.float32]


def change_intensity(
    image: NDArray[np.uint8], settings: BasicAugmentation, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Change the intensities of a crop by `INTENSITY_CHANGES`.

    Parameters
    ----------
    image : uint8 array, shape (Y, X)
    settings : BasicAugmentation
    rng : numpy.random.Generator

    Returns
    -------
    uint8 array, shape (Y, X)
    """
    values: Gray = image.astype(np.float32) / np.float32(255)
    for change in INTENSITY_CHANGES:
        values = change(values, settings, rng)
    return np.asarray(np.rint(np.clip(values, 0, 1) * 255), np.uint8)


def _invert(values: Gray, settings: BasicAugmentation, rng: np.random.Generator) -> Gray:
    return 1 - values if rng.random() < settings.invert else values


def _apply_gamma(values: Gray, settings: BasicAugmentation, rng: np.random.Generator) -> Gray:
    values **= math.exp(rng.uniform(*np.log(settings.gamma)))
    return values


def _change_contrast(values: Gray, settings: BasicAugmentation, rng: np.random.Generator) -> Gray:
    mean = float(values.mean())
    return (values - mean) * rng.uniform(*settings.contrast) + mean


def _change_brightness(values: Gray, settings: BasicAugmentation, rng: np.random.Generator) -> Gray:
    values *= rng.uniform(*settings.brightness)
    return values


def _blur(values: Gray, settings: BasicAugmentation, rng: np.random.Generator) -> Gray:
    if settings.blur > 0 and rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), rng.uniform(0.1, settings.blur)))
    return values


def _add_noise(values: Gray, settings: BasicAugmentation, rng: np.random.Generator) -> Gray:
    if settings.noise > 0 and rng.random() < 0.5:
        sigma = rng.uniform(0, settings.noise) / 255
        values += sigma * rng.standard_normal(values.shape, np.float32)
    return values


INTENSITY_CHANGES: tuple[Callable[[Gray, BasicAugmentation, np.random.Generator], Gray], ...] = (
    _invert,
    _apply_gamma,
    _change_contrast,
    _change_brightness,
    _blur,
    _add_noise,
)
"""Changes of the intensities of a crop, in [0, 1], in this order; each may change its array in place.

To add one, write a function, list it here, and give it a setting in `BasicAugmentation`. It belongs at
the end, so that the others draw the same numbers with the same seed.
"""
