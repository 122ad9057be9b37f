"""Image to the 8-bit grayscale that the network sees: the same function in training and inference."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from dinocell.errors import InputError

PixelT = TypeVar("PixelT", bound=np.generic)

Window = tuple[slice, slice]
"""Rows and columns of a part of a plane: two slices with start and stop, not empty, without a step."""

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


@dataclass(frozen=True)
class IntensityRange:
    """What becomes black and what becomes white in the 8 bits of an image.

    Attributes
    ----------
    bottom, top : float
        Gray values that become 0 and 255.
    lowest : float
        The lowest finite gray value, which stands for NaN and infinite pixels.
    extremes : bool
        Whether bottom and top are the image's minimum and maximum, because both percentiles are equal. They
        then are pixels, and computed with in the precision of pixels; percentiles are in double precision.
    """

    bottom: float
    top: float
    lowest: float
    extremes: bool = False

    @classmethod
    def choose(cls, bottom: float, top: float, lowest: float, highest: float) -> "IntensityRange":
        """Return the range of two percentiles, or of all finite pixels where the percentiles are equal.

        Fewer than one pixel in a thousand differs then, and that one stays visible.
        """
        if bottom == top:
            return cls(float(lowest), float(highest), float(lowest), extremes=True)
        return cls(float(bottom), float(top), float(lowest))

    @property
    def constant(self) -> bool:
        """Whether bottom and top are equal, or so close that half their distance is 0: all becomes 0."""
        return self.top / 2 - self.bottom / 2 == 0


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


def preprocess_window(
    read: Callable[[slice, slice], NDArray[Any]],
    shape: tuple[int, int],
    window: Window,
    settings: Preprocessing,
    found: IntensityRange,
    *,
    scale: float = 1.0,
) -> NDArray[np.uint8]:
    """Compute a window of what `preprocess` makes of an image, reading hardly more than the window.

    Parameters
    ----------
    read : callable
        Given rows and columns of the image, returns that part of it: (Y, X) or (Y, X, C), C of 1, 3 or 4.
    shape : (int, int)
        (Y, X) of the image.
    window : (slice, slice)
        Rows and columns in the scaled image.
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
        when it shrinks is not equalised; its windows are, which brightens all of them alike.

    Raises
    ------
    InputError
        If the window is not within the scaled image, or what is read is not an image.
    """
    target = scaled_shape(shape, scale)
    _check_window(window, target)
    if found.constant:
        return np.zeros(_extent(window), np.uint8)

    def read_gray(rows: slice, columns: slice) -> NDArray[np.uint8]:
        return to_uint8(to_grayscale(read(rows, columns)), found)

    if not settings.clahe:
        return resize_window(read_gray, shape, target, window)
    side = settings.clahe_window
    rows, columns = (_with_neighbours(*axis, side) for axis in zip(window, target, strict=True))
    equalised = equalise(
        resize_window(read_gray, shape, target, (rows, columns)),
        clip_limit=settings.clahe_clip_limit,
        window=side,
    )
    top, left = window[0].start - rows.start, window[1].start - columns.start
    height, width = _extent(window)
    return np.ascontiguousarray(equalised[top : top + height, left : left + width])


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
    return to_uint8(gray, find_range(gray, low=low, high=high))


def find_range(gray: NDArray[Any], *, low: float = 0.1, high: float = 99.9) -> IntensityRange:
    """Find the gray values that become 0 and 255: percentiles of the finite pixels.

    Parameters
    ----------
    gray : array, shape (Y, X)
    low, high : float
        Percentiles.

    Returns
    -------
    IntensityRange
        The minimum and the maximum where the two percentiles are equal.

    Raises
    ------
    InputError
        If more than half of the pixels are NaN or infinite.
    """
    values = gray.astype(computed_dtype(gray.dtype))
    known = values[np.isfinite(values)]
    check_finite_share(known.size, values.size)
    bottom, top = np.percentile(known, [low, high])
    return IntensityRange.choose(bottom, top, known.min(), known.max())


def to_uint8(gray: NDArray[Any], found: IntensityRange) -> NDArray[np.uint8]:
    """Map a range of gray values to 0 to 255, and clip.

    Parameters
    ----------
    gray : array, shape (Y, X)
        The image whose range it is, or any part of it.
    found : IntensityRange
        From `find_range` of the whole image.

    Returns
    -------
    uint8 array, shape (Y, X)
        0 everywhere when the range is constant.
    """
    if found.constant:
        return np.zeros(gray.shape, np.uint8)
    values = gray.astype(computed_dtype(gray.dtype))
    precision = values.dtype.type if found.extremes else np.float64
    bottom, top = precision(found.bottom), precision(found.top)
    known = np.where(np.isfinite(values), values, values.dtype.type(found.lowest))
    # Clipped and halved first, so that extreme floats do not overflow.
    clipped = np.clip(known, bottom, top)
    return np.asarray(np.rint((clipped / 2 - bottom / 2) / (top / 2 - bottom / 2) * 255), np.uint8)


def computed_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the float in which grays of a dtype are computed with: float32 up to 16 bits, else float64."""
    return np.dtype(np.float64 if dtype.itemsize > 2 else np.float32)


def check_finite_share(finite: int, pixels: int) -> None:
    """Refuse an image of `pixels` pixels of which too few are finite.

    Raises
    ------
    InputError
        If more than half are NaN or infinite.
    """
    share = 1.0 - finite / pixels
    if share > MAX_NONFINITE_SHARE:
        raise InputError(
            f"{share:.0%} of the pixels are NaN or infinite, expected at most half: "
            "replace them before segmenting"
        )


def count_nonfinite(image: NDArray[Any]) -> int:
    """Count the NaN and infinite values of an image, which `preprocess` replaces by the lowest finite one."""
    pixels = np.asarray(image)
    return int(pixels.size - np.isfinite(pixels).sum()) if pixels.dtype.kind == "f" else 0


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
        Rows and columns in the resized plane.

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
    _check_window(window, target)
    if target == shape:
        return read(*window)
    if target[0] * target[1] >= shape[0] * shape[1]:
        return _interpolate(read, shape, target, window, _bilinear_taps)
    if target[0] > shape[0] or target[1] > shape[1]:
        return _interpolate(read, shape, target, window, _mixed_taps)
    return _average(read, shape, target, window)


def _check_window(window: Window, shape: tuple[int, int]) -> None:
    for part, length in zip(window, shape, strict=True):
        if part.step not in (None, 1) or not 0 <= part.start < part.stop <= length:
            raise InputError(
                f"window is {part.start}:{part.stop} on an axis of {length} pixels, "
                "expected start and stop within it and at least one pixel"
            )


def _extent(window: Window) -> tuple[int, int]:
    return window[0].stop - window[0].start, window[1].stop - window[1].start


@dataclass(frozen=True)
class _Taps:
    """The two source pixels of each pixel along an axis, and the upper one's share (float32, 0 to 1)."""

    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    share: NDArray[np.float32]

    @property
    def source(self) -> slice:
        """The part of the source axis that they need."""
        return slice(int(self.lower.min()), int(self.upper.max()) + 1)


def _bilinear_taps(length: int, wanted: int, part: slice) -> _Taps:
    """Interpolate between the centres of pixels; beyond the outermost, repeat them."""
    pixels = np.arange(part.start, part.stop)
    # In single precision, as OpenCV has it: at pixel 100,000 it is off by 0.004 pixels.
    at = ((pixels + 0.5) * _source_pixels(length, wanted) - 0.5).astype(np.float32)
    below = np.floor(at)
    lower = below.astype(np.int64)
    return _Taps(np.clip(lower, 0, length - 1), np.clip(lower + 1, 0, length - 1), at - below)


def _mixed_taps(length: int, wanted: int, part: slice) -> _Taps:
    """Interpolate as OpenCV does instead of averaging areas, on both axes, when only one of them shrinks."""
    pixels = np.arange(part.start, part.stop)
    lower = np.floor(pixels * _source_pixels(length, wanted)).astype(np.int64)
    at = ((pixels + 1) - (lower + 1) * (wanted / length)).astype(np.float32)
    share = np.where(at <= 0, np.float32(0), at - np.floor(at))
    return _Taps(np.clip(lower, 0, length - 1), np.clip(lower + 1, 0, length - 1), share)


def _source_pixels(length: int, wanted: int) -> float:
    """Return the source pixels per pixel, by OpenCV's two divisions, which may differ in the last bit."""
    return 1 / (wanted / length)


def _interpolate(
    read: Callable[[slice, slice], NDArray[PixelT]],
    shape: tuple[int, int],
    target: tuple[int, int],
    window: Window,
    find_taps: Callable[[int, int, slice], _Taps],
) -> NDArray[PixelT]:
    down, across = (find_taps(*axis) for axis in zip(shape, target, window, strict=True))
    block = read(down.source, across.source)
    exact = block.dtype == np.uint8
    # OpenCV interpolates uint8 in integers: two weights of 11 bits, then 4 + 16 + 2 bits dropped.
    pixels = block.astype(np.int32 if exact else np.float32)
    first, second = _tap_weights(across, exact=exact)
    left, right = (taps - across.source.start for taps in (across.lower, across.upper))
    wide = pixels[:, left] * first + pixels[:, right] * second
    first, second = (weights[:, None] for weights in _tap_weights(down, exact=exact))
    upper, lower = (taps - down.source.start for taps in (down.lower, down.upper))
    if not exact:
        return np.asarray(wide[upper] * first + wide[lower] * second, block.dtype)
    wide >>= 4
    summed = (wide[upper] * first >> 16) + (wide[lower] * second >> 16)
    return np.asarray((summed + 2) >> 2, block.dtype)


def _tap_weights(taps: _Taps, *, exact: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the weights of both taps: float32, or whole 2048ths (int32)."""
    weights = (np.float32(1) - taps.share, taps.share)
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
    rows, taps = weights.nonzero()
    columns = pixels[rows, taps].astype(np.int64)
    source = slice(int(columns.min()), int(columns.max()) + 1)
    matrix = csr_array(
        (weights[rows, taps].astype(np.float32), (rows, columns - source.start)),
        shape=(part.stop - part.start, source.stop - source.start),
    )
    return source, matrix
