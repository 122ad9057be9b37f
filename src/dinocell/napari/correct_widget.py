"""The widget *Correct*: one key for a wrong cell, with undo without limit; what was checked is remembered."""

import functools
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from napari.utils.notifications import show_error, show_info
from qtpy.compat import isalive

from dinocell.editing.edit import Edit
from dinocell.editing.review import Review
from dinocell.errors import DINOCellError
from dinocell.napari import labels_layers
from dinocell.napari.correct_form import KEYS, CorrectForm
from dinocell.napari.correcting import Correction, save_for_finetuning
from dinocell.napari.exporting import Cells
from dinocell.napari.gestures import Gestures
from dinocell.napari.layer_keys import LayerKeys
from dinocell.napari.sessions import load_pipeline, session_of
from dinocell.napari.sources import Index, describe_layer
from dinocell.napari.working import Report, Work
from napari.layers import Image

_corrections: "weakref.WeakKeyDictionary[Any, Correction]" = weakref.WeakKeyDictionary()


class CorrectWidget(CorrectForm):
    """Widget that corrects a labels layer by keys.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    def __init__(self, napari_viewer: "Any") -> None:
        super().__init__(napari_viewer)
        self._viewer = napari_viewer
        self._layer: Any = None
        self._gestures = Gestures()
        steps = {
            "Control-Z": functools.partial(self.step, "undo"),
            "Control-Shift-Z": functools.partial(self.step, "redo"),
        }
        at_mouse = {key: functools.partial(self._press_at_mouse, key) for key in KEYS}
        self.keys = LayerKeys(napari_viewer, at_mouse | steps, self)
        self.keys.painted.connect(self._take_painted)
        self.work = Work(self)
        self.work.ended.connect(self._start_plane)
        self._connect()
        self._show_labels()

    def _connect(self) -> None:
        self.start.clicked.connect(self._press_start)
        for key, button in self.buttons.items():
            button.clicked.connect(functools.partial(self._hint, key))
        self.undo.clicked.connect(lambda: self.step("undo"))
        self.redo.clicked.connect(lambda: self.step("redo"))
        self.all_right.toggled.connect(self._set_done)
        self.save.clicked.connect(self._save)
        self.labels.changed.connect(self._show_labels)
        self._viewer.dims.events.current_step.connect(self._show_plane)
        self._viewer.layers.events.removed.connect(self._leave_removed)

    @property
    def correction(self) -> Correction | None:
        """Correction of the layer, once it was begun."""
        return None if self._layer is None else _corrections.get(self._layer)

    @property
    def plane(self) -> Review | None:
        """Correction of the plane that is shown, while it is under way."""
        correction = self.correction
        return None if correction is None else correction.planes.get(self._index())

    def _index(self) -> Index:
        return labels_layers.shown_index(self._viewer, self._layer)

    def _show_labels(self) -> None:
        """Choose the image that the labels were made of; another layer ends the correction of this one."""
        layer = self.labels.layer
        if self._layer is not None and layer is not self._layer:
            self.stop()
        if (session := session_of(layer)) is not None:
            for other in self._viewer.layers:
                if isinstance(other, Image) and other.data is session.image.levels[0]:
                    self.image.choose(other)
        self._enable()

    def _press_start(self) -> None:
        if self._layer is not None:
            self.stop()
            return
        layer, image = self.labels.layer, self.image.layer
        self.start.setChecked(False)
        if layer is None or image is None:
            return
        if layer.multiscale:
            show_error(
                f"{layer.name} is a large image on the disk: open a part of it as labels to correct it"
            )
            return
        try:
            cells = Cells(describe_layer(image, self._viewer.layers), layer.data, session_of(layer))
        except DINOCellError as error:
            show_error(str(error))
            return
        _corrections.setdefault(layer, Correction(cells))
        self._layer = layer
        self.keys.bind(layer)
        self.start.setChecked(True)
        self.start.setText("Stop correcting")
        self._viewer.layers.selection.active = layer
        self._show_plane()

    def stop(self) -> None:
        """Stop correcting; what was done and checked is remembered."""
        layer, self._layer = self._layer, None
        self.work.stop()
        if layer is not None:
            self.keys.let_go(layer)
        self._gestures.reset()
        self.start.setChecked(False)
        self.start.setText("Start correcting")
        self.said.setText("")
        self._enable()

    def _press_at_mouse(self, key: str) -> None:
        if isalive(self) and self._layer is not None:
            at = self._layer.world_to_data(self._viewer.cursor.position)
            self.press(key, (float(at[-2]), float(at[-1])))

    def press(self, key: str, point: tuple[float, float]) -> None:
        """Do what a key means at a point.

        Parameters
        ----------
        key : str
            One of A, S, M, D, E, N.
        point : (float, float)
            Row and column under the mouse, in pixels of the layer.
        """
        correction, plane = self.correction, self.plane
        if correction is None or plane is None:
            return
        if key == "N":
            self._next(plane)
            return
        if key == "E":
            self._paint(plane, point)
            return
        try:
            edit, said = self._gestures.press(key, plane, point)
        except DINOCellError as error:
            self._gestures.reset()
            show_error(str(error))
            return
        if edit is not None:
            self._made(correction, [edit])
        self.said.setText(". ".join([said, *(() if edit is None else edit.notes)]))

    def _made(self, correction: Correction, edits: list[Edit]) -> None:
        index = self._index()
        correction.note(index, edits)
        for edit in edits:
            self._refresh(index, edit)
        self._count()

    def _refresh(self, index: Index, edit: Edit) -> None:
        """Show what an edit changed."""
        correction = self.correction
        if correction is None or edit.change.is_empty:
            return
        self._layer.data[(*index, *edit.window)] = correction.planes[index].editor.labels[edit.window]
        self._layer.refresh()
        self._layer.events.data(value=self._layer.data)

    def step(self, name: str) -> None:
        """Undo or redo one edit, and show the plane on which it was made."""
        correction = self.correction
        if correction is None:
            return
        stepped = correction.undo() if name == "undo" else correction.redo()
        if stepped is None:
            self.said.setText(f"There is nothing to {name}.")
            return
        index, edit = stepped
        self._refresh(index, edit)
        if index != self._index():
            labels_layers.show_index(self._viewer, self._layer, index)
        self._count()
        self.said.setText(f"{name.capitalize()}: {edit.operation.edit}")

    def _next(self, plane: Review) -> None:
        """Count the cell that was shown as checked, and show the least certain one that is left."""
        cell = plane.check_and_advance()
        self._count()
        if cell is None:
            self.said.setText("All cells of this plane are checked.")
            return
        sure = plane.confidence.get(cell)
        self._layer.selected_label = cell
        labels_layers.centre_on(self._viewer, self._layer, (*self._index(), *plane.centre_of(cell)))
        self.said.setText(f"Cell {cell}" + ("" if sure is None else f", confidence {sure:.2f}"))

    def _paint(self, plane: Review, point: tuple[float, float]) -> None:
        if self._layer.mode == "paint":
            self._layer.mode = "pan_zoom"
            self.said.setText("")
            return
        cell = plane.cell_at(point)
        self._layer.selected_label = cell if cell > 0 else int(plane.editor.labels.max(initial=0)) + 1
        self._viewer.layers.selection.active = self._layer
        self._layer.n_edit_dimensions = 2
        self._layer.mode = "paint"
        what = f"cell {cell}" if cell > 0 else "a new cell"
        self.said.setText(f"Painting {what} with the mouse; E ends it")

    def _take_painted(self) -> None:
        correction, plane = self.correction, self.plane
        if correction is None or plane is None:
            return
        painted = np.asarray(self._layer.data[(*self._index(), ...)]).astype(np.int32)
        try:
            edits = plane.take_painted(painted)
        except DINOCellError as error:
            show_error(str(error))
            return
        if edits:
            self._made(correction, edits)

    def _show_plane(self, _: object = None) -> None:
        """Begin to correct the plane that is shown; where there is no map of it, one is predicted first."""
        correction = self.correction
        if not isalive(self) or correction is None or self.work.is_running:
            return
        index = self._index()
        if index in correction.planes or correction.kept_map(index) is not None:
            self._begin(index, correction.kept_map(index))
            return
        self.said.setText("Preparing: the model looks at the image once …")
        self.work.start(functools.partial(_predict, correction.cells, index))

    def _start_plane(self, result: Any) -> None:
        if self.correction is None:
            return
        if result is None:
            self.stop()
            return
        self._begin(*result)
        if self._index() != result[0]:  # the slider was moved meanwhile
            self._show_plane()

    def _begin(self, index: Index, distance_map: Any) -> None:
        correction = self.correction
        if correction is None:
            return
        try:
            plane = correction.begin(index, distance_map)
        except DINOCellError as error:
            show_error(str(error))
            self.stop()
            return
        self._gestures.reset()
        self.said.setText("Point at a cell and press a key. N shows what to look at first.")
        self.all_right.blockSignals(True)
        self.all_right.setChecked(plane.is_done)
        self.all_right.blockSignals(False)
        self._enable()
        self._count()

    def _set_done(self, is_done: bool) -> None:
        plane = self.plane
        if plane is not None:
            plane.is_done = is_done
            self._count()

    def _count(self) -> None:
        """Show how many cells of the plane are checked."""
        plane = self.plane
        if plane is None:
            return
        ids = plane.ids
        self.bar.setRange(0, max(1, len(ids)))
        self.bar.setValue(len(ids) if plane.is_done else len(plane.checked & {*ids}))
        self._enable()

    def _enable(self) -> None:
        correction = self.correction
        self.start.setEnabled(self._layer is not None or self.labels.layer is not None)
        for part in (*self.buttons.values(), self.all_right, self.save, self.bar):
            part.setEnabled(self.plane is not None)
        self.undo.setEnabled(correction is not None and bool(correction.done))
        self.redo.setEnabled(correction is not None and bool(correction.undone))
        if correction is None:
            self.said.setText(
                "" if self.labels.layer is not None else "Segment an image first, or open labels."
            )

    def _hint(self, key: str) -> None:
        """Do what needs no mouse; of the other keys, show how they are used."""
        if key == "N":
            self.press("N", (0.0, 0.0))
        else:
            self.said.setText(f"{KEYS[key][1]}: press {key} with the mouse there.")

    def _leave_removed(self, _: object = None) -> None:
        if isalive(self) and self._layer is not None and self._layer not in list(self._viewer.layers):
            self.stop()

    def _save(self) -> None:
        correction = self.correction
        if correction is None:
            return
        folder = Path(self.folder.text() or self.folder.placeholderText())
        try:
            files = save_for_finetuning(correction, folder)
        except DINOCellError as error:
            show_error(str(error))
            return
        show_info(f"{len(files)} label image{'' if len(files) == 1 else 's'} → {folder}")
        self.said.setText(
            f"Saved. Learn from them with Fine-tune, or: dinocell finetune {folder}/images "
            f"--from-corrected {folder}/corrected -o MODEL"
        )


def _predict(cells: Cells, index: Index, report: Report) -> tuple[Index, Any]:
    """Predict the map of a plane in the worker."""
    session = cells.session
    pipeline = load_pipeline("nano") if session is None else session.pipeline
    prediction = pipeline.predict(cells.image.read(index).pixels, progress=report)
    return index, prediction.distance_map
