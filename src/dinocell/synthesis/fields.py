"""Random numbers and random fields: smooth noise, fibres, spots; and a blur that is quick at any size."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Shape = tuple[int, int]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform: each doubling is as likely as any other."""
    return float(np.exp(rng.uniform(math.log(low), math.log(high))))


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Return true with a probability."""
    return bool(rng.random() < probability)


def blur(field: Field, sigma: float) -> Field:
    """Apply a Gaussian; a wide one on a smaller copy, where the difference cannot be seen.

    Parameters
    ----------
    field : float32 array, shape (Y, X)
    sigma : float
        Standard deviation in pixels; below 0.3 the field is returned as it is.
    """
    if sigma < 0.3:
        return field
    step = int(sigma // 4)
    if step < 2 or min(field.shape) < 4 * step:
        return np.asarray(
            cv2.GaussianBlur(field, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.float32
        )
    small = (max(1, field.shape[1] // step), max(1, field.shape[0] // step))
    coarse = cv2.resize(field, small, interpolation=cv2.INTER_AREA)
    coarse = cv2.GaussianBlur(coarse, (0, 0), sigma / step, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(cv2.resize(coarse, field.shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def smooth_noise(rng: np.random.Generator, shape: Shape, scale: float) -> Field:
    """Draw normal noise of mean 0 and deviation about 1, whose grains are `scale` pixels wide."""
    if scale <= 1:
        return rng.standard_normal(shape, dtype=np.float32)
    coarse = [math.ceil(side / scale) + 3 for side in shape]
    grains = rng.standard_normal(coarse, dtype=np.float32)
    offset = rng.uniform(0, 1, 2)
    matrix = np.array([[1 / scale, 0, 1 + offset[0]], [0, 1 / scale, 1 + offset[1]]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    field = cv2.warpAffine(grains, matrix, shape[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return field * np.float32(1.3)


def fractal_noise(rng: np.random.Generator, shape: Shape, scale: float, octaves: int = 3) -> Field:
    """Draw noise with coarse and fine grains, each octave half as wide and 0.6 times as strong."""
    total, weights = np.zeros(shape, np.float32), 0.0
    for octave in range(octaves):
        weight = 0.6**octave
        total += np.float32(weight) * smooth_noise(rng, shape, scale / 2**octave)
        weights += weight**2
    return total / np.float32(math.sqrt(weights))


def fibres(rng: np.random.Generator, shape: Shape, width: float, length: float, waviness: float) -> Field:
    """Draw noise of mean 0 and deviation about 1 that is stretched along a direction which meanders.

    Parameters
    ----------
    rng : Generator
    shape : (int, int)
    width, length : float
        Of a fibre, in pixels.
    waviness : float
        How far fibres are displaced, in pixels.
    """
    angle = rng.uniform(0, math.pi)
    y, x = np.indices(shape, dtype=np.float32)
    shift_y, shift_x = (np.float32(waviness) * smooth_noise(rng, shape, length) for _ in range(2))
    along = (x + shift_x) * math.cos(angle) + (y + shift_y) * math.sin(angle)
    across = (y + shift_y) * math.cos(angle) - (x + shift_x) * math.sin(angle)
    grains = rng.standard_normal((128, 128), dtype=np.float32)
    columns, rows = (along / length) % 127, (across / width) % 127
    return cv2.remap(grains, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP) * np.float32(1.5)


def spots(rng: np.random.Generator, shape: Shape, number: int, radii: tuple[float, float]) -> Field:
    """Draw soft discs of random height, up to 1, at random places.

    Parameters
    ----------
    rng : Generator
    shape : (int, int)
    number : int
    radii : (float, float)
        Smallest and largest radius, in pixels.
    """
    field = np.zeros(shape, np.float32)
    for _ in range(number):
        centre = (int(rng.integers(shape[1])), int(rng.integers(shape[0])))
        radius = log_uniform(rng, *radii)
        cv2.circle(field, centre, max(1, round(radius)), float(rng.uniform(0.3, 1)), -1, cv2.LINE_AA)
    return blur(field, max(0.5, radii[0] / 3))


def smooth_step(field: Field, softness: float) -> Field:
    """Compute a step from 0 to 1 at 0 that is `softness` wide."""
    step: Field = 1 / (1 + np.exp(-np.clip(field / np.float32(softness), -30, 30)))
    return step
