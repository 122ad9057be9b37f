"""What a report shows: charts as SVG in the page's own colours, images with outlines as PNG."""

import base64
import io
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from dinocell.datasets.items import AnnotatedImage
from dinocell.evaluation import ImageResult
from dinocell.extras import import_extra
from dinocell.intensity_range import scale_to_uint8
from dinocell.labels import Labels
from dinocell.metrics import IOU_THRESHOLDS, Scores
from dinocell.preprocessing import to_grayscale
from dinocell.resampling import resize
from dinocell.search import GridPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES = (
    ("#0072B2", "o", "●"), ("#D55E00", "s", "■"), ("#009E73", "D", "◆"),
    ("#CC79A7", "^", "▲"), ("#E69F00", "v", "▼"), ("#56B4E9", "P", "✚"),
)  # fmt: skip

RECALL, MATCHED, BEST = "#0072B2", "#E69F00", "#D55E00"
"""Colours of recall, of the IoU of the cells that were found, and of the best thresholds."""

TRUE, PREDICTED, BOTH = (0, 190, 255), (255, 105, 0), (255, 240, 60)
"""Colours (R, G, B) of true outlines, of predicted ones, and where the two coincide."""

LARGEST_WIDTH, SMALL_WIDTH = 700, 300
"""Wider pictures are shrunk to the first; narrower ones than the second are shown at twice their size."""

MAX_BINS, MIN_CELLS = 8, 10
"""Of the sizes of cells: the number of bins, and of cells in each."""

_INK = "#010203"
"""Stands for the page's text colour."""


@dataclass(frozen=True)
class SizeBin:
    """Cells of about the same size.

    Attributes
    ----------
    low, high : float
        The smallest and the largest equivalent diameter among them, in pixels.
    cells : int
        How many they are.
    recall : float
        The share that has a match at an IoU of 0.5.
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
    """The best objective for every pair of values of two settings.

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


def require_matplotlib() -> None:
    """Refuse to go on without matplotlib.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    import_extra("matplotlib", extra="evaluate", purpose="drawing charts")


def styles() -> Iterator[tuple[str, str, str]]:
    """Give each dataset in turn a colour, a marker of matplotlib and a character like it; they come round.

    The colours are told apart by colour-blind people (Okabe and Ito, 2008), on white and on black.
    """
    return itertools.cycle(_STYLES)


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
    """Draw AP over the IoU threshold, a line for each pair of scores and ceiling (dashed), as SVG."""
    figure, axes = _new_chart(6.4, 3.6, "IoU threshold", "AP, pooled over cells")
    for (colour, marker, _), (scores, ceiling) in zip(styles(), datasets, strict=False):
        axes.plot(*_xy(ceiling), color=colour, linestyle="--", linewidth=1.3)
        axes.plot(*_xy(scores), color=colour, marker=marker, markersize=5)
    axes.set_ylim(-0.02, 1.03)
    axes.set_xticks(IOU_THRESHOLDS)
    return _to_svg(figure, "ap", "AP over the IoU threshold; the numbers are in the table below")


def _xy(scores: Scores) -> tuple[list[float], list[float]]:
    return list(scores.ap), list(scores.ap.values())


def draw_recall(bins: Sequence[SizeBin], name: str) -> str:
    """Draw recall and mean IoU by size of cell as SVG; `name` makes its ids unique in the page."""
    figure, axes = _new_chart(
        max(3.4, 0.62 * len(bins) + 0.6), 3.0, "equivalent diameter in px; number of cells", ""
    )
    places = range(len(bins))
    axes.bar(places, [each.recall for each in bins], width=0.8, color=RECALL)
    axes.plot(
        places, [each.mean_iou for each in bins], "D", color=MATCHED, markeredgecolor="black", markersize=6
    )
    labels = [f"{each.low:.3g}–{each.high:.3g}\nn = {each.cells}" for each in bins]
    axes.set_xticks(places, labels, fontsize=7.5)
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0, 1.03)
    return _to_svg(figure, name, "recall and mean IoU of found cells by their size")


def draw_surface(surface: Surface, row_name: str, column_name: str) -> str:
    """Draw a heat map of the objective over two settings as SVG, the best pair framed."""
    from matplotlib.patches import Rectangle

    rows, columns = surface.best.shape
    figure, axes = _new_chart(1.2 + 0.55 * columns, 1.0 + 0.4 * rows, column_name, row_name)
    axes.grid(visible=False)
    axes.pcolormesh(np.ma.masked_invalid(surface.best), cmap="viridis", edgecolors="face", linewidth=0.3)
    middle = (np.nanmin(surface.best) + np.nanmax(surface.best)) / 2
    for row, column in np.argwhere(~np.isnan(surface.best)).tolist():
        value = surface.best[row, column]
        colour, text = "black" if value > middle else "white", f"{value:.3f}".replace("0.", ".")
        axes.text(column + 0.5, row + 0.5, text, color=colour, fontsize=8, ha="center", va="center")
    row, column = divmod(int(np.nanargmax(surface.best)), columns)
    frame = Rectangle((column, row), 1, 1, fill=False, edgecolor=BEST, linewidth=3, clip_on=False, zorder=3)
    axes.add_patch(frame)
    axes.set_xticks(np.arange(columns) + 0.5, [f"{value:g}" for value in surface.columns])
    axes.set_yticks(np.arange(rows) + 0.5, [f"{value:g}" for value in surface.rows])
    return _to_svg(figure, row_name, f"objective over {column_name} and {row_name}, the best pair framed")


def draw_picture(annotated: AnnotatedImage, predicted: Labels) -> NDArray[np.uint8]:
    """Draw true and predicted outlines over an image, at the size to be shown.

    Parameters
    ----------
    annotated : AnnotatedImage
    predicted : int32 array, shape (Y, X)

    Returns
    -------
    uint8 array, shape (Y', X', 3)
        RGB, the outermost pixels of cells in `TRUE`, `PREDICTED` or `BOTH`.

    Raises
    ------
    InputError
        If the pixels cannot be shown in gray.
    """
    gray = to_grayscale(annotated.pixels)
    if annotated.preprocessing is None:
        gray = scale_to_uint8(gray)
    height, width = gray.shape
    factor = 2.0 if width < SMALL_WIDTH else min(1.0, LARGEST_WIDTH / width)
    shape = max(1, round(height * factor)), max(1, round(width * factor))
    shown = resize(gray, shape) if factor < 1 else _nearest(gray, shape)
    picture = np.repeat(shown[:, :, None], 3, axis=2)
    # Outlines are found at the size shown, where they are one pixel wide.
    is_true, is_predicted = (
        find_boundaries(_nearest(np.maximum(labels, 0), shape), mode="inner")
        for labels in (annotated.labels, predicted)
    )
    picture[is_true], picture[is_predicted] = TRUE, PREDICTED
    picture[is_true & is_predicted] = BOTH
    return picture


def legend(keys: Iterable[tuple[str, str, str]]) -> str:
    """Make a legend as HTML of colours, the characters shown in them, and names that are HTML already."""
    spans = (f'<span style="color:{colour}">{shape}</span> {name}' for colour, shape, name in keys)
    return "<p>" + " ".join(f'<span class="key">{span}</span>' for span in spans) + "</p>"


def png_uri(picture: NDArray[np.uint8]) -> str:
    """Encode an RGB picture as a data URI."""
    encoded = imagecodecs.png_encode(np.ascontiguousarray(picture))
    return f"data:image/png;base64,{base64.b64encode(encoded).decode('ascii')}"


def _nearest(array: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    rows, columns = (
        (2 * np.arange(wanted) + 1) * size // (2 * wanted)
        for wanted, size in zip(shape, array.shape, strict=True)
    )
    return array[np.ix_(rows, columns)]


def _new_chart(width: float, height: float, x_label: str, y_label: str) -> "tuple[Figure, Axes]":
    """Make a chart of so many inches on a clear ground."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="none", layout="constrained")
    axes = figure.add_subplot(facecolor="none")
    axes.tick_params(colors=_INK)
    axes.grid(color=_INK, alpha=0.15)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(_INK)
    axes.set_xlabel(x_label, color=_INK)
    axes.set_ylabel(y_label, color=_INK)
    return figure, axes


def _to_svg(figure: "Figure", name: str, title: str) -> str:
    """Give a figure as an element to be put into a page, its ids beginning with `name`."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", facecolor="none", metadata=nothing)
    text = file.getvalue()
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text[text.index("<svg") :]).replace("xlink:href", "href")
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text).replace(_INK, "currentColor")
    return text.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
