"""A result that is open: its labels with edits, and what is read off them."""

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.editing.edit import Edit
from dinocell.editing.editor import LabelEditor
from dinocell.editing.journal import write_journal
from dinocell.editing.operations import Paint
from dinocell.editing.review import Review
from dinocell.errors import InputError
from dinocell.inference.inputs import InputImage
from dinocell.labels import Labels, cell_areas, relabel
from dinocell.measure.confidence import cell_confidence
from dinocell.measure.outlines import Polygon, cell_polygons
from dinocell.postprocess.small_cells import remove_small
from dinocell.postprocess.thresholds import Thresholds
from dinocell.postprocess.watershed import distance_to_labels
from dinocell.results.result_format import PlaneResult
from dinocell.web.archive.archive import Archive
from dinocell.web.archive.records import EDITS, LABELS, MAP, ImageRecord, ResultRecord
from dinocell.web.doubts import describe_doubts
from dinocell.web.failures import BusyError, GoneError
from dinocell.web.reading.conversion import open_plane
from dinocell.web.reading.inputs import input_of


class OpenResult:
    """Labels of a result in memory, with their edits; `lock` keeps requests apart.

    Parameters
    ----------
    archive : Archive
    record : ResultRecord
        Of kind ``map`` or ``labels``.

    Attributes
    ----------
    image : ImageRecord
    lock : lock
    """

    def __init__(self, archive: Archive, record: ResultRecord) -> None:
        self.image: ImageRecord = archive.image(record.image)
        self.lock = threading.RLock()
        self._archive, self._record = archive, record
        self._folder = archive.result_folder(record.id)
        self._table: tuple[int, dict[str, NDArray[Any]]] | None = None
        self.editor = self._open_editor()
        if len(self.editor.edits) != record.edits or self.editor.can_redo != record.can_redo:
            self._keep_labels()  # a server that was killed had written an edit, but not yet its record

    def _open_editor(self) -> LabelEditor:
        return LabelEditor(self._read_start(), self.distance_map, journal=self._folder / EDITS)

    def _read_start(self) -> Labels:
        path = self._folder / LABELS
        try:
            start: Labels = np.load(path, allow_pickle=False)
        except FileNotFoundError:
            raise GoneError(
                f"the labels of result {self._record.id} are gone: segment the image again"
            ) from None
        return start

    @cached_property
    def distance_map(self) -> NDArray[np.float32] | None:
        """Map that the labels were cut from, on the disk; None without one."""
        path = self._folder / MAP
        return np.load(path, mmap_mode="r", allow_pickle=False) if path.is_file() else None

    @property
    def record(self) -> ResultRecord:
        """Record of the result as it is now."""
        return self._record

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return 2 * self.editor.labels.nbytes

    @property
    def labels(self) -> Labels:
        """Labels as they are now, int32 ``(Y, X)``."""
        return self.editor.labels

    def keep(self, **changes: Any) -> ResultRecord:
        """Keep a changed record."""
        self._record = self._record.model_copy(update=changes)
        self._archive.replace_result(self._record)
        return self._record

    def keep_edit(self, edit: Edit | None) -> ResultRecord:
        """Keep the record after an edit, an undo or a redo; whoever made a cell has looked at it."""
        if edit is None:
            return self._record
        return self._keep_labels(edit.ids)

    def _keep_labels(self, checked: Sequence[int] = ()) -> ResultRecord:
        """Keep what is known of the labels as they are now; further cells count as checked."""
        there, record = self._ids(), self._record
        known = (set(record.checked) | set(checked)) & set(there.tolist())
        return self.keep(
            version=record.version + 1,
            count=there.size,
            checked=tuple(sorted(known)),
            edits=len(self.editor.edits),
            can_redo=self.editor.can_redo,
        )

    def _ids(self) -> NDArray[np.int32]:
        # Counting is many times faster than sorting; ids are small, as the server gives them.
        return np.flatnonzero(cell_areas(self.labels)[1:]).astype(np.int32) + 1

    def complete(self, cell: int | None, mask: tuple[tuple[int, int, int], ...]) -> Paint:
        """Return an operation that paints a cell, which is a new one where it is None.

        Raises
        ------
        InputError
            If the id is above that of the next new cell.
        """
        new = self.editor.next_id
        if cell is not None and cell > new:
            raise InputError(f"id is {cell}, expected 0, a cell, or {new} for a new one: leave it out")
        return Paint(id=new if cell is None else cell, mask=mask)

    def check(self, cells: list[int], *, everything: bool) -> ResultRecord:
        """Note cells as looked at, or all of the image.

        Raises
        ------
        InputError
            If one is not a cell.
        """
        there = set(self._ids().tolist())
        if unknown := [each for each in cells if each not in there]:
            raise InputError(f"cells has {unknown[0]}, expected ids of cells of the image")
        checked = sorted((set(self._record.checked) & there) | set(cells))
        return self.keep(checked=tuple(checked), all_checked=everything or self._record.all_checked)

    def flood(self, thresholds: Thresholds, *, discard: bool) -> ResultRecord:
        """Cut the labels from the map again.

        Raises
        ------
        InputError
            If there is no map.
        BusyError
            If there are edits, which would be lost, without `discard`.
        """
        if self.distance_map is None:
            raise InputError("labels that were made elsewhere have no map, expected a segmentation")
        if self.editor.edits and not discard:
            count = len(self.editor.edits)
            raise BusyError(
                f"{count} edit{'s' if count > 1 else ''} would be lost, expected none: undo them, or "
                "say that they may go"
            )
        record = self._record
        found = distance_to_labels(self.distance_map, thresholds=thresholds, fill_holes=record.fill_holes)
        labels, least, removed = remove_small(found, record.min_size, record.target)
        (self._folder / EDITS).unlink(missing_ok=True)
        _replace_array(self._folder / LABELS, labels)
        self.editor = self._open_editor()
        return self.keep(
            thresholds=thresholds,
            count=int(labels.max(initial=0)),
            version=record.version + 1,
            edits=0,
            can_redo=False,
            checked=(),
            all_checked=False,
            doubts=describe_doubts(labels, self.distance_map, removed, least),
            provenance={
                **record.provenance,
                "thresholds": thresholds.model_dump(),
                "min_size_found": least,
                "removed": removed,
            },
        )

    def review(self) -> Review:
        """Return what a person has looked at."""
        start, distance_map = np.maximum(self._read_start(), 0), self.distance_map
        ids = np.unique(start[start > 0])
        confidence: dict[int, float] = {}
        if distance_map is not None:
            sure = cell_confidence(relabel(start), distance_map)
            confidence = dict(zip(ids.tolist(), sure.tolist(), strict=True))
        record = self._record
        return Review(self.editor, confidence, set(record.checked), record.all_checked)

    def read_input(self) -> InputImage:
        """Read the image as it was segmented."""
        planes = open_plane(self._archive.image_folder(self.image.id), is_rgb=self.image.rgb)
        return input_of(self.image, planes, self._record.channel, self._record.pixel_size_um)

    def plane(self) -> PlaneResult:
        """Return all that can be written about the result; ids are 1…N without gaps."""
        source = self.read_input()
        edited = {"edits": self.editor.recorded()} if self.editor.edits else {}
        place = self.image.place
        return PlaneResult(
            source=Path(self.image.name),
            scene=place["scene"],
            t=place["time"],
            z=place["z"],
            kind="",
            counts=(1, 1, 1),
            pixels=source.pixels,
            channels=source.channels,
            pixel_size_yx_um=source.pixel_size_yx_um,
            labels=np.maximum(self.editor.exported(), 0),
            distance_map=None if self.distance_map is None else np.asarray(self.distance_map),
            provenance={**self._record.provenance, **edited},
        )

    def write_edits(self, path: Path) -> None:
        """Write the edits that hold, as `dinocell edit` reads them."""
        write_journal(path, self._read_start(), self.editor.edits)

    def table(self) -> dict[str, NDArray[Any]]:
        """Measure the cells; ``id`` is that of the labels as they are shown."""
        version = self._record.version
        if self._table is None or self._table[0] != version:
            table = dict(self.plane().table)
            table.pop("label")
            self._table = version, {"id": self._ids(), **table}
        return self._table[1]

    def outline(self, cell: int) -> tuple[list[Polygon], tuple[int, int, int, int]]:
        """Trace a cell; return its pieces in pixels of the image, and its bounding box.

        Raises
        ------
        GoneError
            If there is no such cell.
        """
        rows, columns = np.nonzero(self.labels == cell)
        if cell <= 0 or not rows.size:
            raise GoneError(f"cell {cell} is not there, expected the id of one")
        box = (int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
        window = self.labels[box[0] : box[2], box[1] : box[3]] == cell
        return trace(window, (box[0], box[1])), box


def trace(mask: NDArray[np.bool_], origin: tuple[int, int]) -> list[Polygon]:
    """Trace a cell on a window, in positions of the whole image."""
    by = np.array([origin[1], origin[0]])
    return [
        Polygon(each.exterior + by, tuple(hole + by for hole in each.holes))
        for each in cell_polygons(mask.astype(np.int32))[1]
    ]


def _replace_array(path: Path, array: NDArray[Any]) -> None:
    """Replace an array on the disk in one step."""
    temporary = path.with_suffix(".tmp.npy")
    np.save(temporary, array)
    temporary.replace(path)
