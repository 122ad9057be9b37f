"""Qt's events, until something has happened."""

from qtpy.QtCore import QEventLoop, QTimer

LONGEST_MS = 300_000


def wait_for(signal, start=lambda: None):
    """Start something, and handle events until a signal comes; return its arguments."""
    loop, got = QEventLoop(), []

    def end(*arguments):
        got.append(arguments)
        loop.quit()

    signal.connect(end)
    QTimer.singleShot(LONGEST_MS, loop.quit)
    QTimer.singleShot(0, start)
    loop.exec()
    signal.disconnect(end)
    assert got, f"nothing came within {LONGEST_MS // 1000} s"
    return got[0]


def settle():
    """Handle the events that are there."""
    from qtpy.QtWidgets import QApplication

    QApplication.processEvents()
