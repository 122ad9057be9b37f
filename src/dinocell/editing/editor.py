"""A label image that is corrected, with undo and redo without limit."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from dinocell.editing.arguments import as_groups, as_ids, as_points, check_image, check_map
from dinocell.editing.change import Change
from dinocell.editing.edit import Edit
from dinocell.editing.journal import Journal, Line, Step, edit_line, hash_labels, step_line
from dinocell.editing.journal_file import JournalFile
from dinocell.editing.operations import Add, Delete, Merge, Operation, Paint, Scene, Split
from dinocell.editing.operations.operation import DistanceMap, Point
from dinocell.errors import InputError
from dinocell.inference.clicks import Clicked, ClickPredictor
from dinocell.io.saving import write_labels
from dinocell.labels import Labels, median_diameter, relabel, validate_labels
from dinocell.models.checkpoint import Checkpoint
from dinocell.models.clicks import Pixel
from dinocell.settings import explain_problem

_MODEL = "nano"


class LabelEditor:
    """Labels that are corrected by hand: a call an edit, and every edit can be undone.

    Points are (row, column) in pixels, as napari has them: whole numbers are the centres of pixels.

    Parameters
    ----------
    labels : integer array, shape (Y, X)
        Never changed. Ids may have gaps, and stay as they are while editing; −1 is ignored.
    distance_map : float array, shape (Y, X), optional
        The map that the labels were cut from: what clicks follow. ``Segmentation.distance_map`` is one, and
        the file that ``--format distance`` writes.
    image : array, shape (Y, X) or (Y, X, C), optional
        What the decoder of clicks looks at; and where no map is given, what one is predicted from when it is
        first needed.
    model : str or path
        Name or folder of the model that predicts. Where it has no decoder of clicks, that of ``nano`` is
        used: labels and map may be of any model.
    journal : path, optional
        File to which a line is added for every call, so that nothing is lost if the program is killed. One
        that is there already must be of the same labels; its edits are made first.

    Raises
    ------
    InputError
        If arrays do not fit each other.
    FileFormatError
        If the journal is damaged.

    Examples
    --------
    >>> labels = np.array([[1, 1, 0, 2, 2]])
    >>> editor = LabelEditor(labels)
    >>> editor.merge([1, 2]).notes
    ('cell 1 has 2 pieces that do not touch',)
    >>> editor.labels
    array([[1, 1, 0, 1, 1]], dtype=int32)
    >>> undone = editor.undo()
    >>> editor.labels
    array([[1, 1, 0, 2, 2]], dtype=int32)
    """

    def __init__(
        self,
        labels: NDArray[Any],
        distance_map: DistanceMap | None = None,
        image: NDArray[Any] | None = None,
        *,
        model: str | PathLike[str] = _MODEL,
        journal: str | PathLike[str] | None = None,
    ) -> None:
        self._start = validate_labels(labels).copy()
        check_map(distance_map, self._start.shape)
        check_image(image, self._start.shape)
        self._labels, self._model = self._start.copy(), model
        self._map = None if distance_map is None else np.asarray(distance_map)
        self._image = None if image is None else np.asarray(image)
        self._next_id = max(int(self._start.max(initial=0)), 0) + 1
        self._done: list[Edit] = []
        self._undone: list[Edit] = []
        self._clicks: ClickPredictor | None = None
        self._journal: JournalFile | None = None
        if journal is not None:
            self._open_journal(Path(journal))

    @property
    def labels(self) -> Labels:
        """The present labels, int32 ``(Y, X)``: a view that cannot be written to, and that edits change."""
        view = self._labels.view()
        view.flags.writeable = False
        return view

    @property
    def edits(self) -> tuple[Edit, ...]:
        """Edits that hold, the first one first; those that were undone are left out."""
        return tuple(self._done)

    @property
    def next_id(self) -> int:
        """Id that the next new cell gets, above all that were ever there."""
        return self._next_id

    @property
    def can_undo(self) -> bool:
        """True where there is an edit to undo."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """True where an edit was undone, and none was made since."""
        return bool(self._undone)

    @property
    def distance_map(self) -> DistanceMap | None:
        """Map that clicks follow, predicted now if there is an image only; None without either."""
        if self._map is None and self._image is not None:
            from dinocell.inference.pipeline import DINOCellPipeline  # here, as it takes long to import

            self._map = DINOCellPipeline(str(self._model)).predict(self._image).distance_map
        return self._map

    def add(
        self,
        points: Sequence[Point] | Point | None = None,
        *,
        outside: Sequence[Point] = (),
        box: tuple[Point, Point] | None = None,
        outline: Sequence[Point] = (),
        level: float | None = None,
    ) -> Edit:
        """Add a cell where there is background; give points, a box or an outline.

        Parameters
        ----------
        points : (float, float), or a sequence of them
            Clicks in the cell.
        outside : sequence of (float, float)
            Clicks that are not in it, where it would take too much.
        box : ((float, float), (float, float)), optional
            Two opposite corners.
        outline : sequence of (float, float)
            Corners.
        level : float, optional
            Height of the map down to which the cell grows, from 0 to 1.

        Returns
        -------
        Edit
            ``ids`` holds the new cell.

        Raises
        ------
        InputError
            If a point lies outside the image or in a cell, or there is no background left.
        """
        given = {
            "points": as_points(points),
            "outside": as_points(outside),
            "box": box,
            "outline": as_points(outline),
            "level": level,
        }
        return self._make(Add, **given)

    def split(
        self, points: Sequence[Point] | Sequence[Sequence[Point]] = (), *, line: Sequence[Point] = ()
    ) -> Edit:
        """Split a cell by clicks, or cells by a line.

        Parameters
        ----------
        points : sequence of (float, float), or of sequences of them
            All in one cell: a click, or a group of clicks, for each of the new cells.
        line : sequence of (float, float)
            Corners of a line, instead; cells that it crosses from side to side are cut along it.

        Returns
        -------
        Edit
            ``ids`` holds the new cells, and first the one that keeps its id.

        Raises
        ------
        InputError
            If the points are not all in one cell, or the line cuts none.
        """
        return self._make(Split, points=as_groups(points), line=as_points(line))

    def merge(self, ids: Iterable[int]) -> Edit:
        """Merge cells into the one with the lowest id.

        Cells that do not touch are merged as well, and a note of the edit says so.

        Raises
        ------
        InputError
            If there are fewer than two, or one is not there.
        """
        return self._make(Merge, ids=as_ids(ids))

    def delete(self, ids: Iterable[int]) -> Edit:
        """Delete cells.

        Raises
        ------
        InputError
            If there are none, or one is not there.
        """
        return self._make(Delete, ids=as_ids(ids))

    def paint(self, mask: NDArray[np.bool_], id: int | None = None) -> Edit:  # noqa: A002 (as SPEC names it)
        """Paint pixels with the id of a cell, over whatever is there.

        Parameters
        ----------
        mask : bool array, shape (Y, X)
        id : int, optional
            The cell, which need not be there yet; 0 is background; a new cell by default.

        Raises
        ------
        InputError
            If the mask has another shape than the labels, or is empty.
        """
        painted = np.asarray(mask)
        if painted.shape != self._labels.shape or painted.dtype != bool:
            raise InputError(
                f"mask is {painted.dtype} of shape {painted.shape}, expected bool of shape "
                f"{self._labels.shape}"
            )
        whole = (slice(0, painted.shape[0]), slice(0, painted.shape[1]))
        runs = Change.of(np.zeros(painted.shape, np.int32), whole, painted.astype(np.int32)).runs()
        number = self.next_id if id is None else id
        return self._make(Paint, id=number, mask=tuple(run[:3] for run in runs))

    def undo(self) -> Edit | None:
        """Undo the last edit that holds, and return it; None where there is none."""
        if not self._done:
            return None
        self._log(step_line("undo"))
        return self._undo()

    def redo(self) -> Edit | None:
        """Repeat the last edit that was undone, and return it; None where there is none."""
        if not self._undone:
            return None
        self._log(step_line("redo"))
        return self._redo()

    def replay(self, journal: Journal) -> None:
        """Repeat the edits of a file.

        Raises
        ------
        InputError
            If they were made on other labels than the present ones.
        """
        if journal.labels != hash_labels(self._labels):
            height, width = journal.shape
            raise InputError(
                f"the edits were made on other labels, of {height}×{width}: choose the label image as it was "
                "before the first edit"
            )
        for line in journal.lines:
            if isinstance(line, Step):
                step = self._undo if line.edit == "undo" else self._redo
                step()
            else:
                self._keep(self._as_edit(line))

    def exported(self) -> Labels:
        """Return the present labels with ids 1…N without gaps, int32 ``(Y, X)``."""
        return relabel(self._labels)

    def save(
        self,
        path: str | PathLike[str],
        *,
        pixel_size_um: float | tuple[float, float] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the present labels as TIFF, with ids 1…N without gaps.

        Parameters
        ----------
        path : path
            Name ending in .tif; an existing file is replaced in one step.
        pixel_size_um, provenance
            As of `dinocell.write_labels`; the provenance is that of the labels before the edits. How many
            edits of which kind were made is added to it as ``edits``.

        Raises
        ------
        InputError, OutputError
            As `dinocell.write_labels`.
        """
        recorded = {**(provenance or {}), "edits": self.recorded()}
        write_labels(path, self.exported(), pixel_size_um=pixel_size_um, provenance=recorded)

    def recorded(self) -> dict[str, Any]:
        """Return what was edited, as JSON values: the number of edits by name, and the labels before them."""
        names = [edit.operation.edit for edit in self._done]
        counts = {name: names.count(name) for name in dict.fromkeys(names)}
        return {"before": hash_labels(self._start), **counts}

    def _make(self, kind: type[Operation], **given: Any) -> Edit:
        """Check what is asked for, and make the edit."""
        try:
            operation = kind.model_validate(given)
        except ValidationError as error:
            raise InputError(explain_problem(error, kind)) from error
        return self.apply(operation)

    def apply(self, operation: Operation) -> Edit:
        """Apply an edit that is given as data, as one that comes over a network; errors as its method."""
        outcome = operation.apply(Scene(self._labels, self._next_id, self._find_map, self._find_clicked))
        edit = Edit(operation, outcome.change, outcome.ids, outcome.notes)
        self._log(edit_line(edit))
        self._keep(edit)
        return edit

    def _find_map(self) -> DistanceMap | None:
        return self.distance_map

    def _find_clicked(self, inside: Sequence[Pixel], outside: Sequence[Pixel]) -> Clicked | None:
        """Find the clicked cell in the image, if there is one and the model has a decoder of clicks."""
        if self._image is None:
            return None
        if self._clicks is None:
            own, usual = (Checkpoint.find(str(name)) for name in (self._model, _MODEL))
            checkpoint = own if own.clicks is not None and own.graph is not None else usual
            if checkpoint.clicks is None or checkpoint.graph is None:
                return None
            self._clicks = ClickPredictor(checkpoint, self._image, median_diameter(self._start))
        return self._clicks.predict(inside, outside, self._labels != 0)

    def _as_edit(self, line: Line) -> Edit:
        change = Change.from_runs(self._labels, np.array(line.pixels, np.int64).reshape(-1, 4))
        return Edit(line.operation, change, line.made, line.notes)

    def _keep(self, edit: Edit) -> None:
        edit.change.apply(self._labels)
        self._done.append(edit)
        self._undone.clear()
        self._next_id = max(self._next_id, int(edit.change.after.max(initial=0)) + 1)

    def _undo(self) -> Edit | None:
        if not self._done:
            return None
        edit = self._done.pop()
        edit.change.inverse().apply(self._labels)
        self._undone.append(edit)
        return edit

    def _redo(self) -> Edit | None:
        if not self._undone:
            return None
        edit = self._undone.pop()
        edit.change.apply(self._labels)
        self._done.append(edit)
        return edit

    def _open_journal(self, path: Path) -> None:
        """Repeat the edits of a journal that is there, or begin one."""
        self._journal = JournalFile(path)
        journal = self._journal.begin(self._start)
        if journal is not None:
            try:
                self.replay(journal)
            except InputError as error:
                raise InputError(f"{path}: {error}") from error

    def _log(self, line: str) -> None:
        if self._journal is not None:
            self._journal.add(line)
