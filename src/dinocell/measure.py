"""Measure every cell: one row a cell, one column a property."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import regionprops_table

from dinocell.errors import InputError
from dinocell.labels import validate_labels

COLUMNS = {
    "label": "label",
    "area": "area",
    "centroid-0": "centroid_y",
    "centroid-1": "centroid_x",
    "bbox-0": "bbox_y0",
    "bbox-1": "bbox_x0",
    "bbox-2": "bbox_y1",
    "bbox-3": "bbox_x1",
    "equivalent_diameter_area": "equivalent_diameter",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "intensity_mean": "mean_intensity",
}
"""scikit-image's names and ours, in the order of the table."""

_PROPERTIES = (
    "label", "area", "centroid", "bbox", "equivalent_diameter_area", "eccentricity", "solidity",
    "intensity_mean",
)  # fmt: skip


def measure_cells(labels: NDArray[Any], intensity: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Measure the cells of a label image.

    Parameters
    ----------
    labels : integer array, shape (Y, X)
    intensity : array, shape (Y, X)
        The image in its own units; NaN pixels make a cell's mean NaN.

    Returns
    -------
    dict of array, shape (N,)
        By column, see `COLUMNS`: lengths in pixels, areas in square pixels, positions counted from the centre
        of the upper left pixel, bounding boxes half open, solidity the cell's share of its convex hull.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    cells = np.maximum(validate_labels(labels), 0)
    if intensity.shape != cells.shape:
        raise InputError(f"intensity has shape {intensity.shape}, expected {cells.shape} as labels")
    table = regionprops_table(cells, intensity, properties=_PROPERTIES)
    return {ours: table[theirs] for theirs, ours in COLUMNS.items()}
