"""Image to the 8-bit grayscale that the network sees: the same function in training and inference."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.io.field import find_field, search_field
from dinocell.io.planes import Window
from dinocell.preprocess.intensity_range import IntensityRange, scale_to_uint8, to_uint8
from dinocell.preprocess.resampling import (
    check_window,
    resize,
    resize_window,
    scaled_field,
    scaled_shape,
    window_shape,
)

LUMINANCE = (0.299, 0.587, 0.114)
"""ITU-R BT.601 weights of red, green and blue."""


MAX_WINDOW = 4096
"""Side in pixels of the largest CLAHE window: an image is mirrored up to a whole number of them."""

MAX_CLIP = 1000
"""Largest clip limit; from 256 on, the number of gray levels, nothing is clipped."""


@dataclass(frozen=True)
class Preprocessing:
    """Settings of the way from an image to network input; stored in every checkpoint.

    Attributes
    ----------
    low_percentile, high_percentile : float
        Percentiles of the finite pixels within constant margins that become 0 and 255.
    clahe : bool
        Whether contrast-limited adaptive histogram equalisation is applied.
    clahe_clip_limit : float
        OpenCV's clip limit.
    clahe_window : int
        Side of a CLAHE window in pixels, so that the result does not depend on the image's extent.
    """

    low_percentile: float = 0.1
    high_percentile: float = 99.9
    clahe: bool = True
    clahe_clip_limit: float = 3.0
    clahe_window: int = 64

    def __post_init__(self) -> None:
        if not 0 <= self.low_percentile < self.high_percentile <= 100:
            raise InputError(
                f"percentiles are {self.low_percentile} and {self.high_percentile}, "
                "expected 0 ≤ low < high ≤ 100"
            )
        whole = isinstance(self.clahe_window, int | np.integer)
        if not (whole and 2 <= self.clahe_window <= MAX_WINDOW and 0 < self.clahe_clip_limit <= MAX_CLIP):
            raise InputError(
                f"CLAHE has clip limit {self.clahe_clip_limit} and windows of {self.clahe_window} px, "
                f"expected a limit above 0, at most {MAX_CLIP}, and whole pixels from 2 to {MAX_WINDOW}"
            )


def preprocess(
    image: NDArray[Any], settings: Preprocessing | None = None, *, scale: float = 1.0
) -> NDArray[np.uint8]:
    """Convert an image to network input: grayscale, robust scaling to 8 bits, resize, CLAHE, in this order.

    Constant margins count for nothing (see `dinocell.io.field`): the field within them becomes what it would
    without them, and they become 0.

    Parameters
    ----------
    image : array, shape (Y, X) or (Y, X, C)
        Any integer or float dtype. C is 1 (gray), 3 (RGB) or 4 (RGBA).
        NaN and infinite pixels in the field are treated as its lowest finite value.
    settings : Preprocessing, optional
    scale : float
        Factor on both sides; 2 doubles the cells' diameter.

    Returns
    -------
    uint8 array, shape (round(Y·scale), round(X·scale))
        A constant image is 0 everywhere.

    Raises
    ------
    InputError
        If the image is empty, of another shape or dtype, or mostly not finite.
    """
    settings = settings or Preprocessing()
    gray = to_grayscale(image)
    field, shape = find_field(gray), (gray.shape[0], gray.shape[1])
    inner = _preprocess_field(gray[field], settings, scale)
    target = scaled_shape(shape, scale)
    if inner.shape == target:
        return inner
    whole = np.zeros(target, np.uint8)
    whole[scaled_field(field, shape, scale)] = inner
    return whole


def _preprocess_field(gray: NDArray[Any], settings: Preprocessing, scale: float) -> NDArray[np.uint8]:
    scaled = scale_to_uint8(gray, low=settings.low_percentile, high=settings.high_percentile)
    scaled = resize(scaled, scaled_shape((gray.shape[0], gray.shape[1]), scale))
    if settings.clahe and scaled.any():
        return apply_clahe(scaled, clip_limit=settings.clahe_clip_limit, window=settings.clahe_window)
    return scaled


def field_of(image: NDArray[Any]) -> Window:
    """Find the field of an image, (Y, X) or (Y, X, C) with C of 1, 3 or 4: see `dinocell.io.field`."""
    return search_field(
        lambda rows, columns: to_grayscale(image[rows, columns]), (image.shape[0], image.shape[1])
    )


def preprocess_window(
    read: Callable[[slice, slice], NDArray[Any]],
    shape: tuple[int, int],
    window: Window,
    settings: Preprocessing,
    found: IntensityRange,
    *,
    scale: float = 1.0,
) -> NDArray[np.uint8]:
    """Compute a window of what `preprocess` makes of an image without margins, reading hardly more of it.

    Parameters
    ----------
    read : callable
        Given rows and columns of the image, returns that part of it: (Y, X) or (Y, X, C), C of 1, 3 or 4. An
        image with margins is read within its field: see `dinocell.io.field`.
    shape : (int, int)
        (Y, X) of the image.
    window : (slice, slice)
        Rows and columns in the scaled image: slices with start and stop, not empty, without a step.
    settings : Preprocessing
    found : IntensityRange
        From `find_range` of the whole image in grays, with the percentiles of `settings`.
    scale : float
        As in `preprocess`.

    Returns
    -------
    uint8 array, shape (Y, X)
        Of the window. The same values as in the whole image where the side of CLAHE windows is a power of
        two; with others, OpenCV's weights between windows round by position, and a few values differ by 1.
        Scaled, as far as `resize_window` equals `resize`. A whole image whose few bright pixels vanish
        when it shrinks gets no CLAHE; its windows do, which brightens all of them alike.

    Raises
    ------
    InputError
        If the window is not within the scaled image, or what is read is not an image.
    """
    target = scaled_shape(shape, scale)
    check_window(window, target)
    if found.constant:
        return np.zeros(window_shape(window), np.uint8)

    def read_gray(rows: slice, columns: slice) -> NDArray[np.uint8]:
        return to_uint8(to_grayscale(read(rows, columns)), found)

    if not settings.clahe:
        return resize_window(read_gray, shape, target, window)
    side = settings.clahe_window
    rows, columns = (_with_neighbours(*axis, side) for axis in zip(window, target, strict=True))
    enhanced = apply_clahe(
        resize_window(read_gray, shape, target, (rows, columns)),
        clip_limit=settings.clahe_clip_limit,
        window=side,
    )
    top, left = window[0].start - rows.start, window[1].start - columns.start
    height, width = window_shape(window)
    return np.ascontiguousarray(enhanced[top : top + height, left : left + width])


def _with_neighbours(part: slice, length: int, side: int) -> slice:
    """Grow a part of an axis to whole CLAHE windows, and by one more at each end.

    A pixel blends the windows whose centres surround it, so at most the next one. Where the last window is
    mirrored, what is mirrored may come from the one before it: a part that has one also has the other.
    """
    first, stop = part.start // side - 1, math.ceil(part.stop / side) + 1
    return slice(max(0, first * side), min(length, stop * side))


def to_grayscale(image: NDArray[Any]) -> NDArray[Any]:
    """Reduce an image to one channel: ITU-R 601 luminance of RGB, alpha dropped.

    Parameters
    ----------
    image : array, shape (Y, X) or (Y, X, C) with C of 1, 3 or 4

    Returns
    -------
    array, shape (Y, X)
        The dtype of `image` for gray, float32 or float64 for colour.

    Raises
    ------
    InputError
        If the image is empty, not real numbers, or of another shape.
    """
    pixels = np.asarray(image)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8)
    if pixels.dtype.kind not in "uif":
        raise InputError(f"image has dtype {pixels.dtype}, expected integers or floats")
    if pixels.ndim not in (2, 3):
        raise InputError(
            f"image has shape {pixels.shape}, expected (Y, X) or (Y, X, C): pass one plane of it at a time"
        )
    if pixels.size == 0:
        raise InputError(f"image has shape {pixels.shape}: it holds no pixels")
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] not in (1, 3, 4):
        first = pixels.shape[0] < min(pixels.shape[1:])  # as of channels or planes that come first
        remedy = (
            "if it is (C, Y, X) or a stack, pass one plane, as image[0]"
            if first
            else "pass one channel, as image[..., 0]"
        )
        raise InputError(
            f"image has shape {pixels.shape}, so {pixels.shape[2]} channels, expected 1 (gray), 3 (RGB) or 4 "
            f"(RGBA): {remedy}"
        )
    if pixels.shape[2] == 1:
        return pixels[:, :, 0]
    dtype = np.float32 if pixels.dtype.itemsize <= 2 else np.float64
    # Summed pixel by pixel: a matrix product rounds by position, and makes a constant image uneven.
    parts = pixels[:, :, :3].astype(dtype) * np.asarray(LUMINANCE, dtype)
    with np.errstate(invalid="ignore"):  # inf − inf is NaN, which is what such a pixel is
        return np.asarray(parts[:, :, 0] + parts[:, :, 1] + parts[:, :, 2])


def apply_clahe(gray: NDArray[np.uint8], *, clip_limit: float = 3.0, window: int = 64) -> NDArray[np.uint8]:
    """Apply CLAHE with windows of a fixed size in pixels.

    OpenCV divides an image into a fixed number of windows; the image is mirrored at the lower and right edge
    up to a multiple of `window`, so every window has the same side whatever the extent.

    Parameters
    ----------
    gray : uint8 array, shape (Y, X)
    clip_limit : float
    window : int
        Side of a window in pixels.

    Returns
    -------
    uint8 array, shape (Y, X)
    """
    rows, columns = math.ceil(gray.shape[0] / window), math.ceil(gray.shape[1] / window)
    pad = ((0, rows * window - gray.shape[0]), (0, columns * window - gray.shape[1]))
    padded = np.pad(gray, pad, mode="symmetric")
    enhanced = cv2.createCLAHE(clip_limit, (columns, rows)).apply(padded)
    return np.asarray(enhanced[: gray.shape[0], : gray.shape[1]], np.uint8)
