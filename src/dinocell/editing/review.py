"""Review of labels: what a person has looked at, what to look at next, and what nobody has seen."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.editing.edit import Edit
from dinocell.editing.editor import LabelEditor
from dinocell.labels import Labels, median_diameter, relabel
from dinocell.measure.confidence import cell_confidence

_SEEN_AROUND = 0.5
"""Share of the median diameter around a checked cell that counts as looked at."""

DistanceMap = NDArray[np.float32]


@dataclass(eq=False)
class Review:
    """Correction of one plane, and what a person has looked at.

    Attributes
    ----------
    editor : LabelEditor
    confidence : dict of int to float
        Of the cells that were there at the beginning, by id; empty without a map.
    checked : set of int
        Cells that a person has looked at or made.
    is_done : bool
        Whether all of the plane was looked at.
    shown : int or None
        Cell that the person is looking at, since `check_and_advance`.
    """

    editor: LabelEditor
    confidence: dict[int, float]
    checked: set[int] = field(default_factory=set)
    is_done: bool = False
    shown: int | None = None

    @classmethod
    def of(
        cls, labels: Labels, distance_map: DistanceMap | None, image: NDArray[Any] | None = None
    ) -> "Review":
        """Begin with the labels of a plane, the map that clicks follow, and the image that they look at."""
        return cls(LabelEditor(labels, distance_map, image), _confidences(labels, distance_map))

    @property
    def ids(self) -> list[int]:
        """Cells that there are now."""
        found = np.unique(self.editor.labels)
        return [int(cell) for cell in found[found > 0]]

    def left(self) -> list[int]:
        """List the cells that nobody has checked, the least certain first; without a map, the smallest."""
        unchecked = [cell for cell in self.ids if cell not in self.checked]
        if self.confidence:
            return sorted(unchecked, key=lambda cell: (self.confidence.get(cell, 0.0), cell))
        areas = np.bincount(np.maximum(self.editor.labels, 0).ravel())
        return sorted(unchecked, key=lambda cell: (int(areas[cell]), cell))

    def check_and_advance(self) -> int | None:
        """Count the cell that is shown as checked, and return the next one to look at; None without one."""
        if self.shown is not None and self.shown in self.ids:
            self.checked.add(self.shown)
        left = self.left()
        self.shown = left[0] if left else None
        return self.shown

    def unchecked(self) -> NDArray[np.bool_]:
        """Mark the pixels that nobody has looked at.

        Returns
        -------
        bool array, shape (Y, X)
            False where all was checked, in checked cells, and in background close to these.
        """
        labels = self.editor.labels
        if self.is_done:
            return np.zeros(labels.shape, bool)
        seen = np.isin(labels, sorted(self.checked))
        if not seen.any():
            return np.ones(labels.shape, bool)
        from scipy.ndimage import distance_transform_edt  # here, as it takes long to import

        reach = _SEEN_AROUND * median_diameter(labels)
        near = distance_transform_edt(~seen) <= reach
        return np.asarray(~(seen | (near & (labels == 0))))

    def cell_at(self, point: tuple[float, float]) -> int:
        """Return the cell at a point (row, column) in pixels; 0 for background and beyond the image."""
        labels = self.editor.labels
        row, column = (int(np.floor(value + 0.5)) for value in point)
        inside = 0 <= row < labels.shape[0] and 0 <= column < labels.shape[1]
        return int(labels[row, column]) if inside else 0

    def centre_of(self, cell: int) -> tuple[float, float]:
        """Return the middle of a cell's bounding box, in pixels."""
        rows, columns = np.nonzero(self.editor.labels == cell)
        return (float(rows.min() + rows.max()) / 2, float(columns.min() + columns.max()) / 2)

    def take_painted(self, painted: Labels) -> list[Edit]:
        """Turn what was painted into edits, one an id.

        Parameters
        ----------
        painted : int32 array, shape (Y, X)
            Labels as they are now in the layer.
        """
        differs = painted != self.editor.labels
        edits = []
        for cell in np.unique(painted[differs]).tolist():
            edits.append(self.editor.paint(differs & (painted == cell), cell))
        return edits


def _confidences(labels: Labels, distance_map: DistanceMap | None) -> dict[int, float]:
    if distance_map is None:
        return {}
    ids = np.unique(labels)
    sure = cell_confidence(np.maximum(relabel(labels), 0), distance_map)
    return dict(zip(ids[ids > 0].tolist(), sure.tolist(), strict=True))
