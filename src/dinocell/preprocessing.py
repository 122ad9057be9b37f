"""Image to the 8-bit grayscale that the network sees: the same function in training and inference."""

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError

PixelT = TypeVar("PixelT", bound=np.generic)

LUMINANCE = (0.299, 0.587, 0.114)
"""ITU-R BT.601 weights of red, green and blue."""

MAX_NONFINITE_SHARE = 0.5
"""An image with a larger share of NaN and infinite pixels is refused."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes network input; stored in every checkpoint.

    Attributes
    ----------
    low_percentile, high_percentile : float
        Percentiles of the finite pixels that become 0 and 255.
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
        if self.clahe_clip_limit <= 0 or self.clahe_window < 2:
            raise InputError(
                f"CLAHE has clip limit {self.clahe_clip_limit} and windows of {self.clahe_window} px, "
                "expected a limit above 0 and at least 2 px"
            )


def preprocess(
    image: NDArray[Any], settings: Preprocessing | None = None, *, scale: float = 1.0
) -> NDArray[np.uint8]:
    """Grayscale, robust scaling to 8 bits, resize, CLAHE, in this order and once over the whole image.

    Parameters
    ----------
    image : array, shape (Y, X) or (Y, X, C)
        Any integer or float dtype. C is 1 (gray), 3 (RGB) or 4 (RGBA).
        NaN and infinite pixels are treated as the lowest finite value.
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
    gray = scale_to_uint8(to_grayscale(image), low=settings.low_percentile, high=settings.high_percentile)
    gray = resize(gray, scaled_shape((gray.shape[0], gray.shape[1]), scale))
    if settings.clahe and gray.any():
        gray = equalise(gray, clip_limit=settings.clahe_clip_limit, window=settings.clahe_window)
    return gray


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
            f"image has shape {pixels.shape}, expected (Y, X) or (Y, X, C): pass one plane at a time"
        )
    if pixels.size == 0:
        raise InputError(f"image has shape {pixels.shape}: it holds no pixels")
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] not in (1, 3, 4):
        raise InputError(
            f"image has {pixels.shape[2]} channels, expected 1 (gray), 3 (RGB) or 4 (RGBA): "
            "choose one with channel (--channel N)"
        )
    if pixels.shape[2] == 1:
        return pixels[:, :, 0]
    dtype = np.float32 if pixels.dtype.itemsize <= 2 else np.float64
    # Summed pixel by pixel: a matrix product rounds by position, and makes a constant image uneven.
    parts = pixels[:, :, :3].astype(dtype) * np.asarray(LUMINANCE, dtype)
    with np.errstate(invalid="ignore"):  # inf − inf is NaN, which is what such a pixel is
        return np.asarray(parts[:, :, 0] + parts[:, :, 1] + parts[:, :, 2])


def scale_to_uint8(gray: NDArray[Any], *, low: float = 0.1, high: float = 99.9) -> NDArray[np.uint8]:
    """Map the percentiles `low` and `high` of the finite pixels to 0 and 255, and clip.

    Parameters
    ----------
    gray : array, shape (Y, X)
    low, high : float
        Percentiles.

    Returns
    -------
    uint8 array, shape (Y, X)
        0 everywhere when the two percentiles are equal and the image is constant.

    Raises
    ------
    InputError
        If more than half of the pixels are NaN or infinite.
    """
    values = gray.astype(np.float64 if gray.dtype.itemsize > 2 else np.float32)
    finite = np.isfinite(values)
    share = 1.0 - float(finite.mean())
    if share > MAX_NONFINITE_SHARE:
        raise InputError(
            f"{share:.0%} of the pixels are NaN or infinite, expected at most half: "
            "replace them before segmenting"
        )
    known = values[finite]
    bottom, top = np.percentile(known, [low, high])
    if bottom == top:  # fewer than one pixel in a thousand differs: keep those visible
        bottom, top = known.min(), known.max()
    # Clipped and halved first, so that extreme floats do not overflow.
    half_range = top / 2 - bottom / 2
    if half_range == 0:
        return np.zeros(gray.shape, np.uint8)
    clipped = np.clip(np.where(finite, values, known.min()), bottom, top)
    return np.asarray(np.rint((clipped / 2 - bottom / 2) / half_range * 255), np.uint8)


def count_nonfinite(image: NDArray[Any]) -> int:
    """Count the NaN and infinite values of an image, which `preprocess` replaces by the lowest finite one."""
    pixels = np.asarray(image)
    return int(pixels.size - np.isfinite(pixels).sum()) if pixels.dtype.kind == "f" else 0


def scaled_shape(shape: tuple[int, int], scale: float) -> tuple[int, int]:
    """Shape (Y, X) after resizing by `scale`, at least one pixel a side."""
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(f"scale is {scale}, expected a positive number")
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


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


def equalise(gray: NDArray[np.uint8], *, clip_limit: float = 3.0, window: int = 64) -> NDArray[np.uint8]:
    """CLAHE with windows of a fixed size in pixels.

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
    equalised = cv2.createCLAHE(clip_limit, (columns, rows)).apply(padded)
    return np.asarray(equalised[: gray.shape[0], : gray.shape[1]], np.uint8)
