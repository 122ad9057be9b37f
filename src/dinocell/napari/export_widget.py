"""The widget *Export*: files of every result format, and a table whose rows show their cells."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from napari.utils.notifications import show_error
from qtpy.compat import isalive
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QGroupBox,
    QLineEdit,
    QPushButton,
    QToolButton,
    QWidget,
)

from dinocell.errors import DINOCellError, InputError
from dinocell.inference.fast import samples_folder
from dinocell.napari import forms, labels_layers
from dinocell.napari.cells_table import CellsTable
from dinocell.napari.exporting import Cells, Export, export_cells, formats_for
from dinocell.napari.sessions import session_of
from dinocell.napari.sources import Index, describe_layer
from dinocell.napari.working import Report, Work
from dinocell.results.formats import DEFAULT_FORMATS, PLANE_FORMATS
from napari.layers import Image, Labels

_DEBOUNCE_MS = 200
_COLUMNS = 3
_AT_HOME = Path.home() / "results"


class ExportWidget(QWidget):  # type: ignore[misc,unused-ignore]
    """Widget that writes and lists the cells of a labels layer.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    def __init__(self, napari_viewer: "Any") -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._followed: Any = None
        self._shown: dict[str, Any] = {}
        self.work, self.measuring = Work(self), Work(self)
        self.work.reported.connect(self._show_progress)
        self.work.ended.connect(self._end)
        self.measuring.ended.connect(self._show_table)
        self._build()
        self._timer = forms.later(self, _DEBOUNCE_MS, self.measure)
        self.labels.changed.connect(self._show_labels)
        self.image.changed.connect(self._timer.start)
        self._viewer.dims.events.current_step.connect(self._remeasure)
        self._show_labels()

    def _build(self) -> None:
        self.labels = forms.LayerChoice(self._viewer, Labels, "The labels layer that is written")
        self.image = forms.LayerChoice(self._viewer, Image, "The image in which the cells are measured")
        self.folder = QLineEdit()
        self.folder.setPlaceholderText(str(_AT_HOME))
        browse = QToolButton()
        browse.setText("…")
        browse.clicked.connect(self._browse)
        rows = forms.form()
        rows.addRow("Labels", self.labels)
        rows.addRow("Image", self.image)
        rows.addRow("Folder", forms.row(self.folder, browse))
        box = QGroupBox("Formats")
        grid = QGridLayout(box)
        self.formats: dict[str, QCheckBox] = {}
        for number, (name, found) in enumerate(reversed(PLANE_FORMATS.items())):
            self.formats[name] = QCheckBox(name)
            self.formats[name].setToolTip(found.meaning)
            self.formats[name].setChecked(name in DEFAULT_FORMATS)
            grid.addWidget(self.formats[name], number // _COLUMNS, number % _COLUMNS)
        self.overwrite = QCheckBox("Replace files")
        self.run = QPushButton("Export")
        self.run.clicked.connect(self._press)
        self.said = forms.note()
        self.table = CellsTable()
        self.table.chosen.connect(self.show_cell)
        below = forms.row(self.run, self.overwrite), self.said, self.table
        forms.column(self, rows, box, *below, last_grows=True)

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of the files", self.folder.text())
        if folder:
            self.folder.setText(folder)

    def cells(self) -> Cells | None:
        """Return the cells that are chosen; None without labels or an image.

        Raises
        ------
        InputError
            If the labels do not belong to the image, or are too large.
        """
        layer, image = self.labels.layer, self.image.layer
        if layer is None or image is None:
            return None
        described = describe_layer(image, self._viewer.layers)
        if layer.multiscale or described.is_large:
            raise InputError(
                f"{layer.name} is a large image, whose table was written beside it: open NAME_cells.parquet"
            )
        return Cells(described, layer.data, session_of(layer))

    def _show_labels(self) -> None:
        """Choose the image that the labels were made of, and offer what they can be written as."""
        layer = self.labels.layer
        session = session_of(layer)
        if session is not None:
            for other in self._viewer.layers:
                if isinstance(other, Image) and other.data is session.image.levels[0]:
                    self.image.choose(other)
        if self._followed is not None:
            self._followed.events.selected_label.disconnect(self._follow_label)
            self._followed.events.labels_update.disconnect(self._remeasure)
            self._followed.events.data.disconnect(self._remeasure)
        self._followed = layer
        if layer is not None:
            layer.events.selected_label.connect(self._follow_label)
            layer.events.labels_update.connect(self._remeasure)
            layer.events.data.connect(self._remeasure)
        self._offer()
        self._timer.start()

    def _offer(self) -> None:
        try:
            cells = self.cells()
        except DINOCellError:
            cells = None
        possible = formats_for(cells)
        for name, box in self.formats.items():
            box.setEnabled(name in possible)
        self.run.setEnabled(cells is not None)
        origin = None if cells is None else cells.image.origin
        if origin is not None and not self.folder.text() and origin.path.parent != samples_folder():
            self.folder.setText(str(origin.path.parent / "results"))
        if self.labels.layer is None:
            self.said.setText("Segment an image first, or open labels.")
            self.table.show_table({})

    def _remeasure(self, _: object = None) -> None:
        if isalive(self):  # the viewer outlives a widget that is closed
            self._timer.start()

    def measure(self) -> None:
        """Measure the cells of the plane that is shown, in the worker, and list them."""
        if self.measuring.is_running:
            self._timer.start()
            return
        try:
            cells = self.cells()
        except DINOCellError as error:
            self.said.setText(str(error))
            self.table.show_table({})
            return
        self._offer()
        if cells is None:
            return
        index = labels_layers.shown_index(self._viewer, self.labels.layer)
        self.measuring.start(functools.partial(_measure, cells, index))

    def _show_table(self, table: dict[str, Any] | None) -> None:
        self._shown = table or {}
        self.table.show_table(self._shown)
        if table is not None and not self.work.is_running:
            self.said.setText(f"{len(table['label'])} cells")

    def show_cell(self, label: int) -> None:
        """Select a cell and bring it into the middle of the view."""
        layer = self.labels.layer
        if layer is None or "label" not in self._shown:
            return
        (row,) = np.flatnonzero(np.asarray(self._shown["label"]) == label)
        index = labels_layers.shown_index(self._viewer, layer)
        centre = [float(self._shown[f"centroid_{axis}"][row]) for axis in "yx"]
        layer.selected_label = label
        self._viewer.layers.selection.active = layer
        labels_layers.centre_on(self._viewer, layer, (*index, *centre))

    def _follow_label(self, _: object = None) -> None:
        if isalive(self) and self.labels.layer is not None:
            self.table.follow(int(self.labels.layer.selected_label))

    def _press(self) -> None:
        if self.work.is_running:
            self.work.stop()
            return
        try:
            cells = self.cells()
        except DINOCellError as error:
            show_error(str(error))
            return
        if cells is None:
            return
        wanted = tuple(name for name, box in self.formats.items() if box.isChecked() and box.isEnabled())
        folder = Path(self.folder.text() or _AT_HOME)
        order = Export(cells, folder, wanted, self.overwrite.isChecked())
        self.run.setText("Cancel")
        self.work.start(functools.partial(export_cells, order))

    def _show_progress(self, event: object) -> None:
        if isinstance(event, tuple):
            self.said.setText(f"Plane {event[0] + 1} of {event[1]} …")

    def _end(self, files: list[Path] | None) -> None:
        self.run.setText("Export")
        if files is None:
            self.said.setText(
                "Stopped." if self.work.was_stopped else "That did not work: the message says why."
            )
        elif files:
            self.said.setText(f"{', '.join(path.name for path in files)} → {files[0].parent}")
        else:
            self.said.setText("Written into the image's OME-Zarr.")


def _measure(cells: Cells, index: Index, report: Report) -> dict[str, Any]:
    """Measure in the worker."""
    report(None)
    return cells.table(index)
