"""The widget *Export* in a real window."""

import numpy as np
import pytest

import dinocell
from dinocell.results.formats import DEFAULT_FORMATS
from tests.napari.waiting import settle, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def widget(viewer):
    return viewer.window.add_plugin_dock_widget("dinocell", "Export")[1]


@pytest.fixture
def segmented(viewer, widget):
    """Labels of a movie, which *Segment* made, listed in the table."""
    segmenting = viewer.window.add_plugin_dock_widget("dinocell", "Segment")[1]
    viewer.open_sample("dinocell", "movie")
    wait_for(segmenting.work.ended, segmenting.run.click)
    wait_for(widget.measuring.ended, widget._remeasure)  # it may have been measured before
    return viewer.layers[-1]


def write(widget):
    return wait_for(widget.work.ended, widget.run.click)[0]


def test_an_empty_viewer_raises_nothing(viewer, widget):
    widget._press()
    widget.measure()
    widget.show_cell(1)
    settle()
    assert not widget.run.isEnabled()
    assert widget.table.cells.rowCount() == 0


def test_files_of_all_planes_are_written(segmented, widget, tmp_path):
    widget.folder.setText(str(tmp_path / "out"))
    files = write(widget)
    assert len(files) == len(DEFAULT_FORMATS)
    with dinocell.open_image(tmp_path / "out" / "movie_labels.tif") as image:
        assert image.info.shape[0] == 3
        np.testing.assert_array_equal(image.read_plane(2), segmented.data[2])
    assert "movie_labels.tif" in widget.said.text()
    assert write(widget) is None
    widget.overwrite.setChecked(True)
    assert write(widget) == files


def test_the_table_lists_the_cells_of_the_plane_that_is_shown(viewer, segmented, widget):
    wait_for(widget.measuring.ended, lambda: viewer.dims.set_current_step(0, 2))
    assert widget.table.cells.rowCount() == segmented.data[2].max()
    area = widget.table.cells.names.index("area")
    widget.table.sortByColumn(area, widget.table.horizontalHeader().sortIndicatorOrder())
    first = widget.table.cells.label_at(0)
    counts = np.bincount(segmented.data[2].ravel())[1:]
    assert counts[first - 1] in (counts.min(), counts.max())


def test_a_click_on_a_row_shows_its_cell(viewer, segmented, widget):
    widget.table.selectRow(3)
    label = widget.table.cells.label_at(3)
    assert segmented.selected_label == label
    assert viewer.layers.selection.active is segmented
    shown = segmented.data[viewer.dims.current_step[0]]
    rows, columns = np.nonzero(shown == label)
    camera = getattr(viewer, "scene", viewer).camera
    assert camera.center[-2:] == pytest.approx((rows.mean(), columns.mean()), abs=0.5)


def test_a_label_that_is_picked_is_marked_in_the_table(segmented, widget):
    segmented.selected_label = 5
    settle()
    row = widget.table.currentIndex().row()
    assert widget.table.cells.label_at(row) == 5


def test_edited_labels_are_measured_anew(segmented, widget):
    cells = widget.table.cells.rowCount()

    def erase():
        segmented.data_setitem(np.nonzero(segmented.data == 2), 0)

    wait_for(widget.measuring.ended, erase)
    assert widget.table.cells.rowCount() == cells - 1
    assert widget.table.cells.row_of(2) is None


def test_labels_that_do_not_fit_say_so_in_one_line(viewer, widget):
    viewer.add_image(np.zeros((20, 30)))
    viewer.add_labels(np.eye(9, dtype=int))
    widget.measure()
    assert "choose the image that they belong to" in widget.said.text()
    assert not widget.run.isEnabled()


def test_all_fits_into_400_pixels(segmented, widget):
    assert widget.minimumSizeHint().width() <= 400
