"""Correction: a review of each plane of a layer, and files."""

from dataclasses import dataclass, field
from pathlib import Path

from dinocell.editing.corrected import save_corrected
from dinocell.editing.edit import Edit
from dinocell.editing.review import DistanceMap, Review
from dinocell.errors import InputError
from dinocell.io.images import stem_of
from dinocell.napari.exporting import Cells, plane_suffix
from dinocell.napari.origins import axes_of
from dinocell.napari.sources import Index


@dataclass(eq=False)
class Correction:
    """Correction of a labels layer: plane by plane, with one order of edits over all.

    Attributes
    ----------
    cells : Cells
        The labels, their image, and how they were made.
    planes : dict of tuple to Review
        Planes that were begun.
    done, undone : list of tuple
        Planes of the edits that hold, and of those that were undone, in order.
    """

    cells: Cells
    planes: dict[Index, Review] = field(default_factory=dict)
    done: list[Index] = field(default_factory=list)
    undone: list[Index] = field(default_factory=list)

    def kept_map(self, index: Index) -> DistanceMap | None:
        """Return the distance map that *Segment* kept of a plane; None without one."""
        session = self.cells.session
        found = None if session is None else session.planes.get(index)
        return None if found is None or found.prediction is None else found.prediction.distance_map

    def begin(self, index: Index, distance_map: DistanceMap | None) -> Review:
        """Begin to correct a plane, or go on with it."""
        if index not in self.planes:
            pixels = self.cells.image.read(index).pixels
            self.planes[index] = Review.of(self.cells.read_labels(index), distance_map, pixels)
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
    """Write the planes that were looked at, as `dinocell.editing.corrected.save_corrected` does each.

    Parameters
    ----------
    correction : Correction
    folder : Path

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
    return [_save_plane(correction.cells, index, plane, folder) for index, plane in sorted(looked_at.items())]


def _save_plane(cells: Cells, index: Index, plane: Review, folder: Path) -> Path:
    image, source = cells.image, cells.image.read(index)
    axes = axes_of(image.counts, image.axis_names, image.origin)
    found = None if cells.session is None else cells.session.planes.get(index)
    return save_corrected(
        folder,
        f"{stem_of(image.path)}{plane_suffix(axes, index)}",
        source.pixels,
        plane,
        pixel_size_yx_um=source.pixel_size_yx_um,
        provenance=cells.plane(index).provenance,
        source=str(image.path),
        target=None if found is None else found.parameters.target,
    )
