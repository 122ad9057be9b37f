"""Correction: an editor for each plane of a layer, what was checked, what to look at next, and files."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.editing.edit import Edit
from dinocell.editing.editor import LabelEditor
from dinocell.errors import InputError
from dinocell.io.images import stem_of
from dinocell.io.saving import create_folder, write_image, write_labels
from dinocell.labels import Labels, median_diameter, relabel
from dinocell.measure.confidence import cell_confidence
from dinocell.napari.exporting import Cells, plane_suffix
from dinocell.napari.origins import axes_of
from dinocell.napari.sources import Index
from dinocell.results.record import ResultRecord, write_record

IMAGES, CORRECTED = "images", "corrected"
"""Folders that are written for fine-tuning: images, and their labels."""

_RECORD_ENDING = "_provenance.json"
_SEEN_AROUND = 0.5
"""Share of the median diameter around a checked cell that counts as looked at."""

DistanceMap = NDArray[np.float32]


@dataclass(eq=False)
class PlaneCorrection:
    """Correction of one plane.

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
    ) -> "PlaneCorrection":
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


@dataclass(eq=False)
class Correction:
    """Correction of a labels layer: plane by plane, with one order of edits over all.

    Attributes
    ----------
    cells : Cells
        The labels, their image, and how they were made.
    planes : dict of tuple to PlaneCorrection
        Planes that were begun.
    done, undone : list of tuple
        Planes of the edits that hold, and of those that were undone, in order.
    """

    cells: Cells
    planes: dict[Index, PlaneCorrection] = field(default_factory=dict)
    done: list[Index] = field(default_factory=list)
    undone: list[Index] = field(default_factory=list)

    def kept_map(self, index: Index) -> DistanceMap | None:
        """Return the distance map that *Segment* kept of a plane; None without one."""
        session = self.cells.session
        found = None if session is None else session.planes.get(index)
        return None if found is None or found.prediction is None else found.prediction.distance_map

    def begin(self, index: Index, distance_map: DistanceMap | None) -> PlaneCorrection:
        """Begin to correct a plane, or go on with it."""
        if index not in self.planes:
            pixels = self.cells.image.read(index).pixels
            self.planes[index] = PlaneCorrection.of(self.cells.read_labels(index), distance_map, pixels)
        return self.planes[index]

    def note(self, index: Index, edits: list[Edit]) -> None:
        """Keep the order of edits that were made on a plane."""
        self.done += [index] * len(edits)
        self.undone.clear()
        for edit in edits:
            self.planes[index].checked.update(edit.ids)  # whoever made a cell has looked at it
        if self.cells.session is not None and edits:
            self.cells.session.edited.add(index)

    def undo(self) -> tuple[Index, Edit] | None:
        """Undo the last edit, on whichever plane it was made; None where there is none."""
        return self._step(self.done, self.undone, "undo")

    def redo(self) -> tuple[Index, Edit] | None:
        """Repeat the last edit that was undone; None where there is none."""
        return self._step(self.undone, self.done, "redo")

    def _step(self, begin: list[Index], end: list[Index], name: str) -> tuple[Index, Edit] | None:
        if not begin:
            return None
        index = begin.pop()
        end.append(index)
        editor = self.planes[index].editor
        edit = editor.undo() if name == "undo" else editor.redo()
        return None if edit is None else (index, edit)


def save_for_finetuning(correction: Correction, folder: Path) -> list[Path]:
    """Write the planes that were looked at, as ``dinocell finetune --from-corrected`` reads them.

    Parameters
    ----------
    correction : Correction
    folder : Path
        Gets ``images/NAME.tif``, ``corrected/NAME_labels.tif``, ``corrected/NAME_unchecked.tif`` where not
        all was checked, and ``corrected/NAME_provenance.json``. Files of these names are replaced; others
        stay.

    Returns
    -------
    list of Path
        The label images.

    Raises
    ------
    InputError
        If nothing was checked.
    OutputError
        If a file cannot be written.
    """
    looked_at = {
        index: plane
        for index, plane in correction.planes.items()
        if plane.is_done or plane.checked & {*plane.ids}
    }
    if not looked_at:
        raise InputError(
            "no cell was checked yet, expected one at least: look at cells with N, correct some, or tick "
            "'All of it is right'"
        )
    for name in (IMAGES, CORRECTED):
        create_folder(folder / name)
    return [_save_plane(correction.cells, index, plane, folder) for index, plane in sorted(looked_at.items())]


def _save_plane(cells: Cells, index: Index, plane: PlaneCorrection, folder: Path) -> Path:
    image = cells.image
    axes = axes_of(image.counts, image.axis_names, image.origin)
    name = f"{stem_of(image.path)}{plane_suffix(axes, index)}"
    source = image.read(index)
    write_image(folder / IMAGES / f"{name}.tif", source.pixels)
    labels = folder / CORRECTED / f"{name}_labels.tif"
    provenance = dict(cells.plane(index).provenance)
    size = source.pixel_size_yx_um
    plane.editor.save(labels, pixel_size_um=size, provenance=provenance)
    unchecked, mark = plane.unchecked(), folder / CORRECTED / f"{name}_unchecked.tif"
    if unchecked.any():
        write_labels(mark, unchecked, pixel_size_um=size)
    else:
        mark.unlink(missing_ok=True)
    found = None if cells.session is None else cells.session.planes.get(index)
    outlined = {} if found is None else {"target": found.parameters.target}
    record = ResultRecord(provenance=provenance, source=str(image.path), result=outlined, finished=True)
    write_record(folder / CORRECTED / f"{name}{_RECORD_ENDING}", record)
    return labels
