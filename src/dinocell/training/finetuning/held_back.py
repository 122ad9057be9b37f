"""Part of the corrected cells that is held back from fine-tuning, to look at before and after."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.datasets.corrected import Corrected
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.inference.segmentation import Segmentation
from dinocell.io.saving import write_labels
from dinocell.labels import IGNORE, Labels, Target
from dinocell.metrics.score_table import HEADLINE
from dinocell.metrics.scores import score_labels

LEAST_CELLS = 12
"""Checked cells in the fullest image from which some are held back."""

_SHARE = 0.25
_RECORD_ENDING = "_provenance.json"

Window = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class HeldBack:
    """Window of an image whose cells nobody learns from.

    Attributes
    ----------
    item : Corrected
        The image.
    labels : int32 array, shape (Y, X)
        True cells in the window; −1 elsewhere.
    window : tuple of two slices
    """

    item: Corrected
    labels: Labels
    window: Window

    @property
    def cells(self) -> int:
        """Number of cells that are held back."""
        return int(np.unique(self.labels[self.labels > 0]).size)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Held-back part before and after.

    Attributes
    ----------
    name : str
        Of the image.
    cells : int
        True cells.
    before, after : float
        AP@0.5.
    pictures : tuple of uint8 array, shape (Y, X, 3)
        Outlines before and after on the window.
    """

    name: str
    cells: int
    before: float
    after: float
    pictures: tuple[NDArray[np.uint8], NDArray[np.uint8]]


def hold_back(items: list[Corrected], corrected: Path, copy: Path) -> HeldBack | None:
    """Copy corrected labels to a folder, with a quarter of the cells of one image marked as unchecked.

    Parameters
    ----------
    items : list of Corrected
    corrected : Path
        Their folder.
    copy : Path
        An existing folder; the copy goes there.

    Returns
    -------
    HeldBack or None
        None where no image has enough cells: then all are learned from.
    """
    for file in sorted(corrected.iterdir()):
        if file.is_file():
            shutil.copy2(file, copy / file.name)
    found = [(item, item.read().labels) for item in items]
    item, labels = max(found, key=lambda each: int(np.unique(each[1][each[1] > 0]).size))
    ids = np.unique(labels[labels > 0])
    if ids.size < LEAST_CELLS or item.page is not None:
        return None
    window = _choose_window(labels, ids.size)
    mark = labels == IGNORE
    mark[window] = True
    for old in copy.glob(f"{item.name}_unchecked.*"):
        old.unlink()
    write_labels(copy / f"{item.name}_unchecked.tif", mark)
    return HeldBack(item, _inside(labels, window), window)


def _choose_window(labels: Labels, count: int) -> Window:
    """Choose the corner or side whose share of the cells is closest to a quarter."""
    height, width = labels.shape
    windows = [
        (slice(top, top + rows), slice(left, left + columns))
        for rows, columns in ((height // 2, width // 2), (height // 4, width), (height, width // 4))
        for top in {0, height - rows}
        for left in {0, width - columns}
    ]
    return min(windows, key=lambda window: (abs(_count(labels[window]) / count - _SHARE), str(window)))


def _count(labels: Labels) -> int:
    return int(np.unique(labels[labels > 0]).size)


def _inside(labels: Labels, window: Window) -> Labels:
    """Return the cells that touch a window, whole; all else is −1."""
    kept = np.full_like(labels, IGNORE)
    kept[window] = labels[window]
    touched = np.unique(kept[kept > 0])
    return np.where(np.isin(labels, touched), labels, kept).astype(np.int32)


def compare(held: HeldBack, before: DINOCellPipeline, after: DINOCellPipeline, target: Target) -> Comparison:
    """Segment the held-back part with both models, score it, and draw it."""
    pixels = held.item.read().pixels
    results = [pipeline.run(pixels, target=target) for pipeline in (before, after)]
    scores = [_score(held, result) for result in results]
    pictures = [_draw(result, held.window) for result in results]
    return Comparison(held.item.name, held.cells, scores[0], scores[1], (pictures[0], pictures[1]))


def _score(held: HeldBack, result: Segmentation) -> float:
    return float(score_labels(held.labels, result.labels).by_name()[HEADLINE.key])


def _draw(result: Segmentation, window: Window) -> NDArray[np.uint8]:
    part: Any = result.source.pixels[window]
    source = replace(result.source, pixels=part, channels={})
    cut = replace(result, labels=result.labels[window], source=source)
    return cut.overlay()
