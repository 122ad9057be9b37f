"""Quality of an image as a whole: blurred, saturated, empty, or with cells of another size."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.io.field import find_field
from dinocell.labels import median_diameter, validate_labels

Flag = Literal["empty", "out of focus", "saturated", "cells far from the trained size"]

BLUR_LIMIT = 2.0
"""Edges that are wider, in pixels, are out of focus. Chosen on images that were not blurred."""

SATURATED_SHARE = 0.005
"""An image with more of its pixels clipped is saturated. Stretching the contrast clips 0.1 to 0.35 %."""

SMALLER, LARGER = 0.5, 1.5
"""Cells are far from the trained range if their median diameter is below this share of its low end, or above
this multiple of its high end."""

OUTSIDE = 1.15
"""Median cells that are beyond the trained range by more than this factor bring a warning."""

_FINE, _COARSE = 1.0, 2.0  # standard deviations, in pixels, of the two smoothings that are compared
_EDGE_SHARE = 0.02  # at most this share of the pixels, those of the steepest slopes, count as edges,
_STEEP = 0.7  # and only those steeper than this share of the slope that _STEEPEST of the pixels exceed:
_STEEPEST = 0.002  # an image with few cells has few edges, and the inside of a cell is smooth in focus too
_CREST = 5  # side, in pixels, of the window in which an edge is steepest on its crest
_PLATEAU = 5  # how many times as many pixels as levels nearby the largest value has where it clips
_SHOULDER = 0.05  # the share of the range of values, below the largest, that is nearby


@dataclass(frozen=True)
class Quality:
    """Doubts about an image, and the numbers behind them.

    Attributes
    ----------
    flags : tuple of str
        ``"empty"`` (constant, or no cell was found), ``"out of focus"``, ``"saturated"``,
        ``"cells far from the trained size"``; none for an image that looks well.
    focus : float
        Width of the image's sharpest edges: the standard deviation, in pixels, of the Gaussian blur that
        widens a step as much. Compare it within an experiment; NaN where the image has no edges.
    saturated : float
        Share of the pixels that are clipped at the largest value, in [0, 1].
    diameter : float
        Median equivalent diameter of the cells in pixels; NaN without cells.
    """

    flags: tuple[Flag, ...]
    focus: float
    saturated: float
    diameter: float


def image_quality(
    pixels: NDArray[Any], labels: NDArray[Any], *, diameter_range: tuple[float, float] | None = None
) -> Quality:
    """Judge an image, and what was found in it.

    Parameters
    ----------
    pixels : array, shape (Y, X)
        The image as it is in its file, of any integer or float dtype: rescaling hides what is clipped. NaN
        and infinite pixels count for nothing, and so do constant margins: see `dinocell.io.field`.
    labels : integer array, shape (Y, X)
        The cells that were found.
    diameter_range : (float, float), optional
        Smallest and largest cell diameter, in pixels of this image, that the model learned from.

    Returns
    -------
    Quality

    Raises
    ------
    InputError
        If the image is not of real numbers, or shapes differ.
    """
    cells = validate_labels(labels)
    if pixels.shape != cells.shape or pixels.dtype.kind not in "buif":
        raise InputError(
            f"pixels are {pixels.dtype} of shape {pixels.shape}, expected real numbers of shape "
            f"{cells.shape} as labels"
        )
    pixels = pixels[find_field(pixels)] if pixels.size else pixels
    finite = np.isfinite(pixels)
    values = pixels[finite]
    focus, saturated, diameter = math.nan, 0.0, median_diameter(cells)
    constant = not values.size or values.min() == values.max()
    if not constant:
        focus = edge_width(np.where(finite, pixels, values.min()))
        saturated = clipped_share(values)
    flags: dict[Flag, bool] = {
        "empty": constant or math.isnan(diameter),
        "out of focus": focus > BLUR_LIMIT,
        "saturated": saturated > SATURATED_SHARE,
        "cells far from the trained size": diameter_range is not None
        and (diameter < SMALLER * diameter_range[0] or diameter > LARGER * diameter_range[1]),
    }
    return Quality(tuple(flag for flag, raised in flags.items() if raised), focus, saturated, diameter)


def describe_size(
    diameter: float | None,
    scale: float,
    best: tuple[float, float] | None,
    asked: float | str | None,
    *,
    option: str = "diameter={!r}",
) -> str | None:
    """Describe how the cells found are outside of the sizes that a model knows, and what to do.

    Parameters
    ----------
    diameter : float, optional
        Median of the cells found, in pixels of the image; None without cells.
    scale : float
        Factor on both sides of the image before the network saw it.
    best : (float, float), optional
        Diameters in pixels that the model is best at.
    asked : float, "auto" or None
        The diameter that was asked for.
    option : str
        How the diameter is given, with a place for its value.

    Returns
    -------
    str or None
        None for cells within the range, or up to `OUTSIDE` times beyond it, and where either is not known.

    Examples
    --------
    >>> describe_size(6.0, 1.0, (12.0, 70.0), "auto")
    'the median cell is 6 px wide, outside of the 12 to 70 px that the model knows: try diameter=6'
    >>> describe_size(6.0, 2.0, (12.0, 70.0), 6)
    """
    if diameter is None or math.isnan(diameter) or best is None:
        return None
    seen = diameter * scale
    if best[0] / OUTSIDE <= seen <= best[1] * OUTSIDE:
        return None
    rescaled = "" if scale == 1 else f" ({seen:.0f} px as the model saw it)"
    found = max(1, round(diameter))
    remedy = "try " + option.format("auto" if asked is None else found)
    if asked == found:
        remedy = "look at the outlines before you trust the cells"
    return (
        f"the median cell is {diameter:.0f} px wide{rescaled}, outside of the {best[0]:g} to {best[1]:g} px "
        f"that the model knows: {remedy}"
    )


def edge_width(pixels: NDArray[Any]) -> float:
    """Measure how blurred the edges of an image are, little moved by noise and not at all by contrast.

    The slope of a step that was blurred by b, and smoothed by s, is in proportion to 1/√(b² + s²): its ratio
    after two smoothings gives b. The median over the steepest pixels, where noise matters least, is taken.

    Parameters
    ----------
    pixels : array, shape (Y, X)
        Finite values.

    Returns
    -------
    float
        b in pixels, 0 at least; infinite where nothing is steeper at the finer of the two scales; NaN for a
        constant image.

    References
    ----------
    Zhuo and Sim, "Defocus map estimation from a single image", Pattern Recognition 44(9), 2011.
    """
    low, high = float(pixels.min()), float(pixels.max())
    if low == high:
        return math.nan
    # The range becomes 1, so that float32 is precise enough for values of any size.
    image = ((pixels - low) / (high - low)).astype(np.float32)
    fine, coarse = _slopes(image, _FINE), _slopes(image, _COARSE)
    steep, steepest = np.quantile(coarse, [1 - _EDGE_SHARE, 1 - _STEEPEST])
    edges = (coarse >= max(steep, _STEEP * steepest)) & (coarse > 0)
    if not edges.any():
        return math.nan
    # The formula holds on the crest of an edge: beside it the slope falls faster at the finer scale.
    crest = np.ones((_CREST, _CREST), np.uint8)
    ratio = float(np.median(cv2.dilate(fine, crest)[edges] / cv2.dilate(coarse, crest)[edges]))
    if ratio <= 1:
        return math.inf
    squared = (_COARSE**2 - (ratio * _FINE) ** 2) / (ratio**2 - 1)
    return math.sqrt(max(squared, 0))


def _slopes(image: NDArray[np.float32], smoothing: float) -> NDArray[np.float32]:
    smooth = cv2.GaussianBlur(image, (0, 0), smoothing, borderType=cv2.BORDER_REPLICATE)
    across = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=1, borderType=cv2.BORDER_REPLICATE)
    down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=1, borderType=cv2.BORDER_REPLICATE)
    return np.hypot(across, down)


def clipped_share(values: NDArray[Any]) -> float:
    """Find the share of pixels that are clipped: a plateau at the largest value, whichever it is.

    A camera of 12 bits clips at 4095 whatever the file could hold, so the image's own largest value is looked
    at. Bright pixels that are not clipped thin out towards it; clipped ones pile up on it.

    Parameters
    ----------
    values : array of any shape, not empty
        Finite values.

    Returns
    -------
    float
        In [0, 1]; 0 where the largest value forms no plateau.
    """
    top = values.max()
    at_top = int(np.count_nonzero(values == top))
    shoulder = float(top) - _SHOULDER * (float(top) - float(values.min()))
    nearby = values[(values >= shoulder) & (values < top)]
    levels = np.unique(nearby).size
    typical = nearby.size / levels if levels else 1.0
    return at_top / values.size if at_top > _PLATEAU * typical else 0.0
