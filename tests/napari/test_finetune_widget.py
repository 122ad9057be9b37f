"""The widget *Fine-tune* in a real window."""

import numpy as np
import pytest

import dinocell
from dinocell import extras
from dinocell.inference.fast import samples_folder
from dinocell.napari.correcting import Correction, save_for_finetuning
from dinocell.napari.exporting import Cells
from dinocell.napari.sources import describe_layer
from dinocell.training.finetuning.corrections import Phase
from tests.napari.layers import FakeLayer
from tests.napari.waiting import settle, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def widget(viewer):
    return viewer.window.add_plugin_dock_widget("dinocell", "Fine-tune")[1]


@pytest.fixture
def notices(napari):
    from napari.utils.notifications import notification_manager

    notification_manager.records.clear()
    return notification_manager.records


@pytest.fixture
def saved(tmp_path):
    """A folder that *Correct* saved, of a sample with its true labels."""
    pixels = dinocell.read_image(samples_folder() / "fluorescence_1_img.png").pixels
    labels = dinocell.read_labels(samples_folder() / "fluorescence_1_masks.png")
    correction = Correction(Cells(describe_layer(FakeLayer(pixels)), labels))
    correction.begin((), None).is_done = True
    save_for_finetuning(correction, tmp_path)
    return tmp_path


def test_an_empty_folder_is_one_line(widget, notices, tmp_path):
    widget.folder.setText(str(tmp_path))
    widget._look()
    assert "Save for fine-tuning" in widget.said.text()
    widget._use()
    widget.run.click()
    (notice,) = notices
    assert "\n" not in notice.message


def test_without_the_extra_one_line_says_what_to_install(widget, notices, saved, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    widget.folder.setText(str(saved))
    wait_for(widget.work.ended, widget.run.click)
    (notice,) = notices
    assert 'pip install "dinocell[train]"' in notice.message


def test_the_model_learns_is_compared_and_is_used(viewer, widget, saved):
    viewer.add_image(np.zeros((64, 64), np.uint8))
    widget.folder.setText(str(saved))
    widget._look()
    assert "1 corrected image" in widget.said.text()
    widget.steps.setValue(2)
    wait_for(widget.work.ended, widget.run.click)
    assert len(widget.curve.values) == 2
    assert "held back" in widget.said.text()
    assert not widget.pictures[0].pixmap().isNull()
    assert widget.minimumSizeHint().width() <= 400
    widget.use.click()
    settle()
    segmenting = viewer.window.add_plugin_dock_widget("dinocell", "Segment")[1]
    assert segmenting.model.currentData() == str(saved / "model_1" / "model")
    wait_for(segmenting.work.ended, segmenting.run.click)
    assert viewer.layers[-1].data.shape == (64, 64)


def test_cancel_leaves_no_model(widget, saved):
    widget.folder.setText(str(saved))

    def cancel(event):
        if isinstance(event, Phase) and event.loss is not None:
            widget.run.click()

    widget.work.reported.connect(cancel)
    wait_for(widget.work.ended, widget.run.click)
    assert widget.work.was_stopped
    assert not (saved / "model_1" / "model").exists()
    assert widget.run.isEnabled()
