"""Camera and its surroundings: photons, noise, dust, uneven light, frames and scale bars."""

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell.synthesis.fields import Field, Shape, chance, log_uniform, smooth_noise, spots

Mask = NDArray[np.bool_]


def count_photons(rng: np.random.Generator, intensity: Field, fewest: float) -> Field:
    """Return an intensity of about 0 to 1 as a camera counts it: photons (Poisson), then its own noise.

    Parameters
    ----------
    rng : Generator
    intensity : float32 array, shape (Y, X)
    fewest : float
        Fewest photons that stand for an intensity of 1, at most 3000.
    """
    photons = log_uniform(rng, fewest, 3000)
    counted = rng.poisson(intensity * photons).astype(np.float32) / np.float32(photons)
    noise = rng.standard_normal(intensity.shape, dtype=np.float32)
    counted += np.float32(log_uniform(rng, 0.001, 0.03)) * noise
    brightest = log_uniform(rng, 0.25, 1.3)
    return counted * np.float32(brightest)


def read_out(rng: np.random.Generator, gray: Field, noisiest: float) -> Field:
    """Return gray values from 0 to 1 under uneven light, with a camera's noise.

    Parameters
    ----------
    rng : Generator
    gray : float32 array, shape (Y, X)
    noisiest : float
        Largest standard deviation of the noise.
    """
    height, width = gray.shape
    if chance(rng, 0.6):
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
        tilt = rng.normal(0, 0.08, 2).astype(np.float32)
        vignette = np.float32(rng.uniform(0, 0.15)) * (x**2 + y**2)
        gray = gray * (1 + tilt[0] * x + tilt[1] * y - vignette)
    if chance(rng, 0.3):
        gray = gray + np.float32(log_uniform(rng, 0.005, 0.05)) * smooth_noise(rng, gray.shape, height / 3)
    noise = rng.standard_normal(gray.shape, dtype=np.float32)
    return gray + np.float32(log_uniform(rng, 0.002, noisiest)) * noise


def add_debris(rng: np.random.Generator, phase: Field, diameter: float, most: float) -> Field:
    """Add specks, far smaller than cells, to the phase that cells cause."""
    if chance(rng, 0.5):
        return phase
    number = int(log_uniform(rng, 3, 150))
    radii = (0.7, max(1.2, diameter * 0.07))
    return phase + np.float32(rng.uniform(0.2, most)) * spots(rng, phase.shape, number, radii)


def field_of_view(rng: np.random.Generator, shape: Shape) -> Mask:
    """Choose what of the image shows the sample: all, a disc, or all but a constant border."""
    kind = rng.random()
    height, width = shape
    seen = np.ones(shape, bool)
    if kind < 0.06:
        radius = min(shape) * rng.uniform(0.42, 0.6)
        y, x = np.ogrid[:height, :width]
        centre_y, centre_x = rng.uniform(0.4, 0.6, 2) * shape
        seen = (y - centre_y) ** 2 + (x - centre_x) ** 2 < radius**2
    elif kind < 0.14:
        for turn in range(4):
            if chance(rng, 0.5):
                np.rot90(seen, turn)[: int(rng.integers(2, max(3, height // 5)))] = False
    return seen


def finish(rng: np.random.Generator, image: Field, seen: Mask) -> NDArray[np.uint8]:
    """Return an image in 8 bits, black or white where no sample is, perhaps with a scale bar.

    Parameters
    ----------
    rng : Generator
    image : float32 array, shape (Y, X) or (Y, X, 3)
        Values 0 to 1; others are cut off.
    seen : bool array, shape (Y, X)
    """
    values: NDArray[np.uint8] = np.clip(np.round(image * np.float32(255)), 0, 255).astype(np.uint8)
    values[~seen] = 255 if chance(rng, 0.3) else 0
    if chance(rng, 0.05):
        _draw_scale_bar(rng, values)
    return values


def _draw_scale_bar(rng: np.random.Generator, values: NDArray[np.uint8]) -> None:
    """Draw a white or black bar into a lower corner, with a number above it by chance."""
    height, width = values.shape[:2]
    length, thick = int(width * rng.uniform(0.1, 0.25)), max(2, height // 100)
    top, margin = height - 4 * thick, 3 * thick
    left = margin if chance(rng, 0.5) else width - margin - length
    value = 255 if chance(rng, 0.8) else 0
    values[top : top + thick, left : left + length] = value
    if chance(rng, 0.5):
        text = f"{int(rng.choice([10, 20, 50, 100]))} um"
        cv2.putText(
            values,
            text,
            (left, top - thick),
            cv2.FONT_HERSHEY_SIMPLEX,
            height / 900,
            (value,) * 3,
            1,
            cv2.LINE_AA,
        )
