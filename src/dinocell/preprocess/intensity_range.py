"""Range of gray values that 8 bits show, and the mapping of an image to 8 bits by it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError

MAX_NONFINITE_SHARE = 0.5
"""An image with a larger share of NaN and infinite pixels is refused."""


@dataclass(frozen=True)
class IntensityRange:
    """Range of gray values: the values that become black and white in 8 bits.

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
        """True where bottom and top are equal, or so close that half their distance is 0: all becomes 0."""
        return self.top / 2 - self.bottom / 2 == 0


_TABULATED = (np.dtype(np.uint8), np.dtype(np.uint16))
"""Types whose values are mapped once each, and looked up for every pixel of larger images."""


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
    known = values[np.isfinite(values)] if gray.dtype.kind == "f" else values.ravel()
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
    if gray.dtype in _TABULATED and gray.size > 2 ** (8 * gray.dtype.itemsize):
        every = np.arange(2 ** (8 * gray.dtype.itemsize), dtype=gray.dtype)  # fewer values than pixels
        return np.asarray(_map_range(every, found)[gray], np.uint8)
    return _map_range(gray, found)


def _map_range(gray: NDArray[Any], found: IntensityRange) -> NDArray[np.uint8]:
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
    """Raise for an image of `pixels` pixels of which too few are finite.

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
