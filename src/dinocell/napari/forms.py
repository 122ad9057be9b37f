"""Pieces that all widgets are put together from; they shrink to 400 pixels of width and less."""

from collections.abc import Callable
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QSignalBlocker, Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari.layers import Image, Labels

_SHORTEST = 8  # characters that a choice shrinks to


def choice(items: list[tuple[str, Any]], tip: str = "") -> QComboBox:
    """Return a choice of items (text, value) that may be narrower than its longest item."""
    box = QComboBox()
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(_SHORTEST)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    box.setToolTip(tip)
    for text, value in items:
        box.addItem(text, value)
    return box


def note(text: str = "") -> QLabel:
    """Return a text that wraps, and can be copied."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    policy.setHeightForWidth(True)
    label.setSizePolicy(policy)
    return label


def form() -> QFormLayout:
    """Return a layout of rows with a name each."""
    layout = QFormLayout()
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setContentsMargins(0, 0, 0, 0)
    return layout


def row(*widgets: QWidget) -> QWidget:
    """Return widgets side by side; the first takes what is left."""
    holder = QWidget()
    layout = QHBoxLayout(holder)
    layout.setContentsMargins(0, 0, 0, 0)
    for number, widget in enumerate(widgets):
        layout.addWidget(widget, 1 if number == 0 else 0)
    return holder


def column(widget: QWidget, *parts: Any, last_grows: bool = False) -> None:
    """Lay out widgets and layouts below each other, at the top of a widget unless the last one grows."""
    layout = QVBoxLayout(widget)
    for part in parts:
        if isinstance(part, QWidget):
            layout.addWidget(part)
        else:
            layout.addLayout(part)
    if last_grows:
        layout.setStretch(layout.count() - 1, 1)
    else:
        layout.addStretch(1)


class LayerChoice(QComboBox):  # type: ignore[misc,unused-ignore]
    """Choice among the layers of one kind, as they come, go and change their names.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    kind : type
        ``Image`` or ``Labels``.
    tip : str

    Attributes
    ----------
    changed : Signal()
        Another layer is chosen, or none.
    """

    changed = Signal()

    def __init__(self, viewer: Any, kind: type[Image] | type[Labels], tip: str = "") -> None:
        super().__init__()
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(_SHORTEST)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(tip)
        self._viewer, self._kind, self._shown = viewer, kind, None
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self._refill)
        viewer.layers.selection.events.active.connect(self._follow)
        self.currentIndexChanged.connect(lambda _: self._note_change())
        self._refill()
        self._follow()

    @property
    def layer(self) -> Any:
        """Layer that is chosen; None without one."""
        found = self.currentData()
        return found if found in list(self._viewer.layers) else None

    def choose(self, layer: Any) -> None:
        """Choose a layer, if it is one of the kind."""
        for number in range(self.count()):
            if self.itemData(number) is layer:
                self.setCurrentIndex(number)

    def _refill(self, _: object = None) -> None:
        if not isalive(self):  # the viewer outlives a widget that is closed
            return
        layers = [layer for layer in self._viewer.layers if isinstance(layer, self._kind)]
        before = self.currentData()
        with QSignalBlocker(self):
            self.clear()
            for layer in reversed(layers):  # the topmost first
                self.addItem(layer.name, layer)
                layer.events.name.connect(self._rename)
            if before in layers:
                self.choose(before)
        self._note_change()

    def _rename(self, _: object = None) -> None:
        if not isalive(self):
            return
        for number in range(self.count()):
            self.setItemText(number, self.itemData(number).name)

    def _follow(self, _: object = None) -> None:
        if isalive(self):
            self.choose(self._viewer.layers.selection.active)

    def _note_change(self) -> None:
        if self.currentData() is not self._shown:
            self._shown = self.currentData()
            self.changed.emit()


class ShareSlider(QWidget):  # type: ignore[misc,unused-ignore]
    """Slider of a number from 0 to 1 in hundredths, with the number beside it.

    Attributes
    ----------
    moved : Signal()
        The user moved it.
    """

    moved = Signal()
    _STEPS = 100

    def __init__(self, tip: str) -> None:
        super().__init__()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, self._STEPS)
        self.setToolTip(tip)
        self._exact: float | None = None
        self._number = QLabel("0.00")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.slider, 1)
        layout.addWidget(self._number)
        self.slider.valueChanged.connect(self._move)

    @property
    def value(self) -> float:
        """Number that is set, as it was given where nobody has moved the slider since."""
        return self.slider.value() / self._STEPS if self._exact is None else self._exact

    def set_value(self, value: float) -> None:
        """Set the number without a signal."""
        with QSignalBlocker(self.slider):
            self.slider.setValue(round(value * self._STEPS))
        self._exact = value
        self._number.setText(f"{value:.2f}")

    def _move(self, steps: int) -> None:
        self._exact = None
        self._number.setText(f"{steps / self._STEPS:.2f}")
        self.moved.emit()


def later(parent: QWidget, milliseconds: int, function: Callable[[], None]) -> QTimer:
    """Return a timer that calls a function once, some time after it was started last."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(function)
    return timer
