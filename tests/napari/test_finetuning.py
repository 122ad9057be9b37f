"""Fine-tuning on saved corrections; no window is needed."""

import numpy as np
import pytest

import dinocell
from dinocell import extras
from dinocell.editing.corrected import CORRECTED, find_saved
from dinocell.errors import MissingExtraError
from dinocell.inference.fast import samples_folder
from dinocell.napari.correcting import Correction, save_for_finetuning
from dinocell.napari.exporting import Cells
from dinocell.napari.finetuning import finetune_folder
from dinocell.napari.sources import describe_layer
from dinocell.training.finetuning.corrections import FinetuneOrder, Phase, finetune_saved
from dinocell.training.finetuning.held_back import hold_back
from tests.napari.layers import FakeLayer


@pytest.fixture
def saved(tmp_path):
    """A folder of one sample with its true labels, all checked."""
    pixels = dinocell.read_image(samples_folder() / "fluorescence_1_img.png").pixels
    labels = dinocell.read_labels(samples_folder() / "fluorescence_1_masks.png")
    correction = Correction(Cells(describe_layer(FakeLayer(pixels)), labels))
    correction.begin((), None).is_done = True
    save_for_finetuning(correction, tmp_path / "saved")
    return tmp_path / "saved"


def test_a_quarter_of_the_cells_is_held_back_and_marked(saved, tmp_path):
    (item,) = find_saved(saved)
    copy = tmp_path / "copy"
    copy.mkdir()
    held = hold_back([item], saved / CORRECTED, copy)
    all_cells = int(item.read().labels.max())
    assert 0.1 * all_cells < held.cells < 0.45 * all_cells
    marked = dinocell.read_labels(copy / "image_unchecked.tif")
    assert marked[held.window].all()
    assert marked.mean() < 0.5
    assert set(np.unique(held.labels[held.window])) >= {0}
    assert not (saved / CORRECTED / "image_unchecked.tif").exists()


def test_without_the_extra_one_line_says_what_to_install(saved, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r'pip install "dinocell\[train\]"'):
        finetune_folder(lambda event: None, saved, saved / "model")


def test_a_folder_of_something_else_says_what_is_expected(tmp_path):
    with pytest.raises(dinocell.DINOCellError, match="Save for fine-tuning"):
        find_saved(tmp_path)


@pytest.mark.slow
def test_a_model_learns_from_what_was_saved_and_is_compared(saved):
    events = []
    learned = finetune_saved(FinetuneOrder(saved, saved / "out", steps=3, target="nuclei"), events.append)
    assert [event.title for event in events if isinstance(event, Phase)][-1] == "Comparing before and after"
    assert len([event for event in events if event.loss is not None]) == 3
    assert learned.target == "nuclei"
    found = learned.comparison
    assert 0 <= found.before <= 1
    assert 0 <= found.after <= 1
    assert found.pictures[0].shape == found.pictures[1].shape
    pixels = dinocell.read_image(samples_folder() / "fluorescence_1_img.png").pixels
    assert dinocell.segment(pixels, model=learned.model).count > 0


@pytest.mark.slow
def test_the_work_ends_when_that_is_asked_for(saved):
    class EndError(Exception):
        pass

    def stop(event):
        if event.loss is not None:
            raise EndError

    with pytest.raises(EndError):
        finetune_saved(FinetuneOrder(saved, saved / "out"), stop)
    assert not (saved / "out" / "model").exists()
