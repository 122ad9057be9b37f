"""Runs with bad data, numbers and disks: one line that says what to do, and nothing is lost."""

import contextlib
import json
import os
import shutil

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dinocell.datasets.folder import find_pairs
from dinocell.datasets.process import ProcessSettings, process
from dinocell.errors import (
    CheckpointError,
    ConfigError,
    FileFormatError,
    FileMissingError,
    InputError,
    OutputError,
    TrainingError,
    WorkerError,
)
from dinocell.io.saving import write_labels
from dinocell.models.network.dinocell import DINOCell
from dinocell.training import EpochRecord, train
from dinocell.training.config import Dataset
from dinocell.training.samples import Annotated, TrainingSamples, load_annotated
from dinocell.training.warp import bounding_boxes
from tests.fakes.training import disks, make_config, rows_of

resource = pytest.importorskip("resource")  # Windows has none


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return disks(tmp_path_factory.mktemp("disks"))


def make_store(folder, path):
    list(process(find_pairs(folder), path, ProcessSettings("folder", size=64, overlap=32), workers=0))
    return path


@contextlib.contextmanager
def files_no_larger_than(size):
    """Simulate a full disk: writing more fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
def test_a_full_disk_costs_the_epoch_and_nothing_else(folder, tmp_path):
    train(make_config(folder, tmp_path / "whole"))
    config = make_config(folder, tmp_path / "full")
    with contextlib.ExitStack() as stack:

        def fill_after_the_first_epoch(event):
            if isinstance(event, EpochRecord):
                stack.enter_context(files_no_larger_than(100_000))

        with pytest.raises(OutputError, match="cannot"):
            train(config, progress=fill_after_the_first_epoch)
    assert DINOCell.from_pretrained(tmp_path / "full" / "last").config.training["epoch"] == 1
    train(config, resume=True)
    assert rows_of(tmp_path / "full") == rows_of(tmp_path / "whole")
    events = EventAccumulator(str(tmp_path / "full" / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss/validation")] == [
        3,
        6,
    ]  # the failed epoch is there once
    assert not [path for path in (tmp_path / "full").rglob("*") if ".tmp" in path.name]


@pytest.mark.slow
@pytest.mark.parametrize(("what", "epoch"), [(".", 1), (".", 2), ("best_model", 2)])
def test_a_run_whose_folder_was_removed_does_not_end_well(folder, tmp_path, what, epoch):
    config = make_config(folder, tmp_path / "run")

    def move_away(event):
        if isinstance(event, EpochRecord) and event.epoch == epoch:
            (config.output / what).resolve().rename(tmp_path / "moved")

    with pytest.raises(OutputError, match=r"is gone.*, removed or moved meanwhile"):
        train(config, progress=move_away)
    assert not (config.output / what).exists()


def spoil(run, part):
    """Let a weight of a run's state have gone astray since its last epoch."""
    state = run / "last" / "state.pt"
    saved = torch.load(state, weights_only=True)
    saved[part]["decoder.head.bias"].fill_(float("nan"))
    torch.save(saved, state)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(folder, tmp_path):
    config = make_config(folder, tmp_path / "run", epochs=1)
    train(config)
    spoil(config.output, "model")
    before = DINOCell.from_pretrained(tmp_path / "run" / "last").state_dict()
    with pytest.raises(
        TrainingError, match=r"loss is nan at step 4, on crops of .*the last good weights are in"
    ):
        train(config.model_copy(update={"epochs": 2}), resume=True)
    after = DINOCell.from_pretrained(tmp_path / "run" / "last").state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert len(rows_of(tmp_path / "run")) == 1


@pytest.mark.slow
def test_averaged_weights_that_are_not_finite_are_never_saved(folder, tmp_path):
    config = make_config(folder, tmp_path / "run", epochs=1)
    train(config)
    spoil(config.output, "average")
    with pytest.raises(TrainingError, match="validation loss is nan after epoch 2"):
        train(config.model_copy(update={"epochs": 2}), resume=True)
    weights = DINOCell.from_pretrained(tmp_path / "run" / "last").state_dict()
    assert all(value.isfinite().all() for value in weights.values())


def test_a_dataset_without_a_cell_teaches_nothing(folder, tmp_path):
    empty = tmp_path / "empty"
    shutil.copytree(folder, empty)
    for name in ("a", "b"):
        write_labels(empty / f"{name}_masks.tif", np.zeros((96, 96), np.int32))
    for path in (empty, make_store(empty, tmp_path / "store")):
        config = make_config(folder, tmp_path / "run", train=[{"path": folder}, {"path": path}])
        with pytest.raises(InputError, match=f"{path.name} has no annotated cell"):
            train(config)
    with pytest.raises(InputError, match="no annotated cell"):
        train(make_config(folder, tmp_path / "run", validation=[{"path": empty}]))


def test_missing_and_mismatched_data_are_named(folder, tmp_path):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(FileMissingError, match="nothing holds no"):
        train(make_config(folder, tmp_path / "run", validation=[{"path": tmp_path / "nothing"}]))
    store = make_store(folder, tmp_path / "store")
    maps = np.load(store / "dist_maps.npy")
    np.save(store / "dist_maps.npy", maps[:-1])
    with pytest.raises(FileFormatError, match=r"dist_maps\.npy"):
        train(make_config(folder, tmp_path / "run", train=[{"path": store}]))
    for name in ("imgs", "dist_maps", "anns"):
        np.save(store / f"{name}.npy", np.load(store / f"{name}.npy")[:0])
    with pytest.raises(FileFormatError):
        train(make_config(folder, tmp_path / "run", train=[{"path": store}]))
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_settings_that_do_not_fit_the_model_or_the_machine_are_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match="crop_size is 80, expected a multiple of 32"):
        train(make_config(folder, tmp_path / "run", crop_size=80))
    with pytest.raises(ConfigError, match="float16 cannot be trained on cpu"):
        train(make_config(folder, tmp_path / "run", precision="float16"))


@pytest.mark.slow
def test_a_run_is_resumed_with_the_same_data_alone(folder, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(folder, data)
    config = make_config(folder, tmp_path / "run", epochs=1, validation=[{"path": data}])
    train(config)
    moved = data.rename(tmp_path / "moved")
    longer = config.model_copy(update={"epochs": 2, "validation": (Dataset(path=moved),)})
    train(longer, resume=True)
    heavier = longer.model_copy(update={"train": (Dataset(path=folder, weight=2),)})
    with pytest.raises(CheckpointError, match="made with another train:"):
        train(heavier, resume=True)
    shutil.copy(moved / "a_masks.tif", moved / "b_masks.tif")
    with pytest.raises(CheckpointError, match="made with another validation:"):
        train(longer, resume=True)


@pytest.mark.slow
def test_what_was_changed_by_hand_in_a_run_folder_is_named(folder, tmp_path):
    config = make_config(folder, tmp_path / "run", epochs=2, steps_per_epoch=1)
    train(config)
    metrics = tmp_path / "run" / "metrics.csv"
    for text in ("epoch,loss\n1.5,2\n", "loss\n2\n", "epoch\n\xff\n"):
        metrics.write_text(text, encoding="latin-1")
        with pytest.raises(CheckpointError, match=r"metrics\.csv has no row an epoch any more"):
            train(config, resume=True)
    metrics.unlink()
    shutil.rmtree(tmp_path / "run" / "last")
    best = tmp_path / "run" / "best_model" / "config.json"
    found = json.loads(best.read_text())
    best.write_text(json.dumps(found | {"training": found["training"] | {"epoch": 2}}))
    with pytest.raises(CheckpointError, match="best_model has no last beside it"):
        train(config, resume=True)


class DamagedSamples(TrainingSamples):
    def __getitem__(self, number):
        raise FileFormatError("x.png is damaged: copy it again")


class DeadlySamples(TrainingSamples):
    def __getitem__(self, number):
        os._exit(1)


def test_what_goes_wrong_in_a_process_that_prepares_crops_is_one_line(folder, tmp_path):
    config = make_config(folder, tmp_path / "run", workers=1)
    images = load_annotated(config.train[0], config.preprocessing)
    with pytest.raises(FileFormatError) as caught:
        next(DamagedSamples([images], config).steps(0, 1))
    assert str(caught.value) == "x.png is damaged: copy it again"
    with pytest.raises(WorkerError, match="lower workers"):
        next(DeadlySamples([images], config).steps(0, 1))


def test_an_image_too_large_to_be_warped_is_named(folder, tmp_path):
    config = make_config(folder, tmp_path / "run")
    labels = np.ones((1, 40_000), np.int32)
    huge = Annotated("wide", labels.astype(np.uint8), labels, bounding_boxes(labels))
    with pytest.raises(
        InputError, match=r"wide: an image of \(1, 40000\) px is too large.*cut it into parts"
    ):
        TrainingSamples([[huge]], config)[0]
