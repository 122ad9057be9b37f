"""Mean, deviation, minimum and maximum of the pixels of every cell."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.measure.runs import CellRuns, Runs


def measure_intensities(pixels: NDArray[Any], runs: Runs, cell_runs: CellRuns) -> dict[str, NDArray[Any]]:
    """Measure the intensities of every cell.

    Parameters
    ----------
    pixels : array, shape (Y, X)
        Booleans, integers or floats.
    runs : Runs
        Of the label image, (Y, X).
    cell_runs : CellRuns
        The same runs by cell.

    Returns
    -------
    dict of float64 array, shape (N,)
        ``mean_intensity``, ``std_intensity`` (of all pixels, not of a sample), ``min_intensity`` and
        ``max_intensity``; NaN where a pixel of the cell is NaN. Sums are in float64: exact for integers
        up to 2⁵³.
    """
    numbers = _as_numbers(pixels).ravel()
    length = runs.length[cell_runs.order]

    def reduce(ufunc: np.ufunc, values: NDArray[Any], dtype: Any = None) -> NDArray[Any]:
        by_run = ufunc.reduceat(values, runs.first, dtype=dtype)[cell_runs.order]
        reduced: NDArray[Any] = ufunc.reduceat(by_run, cell_runs.begins)
        return reduced

    with np.errstate(all="ignore"):  # infinite pixels have no deviation; those outside of cells do not matter
        area = cell_runs.total(length)
        mean = reduce(np.add, numbers, np.float64) / area
        deviation = numbers - runs.spread(np.append(0, mean)[runs.cell]).ravel()
        np.square(deviation, out=deviation)
        return {
            "mean_intensity": mean,
            "std_intensity": np.sqrt(reduce(np.add, deviation) / area),
            "min_intensity": reduce(np.minimum, numbers).astype(np.float64),
            "max_intensity": reduce(np.maximum, numbers).astype(np.float64),
        }


def _as_numbers(pixels: NDArray[Any]) -> NDArray[Any]:
    if pixels.dtype == bool:
        return pixels.view(np.uint8)
    # Longer floats are more than a table holds.
    return pixels.astype(np.float64) if pixels.dtype.kind == "f" and pixels.itemsize > 8 else pixels
