"""Planes in another size, whole or a window of them: averaged where they shrink, bilinear where they grow."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.io.planes import Window
from dinocell.labels import Labels

if TYPE_CHECKING:
    from scipy.sparse import csr_array

PixelT = TypeVar("PixelT", bound=np.generic)


def scaled_shape(shape: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return the shape (Y, X) after resizing by `scale`, at least one pixel a side."""
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(f"scale is {scale}, expected a positive number")
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def scaled_field(field: Window, shape: tuple[int, int], scale: float) -> Window:
    """Return where the field of an image lies after resizing by `scale`: as large as it becomes by itself."""
    rows, columns = (
        slice(start := min(round(part.start * scale), length - size), start + size)
        for part, length, size in zip(
            field, scaled_shape(shape, scale), scaled_shape(window_shape(field), scale), strict=True
        )
    )
    return rows, columns


def resize(plane: NDArray[PixelT], shape: tuple[int, int]) -> NDArray[PixelT]:
    """Resize a plane: by pixel area when it shrinks, bilinear when it grows.

    Parameters
    ----------
    plane : uint8 or float32 array, shape (Y, X)
    shape : (int, int)
        The wanted (Y, X).

    Returns
    -------
    array, shape `shape`
        The plane itself when the shape is the same.
    """
    if plane.shape == shape:
        return plane
    shrinks = shape[0] * shape[1] < plane.shape[0] * plane.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(plane, (shape[1], shape[0]), interpolation=method)  # type: ignore[arg-type]
    return np.asarray(resized, plane.dtype)


def resize_labels(labels: Labels, shape: tuple[int, int]) -> Labels:
    """Resize labels by the nearest pixel, so that no id is made up; themselves when the shape is the same."""
    if labels.shape == shape:
        return labels
    return np.asarray(cv2.resize(labels, shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT), np.int32)


def resize_window(
    read: Callable[[slice, slice], NDArray[PixelT]],
    shape: tuple[int, int],
    target: tuple[int, int],
    window: Window,
) -> NDArray[PixelT]:
    """Compute a window of what `resize` makes of a plane, reading only what it needs.

    Parameters
    ----------
    read : callable
        Given rows and columns of the plane, returns that part of it, uint8 or float32.
    shape, target : (int, int)
        (Y, X) of the plane, and what it is resized to.
    window : (slice, slice)
        Rows and columns in the resized plane: slices with start and stop, not empty, without a step.

    Returns
    -------
    array, shape (Y, X)
        Of the window. It repeats OpenCV's arithmetic on x86: uint8 is equal, float32 within rounding of sums.
        Elsewhere OpenCV may round differently, by 1 in uint8.

    Raises
    ------
    InputError
        If the window is not within the resized plane.
    """
    check_window(window, target)
    if target == shape:
        return read(*window)
    if target[0] * target[1] >= shape[0] * shape[1]:
        return _interpolate(read, shape, target, window, _bilinear_neighbours)
    if target[0] > shape[0] or target[1] > shape[1]:
        return _interpolate(read, shape, target, window, _mixed_neighbours)
    return _average(read, shape, target, window)


def check_window(window: Window, shape: tuple[int, int]) -> None:
    """Raise for a window that is not within a plane of a shape (Y, X).

    Raises
    ------
    InputError
        If a slice of it is empty, goes beyond its axis, or has a step.
    """
    for part, length in zip(window, shape, strict=True):
        if part.step not in (None, 1) or not 0 <= part.start < part.stop <= length:
            raise InputError(
                f"window is {part.start}:{part.stop} on an axis of {length} pixels, "
                "expected start and stop within it and at least one pixel"
            )


def window_shape(window: Window) -> tuple[int, int]:
    """Return height and width of a window."""
    return window[0].stop - window[0].start, window[1].stop - window[1].start


@dataclass(frozen=True)
class _Neighbours:
    """The two source pixels of each pixel along an axis, and the upper one's share (float32, 0 to 1)."""

    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    share: NDArray[np.float32]

    @property
    def source(self) -> slice:
        """The part of the source axis that they need."""
        return slice(int(self.lower.min()), int(self.upper.max()) + 1)


def _bilinear_neighbours(length: int, wanted: int, part: slice) -> _Neighbours:
    """Interpolate between the centres of pixels; beyond the outermost, repeat them."""
    pixels = np.arange(part.start, part.stop)
    # In single precision, as OpenCV has it: at pixel 100,000 it is off by 0.004 pixels.
    at = ((pixels + 0.5) * _source_pixels(length, wanted) - 0.5).astype(np.float32)
    below = np.floor(at)
    lower = below.astype(np.int64)
    return _Neighbours(np.clip(lower, 0, length - 1), np.clip(lower + 1, 0, length - 1), at - below)


def _mixed_neighbours(length: int, wanted: int, part: slice) -> _Neighbours:
    """Interpolate as OpenCV does instead of averaging areas, on both axes, when only one of them shrinks."""
    pixels = np.arange(part.start, part.stop)
    lower = np.floor(pixels * _source_pixels(length, wanted)).astype(np.int64)
    at = ((pixels + 1) - (lower + 1) * (wanted / length)).astype(np.float32)
    share = np.where(at <= 0, np.float32(0), at - np.floor(at))
    return _Neighbours(np.clip(lower, 0, length - 1), np.clip(lower + 1, 0, length - 1), share)


def _source_pixels(length: int, wanted: int) -> float:
    """Return the source pixels per pixel, by OpenCV's two divisions, which may differ in the last bit."""
    return 1 / (wanted / length)


def _interpolate(
    read: Callable[[slice, slice], NDArray[PixelT]],
    shape: tuple[int, int],
    target: tuple[int, int],
    window: Window,
    find_neighbours: Callable[[int, int, slice], _Neighbours],
) -> NDArray[PixelT]:
    down, across = (find_neighbours(*axis) for axis in zip(shape, target, window, strict=True))
    block = read(down.source, across.source)
    exact = block.dtype == np.uint8
    # OpenCV interpolates uint8 in integers: two weights of 11 bits, then 4 + 16 + 2 bits dropped.
    pixels = block.astype(np.int32 if exact else np.float32)
    first, second = _neighbour_weights(across, exact=exact)
    left, right = (neighbours - across.source.start for neighbours in (across.lower, across.upper))
    wide = pixels[:, left] * first + pixels[:, right] * second
    first, second = (weights[:, None] for weights in _neighbour_weights(down, exact=exact))
    upper, lower = (neighbours - down.source.start for neighbours in (down.lower, down.upper))
    if not exact:
        return np.asarray(wide[upper] * first + wide[lower] * second, block.dtype)
    wide >>= 4
    summed = (wide[upper] * first >> 16) + (wide[lower] * second >> 16)
    return np.asarray((summed + 2) >> 2, block.dtype)


def _neighbour_weights(neighbours: _Neighbours, *, exact: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the weights of both neighbours: float32, or whole 2048ths (int32)."""
    weights = (np.float32(1) - neighbours.share, neighbours.share)
    if not exact:
        return weights
    first, second = (np.rint(weight * np.float32(2048)).astype(np.int32) for weight in weights)
    return first, second


def _average(
    read: Callable[[slice, slice], NDArray[PixelT]],
    shape: tuple[int, int],
    target: tuple[int, int],
    window: Window,
) -> NDArray[PixelT]:
    """Average the area under each pixel, where no axis grows."""
    (rows, down), (columns, across) = (
        _area_weights(*axis) for axis in zip(shape, target, window, strict=True)
    )
    block = read(rows, columns)
    factors = (shape[0] // target[0], shape[1] // target[1])
    if shape == (factors[0] * target[0], factors[1] * target[1]):
        return _average_whole(block, factors)
    # In OpenCV's order: along rows first, from the left, then down, all in single precision.
    wide = np.ascontiguousarray((across @ np.ascontiguousarray(block.T, np.float32)).T)
    averaged = down @ wide
    return np.asarray(np.rint(averaged) if block.dtype == np.uint8 else averaged, block.dtype)


def _average_whole(block: NDArray[PixelT], factors: tuple[int, int]) -> NDArray[PixelT]:
    """Average areas of whole pixels; OpenCV rounds halves of uint8 up for 2 × 2, and to even for others."""
    # Summed row by row, then column by column: several times faster than over a reshaped block.
    nothing = np.zeros(1)
    tall = sum((block[row :: factors[0]].astype(np.float64) for row in range(factors[0])), start=nothing)
    sums = sum((tall[:, column :: factors[1]] for column in range(factors[1])), start=nothing)
    averaged = sums.astype(np.float32) * np.float32(1 / (factors[0] * factors[1]))
    if block.dtype == np.uint8:
        averaged = np.floor(averaged + np.float32(0.5)) if factors == (2, 2) else np.rint(averaged)
    return np.asarray(averaged, block.dtype)


def _area_weights(length: int, wanted: int, part: slice) -> tuple[slice, "csr_array[np.float32]"]:
    """Return the source pixels that a part of an axis averages, and its weights (wanted × source pixels).

    Slivers of up to a thousandth of a pixel are left out, as in OpenCV.
    """
    from scipy.sparse import csr_array  # takes long to import, and only windows that shrink need it

    step = _source_pixels(length, wanted)
    start = np.arange(part.start, part.stop)[:, None] * step
    stop = start + step
    covered = np.minimum(step, length - start)
    last = np.minimum(np.floor(stop), length - 1)
    first = np.minimum(np.ceil(start), last)
    pixels = first - 1 + np.arange(math.ceil(step) + 2)
    head, tail = first - start, stop - last
    weights = np.where((first <= pixels) & (pixels < last), 1 / covered, 0)
    weights = np.where((pixels < first) & (head > 1e-3), head / covered, weights)
    ends = (pixels == last) & (tail > 1e-3)
    weights = np.where(ends, np.minimum(np.minimum(tail, 1), covered) / covered, weights)
    rows, neighbours = weights.nonzero()
    columns = pixels[rows, neighbours].astype(np.int64)
    source = slice(int(columns.min()), int(columns.max()) + 1)
    matrix = csr_array(
        (weights[rows, neighbours].astype(np.float32), (rows, columns - source.start)),
        shape=(part.stop - part.start, source.stop - source.start),
    )
    return source, matrix
