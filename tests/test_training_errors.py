"""What a run does with bad data, numbers and disks: one line that says what to do, and nothing is lost."""

import contextlib
import resource
import shutil

import numpy as np
import pytest
import torch

from dinocell.datasets.folder import find_pairs
from dinocell.datasets.process import ProcessSettings, process
from dinocell.errors import (
    ConfigError,
    FileFormatError,
    FileMissingError,
    InputError,
    OutputError,
    TrainingError,
)
from dinocell.images import write_labels
from dinocell.model import DINOCell
from dinocell.training import train
from tests.fakes_training import disks, make_config, rows_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return disks(tmp_path_factory.mktemp("disks"))


def make_store(folder, path):
    list(process(find_pairs(folder), path, ProcessSettings("folder", size=64, overlap=32), workers=0))
    return path


@contextlib.contextmanager
def files_no_larger_than(size):
    """What a full disk does: writing more fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_costs_the_epoch_and_nothing_else(folder, tmp_path):
    train(make_config(folder, tmp_path / "whole"))
    config = make_config(folder, tmp_path / "full")
    train(config.model_copy(update={"epochs": 1}))
    with files_no_larger_than(100_000), pytest.raises(OutputError, match="cannot"):
        train(config, resume=True)
    assert DINOCell.from_pretrained(tmp_path / "full" / "last").config.training["epoch"] == 1
    train(config, resume=True)
    assert [row["epoch"] for row in rows_of(tmp_path / "full")] == ["1", "2"]
    assert not [path for path in (tmp_path / "full").rglob("*") if ".tmp" in path.name]


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(folder, tmp_path):
    config = make_config(folder, tmp_path / "run", epochs=1)
    train(config)
    # the same run, but for weights that have gone astray in the meantime
    state = tmp_path / "run" / "last" / "state.pt"
    saved = torch.load(state, weights_only=True)
    saved["model"]["decoder.head.bias"].fill_(float("nan"))
    torch.save(saved, state)
    before = DINOCell.from_pretrained(tmp_path / "run" / "last").state_dict()
    with pytest.raises(
        TrainingError, match=r"loss is nan at step 4, on crops of [ab](, b)?: look at the images"
    ):
        train(config.model_copy(update={"epochs": 2}), resume=True)
    after = DINOCell.from_pretrained(tmp_path / "run" / "last").state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert len(rows_of(tmp_path / "run")) == 1


def test_averaged_weights_that_are_not_finite_are_never_saved(folder, tmp_path):
    config = make_config(folder, tmp_path / "run", epochs=1)
    train(config)
    state = tmp_path / "run" / "last" / "state.pt"
    saved = torch.load(state, weights_only=True)
    saved["average"]["decoder.head.bias"].fill_(float("nan"))
    torch.save(saved, state)
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
