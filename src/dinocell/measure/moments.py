"""Size, place, extent and direction of every cell from sums over its runs, and its perimeter."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.labels import Labels
from dinocell.measure.runs import CellRuns, Ints

_Floats = NDArray[np.float64]

_DIRECTIONS = {(0, 1): 1.0, (1, 0): 1.0, (1, 1): math.sqrt(0.5), (1, -1): math.sqrt(0.5)}
"""Steps (Y, X) along lines, and how far apart the lines through all pixels are."""


@dataclass(frozen=True, eq=False)
class Extents:
    """Size, place and extent of every cell.

    Attributes
    ----------
    area : int64 array, shape (N,)
        Pixels.
    sums : (int64 array, int64 array), each of shape (N,)
        Of the rows and of the columns of its pixels: divided by the area, the centroid.
    begin, end : (int64 array, int64 array), each of shape (N,)
        First row and column, and those after the last.
    """

    area: Ints
    sums: tuple[Ints, Ints]
    begin: tuple[Ints, Ints]
    end: tuple[Ints, Ints]


def find_extents(runs: CellRuns) -> Extents:
    """Find size, place and extent of every cell.

    Parameters
    ----------
    runs : CellRuns

    Returns
    -------
    Extents
    """
    length = runs.right - runs.left + 1
    last = np.append(runs.begins[1:], runs.row.size)[: runs.begins.size] - 1
    return Extents(
        runs.total(length),
        (runs.total(runs.row * length), runs.total((runs.left + runs.right) * length // 2)),
        (runs.row[runs.begins], np.minimum.reduceat(runs.left, runs.begins)),
        (runs.row[last] + 1, np.maximum.reduceat(runs.right, runs.begins) + 1),
    )


def measure_ellipses(runs: CellRuns, extents: Extents) -> dict[str, NDArray[Any]]:
    """Measure the ellipse with the same second moments as the cell.

    Sums of squares are whole numbers, taken from the pixel nearest to the centroid: no figure is lost.

    Parameters
    ----------
    runs : CellRuns
    extents : Extents
        Of the same cells.

    Returns
    -------
    dict of float64 array, shape (N,)
        ``eccentricity``, ``major_axis``, ``minor_axis`` (pixels) and ``orientation`` (degrees in [0, 180),
        counterclockwise as displayed, 0 lies along X), as scikit-image defines them.
    """
    area = extents.area
    variance, difference, covariance = _second_moments(runs, extents)
    # Eigenvalues of the matrix of second moments are (variance ± spread) / 2.
    spread = np.hypot(difference, 2 * covariance)
    larger, smaller = (variance + spread) / 2, np.maximum(variance - spread, 0) / 2
    elongated = np.divide(spread, larger, out=np.zeros(area.size), where=larger > 0)
    angle = np.arctan2(2 * covariance, -difference) / 2
    # scikit-image's rule for cells as wide as high; its angle begins at the row axis.
    angle[difference == 0] = np.where(covariance > 0, math.pi / 4, -math.pi / 4)[difference == 0]
    return {
        "eccentricity": np.sqrt(elongated),
        "major_axis": 4 * np.sqrt(larger),
        "minor_axis": 4 * np.sqrt(smaller),
        "orientation": (np.degrees(angle) + 90) % 180,
    }


def _second_moments(runs: CellRuns, extents: Extents) -> tuple[_Floats, _Floats, _Floats]:
    """Compute variance along X plus along Y, X minus Y, and covariance of the pixels of each cell.

    Sums over a run of n pixels from column a on need no loop over its pixels, which are a, a + 1, …,
    a + n − 1. With p = 0 + 1 + … + (n − 1) = n (n − 1) / 2::

        sum of x  = n a + p
        sum of x² = n a² + 2 a p + p (2 n − 1) / 3

    A run of 3 pixels from column 4 on is 4, 5, 6: p = 3, the sum is 3·4 + 3 = 15, and that of the squares
    3·16 + 2·4·3 + 3·5/3 = 77 = 16 + 25 + 36.
    """
    area = extents.area
    middle_y, middle_x = (np.rint(total / area).astype(np.int64) for total in extents.sums)
    member = runs.cell - 1
    y, left = runs.row - middle_y[member], runs.left - middle_x[member]
    length = runs.right - runs.left + 1
    pairs = length * (length - 1) // 2
    along = length * left + pairs  # sum of x over the run, and then that of x²
    squares = length * left**2 + 2 * left * pairs + pairs * (2 * length - 1) // 3
    sum_y, sum_x = runs.total(length * y), runs.total(along)
    square_y, square_x = runs.total(length * y**2), runs.total(squares)
    product = runs.total(along * y)
    # The products of sums are whole: where width and height are equal, the difference is 0 and nothing else.
    variance = (square_x + square_y) - (sum_x**2 + sum_y**2) / area
    difference = (square_x - square_y) - (sum_x - sum_y) * (sum_x + sum_y) / area
    covariance = product - sum_x * sum_y / area
    return variance / area, difference / area, covariance / area


def crofton_perimeters(cells: Labels, count: int) -> _Floats:
    """Estimate the perimeter of every cell from the lines in 4 directions that meet it.

    By Crofton's formula the length of a curve is π / 2 times how often lines cross it, times how far apart
    the lines are, averaged over directions. Every piece of a line in a cell crosses its outline twice.

    Parameters
    ----------
    cells : int32 array, shape (Y, X)
        Cells 1…N without gaps.
    count : int
        N.

    Returns
    -------
    float64 array, shape (N,)
        In pixels; the outlines of holes count.
    """
    padded = np.pad(cells, 1)
    perimeters = np.zeros(count)
    for (down, right), distance in _DIRECTIONS.items():
        # A piece begins at a pixel that has another cell or none behind it.
        behind = padded[1 - down : padded.shape[0] - 1 - down, 1 - right : padded.shape[1] - 1 - right]
        pieces = np.bincount(cells[cells != behind], minlength=count + 1)[1:]
        perimeters += math.pi / 4 * distance * pieces
    return perimeters
