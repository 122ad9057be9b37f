"""The widget *Fine-tune*: adapt the model to corrected cells, see whether that helps, and use it."""

import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QToolButton,
    QWidget,
)

from dinocell.editing.corrected import find_saved
from dinocell.errors import DINOCellError
from dinocell.napari import forms
from dinocell.napari.curve import LossCurve, show_picture
from dinocell.napari.finetuning import finetune_folder
from dinocell.napari.segment_widget import segment_widgets
from dinocell.napari.working import Work

if TYPE_CHECKING:
    from dinocell.training.finetuning.corrections import Learned, Phase

_TARGETS: list[tuple[str, object]] = [
    ("as it was segmented", None), ("whole cells", "cells"), ("nuclei", "nuclei"),
]  # fmt: skip
_MODEL_FOLDER = "model_{}"
_FEWEST = 5  # steps after which the time that is left is told


class FinetuneWidget(QWidget):  # type: ignore[misc,unused-ignore]
    """Widget that adapts a model to what *Correct* saved.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    def __init__(self, napari_viewer: "Any") -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._learned: Learned | None = None
        self._title, self._began = "", 0.0
        self.work = Work(self)
        self.work.reported.connect(self._show_phase)
        self.work.ended.connect(self._end)
        self._build()

    def _build(self) -> None:
        self.folder = QLineEdit()
        self.folder.setPlaceholderText(str(Path.home() / "corrected"))
        self.folder.setToolTip("Folder that 'Save for fine-tuning' wrote")
        self.folder.editingFinished.connect(self._look)
        browse = QToolButton()
        browse.setText("…")
        browse.clicked.connect(self._browse)
        self.model = QLineEdit("nano")
        self.model.setToolTip("The model that is adapted: a name, or a folder")
        self.target = forms.choice(_TARGETS, "What the corrected labels are of")
        self.steps = QSpinBox()
        self.steps.setRange(1, 10000)
        self.steps.setValue(100)
        self.check = QCheckBox("Hold back a part, and compare")
        self.check.setToolTip("A quarter of the cells of one image is not learned from, but looked at")
        self.check.setChecked(True)
        rows = forms.form()
        rows.addRow("Folder", forms.row(self.folder, browse))
        rows.addRow("Model", self.model)
        rows.addRow("Outline", self.target)
        rows.addRow("Steps", self.steps)
        self.run = QPushButton("Fine-tune")
        self.run.clicked.connect(self._press)
        self.bar = QProgressBar()
        self.bar.hide()
        self.curve = LossCurve()
        self.said = forms.note("Correct some cells and save them first.")
        self.pictures = QLabel(), QLabel()
        self.compared = forms.row(*self.pictures)
        self.compared.hide()
        self.use = QPushButton("Use this model")
        self.use.setEnabled(False)
        self.use.clicked.connect(self._use)
        shown = self.run, self.bar, self.curve, self.said, self.compared, self.use
        forms.column(self, rows, self.check, *shown)

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of corrected images", self.folder.text())
        if folder:
            self.folder.setText(folder)
            self._look()

    def _chosen(self) -> Path:
        return Path(self.folder.text() or self.folder.placeholderText())

    def _look(self) -> None:
        """Show how many images there are to learn from."""
        try:
            count = len(find_saved(self._chosen()))
        except DINOCellError as error:
            self.said.setText(str(error))
            return
        self.said.setText(f"{count} corrected image{'' if count == 1 else 's'}")

    def _press(self) -> None:
        if self.work.is_running:
            self.work.stop()
            self.run.setEnabled(False)
            return
        folder = self._chosen()
        try:
            find_saved(folder)
        except DINOCellError as error:
            show_error(str(error))
            return
        learn = functools.partial(
            finetune_folder,
            folder=folder,
            output=_free_folder(folder),
            model=self.model.text(),
            steps=self.steps.value(),
            target=self.target.currentData(),
            check=self.check.isChecked(),
        )
        self._learned, self._title = None, ""
        self.use.setEnabled(False)
        self.compared.hide()
        self.curve.clear()
        self.bar.setRange(0, 0)
        self.bar.show()
        self.run.setText("Cancel")
        self.work.start(learn)

    def _show_phase(self, event: "Phase") -> None:
        now = time.monotonic()
        if event.title != self._title:
            self._title, self._began = event.title, now
        self.bar.setRange(0, event.total)
        self.bar.setValue(event.done)
        if event.loss is not None:
            self.curve.add(event.loss, event.total)
        self.said.setText(f"{event.title} … {_time_left(event, now - self._began)}")

    def _end(self, learned: "Learned | None") -> None:
        self.run.setText("Fine-tune")
        self.run.setEnabled(True)
        self.bar.hide()
        if learned is None:
            self.said.setText(
                "Stopped." if self.work.was_stopped else "That did not work: the message says why."
            )
            return
        self._learned = learned
        self.use.setEnabled(True)
        self.said.setText(describe_learned(learned))
        if learned.comparison is not None:
            for label, picture in zip(self.pictures, learned.comparison.pictures, strict=True):
                show_picture(label, picture)
            self.compared.show()

    def _use(self) -> None:
        """Choose the new model in *Segment*, which is opened where it is not."""
        if self._learned is None:
            return
        found = segment_widgets(self._viewer)
        if not found:
            self._viewer.window.add_plugin_dock_widget("dinocell", "Segment")
            found = segment_widgets(self._viewer)
        for widget in found:
            widget.use_model(str(self._learned.model))


def describe_learned(learned: "Learned") -> str:
    """Return what came of a fine-tuning, in a few sentences."""
    images = f"{learned.images} image{'' if learned.images == 1 else 's'}"
    first = f"Learned from {images} in {learned.seconds / 60:.1f} min"
    found = learned.comparison
    if found is None:
        return f"{first}. Nothing was held back: look at the result before you trust it. → {learned.model}"
    change = "better" if found.after > found.before else "not better: keep the model as it is"
    return (
        f"{first}. On {found.cells} cells that were held back, AP@0.5 was {found.before:.2f} before (left), "
        f"and is {found.after:.2f} now (right): {change}. → {learned.model}"
    )


def _time_left(event: "Phase", seconds: float) -> str:
    """Return words on the time that is left of a phase, once it can be told."""
    if event.done < _FEWEST or not event.total:
        return ""
    left = seconds / event.done * (event.total - event.done)
    return f"about {left:.0f} s left" if left < 90 else f"about {left / 60:.0f} min left"


def _free_folder(folder: Path) -> Path:
    """Return a folder for a model that is not there yet."""
    number = 1
    while (folder / _MODEL_FOLDER.format(number)).exists():
        number += 1
    return folder / _MODEL_FOLDER.format(number)
