"""Histology: nuclei in tissue that haematoxylin and eosin colour, as RGB."""

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from dinocell.synthesis.fields import (
    Field,
    blur,
    chance,
    fibres,
    fractal_noise,
    log_uniform,
    smooth_noise,
    smooth_step,
)
from dinocell.synthesis.scene import Scene

HAEMATOXYLIN = (0.65, 0.70, 0.29)
EOSIN = (0.07, 0.99, 0.11)
"""Optical density that a dye adds to red, green and blue (Ruifrok and Johnston 2001)."""


def haematoxylin_eosin(rng: np.random.Generator, scene: Scene) -> NDArray[np.float32]:
    """Render nuclei in blue and tissue in pink, by the law of Beer and Lambert.

    Returns
    -------
    float32 array, shape (Y, X, 3)
        Red, green and blue from 0 to 1.
    """
    tissue = _tissue(rng, scene)
    blue = _haematoxylin(rng, scene, tissue)
    pink = _eosin(rng, scene, tissue)
    density = blue[..., None] * _dye(rng, HAEMATOXYLIN) + pink[..., None] * _dye(rng, EOSIN)
    density += np.float32(rng.uniform(0, 0.06))
    seen = np.exp(-np.clip(density, 0, None)) * rng.uniform(0.9, 1.0, 3).astype(np.float32)
    sigma = float(np.clip(log_uniform(rng, 0.3, 1.6), 0, max(0.5, scene.diameter / 10)))
    seen = cv2.GaussianBlur(seen, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    noise = rng.standard_normal((*scene.shape, 3), dtype=np.float32)
    seen = np.clip(seen + np.float32(log_uniform(rng, 0.003, 0.03)) * noise, 0, 1)
    return _compressed(rng, seen) if chance(rng, 0.5) else seen


def _dye(rng: np.random.Generator, density: tuple[float, float, float]) -> NDArray[np.float32]:
    """Return the density of a dye of another laboratory, of length 1."""
    values = np.clip(np.array(density) + rng.normal(0, 0.07, 3), 0.02, None)
    return (values / np.linalg.norm(values)).astype(np.float32)


def _tissue(rng: np.random.Generator, scene: Scene) -> Field:
    """Draw how much tissue there is, 0 in gaps; none lies on a nucleus."""
    if chance(rng, 0.4):
        return np.ones(scene.shape, np.float32)
    field = fractal_noise(rng, scene.shape, scene.diameter * rng.uniform(2, 6))
    tissue = smooth_step(field + np.float32(rng.uniform(0.6, 2)), 0.1)
    return np.maximum(tissue, blur(scene.inside, scene.diameter * 0.2)).astype(np.float32)


def _haematoxylin(rng: np.random.Generator, scene: Scene, tissue: Field) -> Field:
    """Draw the dye of the nuclei, dense, or pale with a dark boundary; a little is in the tissue."""
    pale = scene.spread(rng.random(scene.number + 1) < rng.uniform(0, 1))
    edge = np.exp(-((scene.depth / np.float32(max(1.2, scene.diameter * 0.08))) ** 2))
    grain = max(1.2, scene.diameter * rng.uniform(0.06, 0.2))
    chromatin = 1 + np.float32(rng.uniform(0.05, 0.35)) * fractal_noise(rng, scene.shape, grain)
    nucleoli = smooth_step(smooth_noise(rng, scene.shape, max(1.5, scene.diameter * 0.14)) - 1.3, 0.2)
    light = np.float32(rng.uniform(0.3, 0.7)) + 0.5 * edge + 0.6 * nucleoli
    amount = np.where(pale > 0, light, np.float32(1)) * chromatin * scene.each(rng, 0.6, 1.4)
    amount = blur((amount * scene.inside).astype(np.float32), max(0.5, scene.diameter * 0.02))
    background = 0.15 * tissue * (1 + 0.5 * fractal_noise(rng, scene.shape, scene.diameter))
    strength = np.float32(log_uniform(rng, 0.5, 1.8))
    return np.asarray(strength * amount + rng.uniform(0, 1.2) * np.clip(background, 0, None), np.float32)


def _eosin(rng: np.random.Generator, scene: Scene, tissue: Field) -> Field:
    """Draw the dye of the tissue: fibres, cytoplasm around nuclei, red blood cells."""
    width = max(1.5, scene.diameter * rng.uniform(0.08, 0.4))
    lines = fibres(rng, scene.shape, width, width * rng.uniform(6, 20), width * rng.uniform(0.5, 3))
    mottled = fractal_noise(rng, scene.shape, scene.diameter * rng.uniform(0.3, 2), octaves=5)
    amount = 1 + np.float32(rng.uniform(0, 0.5)) * lines + np.float32(rng.uniform(0.05, 0.35)) * mottled
    amount += np.float32(rng.uniform(-0.5, 0.5)) * blur(scene.inside, scene.diameter * 0.6)
    amount *= 1 - np.float32(rng.uniform(0.2, 0.9)) * blur(scene.inside, 0.7)
    amount = np.clip(amount, 0, None) * tissue * np.float32(log_uniform(rng, 0.12, 0.7))
    if chance(rng, 0.3):
        amount += np.float32(rng.uniform(0.1, 0.5)) * _blood(rng, scene)
    return amount.astype(np.float32)


def _blood(rng: np.random.Generator, scene: Scene) -> Field:
    """Draw clumps of red blood cells, which have no nucleus, between the nuclei."""
    field = np.zeros(scene.shape, np.float32)
    radius = max(2, round(scene.diameter * 0.4))
    for place in rng.uniform(0, scene.shape, (int(rng.integers(1, 5)), 2)):
        for row, column in place + rng.normal(0, 2 * radius, (int(rng.integers(2, 12)), 2)):
            cv2.circle(field, (int(column), int(row)), radius, float(rng.uniform(0.5, 1)), -1, cv2.LINE_AA)
    return field * (1 - scene.inside)


def _compressed(rng: np.random.Generator, seen: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an image as JPEG leaves it."""
    data = imagecodecs.jpeg_encode(np.round(seen * 255).astype(np.uint8), level=int(rng.integers(60, 95)))
    return np.asarray(imagecodecs.jpeg_decode(data), np.float32) / np.float32(255)
