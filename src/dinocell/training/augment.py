"""Random crops for training: one warp of image and labels, then changes of intensity."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dinocell.errors import InputError
from dinocell.labels import IGNORE
from dinocell.settings import Range, Section
from dinocell.training.warp import distance_of_whole_cells, warp


class Augmentation(Section):
    """Changes that may happen to a training crop; the defaults are the method paper's."""

    flip: float = Field(default=0.5, ge=0, le=1, description="Probability of a horizontal flip")
    rotate: float = Field(default=0.5, ge=0, le=1, description="Probability of a rotation by −180…180°")
    scale: Range = Field(default=(0.8, 1.2), description="Range of the zoom, drawn log-uniformly")
    stretch: float = Field(
        default=1.0, ge=1, le=3, description="Most that one axis is stretched against the other; 1: none"
    )
    brightness: Range = Field(default=(0.95, 1.05), description="Range of the factor on intensities")
    contrast: Range = Field(
        default=(1.0, 1.0), description="Range of the factor on the difference from the crop's mean"
    )
    gamma: Range = Field(
        default=(1.0, 1.0), description="Range of the exponent on intensities in [0, 1], drawn log-uniformly"
    )
    blur: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="Largest sigma of a Gaussian blur in pixels, for half of the crops",
    )
    noise: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="Largest deviation of noise in grey levels, for half of the crops",
    )
    invert: float = Field(default=0.5, ge=0, le=1, description="Probability of inverted intensities")


LARGEST_SIDE = 2**15 - 2
"""In pixels, of an image that OpenCV warps."""

Gray = NDArray[np.float32]

NO_AUGMENTATION = Augmentation(flip=0, rotate=0, scale=(1, 1), brightness=(1, 1), invert=0)


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
    image: NDArray[np.uint8],
    labels: NDArray[np.int32],
    boxes: NDArray[np.int64],
    size: int,
    settings: Augmentation,
    rng: np.random.Generator,
    *,
    distance: NDArray[np.float32] | None = None,
) -> Crop:
    """Cut a random, augmented square out of an image.

    Parameters
    ----------
    image : uint8 array, shape (Y, X)
        Preprocessed grayscale.
    labels : int32 array, shape (Y, X)
    boxes : int64 array, shape (max id + 1, 4)
        Bounding boxes by id, see `bounding_boxes`.
    size : int
        Side of the crop in pixels.
    settings : Augmentation
    rng : numpy.random.Generator
    distance : float32 array, shape (Y, X), optional
        Measured map, warped along where the labels are themselves cut out of a larger image; otherwise it is
        measured on the labels, after the warp.

    Returns
    -------
    Crop
    """
    shape = (image.shape[0], image.shape[1])
    if max(shape) > LARGEST_SIDE:
        raise InputError(
            f"an image of {shape} px is too large to be augmented, expected at most {LARGEST_SIDE} a side: "
            "cut it into parts, as `dinocell process` does"
        )
    matrix = _random_transform(shape, size, settings, rng)
    pixels = warp(image, matrix, (size, size), cv2.INTER_LINEAR)
    cropped = warp(labels, matrix, (size, size), cv2.INTER_NEAREST)
    if distance is None:
        warped = distance_of_whole_cells(labels, boxes, cropped, matrix)
    else:
        warped = np.where(cropped > 0, warp(distance, matrix, (size, size), cv2.INTER_LINEAR), 0)
    return Crop(_change_intensity(pixels, settings, rng), warped.astype(np.float32), cropped != IGNORE)


def _random_transform(
    shape: tuple[int, int], size: int, settings: Augmentation, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw a 2×3 matrix that maps image coordinates (x, y) to crop coordinates."""
    zoom = math.exp(rng.uniform(*np.log(settings.scale)))
    stretch = math.exp(rng.uniform(-0.5, 0.5) * math.log(settings.stretch))
    angle = rng.uniform(-math.pi, math.pi) if rng.random() < settings.rotate else 0.0
    mirror = -1.0 if rng.random() < settings.flip else 1.0
    tilt = rng.uniform(-math.pi, math.pi) if settings.stretch > 1 else 0.0
    # Read from right to left: mirror, stretch along an axis at the angle `tilt`, rotate.
    linear = _rotation(angle) @ _rotation(-tilt)
    linear = linear @ np.diag([zoom * stretch, zoom / stretch]) @ _rotation(tilt)
    linear = linear @ np.diag([mirror, 1.0])
    centre = np.asarray([_random_centre(length, size / zoom, rng) for length in (shape[1], shape[0])])
    middle = (size - 1) / 2
    # On the pixel grid: without rotation or zoom a crop copies pixels and interpolates none.
    offset = middle - linear @ (np.rint(centre - middle) + middle)
    return np.column_stack([linear, offset])


def _rotation(angle: float) -> NDArray[np.float64]:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _random_centre(length: int, window: float, rng: np.random.Generator) -> float:
    """Draw the centre of a window along one axis; it stays inside the image where it fits."""
    margin = min(window, length) / 2
    return float(rng.uniform(margin, length - margin)) - 0.5


def _change_intensity(
    image: NDArray[np.uint8], settings: Augmentation, rng: np.random.Generator
) -> NDArray[np.uint8]:
    values: Gray = image.astype(np.float32) / np.float32(255)
    for change in INTENSITY_CHANGES:
        values = change(values, settings, rng)
    return np.asarray(np.rint(np.clip(values, 0, 1) * 255), np.uint8)


def _invert(values: Gray, settings: Augmentation, rng: np.random.Generator) -> Gray:
    return 1 - values if rng.random() < settings.invert else values


def _apply_gamma(values: Gray, settings: Augmentation, rng: np.random.Generator) -> Gray:
    values **= math.exp(rng.uniform(*np.log(settings.gamma)))
    return values


def _change_contrast(values: Gray, settings: Augmentation, rng: np.random.Generator) -> Gray:
    mean = float(values.mean())
    return (values - mean) * rng.uniform(*settings.contrast) + mean


def _change_brightness(values: Gray, settings: Augmentation, rng: np.random.Generator) -> Gray:
    values *= rng.uniform(*settings.brightness)
    return values


def _blur(values: Gray, settings: Augmentation, rng: np.random.Generator) -> Gray:
    if settings.blur > 0 and rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), rng.uniform(0.1, settings.blur)))
    return values


def _add_noise(values: Gray, settings: Augmentation, rng: np.random.Generator) -> Gray:
    if settings.noise > 0 and rng.random() < 0.5:
        sigma = rng.uniform(0, settings.noise) / 255
        values += sigma * rng.standard_normal(values.shape, np.float32)
    return values


INTENSITY_CHANGES: tuple[Callable[[Gray, Augmentation, np.random.Generator], Gray], ...] = (
    _invert,
    _apply_gamma,
    _change_contrast,
    _change_brightness,
    _blur,
    _add_noise,
)
"""Changes of the intensities of a crop, in [0, 1], in this order; each may change its array in place.

To add one, write a function, list it here, and give it a setting in `Augmentation`. It belongs at the end, so
that the others draw the same numbers with the same seed.
"""


def use_one_thread(_worker: int) -> None:
    """Limit OpenCV to one thread, in a process that prepares crops beside others."""
    cv2.setNumThreads(0)
