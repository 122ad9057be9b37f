"""Figures of an evaluation: AP curves, recall by cell size, and the objective over two settings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dinocell.evaluation.scoring import ImageResult
from dinocell.evaluation.search import GridPoint
from dinocell.metrics.counts import IOU_THRESHOLDS
from dinocell.metrics.scores import Scores
from dinocell.reports.charts import TICK_SIZE, new_chart, styles, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RECALL, MATCHED, FRAME = "#0072B2", "#E69F00", "#D55E00"
"""Colours of recall, of the IoU of the cells that were found, and of the frame around the best thresholds."""

MAX_BINS, MIN_CELLS = 8, 10
"""Largest number of bins of cell sizes, and smallest number of cells in each."""


@dataclass(frozen=True)
class SizeBin:
    """Cells of about the same size.

    Attributes
    ----------
    low, high : float
        The smallest and the largest equivalent diameter among them, in pixels.
    cells : int
        Number of them.
    recall : float
        Share of them that has a match at an IoU of 0.5.
    mean_iou : float
        Of those that have one; NaN where none has.
    """

    low: float
    high: float
    cells: int
    recall: float
    mean_iou: float


@dataclass(frozen=True, eq=False)
class Surface:
    """Best objective for every pair of values of two settings.

    Attributes
    ----------
    rows, columns : tuple of float
        The values of either setting, ascending.
    best : float64 array, shape (rows, columns)
        Over the other settings; NaN where the pair was not tried.
    """

    rows: tuple[float, ...]
    columns: tuple[float, ...]
    best: NDArray[np.float64]


def size_bins(results: Sequence[ImageResult]) -> list[SizeBin]:
    """Sort the true cells of a dataset into bins of about as many cells each, by equivalent diameter.

    Parameters
    ----------
    results : sequence of ImageResult

    Returns
    -------
    list of SizeBin
        At most `MAX_BINS`, each of at least `MIN_CELLS` cells where there are as many; cells of one size are
        in one bin. Empty without a cell.
    """
    areas = np.concatenate([np.zeros(0), *(result.areas for result in results)])
    ious = np.concatenate([np.zeros(0), *(result.ious for result in results)])
    order = np.argsort(areas, kind="stable")
    diameters, ious = 2 * np.sqrt(areas[order] / math.pi), ious[order]
    cells = diameters.size
    if not cells:
        return []
    bins = min(MAX_BINS, max(1, cells // MIN_CELLS))
    cuts = [0]
    for number in range(1, bins):
        cut = int(np.searchsorted(diameters, diameters[round(cells * number / bins)]))
        if cut - cuts[-1] >= MIN_CELLS:
            cuts.append(cut)
    return [_size_bin(diameters[a:b], ious[a:b]) for a, b in zip(cuts, [*cuts[1:], cells], strict=True)]


def _size_bin(diameters: NDArray[np.float64], ious: NDArray[np.float64]) -> SizeBin:
    found = ious[ious > 0]
    mean_iou = float(found.mean()) if found.size else math.nan
    return SizeBin(
        float(diameters[0]), float(diameters[-1]), diameters.size, found.size / diameters.size, mean_iou
    )


def best_surface(points: Sequence[GridPoint], rows: str, columns: str) -> Surface:
    """Find the best objective for every pair of values of two settings, named as in `Thresholds`."""
    pairs = [(getattr(p.thresholds, rows), getattr(p.thresholds, columns)) for p in points]
    row_values, column_values = (tuple(sorted(set(values))) for values in zip(*pairs, strict=True))
    best = np.full((len(row_values), len(column_values)), np.nan)
    for (row, column), point in zip(pairs, points, strict=True):
        place = row_values.index(row), column_values.index(column)
        best[place] = np.fmax(best[place], point.objective)
    return Surface(row_values, column_values, best)


def draw_ap_curves(datasets: Sequence[tuple[Scores, Scores]]) -> str:
    """Draw AP over the IoU threshold, a line a dataset and a dashed one for its upper bound, as SVG."""
    figure, axes = new_chart(6.8, 4.0, "IoU threshold of a match", "AP, pooled over cells")
    for (colour, marker, _), (scores, bound) in zip(styles(), datasets, strict=False):
        axes.plot(*_xy(bound), color=colour, linestyle="--", linewidth=1.3)
        axes.plot(*_xy(scores), color=colour, marker=marker, markersize=5)
    axes.set_ylim(-0.02, 1.03)
    axes.set_xticks(IOU_THRESHOLDS)
    return to_svg(figure, "ap", "AP over the IoU threshold; the numbers are in the table below")


def _xy(scores: Scores) -> tuple[list[float], list[float]]:
    return list(scores.ap), list(scores.ap.values())


def draw_recall(bins: Sequence[SizeBin], name: str) -> str:
    """Draw recall and mean IoU by size of cell as SVG; `name` makes its ids unique in the page."""
    figure, _ = recall_chart(bins)
    return to_svg(figure, name, "recall and mean IoU of found cells by their size")


def recall_chart(bins: Sequence[SizeBin]) -> "tuple[Figure, Axes]":
    """Draw recall and mean IoU by size of cell, a bar a bin."""
    labels = [f"{_size(each.low)}–{_size(each.high)}\nn = {each.cells}" for each in bins]
    longest = max(len(line) for label in labels for line in label.split("\n"))
    wide = max(0.75, 0.1 * longest)  # inches a bar, so that no label reaches the next
    figure, axes = new_chart(
        max(3.8, wide * len(bins) + 0.9), 3.4, "diameter of cells (pixels), and their number n", "recall, IoU"
    )
    places = range(len(bins))
    axes.bar(places, [each.recall for each in bins], width=0.8, color=RECALL)
    axes.plot(
        places, [each.mean_iou for each in bins], "D", color=MATCHED, markeredgecolor="black", markersize=6
    )
    axes.set_xticks(places, labels)
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0, 1.03)
    return figure, axes


def _size(pixels: float) -> str:
    """Return a diameter in whole pixels, below 10 with a decimal."""
    return f"{pixels:.0f}" if pixels >= 9.95 else f"{pixels:.1f}"


def draw_surface(surface: Surface, row_name: str, column_name: str) -> str:
    """Draw a heat map of the objective over two settings as SVG, the best pair framed."""
    from matplotlib.patches import Rectangle

    rows, columns = surface.best.shape
    figure, axes = new_chart(1.4 + 0.62 * columns, 1.1 + 0.45 * rows, column_name, row_name)
    axes.grid(visible=False)
    axes.pcolormesh(np.ma.masked_invalid(surface.best), cmap="viridis", edgecolors="face", linewidth=0.3)
    middle = (np.nanmin(surface.best) + np.nanmax(surface.best)) / 2
    for row, column in np.argwhere(~np.isnan(surface.best)).tolist():
        value = surface.best[row, column]
        colour, text = "black" if value > middle else "white", f"{value:.3f}".replace("0.", ".")
        axes.text(column + 0.5, row + 0.5, text, color=colour, fontsize=TICK_SIZE, ha="center", va="center")
    row, column = divmod(int(np.nanargmax(surface.best)), columns)
    frame = Rectangle((column, row), 1, 1, fill=False, edgecolor=FRAME, linewidth=3, clip_on=False, zorder=3)
    axes.add_patch(frame)
    axes.set_xticks(np.arange(columns) + 0.5, [f"{value:g}" for value in surface.columns])
    axes.set_yticks(np.arange(rows) + 0.5, [f"{value:g}" for value in surface.rows])
    return to_svg(figure, row_name, f"objective over {column_name} and {row_name}, the best pair framed")
