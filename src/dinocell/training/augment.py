"""Random crops for training: one warp of image and labels, then changes of intensity."""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import find_objects

from dinocell.errors import InputError
from dinocell.labels import IGNORE
from dinocell.postprocess.distance import labels_to_distance
from dinocell.settings import Range, Section


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
    pixels = _warp(image, matrix, (size, size), cv2.INTER_LINEAR)
    cropped = _warp(labels, matrix, (size, size), cv2.INTER_NEAREST)
    if distance is None:
        warped = _distance_of_whole_cells(labels, boxes, cropped, matrix)
    else:
        warped = np.where(cropped > 0, _warp(distance, matrix, (size, size), cv2.INTER_LINEAR), 0)
    return Crop(_change_intensity(pixels, settings, rng), warped.astype(np.float32), cropped != IGNORE)


def bounding_boxes(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Find the bounding box of every id.

    Parameters
    ----------
    labels : int32 array, shape (Y, X)

    Returns
    -------
    int64 array, shape (max id + 1, 4)
        Row ``i``: first row, first column, last row, last column of id ``i``; zeros where the id is absent.
    """
    found = find_objects(np.maximum(labels, 0))
    boxes = np.zeros((len(found) + 1, 4), np.int64)
    for number, box in enumerate(found, start=1):
        if box is not None:
            rows, columns = box
            boxes[number] = rows.start, columns.start, rows.stop - 1, columns.stop - 1
    return boxes


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


def _warp(
    plane: NDArray[Any], matrix: NDArray[np.float64], shape: tuple[int, int], method: int
) -> NDArray[Any]:
    """Warp an image or labels by `matrix`; both are mirrored beyond their edge.

    Mirroring keeps the distance map right there: a cell cut by the edge grows its own mirror image, so the
    edge does not count as outside.
    """
    warped: NDArray[Any] = cv2.warpAffine(
        plane, matrix, (shape[1], shape[0]), flags=method, borderMode=cv2.BORDER_REFLECT
    )
    return warped


def _distance_of_whole_cells(
    labels: NDArray[np.int32],
    boxes: NDArray[np.int64],
    cropped: NDArray[np.int32],
    matrix: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Compute the distance map of a crop, measured on the uncropped cells that show in it.

    A cell that the crop cuts must keep the distances of the whole cell, so these are measured on a wider
    window and the crop is cut out of the result::

        wide window (warped once, measured once)
        ┌───────────────────────────┐
        │        ┌─ crop ─────┐     │   A is whole in the wide window: its distances and its maximum are
        │    ╭───┼──╮         │     │   those of the uncropped cell.
        │    │ A │  │       ╭─┼───╮ │   B reaches the image's edge. Beyond it, the warp mirrors B, so that the
        │    ╰───┼──╯       │B│   ┊ │   edge does not count as outside.
        │        │          ╰─┼───╯ │
        │        └────────────┘     │   ┊ edge of the image
        └───────────────────────────┘

    The window is as wide as the bounding boxes of all cells in the crop, with a pixel to spare. Where the
    crop shows mirrored cells, which have no bounding box, it is wider by the thickest cell: no distance in a
    cell and its mirror image exceeds that. The map is divided by each cell's maximum over the pixels of the
    image itself.
    """
    size = cropped.shape[0]
    ids = np.unique(cropped)
    ids = ids[ids > 0]
    if not ids.size:
        return np.zeros(cropped.shape, np.float32)
    top, left, bottom, right = boxes[ids].T
    moved = _move(
        matrix, np.concatenate([left, left, right, right]), np.tile(np.concatenate([top, bottom]), 2)
    )
    margin = 0.0
    if _shows_mirrored(matrix, size, labels.shape):
        thickness = np.minimum(bottom - top, right - left).max() + 1
        margin = thickness * float(np.linalg.norm(matrix[:, :2], 2))
    # Corners (x, y) of the wide window, in coordinates of the crop, whose own corners are 0 and `size`.
    low = np.floor(np.minimum(moved.min(axis=1) - 2, -margin)).astype(int)
    high = np.ceil(np.maximum(moved.max(axis=1) + 3, size + margin)).astype(int)
    wide = matrix.copy()
    wide[:, 2] -= low
    window = (int(high[1] - low[1]), int(high[0] - low[0]))
    whole = _warp(labels, wide, window, cv2.INTER_NEAREST)
    whole[~np.isin(whole, ids)] = 0
    distance = labels_to_distance(whole)
    real = cv2.warpAffine(np.ones(labels.shape, np.uint8), wide, window[::-1], flags=cv2.INTER_NEAREST) > 0
    peaks = np.zeros(len(boxes), np.float32)
    np.maximum.at(peaks, whole[real], distance[real])
    peaks[peaks == 0] = 1
    x, y = -low
    inside = np.s_[y : y + size, x : x + size]
    shares = np.minimum(distance[inside] / peaks[whole[inside]], 1)
    # The two warps may round a pixel at a label's edge differently; the crop's own labels decide.
    return np.where(cropped > 0, shares, 0).astype(np.float32)


def _move(matrix: NDArray[np.float64], x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(matrix[:, :2] @ np.stack([x, y]) + matrix[:, 2:])


def _shows_mirrored(matrix: NDArray[np.float64], size: int, shape: tuple[int, ...]) -> bool:
    """Return whether a corner of the crop lies beyond the image."""
    x, y = np.array([[0, 0, 1, 1], [0, 1, 0, 1]]) * (size - 1)
    x, y = _move(np.asarray(cv2.invertAffineTransform(matrix), np.float64), x, y)
    return bool(min(x.min(), y.min()) < -0.5 or x.max() > shape[1] - 0.5 or y.max() > shape[0] - 0.5)


def _change_intensity(
    image: NDArray[np.uint8], settings: Augmentation, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Change intensities: inversion, gamma, contrast, brightness, blur and noise, in this order."""
    values = image.astype(np.float32) / 255
    if rng.random() < settings.invert:
        values = 1 - values
    values **= math.exp(rng.uniform(*np.log(settings.gamma)))
    mean = float(values.mean())
    values = (values - mean) * rng.uniform(*settings.contrast) + mean
    values *= rng.uniform(*settings.brightness)
    if settings.blur > 0 and rng.random() < 0.5:
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), rng.uniform(0.1, settings.blur)))
    if settings.noise > 0 and rng.random() < 0.5:
        sigma = rng.uniform(0, settings.noise) / 255
        values += sigma * rng.standard_normal(values.shape, np.float32)
    return np.asarray(np.rint(np.clip(values, 0, 1) * 255), np.uint8)
