"""Pixels of a crop, as inference would see them in an image of that zoom."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell.preprocess.preprocessing import Preprocessing, apply_clahe
from dinocell.preprocess.resampling import resize, scaled_shape
from dinocell.training.annotated import Annotated
from dinocell.training.augmentation import Augmentation
from dinocell.training.gray_mix import GrayMix, draw_mix
from dinocell.training.placement import Placement
from dinocell.training.warp import warp

LEAST_UNSMOOTHED = 0.7
"""Zoom below which interpolation alone would skip pixels, so that their areas are averaged first."""


@dataclass(frozen=True)
class Rendering:
    """Choice of what a crop is drawn from.

    Attributes
    ----------
    plane : uint8 array, shape (Y, X) or (Y, X, 3)
    mix : GrayMix or None
        The way from colours to gray, where the plane has colours.
    clahe : bool
        Whether CLAHE is still to be applied.
    """

    plane: NDArray[np.uint8]
    mix: GrayMix | None
    clahe: bool


def choose_rendering(
    item: Annotated, zoom: float, settings: Augmentation, rng: np.random.Generator
) -> Rendering:
    """Draw what a crop shows: the image as preprocessed, without CLAHE, or in another mix of its colours."""
    mixed = bool(settings.gray_mix) and rng.random() < settings.gray_mix
    plain = bool(settings.no_clahe) and rng.random() < settings.no_clahe
    if item.gray is None:
        return Rendering(item.image, None, clahe=False)
    clahe = item.preprocessing.clahe and not plain
    if mixed and item.colour is not None:
        return Rendering(item.colour, draw_mix(item.colour, item.preprocessing, rng), clahe)
    if clahe and zoom == 1:
        return Rendering(item.image, None, clahe=False)
    return Rendering(item.gray, None, clahe)


def render(
    rendering: Rendering, placement: Placement, size: int, preprocessing: Preprocessing
) -> NDArray[np.uint8]:
    """Draw the pixels of a crop: resize by its zoom first, then apply CLAHE, as `preprocess` does, then warp.

    Only a block of the image around the crop is resized, so wide that each pixel of the crop lies between
    whole windows of CLAHE. Their grid begins at the block's corner: cells may lie anywhere on it.

    Parameters
    ----------
    rendering : Rendering
    placement : Placement
    size : int
        Side of the crop in pixels.
    preprocessing : Preprocessing

    Returns
    -------
    uint8 array, shape (size, size)
    """
    zoom, plane = placement.zoom, rendering.plane
    if zoom > LEAST_UNSMOOTHED and not rendering.clahe and rendering.mix is None:
        return np.asarray(warp(plane, placement.matrix, (size, size), cv2.INTER_LINEAR), np.uint8)
    margin = math.ceil((preprocessing.clahe_window if rendering.clahe else 2) / zoom) + 1
    rows, columns = _block(plane.shape, placement.matrix, size, margin)
    block = plane[rows, columns]
    pixels = resize(block, scaled_shape((block.shape[0], block.shape[1]), zoom))
    if rendering.mix is not None:
        pixels = rendering.mix.apply(pixels)
    if rendering.clahe and pixels.any():
        pixels = apply_clahe(
            pixels, clip_limit=preprocessing.clahe_clip_limit, window=preprocessing.clahe_window
        )
    # From the resized block to the crop; by the sides that rounding gave it, so that no pixel is displaced.
    factors = np.array([block.shape[1] / pixels.shape[1], block.shape[0] / pixels.shape[0]])
    linear, offset = placement.matrix[:, :2], placement.matrix[:, 2]
    start = np.array([columns.start, rows.start]) - 0.5 + factors / 2
    residual = np.column_stack([linear * factors, linear @ start + offset])
    return np.asarray(warp(pixels, residual, (size, size), cv2.INTER_LINEAR), np.uint8)


def _block(
    shape: tuple[int, ...], matrix: NDArray[np.float64], size: int, margin: int
) -> tuple[slice, slice]:
    """Return rows and columns of an image that a crop shows, with a margin, and what it mirrors."""
    inverse = np.asarray(cv2.invertAffineTransform(matrix), np.float64)
    corners = inverse[:, :2] @ (np.array([[0, 0, 1, 1], [0, 1, 0, 1]]) * (size - 1)) + inverse[:, 2:]
    columns, rows = (
        _part(math.floor(axis.min()) - margin, math.ceil(axis.max()) + margin + 1, length)
        for axis, length in zip(corners, (shape[1], shape[0]), strict=True)
    )
    return rows, columns


def _part(low: int, high: int, length: int) -> slice:
    """Clip a part of an axis to the image; what lies beyond an edge is mirrored from inside it."""
    if low < 0:
        high = max(high, -low)
    if high > length:
        low = min(low, 2 * length - high)
    return slice(max(0, low), min(length, high))
