"""Work that takes long: in napari's worker thread, with events for the window, and one line for an error."""

from collections.abc import Callable
from typing import Any

from napari.qt.threading import create_worker
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Signal

from dinocell.errors import DINOCellError

Report = Callable[[object], None]
"""Callback from the worker to the window; it raises `StoppedError` once the work is to end."""


class StoppedError(Exception):
    """Raised in the worker when the user stops the work."""


class Work(QObject):  # type: ignore[misc,unused-ignore]
    """Place of one piece of work at a time.

    Events are handled in the window's thread: the function itself must not touch layers or widgets.

    Parameters
    ----------
    parent : QObject
        When it is destroyed, work ends soon.

    Attributes
    ----------
    reported : Signal(object)
        Everything that the function reports, in order.
    ended : Signal(object)
        What the function returned; None where it was stopped or failed. Errors were shown before.
    """

    reported = Signal(object)
    ended = Signal(object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.is_running = False
        self.was_stopped = False
        self._stop = [False]
        parent.destroyed.connect(_stopper(self._stop))

    def start(self, function: Callable[[Report], Any]) -> None:
        """Start a function in a worker thread; nothing else may be running."""
        self._stop[0] = self.was_stopped = False
        self.is_running = True
        stop, reported = self._stop, self.reported

        def report(event: object) -> None:
            if stop[0]:
                raise StoppedError
            reported.emit(event)

        worker = create_worker(_guarded, function, report, _start_thread=False)
        worker.returned.connect(self._finish)
        worker.errored.connect(self._fail)
        worker.start()

    def stop(self) -> None:
        """Ask the work to end at its next event."""
        self._stop[0] = True

    def _finish(self, outcome: tuple[str, Any]) -> None:
        kind, value = outcome
        self.is_running = False
        self.was_stopped = kind == "stopped"
        if kind == "failed":
            show_error(value)
        self.ended.emit(value if kind == "done" else None)

    def _fail(self, _: Exception) -> None:
        """End after a defect, which napari shows with its traceback."""
        self.is_running = False
        self.ended.emit(None)


def _stopper(stop: list[bool]) -> Callable[..., None]:
    """Return a callback that holds nothing of the window that is going."""

    def set_stop(*_: object) -> None:
        stop[0] = True

    return set_stop


def _guarded(function: Callable[[Report], Any], report: Report) -> tuple[str, Any]:
    """Return how the function ended, and with what."""
    try:
        return "done", function(report)
    except StoppedError:
        return "stopped", None
    except (DINOCellError, MemoryError) as error:
        return "failed", " ".join(str(error).split()) or "there is not enough memory"
