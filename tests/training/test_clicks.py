from pathlib import Path

import numpy as np
import pytest
import torch

from dinocell import write_labels
from dinocell.io.saving import write_image
from dinocell.preprocess.preprocessing import Preprocessing
from dinocell.training.clicks import ClickConfig, train_clicks
from dinocell.training.clicks.loop import STATE_FILE
from dinocell.training.clicks.samples import Sample, SampleSource
from tests.cases import disk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write an image of nine disks, with their labels."""
    data = tmp_path / "disks"
    data.mkdir()
    labels = np.zeros((120, 120), np.int32)
    for number, (row, column) in enumerate([(y, x) for y in (20, 60, 100) for x in (20, 60, 100)], 1):
        labels[disk(labels.shape, (row, column), 11)] = number
    write_image(data / "a.png", np.where(labels > 0, 200, 30).astype(np.uint8))
    write_labels(data / "a_masks.tif", labels)
    return data


def test_samples_hold_a_cell_with_a_click_in_it_and_none_of_what_others_have(
    folder: Path, tmp_path: Path
) -> None:
    config = ClickConfig(data=(folder,), output=tmp_path)
    source = SampleSource(config, Preprocessing())
    rng = np.random.default_rng(0)
    for _ in range(50):
        sample = source.draw(rng)
        assert sample.cell[sample.inside[0]]
        assert not (sample.cell & sample.taken).any()
        assert not (sample.valid & sample.taken).any()
        for click in sample.outside:
            assert not sample.cell[click]


def test_corrective_clicks_lie_in_the_largest_error() -> None:
    cell = disk((60, 60), (30, 30), 12)
    nothing = np.zeros_like(cell)
    sample = Sample(np.zeros((60, 60), np.uint8), cell, ~nothing, nothing)
    sample.correct(nothing)
    assert sample.inside == [(30, 30)]
    sample.correct(cell | disk((60, 60), (10, 50), 8))
    assert sample.outside == [(10, 50)]
    sample.correct(cell)
    assert (len(sample.inside), len(sample.outside)) == (1, 1)


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on_as_if_it_had_not(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dinocell.training.clicks.loop._SAVE_EVERY", 2)
    options = {"data": (folder,), "steps": 4, "batch_size": 2, "crop_size": 64}
    whole = [step.loss for step in train_clicks(ClickConfig(output=tmp_path / "whole", **options))]
    stopped = train_clicks(ClickConfig(output=tmp_path / "parts", **options))
    first = [next(stopped).loss for _ in range(3)]
    stopped.close()
    rest = [step.loss for step in train_clicks(ClickConfig(output=tmp_path / "parts", **options))]
    assert [*first[:2], *rest] == pytest.approx(whole, rel=1e-4)
    states = [
        torch.load(tmp_path / name / STATE_FILE, weights_only=True)["decoder"] for name in ("whole", "parts")
    ]
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-3, atol=1e-5)
    assert (tmp_path / "parts" / "clicks.onnx").is_file()
