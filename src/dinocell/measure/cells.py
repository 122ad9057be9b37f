"""Table of cells: one row a cell, one column a property."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.labels import Labels, validate_labels
from dinocell.measure.hulls import convex_areas
from dinocell.measure.intensities import measure_intensities
from dinocell.measure.moments import crofton_perimeters, find_extents, measure_ellipses
from dinocell.measure.runs import CellRuns, Runs, find_runs, sort_runs

Column = NDArray[Any]
Intensities = NDArray[Any] | Mapping[str, NDArray[Any]]

SHAPE_COLUMNS = {
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
    "perimeter_crofton": "perimeter",
    "axis_major_length": "major_axis",
    "axis_minor_length": "minor_axis",
    "orientation": "orientation",
}
"""Names of properties in scikit-image, and ours in the order of the table."""

COMPUTED_COLUMNS = ("circularity", "touches_border", "neighbours")
"""Columns that follow them, computed here."""

INTENSITY_COLUMNS = {
    "intensity_mean": "mean_intensity",
    "intensity_std": "std_intensity",
    "intensity_min": "min_intensity",
    "intensity_max": "max_intensity",
}
"""Names of intensities in scikit-image, and ours, which end in _CHANNEL where there are several channels."""

PHYSICAL_COLUMNS = {
    "area": "area_um2",
    "perimeter": "perimeter_um",
    "equivalent_diameter": "equivalent_diameter_um",
    "major_axis": "major_axis_um",
    "minor_axis": "minor_axis_um",
    "centroid_y": "centroid_y_um",
    "centroid_x": "centroid_x_um",
}
"""Columns in pixels, and the same in micrometres."""


def measure_cells(
    labels: NDArray[Any],
    intensities: Intensities,
    *,
    pixel_size_um: float | None = None,
    confidence: NDArray[Any] | None = None,
    wanted: NDArray[Any] | None = None,
    origin: tuple[int, int] = (0, 0),
    shape: tuple[int, int] | None = None,
) -> dict[str, Column]:
    """Measure the cells of a label image, or some cells of a window on a larger one.

    Parameters
    ----------
    labels : integer array, shape (Y, X)
    intensities : array, shape (Y, X), or mapping of str to such arrays
        The image in its own units, or its channels by name. Where a cell has a NaN pixel, its intensities
        are NaN.
    pixel_size_um : float, optional
        Edge of a pixel in micrometres.
    confidence : float array, shape (N,), optional
        One a cell, in the order of the ids; a probability on some images and a ranking on others: see
        `dinocell.measure.confidence`.
    wanted : integer array, shape (N,), optional
        Ids of the cells to be measured; others count as neighbours alone. All by default.
    origin : (int, int)
        Row and column of the upper left pixel in the larger image, where `labels` are a window on one. A
        cell that is wanted should lie in it whole, with all pixels around it.
    shape : (int, int), optional
        (Y, X) of the larger image; that of `labels` by default.

    Returns
    -------
    dict of array, shape (N,)
        By column, a row a cell in the order of the ids. Lengths are in pixels, areas in square pixels,
        positions counted from the centre of the upper left pixel, bounding boxes half open.

        solidity
            The cell's share of its convex hull.
        perimeter
            Crofton's estimate from lines in 4 directions; holes count.
        major_axis, minor_axis
            Of the ellipse with the same second moments.
        orientation
            Of the major axis: degrees in [0, 180), counterclockwise as displayed, 0 lies along X. Of a round
            cell (eccentricity 0) it means nothing.
        circularity
            4π area / perimeter²: 1 for a disk; cells of a few pixels may be above it.
        touches_border
            1 where a pixel of the cell lies on the edge of the image, else 0.
        neighbours
            How many other cells touch it, corners included.
        mean_intensity, std_intensity, min_intensity, max_intensity
            Of one channel; of several ``mean_intensity_NAME`` and so on.
        area_um2, …
            `PHYSICAL_COLUMNS`, where `pixel_size_um` is given.
        confidence
            Where it is given.

    Raises
    ------
    InputError
        If shapes differ, an image is not of real numbers, the pixel size is not a positive number, a cell
        that is wanted is not there, or the window reaches beyond the larger image.
    """
    cells = np.maximum(validate_labels(labels), 0)
    channels = intensities if isinstance(intensities, Mapping) else {"": intensities}
    for name, pixels in channels.items():
        _check_intensity(name, pixels, cells)
    whole = cells.shape if shape is None else shape
    _check_window(cells, origin, whole)
    runs = find_runs(cells)
    ids = _ids_of(runs)
    chosen = _choose(ids, wanted)
    neighbours = _count_neighbours(cells, ids)[chosen]
    numbers = np.zeros(ids.size + 1, np.int32)
    numbers[1:][chosen] = np.arange(1, chosen.sum() + 1)
    runs = replace(runs, cell=numbers[np.searchsorted(ids, runs.cell, side="right")])
    cell_runs = sort_runs(runs)
    table = _measure_shapes(runs, cell_runs, origin, whole)
    table["neighbours"] = neighbours
    table |= _measure_intensities(channels, runs, cell_runs)
    table["label"] = ids[chosen].astype(np.int64)
    if pixel_size_um is not None:
        table |= _to_micrometres(table, pixel_size_um)
    if confidence is not None:
        if confidence.shape != table["label"].shape:
            raise InputError(
                f"confidence has shape {confidence.shape}, expected {table['label'].shape}: one value a cell"
            )
        table["confidence"] = confidence
    return table


def _check_intensity(name: str, pixels: NDArray[Any], cells: Labels) -> None:
    what = f"intensity {name!r}" if name else "intensity"
    if pixels.shape != cells.shape:
        raise InputError(f"{what} has shape {pixels.shape}, expected {cells.shape} as labels")
    if pixels.dtype.kind not in "buif":
        raise InputError(f"{what} has dtype {pixels.dtype}, expected booleans, integers or floats")


def _check_window(cells: Labels, origin: tuple[int, int], whole: tuple[int, ...]) -> None:
    ends = [start + length for start, length in zip(origin, cells.shape, strict=True)]
    if min(origin) < 0 or ends[0] > whole[0] or ends[1] > whole[1]:
        raise InputError(
            f"labels of shape {cells.shape} at origin {origin} do not lie in an image of shape {whole}, "
            "expected a window on it: pass the shape of the whole image"
        )


def _choose(ids: NDArray[Any], wanted: NDArray[Any] | None) -> NDArray[np.bool_]:
    if wanted is None:
        return np.ones(ids.size, bool)
    missing = np.setdiff1d(wanted, ids)
    if missing.size:
        raise InputError(f"wanted has the id {missing[0]}, expected ids of cells in labels: leave it out")
    return np.isin(ids, wanted)


def _measure_shapes(
    runs: Runs, cell_runs: CellRuns, origin: tuple[int, int], whole: tuple[int, ...]
) -> dict[str, Column]:
    extents = find_extents(cell_runs)
    area = extents.area.astype(np.float64)
    measured: dict[str, Column] = {"label": np.arange(1, area.size + 1), "area": area}
    touches = np.zeros(area.size, bool)
    for axis, (name, start, length) in enumerate(zip("yx", origin, whole, strict=True)):
        # Sums of positions are whole numbers: the centre is the same in any window, bit by bit.
        measured[f"centroid_{name}"] = (extents.sums[axis] + start * extents.area) / area
        first, stop = extents.begin[axis] + start, extents.end[axis] + start
        measured |= {f"bbox_{name}0": first, f"bbox_{name}1": stop}
        touches |= (first == 0) | (stop == length)
    measured["equivalent_diameter"] = np.sqrt(4 * area / math.pi)
    measured["solidity"] = area / convex_areas(cell_runs)
    measured["perimeter"] = crofton_perimeters(runs.spread(runs.cell), area.size)
    measured |= measure_ellipses(cell_runs, extents)
    table = {name: measured[name] for name in SHAPE_COLUMNS.values()}
    table["circularity"] = 4 * math.pi * area / table["perimeter"] ** 2
    table["touches_border"] = touches.astype(np.int64)
    return table


def _measure_intensities(
    channels: Mapping[str, NDArray[Any]], runs: Runs, cell_runs: CellRuns
) -> dict[str, Column]:
    endings = [""] if len(channels) == 1 else [f"_{name}" for name in _safe_names(list(channels))]
    table: dict[str, Column] = {}
    for ending, pixels in zip(endings, channels.values(), strict=True):
        measured = measure_intensities(pixels, runs, cell_runs)
        table |= {name + ending: measured[name] for name in INTENSITY_COLUMNS.values()}
    return table


def _safe_names(names: Sequence[str]) -> list[str]:
    """Convert names to letters, digits and underscores, so that no two differ by case alone.

    Of those that become the same, the one that was safe as it is keeps it, else the first; the others get a
    number that no name has: "a b", "a_b" and "a_b_2" become a_b_3, a_b and a_b_2.
    """
    stems = [re.sub(r"\W+", "_", name).strip("_") or "channel" for name in names]
    keeper: dict[str, int] = {}
    for at in sorted(range(len(stems)), key=lambda at: stems[at] != names[at]):
        keeper.setdefault(stems[at].casefold(), at)
    taken = set(keeper)
    safe: list[str] = []
    for at, stem in enumerate(stems):
        unique, number = stem, 1
        while keeper[stem.casefold()] != at and unique.casefold() in taken:
            number += 1
            unique = f"{stem}_{number}"
        taken.add(unique.casefold())
        safe.append(unique)
    return safe


def count_neighbours(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Count the other cells that each cell touches, corners included.

    Parameters
    ----------
    labels : integer array, shape (Y, X)

    Returns
    -------
    int64 array, shape (N,)
        In the order of the ids.

    Examples
    --------
    >>> count_neighbours(np.array([[4, 4, 0, 9], [0, 0, 7, 0]]))
    array([1, 2, 1])
    """
    cells = np.maximum(validate_labels(labels), 0)
    return _count_neighbours(cells, _ids_of(find_runs(cells)))


def _ids_of(runs: Runs) -> NDArray[np.int32]:
    # There are far fewer runs than pixels to be sorted.
    ids = np.unique(runs.cell)
    return ids[ids > 0]


def _count_neighbours(cells: Labels, ids: NDArray[np.int32]) -> NDArray[np.int64]:
    pairs = []
    # Half of the 8 neighbours: the other half are the same pairs, seen from the other side.
    for here, there in (
        (cells[:, :-1], cells[:, 1:]),
        (cells[:-1], cells[1:]),
        (cells[:-1, :-1], cells[1:, 1:]),
        (cells[:-1, 1:], cells[1:, :-1]),
    ):
        touching = (here != there) & (here > 0) & (there > 0)
        first, second = here[touching].astype(np.int64), there[touching]
        pairs.append(np.minimum(first, second) << 32 | np.maximum(first, second))
    distinct = np.unique(np.concatenate(pairs))
    members = np.concatenate([distinct >> 32, distinct & 0xFFFFFFFF])
    return np.bincount(np.searchsorted(ids, members), minlength=ids.size).astype(np.int64)


def _to_micrometres(table: Mapping[str, Column], pixel_size_um: float) -> dict[str, Column]:
    if not (math.isfinite(pixel_size_um) and pixel_size_um > 0):
        raise InputError(f"pixel_size_um is {pixel_size_um}, expected a positive number of micrometres")
    return {
        physical: table[name] * pixel_size_um ** (2 if name == "area" else 1)
        for name, physical in PHYSICAL_COLUMNS.items()
    }
