"""The widget *Segment*: choose an image, press a button, get labels; then move the thresholds."""

import functools
import weakref
from pathlib import Path
from typing import Any

from qtpy.compat import isalive
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFileDialog,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QToolButton,
    QWidget,
)

from dinocell.inference.segmentation import TilesDone
from dinocell.inference.settings import Diameter, RunOptions
from dinocell.large.plan import LargeResult
from dinocell.large.stage_done import StageDone
from dinocell.models.listing import list_models
from dinocell.napari import forms, labels_layers
from dinocell.napari.adjust_panel import AdjustPanel
from dinocell.napari.findings import describe_found
from dinocell.napari.large_images import LargePlane, default_output, segment_plane
from dinocell.napari.reading import read_layers
from dinocell.napari.sessions import PlaneFound, Session, load_pipeline, segment_planes
from dinocell.napari.sources import LayerImage, describe_layer
from dinocell.napari.working import Report, Work
from napari.layers import Image

_THIS, _ALL = "this plane", "all {} planes"
_TARGETS = [("automatic", "auto"), ("whole cells", "cells"), ("nuclei", "nuclei")]
_SIZES: list[tuple[str, object]] = [("automatic", "auto"), ("as the image is", None), ("diameter:", "given")]
_widgets: "weakref.WeakSet[SegmentWidget]" = weakref.WeakSet()
_load = functools.lru_cache(maxsize=2)(load_pipeline)


class SegmentWidget(QWidget):  # type: ignore[misc,unused-ignore]
    """Widget that segments an image layer.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    def __init__(self, napari_viewer: "Any") -> None:
        super().__init__()
        self._viewer = napari_viewer
        _widgets.add(self)
        self._session: Session | None = None
        self._layer: Any = None
        self._source: Any = None
        self._planes_done = (0, 1)
        self.work = Work(self)
        self.work.reported.connect(self._show_event)
        self.work.ended.connect(self._end)
        self._build()
        self.image.changed.connect(self._show_image)
        self._show_image()

    def _build(self) -> None:
        self.image = forms.LayerChoice(self._viewer, Image, "The image layer in which cells are looked for")
        trained = [info.name for info in list_models() if info.trained]
        self.model = forms.choice([(name, name) for name in trained], "A model, or a folder of your own")
        browse = QToolButton()
        browse.setText("…")
        browse.setToolTip("Choose the folder of a model that was trained or fine-tuned")
        browse.clicked.connect(self._browse_model)
        self.target = forms.choice(_TARGETS, "What is outlined")
        self.size = forms.choice(_SIZES, "Typical diameter of a cell: automatic finds it")
        self.diameter = QDoubleSpinBox()
        self.diameter.setRange(1, 10000)
        self.diameter.setDecimals(1)
        self.diameter.setValue(30)
        self.diameter.setSuffix(" px")
        self.size.currentIndexChanged.connect(lambda _: self._show_size())
        self.planes = forms.choice([(_THIS, "this")], "Which planes of a stack or movie")
        self.output = QLineEdit()
        self.output.setToolTip("Where the labels of a large image are written: NAME.zarr")
        self.form = forms.form()
        self.form.addRow("Image", self.image)
        self.form.addRow("Model", forms.row(self.model, browse))
        self.form.addRow("Outline", self.target)
        self.form.addRow("Size", forms.row(self.size, self.diameter))
        self.form.addRow("Planes", self.planes)
        self.form.addRow("Write to", self.output)
        self.run = QPushButton("Segment")
        self.run.clicked.connect(self._press)
        self.bar = QProgressBar()
        self.bar.hide()
        self.said = forms.note()
        self.adjust = AdjustPanel(self._viewer)
        self.adjust.said.connect(self.said.setText)
        forms.column(self, self.form, self.run, self.bar, self.said, self.adjust)
        self._show_size()

    def _browse_model(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of a model")
        if folder:
            self.use_model(folder)

    def is_of(self, viewer: Any) -> bool:
        """Return whether the widget belongs to a viewer."""
        return bool(self._viewer == viewer)

    def use_model(self, folder: str) -> None:
        """Choose the model of a folder."""
        self.model.addItem(Path(folder).name, folder)
        self.model.setCurrentIndex(self.model.count() - 1)

    def _show_size(self) -> None:
        self.diameter.setVisible(self.size.currentData() == "given")

    def _show_image(self) -> None:
        """Show the choices that an image needs: planes of a stack, a place for what is large."""
        layer = self.image.layer
        self.run.setEnabled(layer is not None or self.work.is_running)
        image = None if layer is None else describe_layer(layer)
        count = 1 if image is None else len(image.indices())
        is_large = image is not None and image.is_large
        self.planes.clear()
        self.planes.addItem(_THIS, "this")
        if count > 1 and not is_large:
            self.planes.addItem(_ALL.format(count), "all")
            self.planes.setCurrentIndex(1)
        self.form.setRowVisible(self.planes, count > 1)
        self.form.setRowVisible(self.output, is_large)
        if image is not None and is_large:
            self.output.setText(str(default_output(image)))
        if layer is None and not self.work.is_running:
            self.said.setText("Open an image, or drop one into the window.")
        elif not self.work.is_running:
            self.said.setText("")

    def options(self) -> RunOptions:
        """Return the options that are chosen."""
        size = self.size.currentData()
        diameter: Diameter = float(self.diameter.value()) if size == "given" else size
        return {"target": self.target.currentData(), "diameter": diameter}

    def _press(self) -> None:
        if self.work.is_running:
            self.work.stop()
            self.run.setEnabled(False)
            self.said.setText("Stopping …")
            return
        layer = self.image.layer
        if layer is not None:
            self._start(layer)

    def _start(self, layer: Any) -> None:
        image = describe_layer(layer, self._viewer.layers)
        model, options = str(self.model.currentData()), self.options()
        index = labels_layers.shown_index(self._viewer, layer)
        indices = image.indices() if self.planes.currentData() == "all" else [index]
        self.adjust.pause()
        if image.is_large:
            plane = LargePlane(image, index, Path(self.output.text()), model, options)
            self.work.start(functools.partial(segment_plane, plane))
        else:
            before = self._session if self._continues(layer, image, model, options) else None
            self._session, self._source = before, layer
            self._layer = self._layer if before else None
            self.work.start(functools.partial(_segment, image, model, options, indices, before))
        self.run.setText("Cancel")
        self.bar.setRange(0, 0)
        self.bar.show()
        self.said.setText("Loading the model …")

    def _continues(self, layer: Any, image: LayerImage, model: str, options: RunOptions) -> bool:
        """Return whether cells go into the layer that the last call made: of the same image, not edited."""
        before = self._session
        return (
            before is not None
            and self._layer in list(self._viewer.layers)
            and self._source is layer
            and before.image.levels[0] is image.levels[0]
            and not before.edited
            and (before.options, before.model) == (options, model)
        )

    def _show_event(self, event: object) -> None:
        if isinstance(event, Session):
            self._session = event
            self.said.setText("Looking for cells …")
        elif isinstance(event, tuple):
            done, total = event
            self._planes_done = (done, total)
            if total > 1:
                self.bar.setRange(0, total)
                self.bar.setValue(done)
        elif isinstance(event, TilesDone):
            self._show_tiles(event)
        elif isinstance(event, PlaneFound):
            self._show_found(event)
        elif isinstance(event, StageDone):
            self.bar.setRange(0, event.total)
            self.bar.setValue(event.done)
            self.said.setText(f"Large image: {event.title} …")

    def _show_tiles(self, event: TilesDone) -> None:
        done, total = self._planes_done
        if total == 1:
            self.bar.setRange(0, event.total)
            self.bar.setValue(event.done)
        else:
            self.said.setText(f"Plane {done + 1} of {total}, tile {event.done} of {event.total}")

    def _show_found(self, found: PlaneFound) -> None:
        session = self._session
        if session is None:
            return
        if self._layer is None or self._layer not in list(self._viewer.layers):
            if self._source not in list(self._viewer.layers):  # it was removed meanwhile
                self.work.stop()
                return
            self._layer = labels_layers.add_labels(self._viewer, self._source, session)
        session.keep(found)
        labels_layers.show_plane(self._layer, found)
        self.adjust.show_layer(self._layer)

    def _end(self, result: object) -> None:
        self.run.setText("Segment")
        self.run.setEnabled(self.image.layer is not None)
        self.bar.hide()
        self.adjust.resume()
        if isinstance(result, LargeResult):
            for data, options, _ in read_layers(str(result.labels)):
                self._viewer.add_labels(data, **options)
            self.said.setText(f"{result.cells} cells, target {result.target} → {result.labels}")
        elif self.work.was_stopped:
            self.said.setText("Stopped. Planes that were done are kept.")
        elif result is None:
            self.said.setText("That did not work: the message says why.")
        elif self._session is not None:
            self.said.setText(describe_found(self._session))


def segment_widgets(viewer: Any) -> list[SegmentWidget]:
    """List the widgets of a viewer that are open."""
    return [widget for widget in _widgets if isalive(widget) and widget.is_of(viewer)]


def _segment(
    image: LayerImage,
    model: str,
    options: RunOptions,
    indices: list[tuple[int, ...]],
    before: Session | None,
    report: Report,
) -> int:
    """Segment planes in the worker, and report them; return their number."""
    session = before or Session(image, _load(model), options, model=model)
    report(session)
    begin = lambda done, total: report((done, total))  # noqa: E731
    for found in segment_planes(session, indices, report, begin):
        report(found)
    return len(indices)
