"""The widget *Correct* in a real window, with real keys."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

import dinocell
from dinocell.datasets.corrected import find_corrected
from dinocell.inference.fast import samples_folder
from tests.napari.waiting import settle, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def widget(viewer):
    return viewer.window.add_plugin_dock_widget("dinocell", "Correct")[1]


@pytest.fixture
def labels(viewer, widget):
    """Labels that *Segment* made, under correction."""
    segmenting = viewer.window.add_plugin_dock_widget("dinocell", "Segment")[1]
    viewer.open_sample("dinocell", "fluorescence_1")
    wait_for(segmenting.work.ended, segmenting.run.click)
    widget.start.click()
    return viewer.layers[-1]


def press(viewer, key, at=None, modifier=Qt.KeyboardModifier.NoModifier):
    """Send a key with the mouse at a point of the world."""
    if at is not None:
        viewer.cursor.position = at
    canvas = viewer.window._qt_window._qt_viewer.canvas.native
    QTest.keyClick(canvas, getattr(Qt.Key, f"Key_{key}"), modifier)
    settle()


def inside(labels, cell):
    """Return a pixel of a cell that is far from its edge."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(labels == cell)
    return tuple(int(at) for at in np.unravel_index(depth.argmax(), depth.shape))


def test_an_empty_viewer_raises_nothing(viewer, widget):
    widget._press_start()
    widget.press("D", (1, 1))
    widget.step("undo")
    widget._save()
    widget._take_painted()
    settle()
    assert not widget.start.isEnabled()


def test_keys_correct_and_undo_takes_all_back(viewer, widget, labels):
    start = labels.data.copy()
    first, second, third = (inside(start, cell) for cell in (10, 20, 30))
    press(viewer, "D", first)
    assert labels.data[first] == 0
    press(viewer, "A", first)
    assert labels.data[first] == start.max() + 1
    press(viewer, "M", second)
    press(viewer, "M", third)
    assert labels.data[second] == labels.data[third]
    rows, columns = np.nonzero(labels.data == 5)
    ends = [(rows[at], columns[at]) for at in (columns.argmin(), columns.argmax())]
    press(viewer, "S", ends[0])
    press(viewer, "S", ends[1])
    assert labels.data[ends[0]] != labels.data[ends[1]]
    for _ in range(4):
        press(viewer, "Z", modifier=Qt.KeyboardModifier.ControlModifier)
    np.testing.assert_array_equal(labels.data, start)
    press(viewer, "Z", modifier=Qt.KeyboardModifier.ControlModifier)
    assert "nothing to undo" in widget.said.text()
    press(viewer, "Z", modifier=Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert labels.data[first] == 0


def test_keys_work_while_the_image_is_active(viewer, widget, labels):
    viewer.layers.selection.active = viewer.layers[0]
    at = inside(labels.data, 7)
    press(viewer, "D", at)
    assert labels.data[at] == 0


def test_n_shows_the_least_certain_cell_and_counts(viewer, widget, labels):
    sure = np.asarray(labels.features["confidence"])
    order = list(1 + np.argsort(sure, kind="stable"))
    press(viewer, "N")
    assert labels.selected_label == order[0]
    assert widget.bar.value() == 0
    press(viewer, "N")
    assert labels.selected_label == order[1]
    assert widget.bar.value() == 1
    assert f"{sure[order[1] - 1]:.2f}" in widget.said.text()
    widget.start.click()
    widget.start.click()
    assert widget.bar.value() == 1


def test_a_stroke_is_one_edit(viewer, widget, labels):
    start = labels.data.copy()
    press(viewer, "E", (0, 0))
    assert labels.mode == "paint"
    labels.paint((3, 3), labels.selected_label)
    settle()
    widget._take_painted()
    assert len(widget.correction.done) == 1
    press(viewer, "Z", modifier=Qt.KeyboardModifier.ControlModifier)
    np.testing.assert_array_equal(labels.data, start)
    press(viewer, "E")
    assert labels.mode == "pan_zoom"


def test_a_drag_of_the_mouse_is_taken_when_it_ends(viewer, widget, labels):
    class Event:
        type = "mouse_press"

    event = Event()
    drag = widget.keys.watch_drag(labels, event)
    next(drag)
    labels.paint((3, 3), 99)
    event.type = "mouse_move"
    next(drag)
    labels.paint((3, 9), 99)
    settle()
    assert not widget.correction.done
    event.type = "mouse_release"
    assert next(drag, "ended") == "ended"
    wait_for(widget.keys.painted)
    assert len(widget.correction.done) == 1
    assert labels.data[3, 3] == labels.data[3, 9] == 99


def test_stopping_gives_the_keys_back(viewer, widget, labels):
    widget.start.click()
    start = labels.data.copy()
    press(viewer, "D", inside(start, 7))
    np.testing.assert_array_equal(labels.data, start)
    assert not labels.keymap
    assert widget.start.text() == "Start correcting"


def test_labels_of_another_tool_get_a_map_first(viewer, widget):
    image = dinocell.read_image(samples_folder() / "fluorescence_2_img.png").pixels
    expected = dinocell.segment(image)
    viewer.add_image(image)
    given = expected.labels.copy()
    given[given == 3] = 0
    layer = viewer.add_labels(given)
    at = inside(expected.labels, 3)
    wait_for(widget.work.ended, widget.start.click)
    press(viewer, "A", at)
    added = layer.data == layer.data[at]
    true = expected.labels == 3
    assert (added & true).sum() / (added | true).sum() > 0.7


def test_errors_are_one_line(viewer, widget, labels):
    from napari.utils.notifications import notification_manager

    notification_manager.records.clear()
    at = inside(labels.data, 7)
    press(viewer, "A", at)
    (notice,) = notification_manager.records
    assert "lies in cell 7" in notice.message
    assert "\n" not in notice.message


def test_what_is_saved_is_read_by_finetune(viewer, widget, labels, tmp_path):
    press(viewer, "D", inside(labels.data, 7))
    press(viewer, "N")
    press(viewer, "N")
    widget.folder.setText(str(tmp_path))
    widget.save.click()
    (item,), _ = find_corrected(tmp_path / "images", tmp_path / "corrected")
    assert item.outlined == "nuclei"
    assert item.read().labels.max() == 1


def test_a_layer_that_is_removed_ends_the_correction(viewer, widget, labels):
    viewer.layers.remove(labels)
    settle()
    assert widget.correction is None
    press(viewer, "D", (5, 5))


def test_the_table_follows_corrections(viewer, widget, labels):
    export = viewer.window.add_plugin_dock_widget("dinocell", "Export")[1]
    wait_for(export.measuring.ended, export._remeasure)
    rows = export.table.cells.rowCount()
    wait_for(export.measuring.ended, lambda: press(viewer, "D", inside(labels.data, 7)))
    assert export.table.cells.rowCount() == rows - 1


def test_all_fits_into_400_pixels(labels, widget):
    assert widget.minimumSizeHint().width() <= 400
