"""Form of the widget *Correct*: what it shows, and nothing that it does."""

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QGroupBox,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QToolButton,
    QWidget,
)

from dinocell.napari import forms
from napari.layers import Image, Labels

KEYS = {
    "A": ("Add", "Add the cell under the mouse"),
    "S": ("Split", "Press in one half of a cell, then in the other"),
    "M": ("Merge", "Press in one cell, then in the one that belongs to it"),
    "D": ("Delete", "Delete the cell under the mouse"),
    "E": ("Paint", "Paint the cell under the mouse, or a new one; press again to end"),
    "N": ("Next", "This one is right: show the next least certain cell"),
}
"""Keys with their names and meanings."""

_COLUMNS = 3


class CorrectForm(QWidget):  # type: ignore[misc,unused-ignore]
    """Form of *Correct*.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.labels = forms.LayerChoice(viewer, Labels, "The labels layer that is corrected")
        self.image = forms.LayerChoice(viewer, Image, "The image that the labels are of")
        self.start = QPushButton("Start correcting")
        self.start.setCheckable(True)
        self.buttons = {key: QPushButton(f"{key}  {name}") for key, (name, _) in KEYS.items()}
        self.undo, self.redo = QPushButton("Undo (Ctrl+Z)"), QPushButton("Redo")
        self.redo.setToolTip("Ctrl+Shift+Z")
        self.all_right = QCheckBox("All of it is right")
        self.all_right.setToolTip("No cell is missing, and every one that is there is right")
        self.said = forms.note()
        self.bar = QProgressBar()
        self.bar.setFormat("%v of %m checked")
        self.folder = QLineEdit()
        self.folder.setPlaceholderText(str(Path.home() / "corrected"))
        self.save = QPushButton("Save for fine-tuning")
        self._lay_out()

    def _lay_out(self) -> None:
        above, below = forms.form(), forms.form()
        above.addRow("Labels", self.labels)
        above.addRow("Image", self.image)
        browse = QToolButton()
        browse.setText("…")
        browse.clicked.connect(self._browse)
        below.addRow("Folder", forms.row(self.folder, browse))
        keys = QGroupBox("Keys, with the mouse over the cell")
        grid = QGridLayout(keys)
        for number, (key, button) in enumerate(self.buttons.items()):
            button.setToolTip(KEYS[key][1])
            grid.addWidget(button, number // _COLUMNS, number % _COLUMNS)
        steps = forms.row(self.undo, self.redo)
        parts = (above, self.start, keys, steps, self.said, self.bar, self.all_right, below, self.save)
        forms.column(self, *parts)

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of what is learned from", self.folder.text())
        if folder:
            self.folder.setText(folder)
