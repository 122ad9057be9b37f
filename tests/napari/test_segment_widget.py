"""The widget *Segment* in a real window."""

import dask.array as da
import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

import dinocell
from dinocell.inference.fast import samples_folder
from dinocell.inference.segmentation import TilesDone
from tests.large.test_large_labels import same_up_to_names
from tests.napari.waiting import settle, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def widget(viewer):
    return viewer.window.add_plugin_dock_widget("dinocell", "Segment")[1]


@pytest.fixture
def notices(napari):
    """Messages that napari shows from here on."""
    from napari.utils.notifications import notification_manager

    notification_manager.records.clear()
    return notification_manager.records


def sample(name):
    return dinocell.read_image(samples_folder() / f"{name}_img.png").pixels


def segment(widget):
    wait_for(widget.work.ended, widget.run.click)


def adjust(widget, name, steps):
    """Move a slider, and wait until cells are flooded and measured."""
    wait_for(widget.adjust.work.ended, lambda: widget.adjust.sliders[name].slider.setValue(steps))


def test_an_empty_viewer_raises_nothing(viewer, widget, notices):
    assert not widget.run.isEnabled()
    widget.run.click()
    widget._press()
    widget.adjust._flood()
    widget.adjust._reset()
    widget.adjust.colour.setCurrentIndex(0)
    viewer.add_points(np.zeros((3, 2)))
    viewer.layers.clear()
    settle()
    assert not notices
    assert "Open an image" in widget.said.text()


def test_labels_lie_where_the_image_lies(viewer, widget):
    pixels = sample("phase_1")
    image = viewer.add_image(pixels, scale=(0.5, 0.25), translate=(3, 4), units=("um", "um"))
    segment(widget)
    labels = viewer.layers[-1]
    np.testing.assert_array_equal(labels.data, dinocell.segment(pixels, pixel_size_um=(0.5, 0.25)).labels)
    assert labels.units == image.units
    np.testing.assert_array_equal(labels.extent.world, image.extent.world)
    assert list(labels.features["index"]) == list(range(1, labels.data.max() + 1))
    assert {"area", "confidence", "mean_intensity"} <= {*labels.features.columns}


def test_a_movie_is_segmented_plane_by_plane_and_features_follow_the_slider(viewer, widget):
    viewer.open_sample("dinocell", "movie")
    segment(widget)
    image, labels = viewer.layers
    expected = [dinocell.segment(plane) for plane in image.data]
    np.testing.assert_array_equal(labels.data, [one.labels for one in expected])
    for time in (2, 0):
        viewer.dims.set_current_step(0, time)
        settle()
        np.testing.assert_array_equal(labels.features["area"], expected[time].table()["area"])


def test_one_plane_of_a_stack_and_then_another_go_into_one_layer(viewer, widget):
    stack = np.stack([sample("fluorescence_1"), sample("fluorescence_1")[::-1]])
    viewer.add_image(da.from_array(stack, (1, 128, 128)))
    widget.planes.setCurrentIndex(0)
    for plane in (1, 0):
        viewer.dims.set_current_step(0, plane)
        segment(widget)
    assert len(viewer.layers) == 2
    for labels, plane in zip(viewer.layers[-1].data, stack, strict=True):
        np.testing.assert_array_equal(labels, dinocell.segment(plane).labels)


def test_levels_of_a_small_image_are_segmented_at_the_finest(viewer, widget):
    pixels = sample("fluorescence_2")
    viewer.add_image([pixels, pixels[::2, ::2]], multiscale=True)
    segment(widget)
    np.testing.assert_array_equal(viewer.layers[-1].data, dinocell.segment(pixels).labels)


def test_choices_are_passed_on(viewer, widget):
    pixels = sample("histology_1")
    viewer.add_image(pixels, rgb=True)
    widget.target.setCurrentIndex(widget.target.findData("nuclei"))
    widget.size.setCurrentIndex(widget.size.findData("given"))
    widget.diameter.setValue(40)
    segment(widget)
    expected = dinocell.segment(pixels, target="nuclei", diameter=40)
    np.testing.assert_array_equal(viewer.layers[-1].data, expected.labels)


def test_sliders_flood_again(viewer, widget):
    pixels = sample("phase_2")
    viewer.add_image(pixels)
    segment(widget)
    labels, before = viewer.layers[-1], viewer.layers[-1].data.copy()
    adjust(widget, "merge", 95)
    thresholds = dinocell.segment(pixels).parameters.thresholds.replaced(merge=0.95)
    expected = dinocell.segment(pixels, thresholds=thresholds)
    np.testing.assert_array_equal(labels.data, expected.labels)
    assert not np.array_equal(before, labels.data)
    np.testing.assert_array_equal(labels.features["area"], expected.table()["area"])
    assert f"{expected.count} " in widget.said.text()
    wait_for(widget.adjust.work.ended, widget.adjust.reset.click)
    np.testing.assert_array_equal(labels.data, before)


def test_labels_are_coloured_by_what_was_measured(viewer, widget):
    viewer.add_image(sample("fluorescence_2"))
    segment(widget)
    labels, colour = viewer.layers[-1], widget.adjust.colour
    colour.setCurrentIndex(colour.findData("area"))
    areas = np.asarray(labels.features["area"])
    smallest, largest = (1 + int(at) for at in (areas.argmin(), areas.argmax()))
    assert labels.get_color(smallest)[1] < labels.get_color(largest)[1]
    adjust(widget, "cells_max_threshold", 90)
    assert colour.currentData() == "area"
    colour.setCurrentIndex(0)
    assert labels.colormap.__class__.__name__ == "CyclicLabelColormap"


def test_edited_labels_are_left_alone(viewer, widget):
    viewer.add_image(sample("phase_1"))
    segment(widget)
    first = viewer.layers[-1]
    first.data_setitem((np.array([5]), np.array([5])), 99)
    widget.adjust.show_layer(first)
    assert not widget.adjust._thresholds.isEnabled()
    segment(widget)
    assert len(viewer.layers) == 3
    assert first.data[5, 5] == 99


def test_cancel_ends_within_one_tile(viewer, widget):
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (1500, 1500)).astype(np.uint8))
    tiles = []

    def cancel_at_second(event):
        if isinstance(event, TilesDone):
            tiles.append(event)
            if len(tiles) == 2:
                widget.run.click()

    widget.work.reported.connect(cancel_at_second)
    segment(widget)
    assert widget.work.was_stopped
    assert len(tiles) <= 3
    assert len(viewer.layers) == 1
    assert widget.run.text() == "Segment"
    assert widget.run.isEnabled()


def test_the_window_answers_while_cells_are_looked_for(viewer, widget):
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (1200, 1200)).astype(np.uint8))
    ticks, timer = [], QTimer()
    timer.timeout.connect(lambda: ticks.append(widget.work.is_running))
    timer.start(20)
    segment(widget)
    timer.stop()
    assert sum(ticks) > 20


def test_an_error_is_one_line(viewer, widget, notices, tmp_path):
    viewer.add_image(sample("phase_1"))
    widget.use_model(str(tmp_path))
    segment(widget)
    (notice,) = notices
    assert str(tmp_path) in notice.message
    assert "\n" not in notice.message
    assert notice.severity.name == "ERROR"
    assert widget.run.isEnabled()


def test_an_image_that_is_removed_meanwhile_ends_the_work(viewer, widget, notices):
    viewer.open_sample("dinocell", "movie")
    widget.work.reported.connect(
        lambda event: viewer.layers.clear() if isinstance(event, TilesDone) else None
    )
    segment(widget)
    settle()
    assert widget.work.was_stopped
    assert len(viewer.layers) == 0
    assert not notices


def test_a_window_may_be_closed_while_cells_are_looked_for(napari, defects, notices):
    from napari.qt.threading import WorkerBase

    viewer = napari.Viewer(show=False)
    widget = viewer.window.add_plugin_dock_widget("dinocell", "Segment")[1]
    viewer.add_image(np.zeros((1500, 1500), np.uint8) + np.arange(1500, dtype=np.uint8))
    wait_for(widget.work.reported, widget.run.click)
    viewer.close()
    WorkerBase.await_workers()
    settle()
    assert not [notice for notice in notices if notice.severity.name == "ERROR"]


def test_all_fits_into_400_pixels(viewer, widget):
    viewer.add_image(sample("phase_1"), name="a name that is as long as those that microscopes give " * 3)
    segment(widget)
    assert widget.minimumSizeHint().width() <= 400
    alone = type(widget)(viewer)
    alone.resize(400, 700)
    alone.show()
    settle()
    assert alone.width() == 400
    for child in alone.findChildren(QWidget):
        if child.isVisible():
            assert child.mapTo(alone, child.rect().topRight()).x() < 400, child
    alone.close()


@pytest.mark.parametrize("from_file", [True, False])
def test_large_images_are_segmented_block_by_block(viewer, widget, tmp_path, monkeypatch, from_file):
    from dinocell.napari import sources

    pixels = np.tile(sample("fluorescence_2"), (2, 2))
    monkeypatch.setattr(sources, "LARGE_PIXELS", 1000)
    if from_file:
        tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(128, 128))
        viewer.open(str(tmp_path / "a.tif"), plugin="dinocell")
    else:
        viewer.add_image([da.from_array(pixels, 256), da.from_array(pixels[::2, ::2], 256)], name="a")
    assert widget.form.isRowVisible(widget.output)
    output = tmp_path / "out" / "a_labels.zarr"
    widget.output.setText(str(output))
    segment(widget)
    labels = viewer.layers[-1]
    found = np.asarray(labels.data[0] if labels.multiscale else labels.data)
    assert same_up_to_names(found, dinocell.segment(pixels).labels)
    written = [each.name for each in sorted(output.parent.iterdir())]
    assert written == ["a_labels.zarr", "a_labels_cells.parquet"]
    assert str(output) in widget.said.text()
