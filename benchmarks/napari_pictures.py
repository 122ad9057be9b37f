"""Pictures of the napari plugin for docs/napari.md: every widget in a real window, after real work.

Needs the extra ``dev`` and a display; without one, put ``xvfb-run -s "-screen 0 1400x1000x24"`` before it.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HOME"] = tempfile.mkdtemp(prefix="dinocell-")  # pictures name nobody's home
os.environ["NAPARI_CONFIG"] = str(Path(os.environ["HOME"], "settings.yaml"))

import numpy as np
from napari.qt.threading import WorkerBase
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import QEventLoop, Qt
from qtpy.QtWidgets import QApplication

import dinocell.napari
import napari
from dinocell.napari.working import Work

OUTPUT = Path(__file__).parents[1] / "docs" / "images"
SIZE = (1280, 820)
PANEL = 330


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--steps", type=int, default=100, help="of the fine-tuning; 0 leaves it out")
    arguments = parser.parse_args()
    register()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, take in {"segment": segment, "export": export, "correct": correct}.items():
        in_window(take, arguments.output / f"napari_{name}.png")
    if arguments.steps:
        in_window(lambda viewer: finetune(viewer, arguments.steps), arguments.output / "napari_finetune.png")
    WorkerBase.await_workers()


def register() -> None:
    """Register the plugin where it is not installed."""
    manager = PluginManager.instance()
    manager.discover()
    if "dinocell" not in {manifest.name for manifest in manager.iter_manifests()}:
        manager.register(PluginManifest.from_file(f"{dinocell.napari.__path__[0]}/napari.yaml"))


def in_window(take: Callable[[Any], None], path: Path) -> None:
    """Open a window, work in it, and save what it shows."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    take(viewer)
    settle()
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    print(path)
    viewer.close()


def settle(rounds: int = 20) -> None:
    """Handle the events that are there, and those that they bring."""
    for _ in range(rounds):
        QApplication.processEvents()


def wait(*works: Work) -> None:
    """Handle events until all work is done."""
    settle()
    while any(work.is_running for work in works):
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
    settle()


def add(viewer: Any, name: str) -> Any:
    """Add a widget of the plugin, as wide as the text of the page says it may be."""
    dock, widget = viewer.window.add_plugin_dock_widget("dinocell", name)
    viewer.window._qt_window.resizeDocks([dock], [PANEL], Qt.Orientation.Horizontal)
    return widget


def segmented(viewer: Any, sample: str) -> Any:
    """Open a sample and segment it; return the widget."""
    viewer.open_sample("dinocell", sample)
    widget = add(viewer, "Segment")
    widget.run.click()
    wait(widget.work)
    return widget


def segment(viewer: Any) -> None:
    """Segment a sample, and colour the cells by their confidence."""
    widget = segmented(viewer, "phase_1")
    widget.adjust.colour.setCurrentIndex(widget.adjust.colour.findData("confidence"))


def export(viewer: Any) -> None:
    """Show the table, and one cell of it."""
    segmented(viewer, "fluorescence_2").parent().hide()
    widget = add(viewer, "Export")
    widget.measure()
    wait(widget.measuring)
    widget.table.sortByColumn(widget.table.cells.names.index("area"), Qt.SortOrder.DescendingOrder)
    widget.table.selectRow(2)


def correct(viewer: Any) -> None:
    """Delete a cell by its key, and show the least certain one."""
    segmented(viewer, "fluorescence_1").parent().hide()
    widget = add(viewer, "Correct")
    widget.start.click()
    wait(widget.work)
    for _ in range(3):
        widget.press("N", (0.0, 0.0))
    labels = np.asarray(viewer.layers[-1].data)
    rows, columns = np.nonzero(labels == widget.plane.left()[0])
    widget.press("D", (float(np.median(rows)), float(np.median(columns))))
    widget.press("N", (0.0, 0.0))


def finetune(viewer: Any, steps: int) -> None:
    """Save the true labels of a sample as corrected, and learn from them."""
    from dinocell.inference.fast import samples_folder

    segmented(viewer, "fluorescence_1").parent().hide()
    true = dinocell.read_labels(samples_folder() / "fluorescence_1_masks.png")
    viewer.layers[-1].data = true
    correcting = add(viewer, "Correct")
    correcting.start.click()
    wait(correcting.work)
    correcting.all_right.setChecked(True)
    with tempfile.TemporaryDirectory(prefix="dinocell-") as folder:
        correcting.folder.setText(folder)
        correcting.save.click()
        correcting.stop()
        correcting.parent().hide()
        widget = add(viewer, "Fine-tune")
        widget.folder.setText(folder)
        widget.steps.setValue(steps)
        widget.run.click()
        wait(widget.work)


if __name__ == "__main__":
    main()
