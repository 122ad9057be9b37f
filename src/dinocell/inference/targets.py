"""Choice between the targets of a model: what an image shows, whole cells or nuclei.

The network predicts a map for each target, and both have hills on most images. Which of them is meant shows
in how the image, in grays as the network sees it, goes with the map of nuclei:

- **Stained nuclei are bright**, the rest is dark: the map follows the grays (correlation over `BRIGHT`), and
  the map of cells finds little more (the sum of its squares is under `WIDER` times that of nuclei).
  Fluorescent cells, too, are bright, but their map is wider, and their grays follow it less.
- **Haematoxylin makes nuclei dark** in an image in colour: the map goes against the grays.
- **All others** show whole cells: phase contrast, DIC, brightfield, phase thickness, membranes, cytoplasm.

All that is looked at is sums over pixels, so that the choice for a large image or for many images together
needs no map of all of them. ``docs/segmenting.md`` tells how often it is right.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.labels import Target

Evidence = NDArray[np.float64]
"""Sums over pixels, as `weigh_maps` lists them; those of several images can be added."""

SUMS = 8
"""Number of the sums."""

FITTED_WITH = "3d293c1b7330"
"""Hash of the weights that the two numbers below were fitted with, by `benchmarks/ship.py`."""

BRIGHT = 0.73
"""Correlation of grays with the map of nuclei, above which stained nuclei are seen."""

WIDER = 2.6
"""Ratio of the squares of both maps, above which the map of cells finds more than nuclei."""

_COLOURED = 0.05  # share of pixels
_SATURATED = 0.03  # of the largest value of the image


def weigh_maps(
    maps: Mapping[Target, NDArray[np.float32]], gray: NDArray[np.uint8], coloured: float = 0.0
) -> Evidence:
    """Compute the sums by which a target is chosen.

    Parameters
    ----------
    maps : mapping of str to float32 array, shape (Y, X)
        In [0, 1], of cells and nuclei.
    gray : uint8 array, shape (Y, X)
        The image, preprocessed.
    coloured : float
        Share of the image's pixels that are in colour, see `coloured_share`.

    Returns
    -------
    float64 array, shape (8,)
        Pixels; sums of grays in [0, 1] and their squares; of the map of nuclei, of its squares, and of its
        products with grays; of the squares of the map of cells; pixels in colour.
    """
    shades, nuclei = gray / np.float32(255), maps["nuclei"]
    fields = (shades, shades**2, nuclei, nuclei**2, nuclei * shades, maps["cells"] ** 2)
    sums = [field.sum(dtype=np.float64) for field in fields]
    return np.array([gray.size, *sums, coloured * gray.size], np.float64)


def choose_target(evidence: Evidence, targets: Sequence[Target]) -> Target:
    """Choose between cells and nuclei.

    Parameters
    ----------
    evidence : float64 array, shape (8,)
        From `weigh_maps`, or the sum of several.
    targets : sequence of str
        Both, in the order of the model's maps.

    Returns
    -------
    str
        The first one where neither map has a hill.

    Examples
    --------
    >>> gray = np.array([[0, 128, 255, 128]], np.uint8)
    >>> hill = (gray / 255).astype(np.float32)
    >>> choose_target(weigh_maps({"cells": hill, "nuclei": hill}, gray), ("cells", "nuclei"))
    'nuclei'
    """
    pixels, gray, gray_squares, nuclei, nuclei_squares, products, cell_squares, coloured = evidence.tolist()
    if nuclei_squares + cell_squares == 0:
        return targets[0]
    spread = (pixels * gray_squares - gray**2) * (pixels * nuclei_squares - nuclei**2)
    correlation = (pixels * products - gray * nuclei) / spread**0.5 if spread > 0 else 0.0
    if coloured > _COLOURED * pixels and correlation < 0:
        return "nuclei"
    bright = correlation > BRIGHT and cell_squares < WIDER * nuclei_squares
    return "nuclei" if bright else "cells"


def coloured_share(image: NDArray[Any]) -> float:
    """Compute the share of an image's pixels that are in colour.

    Parameters
    ----------
    image : array, shape (Y, X) or (Y, X, C)
        The first three channels of three or more are red, green and blue.

    Returns
    -------
    float
        In [0, 1].
    """
    if image.ndim < 3 or image.shape[2] < 3:
        return 0.0
    colours = image[..., :3].astype(np.float32)
    largest = float(np.nanmax(colours, initial=0.0))
    return float((np.ptp(colours, axis=2) > _SATURATED * largest).mean()) if largest > 0 else 0.0
