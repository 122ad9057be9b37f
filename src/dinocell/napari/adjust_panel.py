"""Panel below *Segment*: thresholds that flood again from the kept map, and the colours of labels."""

import functools
from typing import Any

from napari.utils.colormaps import label_colormap
from qtpy.compat import isalive
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGroupBox, QPushButton, QVBoxLayout, QWidget

from dinocell.napari import forms, labels_layers
from dinocell.napari.colours import PLAIN, colour_by
from dinocell.napari.findings import describe_found
from dinocell.napari.sessions import PlaneFound, Session, flood_again, measure_plane, session_of
from dinocell.napari.sources import Index
from dinocell.napari.working import Report, Work
from dinocell.postprocess.thresholds import Thresholds
from napari.layers import Labels

_MEANINGS = {
    "cells_max_threshold": ("cells_max", "Higher: fewer cells, only the surest; lower: more cells"),
    "cell_fill_threshold": ("cell_fill", "Higher: smaller outlines; lower: larger ones"),
    "merge": ("merge", "Lower: cells that touch are joined; higher: they stay apart"),
}
_DEBOUNCE_MS = 60


class AdjustPanel(QWidget):  # type: ignore[misc,unused-ignore]
    """Panel of the active labels layer that *Segment* made.

    Parameters
    ----------
    viewer : napari.viewer.Viewer

    Attributes
    ----------
    said : Signal(str)
        Words on the cells that there are now.
    """

    said = Signal(str)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._layer: Any = None
        self._paused, self._again = False, False
        self.work = Work(self)
        self.work.reported.connect(self._show_event)
        self.work.ended.connect(self._end)
        self.sliders = {name: forms.ShareSlider(tip) for name, (_, tip) in _MEANINGS.items()}
        self.reset = QPushButton("Back to the model's values")
        self.reset.clicked.connect(self._reset)
        self.colour = forms.choice([(PLAIN, "")], "Colour the labels by a measurement")
        self._build()
        self._timer = forms.later(self, _DEBOUNCE_MS, self._flood)
        for slider in self.sliders.values():
            slider.moved.connect(self._timer.start)
        self.colour.currentIndexChanged.connect(lambda _: self._colour())
        viewer.layers.selection.events.active.connect(self._follow)
        viewer.layers.events.removed.connect(self._follow)
        viewer.dims.events.current_step.connect(self._show_shown)
        self._follow()

    def _build(self) -> None:
        thresholds, colours = QGroupBox("Adjust"), QGroupBox("Colour")
        rows = forms.form()
        for name, slider in self.sliders.items():
            rows.addRow(_MEANINGS[name][0], slider)
        inner = QVBoxLayout(thresholds)
        inner.addLayout(rows)
        inner.addWidget(self.reset)
        QVBoxLayout(colours).addWidget(self.colour)
        forms.column(self, thresholds, colours)
        self._thresholds, self._colours = thresholds, colours

    @property
    def session(self) -> Session | None:
        """Session of the layer that is adjusted; None where the layer was not made here."""
        return session_of(self._layer)

    def pause(self) -> None:
        """Let nothing be adjusted while cells are looked for."""
        self._paused = True
        self.work.stop()
        self._enable()

    def resume(self) -> None:
        """Let thresholds be moved again."""
        self._paused = False
        self._enable()
        self._show_shown()

    def show_layer(self, layer: Any) -> None:
        """Show the thresholds of a layer, which is adjusted from now on."""
        if layer is not self._layer:
            self.work.stop()
        self._layer = layer
        session = self.session
        thresholds = None if session is None else session.thresholds()
        if thresholds is not None and not self.work.is_running:
            for name, slider in self.sliders.items():
                slider.set_value(getattr(thresholds, name))
        self._enable()
        self._show_shown()

    def _follow(self, _: object = None) -> None:
        """Follow the active labels layer; another kind of layer changes nothing."""
        if not isalive(self):  # the viewer outlives a widget that is closed
            return
        active = self._viewer.layers.selection.active
        if isinstance(active, Labels) and active is not self._layer:
            self.show_layer(active)
        elif self._layer is not None and self._layer not in list(self._viewer.layers):
            self._layer = None
        self._enable()

    def _enable(self) -> None:
        session = self.session
        ready = session is not None and bool(session.adjustable) and not self._paused
        self._thresholds.setEnabled(ready)
        self._colours.setEnabled(session is not None)
        edited = session is not None and bool(session.edited) and not session.adjustable
        self._thresholds.setToolTip("The labels were edited: thresholds would undo that" if edited else "")

    def _chosen(self, session: Session) -> Thresholds:
        cells_max, cell_fill, merge = (slider.value for slider in self.sliders.values())
        return (session.thresholds() or Thresholds()).replaced(
            cells_max_threshold=cells_max, cell_fill_threshold=cell_fill, merge=merge
        )

    def _reset(self) -> None:
        session = self.session
        if session is None or not session.planes:
            return
        own = session.own_thresholds()
        for name, slider in self.sliders.items():
            slider.set_value(getattr(own, name))
        self._flood()

    def _flood(self) -> None:
        """Flood all planes again, the shown one first; what is running gives way."""
        session = self.session
        if session is None or self._paused:
            return
        if self.work.is_running:
            self._again = True
            self.work.stop()
            return
        shown = labels_layers.shown_index(self._viewer, self._layer)
        order = sorted(session.adjustable, key=lambda index: (index != shown, index))
        thresholds = self._chosen(session)
        self.work.start(functools.partial(_flood_planes, session, order, thresholds))

    def _show_event(self, found: object) -> None:
        session = self.session
        if session is None or not isinstance(found, PlaneFound) or found.index in session.edited:
            return
        measured = bool(found.table)
        session.keep(found)
        if not measured:
            labels_layers.show_plane(self._layer, found)
            self.said.emit(f"{int(found.labels.max(initial=0))} cells")
        elif found.index == labels_layers.shown_index(self._viewer, self._layer):
            self._show_shown()

    def _end(self, _: object) -> None:
        if self._again:
            self._again = False
            self._flood()
            return
        session = self.session
        if session is not None:
            self.said.emit(describe_found(session))

    def _shown_plane(self) -> PlaneFound | None:
        session = self.session
        if session is None or self._layer not in list(self._viewer.layers):
            return None
        index: Index = labels_layers.shown_index(self._viewer, self._layer)
        return session.planes.get(index)

    def _show_shown(self, _: object = None) -> None:
        """Let the layer have the features of the plane that is shown, and its colours."""
        if not isalive(self):
            return
        found, session = self._shown_plane(), self.session
        if found is None or not found.table or session is None or found.index in session.edited:
            return
        labels_layers.show_features(self._layer, found.table)
        columns = [(name, name) for name in found.table if name != "label"]
        if [self.colour.itemData(at) for at in range(1, self.colour.count())] != [
            name for name, _ in columns
        ]:
            chosen = self.colour.currentData()
            self.colour.blockSignals(True)
            self.colour.clear()
            for text, value in [(PLAIN, ""), *columns]:
                self.colour.addItem(text, value)
            self.colour.setCurrentIndex(max(0, self.colour.findData(chosen)))
            self.colour.blockSignals(False)
        if self.colour.currentData():
            self._colour()

    def _colour(self) -> None:
        found, column = self._shown_plane(), self.colour.currentData()
        if self._layer is None:
            return
        if not column:
            self._layer.colormap = label_colormap()
            self.colour.setToolTip("Colour the labels by a measurement")
        elif found is not None and column in found.table:
            self._layer.colormap, (low, high) = colour_by(found.table, column)
            self.colour.setToolTip(f"From dark (at most {low:.4g}) to bright (at least {high:.4g})")


def _flood_planes(session: Session, order: list[Index], thresholds: Thresholds, report: Report) -> None:
    """Flood planes again in the worker and report them; then, while nobody moves a slider, measure them."""
    flooded = []
    for index in order:
        flooded.append(flood_again(session, session.planes[index], thresholds))
        report(flooded[-1])
    for found in flooded:
        report(measure_plane(session, found))
