"""The smoke test of the plugin: a real window, an image, a button, labels."""

import numpy as np

from tests.napari.waiting import wait_for


def test_a_sample_is_segmented_by_one_press(viewer):
    _, widget = viewer.window.add_plugin_dock_widget("dinocell", "Segment")
    viewer.open_sample("dinocell", "fluorescence_1")
    wait_for(widget.work.ended, widget.run.click)
    image, labels = viewer.layers
    assert labels.data.shape == image.data.shape
    assert labels.data.dtype == np.int32
    assert labels.data.max() > 5
    assert len(labels.features) == labels.data.max()
    assert f"{labels.data.max()} nuclei" in widget.said.text()
