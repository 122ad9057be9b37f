"""Pixels that show no specimen: constant borders, and tiles of noise."""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell.preprocess.preprocessing import Preprocessing, preprocess

DEEPEST = 0.45
"""Deepest border, as a share of the crop's side."""


@dataclass(frozen=True)
class Border:
    """Constant border of a crop: all that lies outside a circle, or beyond one of four lines.

    Attributes
    ----------
    value : int
        Gray value of the border.
    circle : (float, float, float)
        x, y and radius; the radius is infinite where there are lines.
    lines : tuple of (float, float, float)
        Four times a unit vector (x, y), and how far in its direction the border begins.
    """

    value: int
    circle: tuple[float, float, float]
    lines: tuple[tuple[float, float, float], ...]


def hidden(circle: Any, lines: Any, x: Any, y: Any) -> Any:
    """Return which pixels a border hides: bool, of the shape of `x`.

    Parameters
    ----------
    circle, lines
        As in `Border`, each number a float, or a tensor (B, 1, 1) for many crops.
    x, y : array or tensor, shape (…, Y, X)
        Coordinates of the pixels.
    """
    across, down, radius = circle
    covered = (x - across) ** 2 + (y - down) ** 2 > radius**2
    for to_x, to_y, begin in lines:
        covered |= x * to_x + y * to_y > begin
    return covered


def draw_border(size: int, rng: np.random.Generator) -> Border:
    """Draw a border: along one to four sides, at times tilted, or outside a round field of view.

    Parameters
    ----------
    size : int
        Side of the crop in pixels.
    rng : numpy.random.Generator

    Returns
    -------
    Border
        Black or white, or, less often, a gray.
    """
    value = int(rng.choice([0, 0, 255, 255, int(rng.integers(256))]))
    middle = (size - 1) / 2
    if rng.random() < 0.125:
        radius, angle = size * rng.uniform(0.5, 2), rng.uniform(-math.pi, math.pi)
        away = radius + size * rng.uniform(-0.4, 0.2)  # of the centre of the field from that of the crop
        circle = (middle + away * math.cos(angle), middle + away * math.sin(angle), radius)
        return Border(value, circle, ((0.0, 0.0, math.inf),) * 4)
    tilt = rng.uniform(-math.pi, math.pi) if rng.random() < 0.25 else 0.0
    sides = rng.random(4) < 0.25
    sides[rng.integers(4)] = True
    lines = []
    for side, depth in enumerate(size * rng.uniform(0, DEEPEST, 4)):
        x, y = math.cos(tilt + side * math.pi / 2), math.sin(tilt + side * math.pi / 2)
        begin = (x + y) * middle + size / 2 - depth
        lines.append((x, y, begin if sides[side] else math.inf))
    return Border(value, (0.0, 0.0, math.inf), tuple(lines))


def draw_empty(size: int, preprocessing: Preprocessing, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a tile without cells: uneven light and noise, preprocessed, which brings out the noise.

    Parameters
    ----------
    size : int
        Side of the tile in pixels.
    preprocessing : Preprocessing
    rng : numpy.random.Generator

    Returns
    -------
    uint8 array, shape (size, size)
    """
    knots = rng.standard_normal((int(rng.integers(2, 6)), int(rng.integers(2, 6))), np.float32)
    light = cv2.resize(knots, (size, size), interpolation=cv2.INTER_CUBIC)
    grain = rng.standard_normal((size, size), np.float32)
    if rng.random() < 0.5:
        grain = np.asarray(cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.3, 2)))
    grain /= max(float(grain.std()), 1e-6)
    strength = math.exp(rng.uniform(math.log(0.02), math.log(5)))
    return preprocess(light + np.float32(strength) * grain, preprocessing)
