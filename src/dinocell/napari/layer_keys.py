"""Keys of a layer while it is corrected, and the strokes that are painted on it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal


class LayerKeys(QObject):  # type: ignore[misc,unused-ignore]
    """Keys that are bound to a layer, and to the viewer for when another layer is active.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    keys : mapping of str to callable
        What each key does.
    parent : QObject

    Attributes
    ----------
    painted : Signal()
        Pixels of the layer were changed by napari's own tools: once a stroke, when the mouse is let go.
    """

    painted = Signal()

    def __init__(self, viewer: Any, keys: Mapping[str, Callable[[], object]], parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._keys = {key: _called(function) for key, function in keys.items()}
        self._is_dragging = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.painted.emit)

    def bind(self, layer: Any) -> None:
        """Bind the keys, and watch what is painted."""
        for owner in (layer, self._viewer):
            for key, function in self._keys.items():
                owner.bind_key(key, function, overwrite=True)
        layer.mouse_drag_callbacks.append(self.watch_drag)
        layer.events.labels_update.connect(self._note_painted)

    def let_go(self, layer: Any) -> None:
        """Remove the keys, so that they mean what they mean in napari."""
        for owner in (layer, self._viewer):
            for key in self._keys:
                owner.bind_key(key, None, overwrite=True)
        layer.mouse_drag_callbacks.remove(self.watch_drag)
        layer.events.labels_update.disconnect(self._note_painted)
        layer.mode = "pan_zoom"

    def watch_drag(self, _: Any, event: Any) -> Iterator[None]:
        """Wait, as napari has it, until the mouse is let go."""
        self._is_dragging = True
        yield
        while event.type == "mouse_move":
            yield
        self._is_dragging = False
        self._timer.start(0)

    def _note_painted(self, _: object = None) -> None:
        if not self._is_dragging:
            self._timer.start(0)


def _called(function: Callable[[], object]) -> Callable[[Any], None]:
    """Return a function as napari binds it to a key: with a name, called with the owner of the key."""

    def press_key(_: Any) -> None:
        function()

    return press_key
