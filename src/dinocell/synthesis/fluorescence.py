"""Fluorescence: cytoplasm, membranes and nuclei that shine, blurred, and counted as photons."""

import math

import cv2
import numpy as np

from dinocell.labels import Labels
from dinocell.synthesis.camera import count_photons
from dinocell.synthesis.fields import (
    Field,
    blur,
    chance,
    fibres,
    fractal_noise,
    log_uniform,
    smooth_noise,
    smooth_step,
    spots,
)
from dinocell.synthesis.scene import Scene


def cytoplasm(rng: np.random.Generator, scene: Scene) -> Field:
    """Render whole cells by a dye of the cytoplasm, whose nuclei are darker or brighter than it.

    Returns
    -------
    float32 array, shape (Y, X)
        Intensity from 0 to 1, with noise.
    """
    floor = rng.uniform(0.05, 0.6)
    middle = np.clip(blur(scene.relative_depth, scene.diameter * rng.uniform(0, 0.08)), 0, 1)
    profile = floor + (1 - floor) * middle ** np.float32(log_uniform(rng, 0.4, 1.8))
    profile *= 1 - np.float32(rng.uniform(0, 0.7)) * scene.line(scene.diameter * rng.uniform(0.01, 0.06))
    signal = profile * _texture(rng, scene) * _brightness(rng, scene)
    nuclei = scene.nuclei(rng, (0.08, 0.35))
    near_nucleus = blur((nuclei > 0).astype(np.float32), scene.diameter * rng.uniform(0.05, 0.2))
    signal *= 1 + np.float32(rng.uniform(0, 2)) * near_nucleus
    if chance(rng, 0.75):
        signal = _with_nuclei(rng, scene, signal, nuclei)
    return _expose(rng, scene, signal * scene.inside)


def membrane(rng: np.random.Generator, scene: Scene) -> Field:
    """Render the boundaries of cells as bright lines of uneven strength.

    Returns
    -------
    float32 array, shape (Y, X)
        Intensity from 0 to 1, with noise.
    """
    width = float(np.clip(scene.diameter * rng.uniform(0.01, 0.06), 0.7, 5))
    line = scene.line(width)
    uneven = 1 + np.float32(rng.uniform(0.1, 0.5)) * smooth_noise(rng, scene.shape, scene.diameter * 0.3)
    interior = np.float32(log_uniform(rng, 0.02, 0.4)) * _texture(rng, scene) * scene.inside
    strength = _brightness(rng, scene, most=0.35)
    signal = (line * np.clip(uneven, 0.1, None) + interior) * strength
    if chance(rng, 0.3):
        nuclei = scene.nuclei(rng, (0.15, 0.4)) > 0
        signal += nuclei * np.float32(rng.uniform(-0.5, 0.5)) * interior
    if chance(rng, 0.3):
        number = int(rng.integers(5, 60))
        signal += scene.inside * spots(rng, scene.shape, number, (1, max(1.5, scene.diameter / 25)))
    return _expose(rng, scene, np.clip(signal, 0, None))


def nuclei(rng: np.random.Generator, scene: Scene) -> Field:
    """Render nuclei by a dye of DNA, with nucleoli or bright grains, some dividing, and faint cytoplasm.

    Returns
    -------
    float32 array, shape (Y, X)
        Intensity from 0 to 1, with noise.
    """
    edge = np.clip(scene.depth / np.float32(max(1.0, scene.diameter * rng.uniform(0.05, 0.25))), 0, 1)
    signal = edge * _chromatin(rng, scene) * _brightness(rng, scene)
    if chance(rng, 0.3):
        bright = rng.random(scene.number + 1) < 0.06
        signal *= 1 + np.float32(rng.uniform(1, 2)) * scene.spread(bright)
    if chance(rng, 0.35):
        signal += np.float32(log_uniform(rng, 0.03, 0.3)) * _faint_cytoplasm(rng, scene)
    return _expose(rng, scene, signal)


def _brightness(rng: np.random.Generator, scene: Scene, most: float = 0.7) -> Field:
    """Draw how bright every cell is."""
    values = np.exp(rng.normal(0, rng.uniform(0.05, most), scene.number + 1))
    return scene.spread(np.clip(values, 0.2, 4))


def _texture(rng: np.random.Generator, scene: Scene) -> Field:
    """Draw a texture of mean 1 for cytoplasm: grains, filaments, or holes."""
    strength = np.float32(rng.uniform(0.05, 0.35))
    grain = max(1.5, scene.diameter * rng.uniform(0.04, 0.25))
    texture = 1 + strength * fractal_noise(rng, scene.shape, grain)
    kind = rng.integers(4)
    if kind == 0:
        width = max(1.2, scene.diameter * rng.uniform(0.02, 0.06))
        lines = fibres(rng, scene.shape, width, 10 * width, scene.diameter * 0.2)
        texture *= 1 + np.float32(rng.uniform(0.2, 0.7)) * np.clip(lines, -1, 2)
    elif kind == 1:
        holes = smooth_noise(rng, scene.shape, max(1.5, scene.diameter * rng.uniform(0.05, 0.12)))
        texture *= 1 - np.float32(rng.uniform(0.2, 0.8)) * smooth_step(holes - 1, 0.2)
    return np.asarray(np.maximum(texture, 0.05), np.float32)


def _with_nuclei(rng: np.random.Generator, scene: Scene, signal: Field, nuclei: Labels) -> Field:
    """Return a signal whose nuclei are darker or brighter than the cytoplasm, alike in all cells."""
    factor = log_uniform(rng, 0.15, 0.8) if chance(rng, 0.6) else log_uniform(rng, 1.2, 3)
    soft = blur((nuclei > 0).astype(np.float32), max(0.5, scene.diameter * 0.015))
    return signal * (1 + np.float32(factor - 1) * soft)


def _chromatin(rng: np.random.Generator, scene: Scene) -> Field:
    """Draw a texture of mean 1 for nuclei: grains, and dark nucleoli or bright centres."""
    grain = max(1.2, scene.diameter * rng.uniform(0.06, 0.25))
    texture = 1 + np.float32(rng.uniform(0.03, 0.25)) * fractal_noise(rng, scene.shape, grain)
    field = smooth_noise(rng, scene.shape, max(1.5, scene.diameter * rng.uniform(0.1, 0.2)))
    strength = np.float32(rng.uniform(-0.5, 0.8) if chance(rng, 0.6) else 0)
    texture *= 1 + strength * smooth_step(field - 1.4, 0.15)
    return np.asarray(np.maximum(texture, 0.05), np.float32)


def _faint_cytoplasm(rng: np.random.Generator, scene: Scene) -> Field:
    """Draw the haze of the cells around nuclei, some of which have none."""
    sigma = scene.diameter * rng.uniform(0.3, 0.9)
    some = scene.spread(rng.random(scene.number + 1) < rng.uniform(0.2, 1)) * scene.inside
    haze = blur(some, sigma) * np.clip(1 + 0.5 * smooth_noise(rng, scene.shape, scene.diameter), 0.1, None)
    return np.asarray(haze / max(float(haze.max()), 1e-6), np.float32)


def _expose(rng: np.random.Generator, scene: Scene, signal: Field) -> Field:
    """Return a signal as it is taken: blurred, with a background and what is out of focus, in photons."""
    signal = signal / np.float32(np.quantile(signal[scene.labels > 0], 0.98))
    sigma = float(np.clip(log_uniform(rng, 0.4, 3), 0, max(0.5, scene.diameter / 14)))
    seen = blur(signal, sigma)
    seen += np.float32(log_uniform(rng, 0.005, 0.25)) * blur(signal, scene.diameter * rng.uniform(0.3, 2))
    if chance(rng, 0.3):
        seen += np.float32(log_uniform(rng, 0.03, 0.35)) * _out_of_focus(rng, signal, scene.diameter)
    if chance(rng, 0.4):
        number = int(rng.integers(2, 40))
        seen += np.float32(rng.uniform(0.1, 1.2)) * spots(rng, scene.shape, number, (0.8, 3))
    uneven = 1 + np.float32(rng.uniform(0, 0.5)) * smooth_noise(rng, scene.shape, max(scene.shape))
    background = np.float32(log_uniform(rng, 0.005, 0.3))
    seen = np.clip(seen * np.clip(uneven, 0.3, None) + background, 0, 20)
    return count_photons(rng, seen, fewest=max(12.0, 3000 / scene.diameter**2))


def _out_of_focus(rng: np.random.Generator, signal: Field, diameter: float) -> Field:
    """Return a layer of other cells that is blurred beyond recognition."""
    turned = np.ascontiguousarray(np.rot90(signal, int(rng.integers(1, 4))))
    scale = rng.uniform(1, 2)
    matrix = cv2.getRotationMatrix2D((turned.shape[1] / 2, turned.shape[0] / 2), math.degrees(1), scale)
    layer = cv2.warpAffine(turned, matrix, turned.shape[::-1], borderMode=cv2.BORDER_REFLECT)
    return blur(np.asarray(layer, np.float32), diameter * rng.uniform(0.25, 0.6))
