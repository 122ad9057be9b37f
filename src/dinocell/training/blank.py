"""Pixels that show no specimen: constant borders, and tiles of noise."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell.preprocess.preprocessing import Preprocessing, preprocess

DEEPEST = 0.45
"""Deepest border, as a share of the crop's side."""


@dataclass(frozen=True)
class Border:
    """Constant border of a crop.

    Attributes
    ----------
    covered : bool array, shape (Y, X)
        The pixels that it hides.
    value : int
        Their gray value.
    """

    covered: NDArray[np.bool_]
    value: int


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
    ys, xs = np.indices((size, size), np.float32)
    if rng.random() < 0.125:
        radius = size * rng.uniform(0.5, 2)
        angle = rng.uniform(-math.pi, math.pi)
        away = radius + size * rng.uniform(-0.4, 0.2)  # of the centre of the field from that of the crop
        y, x = size / 2 + away * math.sin(angle), size / 2 + away * math.cos(angle)
        return Border((ys - y) ** 2 + (xs - x) ** 2 > radius**2, value)
    tilt = rng.uniform(-math.pi, math.pi) if rng.random() < 0.25 else 0.0
    middle = (size - 1) / 2
    covered = np.zeros((size, size), np.bool_)
    sides = rng.random(4) < 0.25
    sides[rng.integers(4)] = True
    for side in np.flatnonzero(sides):
        angle = tilt + side * math.pi / 2
        depth = size * rng.uniform(0, DEEPEST)
        towards = (xs - middle) * math.cos(angle) + (ys - middle) * math.sin(angle)
        covered |= towards > size / 2 - depth
    return Border(covered, value)


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
