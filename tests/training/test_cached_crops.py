"""A decoder learns from cached feature maps as from computed ones, and a killed cache goes on."""

import json

import numpy as np
import pytest
import torch

from dinocell.errors import ConfigError, OutputError, TrainingError
from dinocell.models.network.dinocell import DINOCell, normalise
from dinocell.training import CropsCached, EpochRecord, StepDone, train, training_steps
from dinocell.training.cached_crops import CACHE_FOLDER, RECORD_FILE, CachedSamples, CropFiles
from dinocell.training.config import Dataset
from dinocell.training.samples import TrainingSamples, load_annotated
from tests.fakes.training import disks, make_config, rows_of, tiny_variant

SIZE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return disks(tmp_path_factory.mktemp("disks"))


@pytest.fixture
def published(tmp_path, monkeypatch):
    return tiny_variant(tmp_path, monkeypatch, depth=4)


@pytest.fixture
def model(published):
    torch.manual_seed(0)
    return DINOCell.from_variant("tiny", backbone_weights=published).eval()


def tiny_config(folder, published, output="run", *changes, **values):
    changes = (f"backbone.weights={published}", *changes)
    settings = {"model": "tiny", "cached_crops": 5} | values
    return make_config(folder, published.parent / output, *changes, **settings)


def samples_of(config):
    return TrainingSamples([load_annotated(Dataset(path=config.train[0].path), config.preprocessing)], config)


def filled(folder, model, samples, count, identity="a"):
    files = CropFiles(folder, model, count, SIZE, identity)
    list(files.fill(samples, 2, torch.float32))
    return files


class Counted:
    """Crops that count how often one is drawn."""

    def __init__(self, samples):
        self.samples, self.drawn = samples, []

    def __getitem__(self, number):
        self.drawn.append(number)
        return self.samples[number]


def test_cached_maps_give_the_logits_of_the_network(folder, published, model, tmp_path):
    samples = samples_of(tiny_config(folder, published))
    files = filled(tmp_path / "cache", model, samples, 5)
    image, distance, valid, target, *maps = files.batch(np.array([3, 0]))
    for place, number in enumerate((3, 0)):
        for kept, drawn in zip((image, distance, valid, target), samples[number], strict=True):
            assert torch.equal(kept[place], drawn)
    x = normalise(image)
    with torch.no_grad():
        found, expected = model(x, *(part.float() for part in maps)), model(x)
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=0)  # float16 in the cache
    assert not torch.equal(found, expected)  # it was indeed the cache


def test_a_slice_and_numbers_read_the_same(folder, published, model, tmp_path):
    files = filled(tmp_path / "cache", model, samples_of(tiny_config(folder, published)), 5)
    for one, other in zip(files.batch(slice(1, 3)), files.batch(np.array([1, 2])), strict=True):
        assert torch.equal(one, other)


def test_a_cache_goes_on_where_it_was_recorded(folder, published, model, tmp_path, monkeypatch):
    monkeypatch.setattr("dinocell.training.cached_crops._BETWEEN_RECORDS", 2)
    samples = Counted(samples_of(tiny_config(folder, published)))
    done = CropFiles(tmp_path / "cache", model, 7, SIZE, "a").fill(samples, 2, torch.float32)
    assert [next(done), next(done)] == [2, 4]
    del done  # as a kill would
    files = CropFiles(tmp_path / "cache", model, 7, SIZE, "a")
    assert list(files.fill(samples, 2, torch.float32)) == [6, 7]
    assert samples.drawn == list(range(7))
    whole = filled(tmp_path / "whole", model, samples.samples, 7)
    for one, other in zip(files.batch(slice(0, 7)), whole.batch(slice(0, 7)), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)
    assert list(CropFiles(tmp_path / "cache", model, 7, SIZE, "a").fill(samples, 2, torch.float32)) == []


@pytest.mark.parametrize("change", ["identity", "count", "record", "file"])
def test_a_cache_of_anything_else_is_begun_anew(change, folder, published, model, tmp_path):
    samples = samples_of(tiny_config(folder, published))
    filled(tmp_path / "cache", model, samples, 4)
    record = tmp_path / "cache" / RECORD_FILE
    assert json.loads(record.read_text())["done"] == 4
    if change == "record":
        record.write_text("{")
    elif change == "file":
        (tmp_path / "cache" / "4.npy").write_bytes(b"short")
    count = 3 if change == "count" else 4
    files = CropFiles(tmp_path / "cache", model, count, SIZE, "b" if change == "identity" else "a")
    assert files.done == 0
    assert list(files.fill(samples, count, torch.float32)) == [count]


def test_every_crop_comes_once_in_a_round_and_at_its_step(folder, published, model, tmp_path):
    config = tiny_config(folder, published, batch_size=2, accumulate=2)
    samples = samples_of(config)
    cached = CachedSamples(samples, filled(tmp_path / "cache", model, samples, 6))
    images = [samples[number][0] for number in range(6)]

    def numbers(first, last):
        found = []
        for batches in cached.steps(first, last):
            assert [len(batch[0]) for batch in batches] == [2, 2]
            for image in torch.cat([batch[0] for batch in batches]):
                found.append(next(n for n in range(6) if torch.equal(images[n], image)))
        return found

    drawn = numbers(0, 6)  # 24 crops: four rounds
    rounds = [drawn[first : first + 6] for first in range(0, 24, 6)]
    assert all(sorted(each) == list(range(6)) for each in rounds)
    assert len({tuple(each) for each in rounds}) > 1
    assert numbers(4, 6) == drawn[16:]
    assert cached.names(0) == samples.names_of(drawn[:4])


def test_features_beyond_16_bits_are_refused(folder, published, model, tmp_path):
    with torch.no_grad():
        model.backbone.vit.norm.bias.fill_(1e5)
    with pytest.raises(TrainingError, match=r"not finite as float16: leave cached_crops out"):
        filled(tmp_path / "cache", model, samples_of(tiny_config(folder, published)), 2)


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(model, tmp_path):
    with pytest.raises(OutputError, match=r"GiB left, but the cached crops need .*: lower cached_crops"):
        CropFiles(tmp_path / "cache", model, 2**31, SIZE, "a")
    assert list((tmp_path / "cache").iterdir()) == []


def test_only_a_frozen_backbone_is_cached(folder, published):
    for number, change in enumerate(("backbone.mode=full", "backbone.unfreeze_last=1")):
        with pytest.raises(ConfigError, match="a backbone that learns nothing"):
            train(tiny_config(folder, published, str(number), change))


@pytest.mark.slow
def test_a_run_reports_its_cache_and_leaves_none(folder, published, tmp_path):
    events = list(training_steps(tiny_config(folder, published)))
    kinds = [type(event) for event in events]
    assert kinds == [CropsCached] * 5 + ([StepDone] * 3 + [EpochRecord]) * 2
    # Two images with two validation crops each, after the five to learn from.
    assert [(e.done, e.total) for e in events[:5]] == [(2, 9), (4, 9), (5, 9), (7, 9), (9, 9)]
    assert not (tmp_path / "run" / CACHE_FOLDER).exists()


@pytest.mark.slow
def test_a_run_with_a_cache_validates_as_one_without(folder, published, tmp_path):
    train(tiny_config(folder, published, "with", "optimiser.learning_rate=1e-9"))
    train(tiny_config(folder, published, "without", "optimiser.learning_rate=1e-9", cached_crops=0))
    for one, other in zip(rows_of(tmp_path / "with"), rows_of(tmp_path / "without"), strict=True):
        assert float(one["validation_mse"]) == pytest.approx(float(other["validation_mse"]), rel=1e-2)


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(folder, published, tmp_path):
    torch.set_num_threads(1)
    train(tiny_config(folder, published, "whole"))
    config = tiny_config(folder, published, "broken")
    for event in training_steps(config):
        if isinstance(event, EpochRecord):
            break
    assert (tmp_path / "broken" / CACHE_FOLDER).is_dir()
    events = []
    train(config, resume=True, progress=events.append)
    assert not any(isinstance(event, CropsCached) for event in events)
    assert rows_of(tmp_path / "broken") == rows_of(tmp_path / "whole")
