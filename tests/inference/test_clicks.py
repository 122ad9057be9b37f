"""Clicks on an image, with the decoder that ships; without it, with one that has learned nothing."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dinocell import DINOCell, LabelEditor
from dinocell.errors import CheckpointError
from dinocell.inference.clicks import SIDE, ClickPredictor, scale_for
from dinocell.models.checkpoint import Checkpoint
from dinocell.models.export.clicks import write_click_graph
from dinocell.models.network.click_decoder import ClickDecoder
from tests.cases import disk

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Return nano with its decoder of clicks, or with one that has learned nothing where none ships."""
    shipped = Checkpoint.find("nano")
    if shipped.clicks is not None:
        return shipped
    assert shipped.folder is not None
    folder = tmp_path_factory.mktemp("nano")
    for file in shipped.folder.iterdir():
        shutil.copy(file, folder)
    model = DINOCell.from_pretrained("nano")
    decoder = ClickDecoder(model.config.decoder, model.backbone.out_channels, model.backbone.strides)
    decoder.begin_as(model.decoder)
    with torch.no_grad():  # the head of the first map: what the clicks are on looks like a cell
        decoder.decoder.head.weight.copy_(model.decoder.head.weight[:1])
        decoder.decoder.head.bias.copy_(model.decoder.head.bias[:1])
    write_click_graph(model, decoder, folder)
    return Checkpoint.find(folder)


def disks() -> tuple[np.ndarray, np.ndarray]:
    """Draw bright disks on a dark ground, and their labels."""
    shape = (220, 300)
    labels = np.zeros(shape, np.int32)
    for number, centre in enumerate([(50, 60), (60, 150), (150, 70), (150, 200)], 1):
        labels[disk(shape, centre, 16)] = number
    rng = np.random.default_rng(0)
    image = np.where(labels > 0, 150, 40) + rng.normal(0, 6, shape)
    return image.clip(0, 255).astype(np.uint8), labels


@pytest.mark.parametrize("diameter", [None, 32.0, 6.0])
def test_a_click_finds_a_plain_cell_at_any_scale(nano: Checkpoint, diameter: float | None) -> None:
    image, labels = disks()
    predictor = ClickPredictor(nano, image, diameter)
    found = predictor.predict([(60, 150)], [], (labels > 0) & (labels != 2))
    whole = np.zeros(labels.shape, bool)
    whole[found.window] = found.probability > 0.5
    true = labels == 2
    assert whole[60, 150]
    assert (whole & true).sum() > 0.9 * whole.sum() > 0.2 * true.sum()


def test_pixels_of_other_cells_are_never_the_clicked_one(nano: Checkpoint) -> None:
    image, labels = disks()
    taken = labels == 1
    found = ClickPredictor(nano, image).predict([(60, 150)], [], taken)
    assert not found.probability[taken[found.window]].any()


def test_a_window_reaches_beyond_the_image_but_its_result_does_not(nano: Checkpoint) -> None:
    image = np.random.default_rng(1).integers(0, 255, (40, 50), np.uint8)
    found = ClickPredictor(nano, image).predict([(0, 49)], [], np.zeros((40, 50), bool))
    assert found.window == (slice(0, 40), slice(0, 50))
    assert found.probability.shape == (40, 50)


def test_clicks_near_each_other_share_the_features_of_one_window(nano: Checkpoint) -> None:
    image = np.zeros((400, 400), np.uint8)
    predictor = ClickPredictor(nano, image)
    taken = np.zeros((400, 400), bool)
    for row in (200, 203, 207):
        predictor.predict([(row, 200)], [], taken)
    assert len(predictor._features) == 1
    predictor.predict([(200 - SIDE, 200)], [], taken)
    assert len(predictor._features) == 2


def test_images_of_cells_that_the_model_does_not_know_are_rescaled(nano: Checkpoint) -> None:
    low, high = nano.config.targets["cells"].diameter_range or (0, 0)
    assert scale_for(nano.config, low / 2) == 2
    assert scale_for(nano.config, high * 2) == 0.5
    assert scale_for(nano.config, (low + high) / 2) == scale_for(nano.config, None) == 1


def test_a_decoder_of_other_weights_is_refused(nano: Checkpoint, tmp_path: Path) -> None:
    assert nano.folder is not None
    for file in nano.folder.iterdir():
        shutil.copy(file, tmp_path)
    weights = tmp_path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match="features of other weights"):
        ClickPredictor(Checkpoint.find(tmp_path), np.zeros((64, 64), np.uint8))


def test_the_editor_adds_what_the_decoder_finds_and_never_takes_from_others(nano: Checkpoint) -> None:
    image, labels = disks()
    before = np.where(labels == 2, 0, labels)
    editor = LabelEditor(before, image=image, model=nano.folder or "nano")
    edit = editor.add((60, 150))
    true = labels == 2
    found = editor.labels == edit.ids[0]
    assert found[60, 150]
    assert (found & true).sum() > 0.9 * found.sum() > 0.2 * true.sum()
    np.testing.assert_array_equal(editor.labels[before > 0], before[before > 0])
