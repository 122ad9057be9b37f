"""Numbers of a plane that its record keeps, and tables over all images are made of."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.io.field import find_field
from dinocell.labels import cell_areas
from dinocell.measure.cells import INTENSITY_COLUMNS
from dinocell.results.result_format import PlaneResult

MEAN_INTENSITY = INTENSITY_COLUMNS["intensity_mean"]


def summarize_plane(plane: PlaneResult, *, measured: bool) -> dict[str, Any]:
    """Compute density, confluence, the median area and mean intensities of a plane's cells.

    Parameters
    ----------
    plane : PlaneResult
    measured : bool
        Whether its cells are measured anyway; without that, intensities are left out.

    Returns
    -------
    dict
        JSON values; None where a number is not known. Density and confluence are those of the field within
        constant margins. A mean intensity is the mean over cells, by column of their table.
    """
    field = plane.gray[find_field(plane.gray)]
    areas = cell_areas(plane.labels)[1:]
    areas = areas[areas > 0]
    pixel = None if plane.pixel_size_yx_um is None else float(np.prod(plane.pixel_size_yx_um))
    median = float(np.median(areas)) if areas.size else None
    summary: dict[str, Any] = {
        "cells_per_mm2": pixel and _rounded(1e6 * areas.size / (field.size * pixel)),
        "confluence": _rounded(float(areas.sum()) / field.size),
        "median_area": median,
        "median_area_um2": _rounded(median * pixel) if pixel and median else None,
    }
    return summary | (_mean_intensities(plane.table) if measured else {})


def _mean_intensities(table: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return the means of all columns of mean intensities; a cell with a NaN pixel has none."""
    means: dict[str, float] = {}
    for name, column in table.items():
        if name.startswith(MEAN_INTENSITY) and np.isfinite(column).any():
            means[name] = _rounded(float(column[np.isfinite(column)].mean()))
    return means


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
