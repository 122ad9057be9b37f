"""Place of a crop in an image: a random window, turned, zoomed, stretched and mirrored."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dinocell.training.augmentation import Augmentation


@dataclass(frozen=True)
class Placement:
    """Way from an image to a crop.

    Attributes
    ----------
    matrix : float64 array, shape (2, 3)
        Maps coordinates (x, y) in the image to those in the crop.
    zoom : float
        Pixels of the crop to a pixel of the image, before stretching.
    """

    matrix: NDArray[np.float64]
    zoom: float


def place(
    shape: tuple[int, int],
    size: int,
    settings: Augmentation,
    rng: np.random.Generator,
    *,
    diameter: float = math.nan,
) -> Placement:
    """Draw the place of a crop of `size` pixels a side in an image.

    Parameters
    ----------
    shape : (int, int)
        (Y, X) of the image.
    size : int
    settings : Augmentation
    rng : numpy.random.Generator
    diameter : float
        Of the image's median cell in pixels; NaN without cells.

    Returns
    -------
    Placement
    """
    zoom = _draw_zoom(settings, diameter, rng)
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
    return Placement(np.column_stack([linear, offset]), zoom)


def _draw_zoom(settings: Augmentation, diameter: float, rng: np.random.Generator) -> float:
    zoom = math.exp(rng.uniform(*np.log(settings.scale)))
    if settings.diameter is None:
        return zoom
    wanted = math.exp(rng.uniform(*np.log(settings.diameter)))  # also without cells: the same numbers follow
    if math.isnan(diameter):
        return zoom
    return float(np.clip(zoom * wanted / diameter, *settings.zoom_limits))


def _rotation(angle: float) -> NDArray[np.float64]:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _random_centre(length: int, window: float, rng: np.random.Generator) -> float:
    """Draw the centre of a window along one axis; it stays inside the image where it fits."""
    margin = min(window, length) / 2
    return float(rng.uniform(margin, length - margin)) - 0.5
