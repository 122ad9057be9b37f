"""Outlines of cells of unit diameter: polygons ``(N, V, 2)`` of (x, y), long axis along x."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Outlines = NDArray[np.float32]

VERTICES = 96
_TURN = np.linspace(0, 2 * math.pi, VERTICES, endpoint=False)


def ellipses(
    rng: np.random.Generator, number: int, elongation: tuple[float, float], roughness: float
) -> Outlines:
    """Draw ellipses with bumps.

    Parameters
    ----------
    rng : Generator
    number : int
    elongation : (float, float)
        Least and most length divided by width.
    roughness : float
        Height of the bumps as a share of the radius: 0.02 is nearly smooth, 0.25 is ragged.
    """
    radius = 1 + _harmonics(rng, number, roughness)
    ratio = np.sqrt(rng.uniform(*elongation, (number, 1)))
    return _unit(radius * np.cos(_TURN) * ratio, radius * np.sin(_TURN) / ratio)


def polygons(rng: np.random.Generator, number: int) -> Outlines:
    """Draw blunt triangles to hexagons, drawn out at some corners, as spread cells are."""
    corners = rng.integers(2, 6, (number, 1))
    phase = rng.uniform(0, 2 * math.pi, (number, 1))
    strength = rng.uniform(0.05, 0.3, (number, 1))
    radius = 1 + strength * np.cos(corners * _TURN + phase) + _harmonics(rng, number, 0.15)
    ratio = np.sqrt(rng.uniform(1, 2.2, (number, 1)))
    return _unit(radius * np.cos(_TURN) * ratio, radius * np.sin(_TURN) / ratio)


def spindles(rng: np.random.Generator, number: int) -> Outlines:
    """Draw bent cells with pointed ends, three to nine times as long as wide."""
    along = np.cos(_TURN)
    power = rng.uniform(0.8, 2.0, (number, 1))
    width = np.maximum(1 - np.abs(along), 0.0) ** power + 0.08 * np.sqrt(1 - along**2)
    side = np.sign(np.sin(_TURN)) * width * (1 + _harmonics(rng, number, 0.15))
    ratio = rng.uniform(3, 9, (number, 1))
    bend = rng.normal(0, 0.18, (number, 1))
    return _unit(along * ratio, side * 2 + bend * ratio * along**2)


def rods(rng: np.random.Generator, number: int) -> Outlines:
    """Draw rods with round ends, hardly bent, 1.3 to 6 times as long as wide; alike within an image."""
    ratio = rng.uniform(1.3, 5) * rng.uniform(0.8, 1.25, (number, 1))
    half = np.maximum(ratio - 1, 0)
    x = np.sign(np.cos(_TURN)) * half + np.cos(_TURN)
    bend = rng.normal(0, 0.04, (number, 1))
    return _unit(x, np.sin(_TURN) + bend * x**2)


def stellates(rng: np.random.Generator, number: int) -> Outlines:
    """Draw cells with two to six arms."""
    radius = 1 + _harmonics(rng, number, 0.12)
    arms = rng.integers(2, 7, (number, 1))
    start = rng.uniform(0, 2 * math.pi, (number, 1))
    for arm in range(6):
        angle = start + 2 * math.pi * (arm + rng.uniform(-0.6, 0.6, (number, 1))) / arms
        length = np.where(arm < arms, rng.uniform(0.2, 1.8, (number, 1)) ** 2, 0)
        sharpness = np.exp(rng.uniform(2, 4.3, (number, 1)))
        radius += length * np.exp(sharpness * (np.cos(_TURN - angle) - 1))
    return _unit(radius * np.cos(_TURN), radius * np.sin(_TURN))


def place(
    outlines: Outlines, centres: NDArray[Any], diameters: NDArray[Any], angles: NDArray[Any]
) -> Outlines:
    """Turn, scale and move outlines to their places in an image."""
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    x, y = outlines[..., 0], outlines[..., 1]
    turned = np.stack([x * cos - y * sin, x * sin + y * cos], axis=-1)
    placed: Outlines = (turned * diameters[:, None, None] + centres[:, None, :]).astype(np.float32)
    return placed


def _harmonics(rng: np.random.Generator, number: int, strength: float) -> NDArray[np.float64]:
    """Draw bumps around a turn, of which the finer ones are lower."""
    orders = np.arange(2, 9)[:, None]
    heights = rng.normal(0, 1, (number, 7, 1)) * strength / orders
    phases = rng.uniform(0, 2 * math.pi, (number, 7, 1))
    waves: NDArray[np.float64] = np.clip((heights * np.cos(orders * _TURN + phases)).sum(axis=1), -0.6, 0.6)
    return waves


def _unit(x: NDArray[Any], y: NDArray[Any]) -> Outlines:
    """Return outlines centred at 0 whose area is that of a circle of diameter 1."""
    x, y = np.broadcast_arrays(x, y)
    area = np.abs((x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)).sum(axis=1)) / 2
    scale = np.sqrt(math.pi / 4 / np.maximum(area, 1e-6))[:, None]
    points = np.stack([x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)], axis=-1)
    outlines: Outlines = (points * scale[..., None]).astype(np.float32)
    return outlines
