"""Style that a crop takes from another: the spread of gray values, or the strength of low frequencies."""

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

SHARES = (0.3, 1.0)
"""Range of the share of the style that is taken over."""

LOW_FREQUENCIES = (0.01, 0.09)
"""Range of the highest frequency that takes over its amplitude, in periods a pixel."""


def exchange_histogram(image: Pixels, other: Pixels, share: float) -> Pixels:
    """Move each gray value towards the one of equal rank in another image.

    Parameters
    ----------
    image : uint8 array, shape (Y, X)
    other : uint8 array
        Of any shape.
    share : float
        Of the way, from 0 to 1.

    Returns
    -------
    uint8 array, shape (Y, X)
        Equal pixels stay equal, and darker ones do not become brighter than others.
    """
    counts = np.bincount(image.ravel(), minlength=256)
    # The rank of a gray value is that of the middle one of its pixels.
    ranks = (np.cumsum(counts) - counts / 2) / image.size
    reached = np.cumsum(np.bincount(other.ravel(), minlength=256)) / other.size
    wanted = np.searchsorted(reached, ranks).clip(max=255)
    table = (1 - share) * np.arange(256) + share * wanted
    return np.asarray(np.rint(table).astype(np.uint8)[image])


def exchange_amplitudes(image: Pixels, other: Pixels, share: float, highest: float) -> Pixels:
    """Move the amplitudes of low frequencies towards those of another image; their phases stay.

    Parameters
    ----------
    image, other : uint8 array, shape (Y, X)
    share : float
        Of the way, from 0 to 1.
    highest : float
        Highest frequency that changes, in periods a pixel along either axis.

    Returns
    -------
    uint8 array, shape (Y, X)

    References
    ----------
    Yang & Soatto, FDA: Fourier Domain Adaptation for Semantic Segmentation, 2020.
    """
    height, width = image.shape
    spectrum = scipy.fft.rfft2(image.astype(np.float32))
    style = scipy.fft.rfft2(other.astype(np.float32))
    low = (np.abs(np.fft.fftfreq(height))[:, None] <= highest) & (np.fft.rfftfreq(width) <= highest)
    amplitudes = np.abs(spectrum[low])
    wanted = (1 - share) * amplitudes + share * np.abs(style[low])
    # A frequency that is absent has no phase to keep.
    spectrum[low] *= np.where(amplitudes > 0, wanted / np.maximum(amplitudes, 1e-12), 0)
    changed = scipy.fft.irfft2(spectrum, s=image.shape)
    return np.asarray(np.rint(np.clip(changed, 0, 255)), np.uint8)
