"""Environment of a run: equal data, equal hash, under whatever path; and the versions that ran."""

import hashlib
import importlib.metadata
import json
import platform
import shutil

import numpy as np
import pytest
import torch

from dinocell import __version__
from dinocell.datasets.folder import find_pairs
from dinocell.datasets.process import ProcessSettings, process
from dinocell.datasets.records import read_info
from dinocell.errors import FileMissingError, OutputError
from dinocell.io.saving import write_image
from dinocell.training.config import TrainConfig
from dinocell.training.environment import describe_environment, write_environment
from tests.fakes.training import disks


@pytest.fixture
def folder(tmp_path):
    return disks(tmp_path / "disks")


def make_config(train, validation=None, **values):
    datasets = {"train": [{"path": train}], "validation": [{"path": validation or train}]}
    return TrainConfig.model_validate(datasets | values)


def data_of(path):
    return describe_environment(make_config(path))["train"][0]


def test_the_hash_of_a_folder_can_be_computed_by_hand(folder):
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()} {name}\n"
        for name in ("a_img.png", "a_masks.tif", "b_img.png", "b_masks.tif")
    ]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert data_of(folder) == {"name": "disks", "images": 2, "sha256": expected}


def test_equal_data_has_an_equal_hash_wherever_it_is(folder, tmp_path):
    before = data_of(folder)
    shutil.copytree(folder, tmp_path / "elsewhere" / "copy")
    (tmp_path / "elsewhere" / "copy" / "notes.txt").write_text("not read by the training")
    assert data_of(tmp_path / "elsewhere" / "copy") == before | {"name": "copy"}


@pytest.mark.slow
@pytest.mark.parametrize("change", ["pixel", "name", "ignore", "swap"])
def test_other_data_has_another_hash(folder, change):
    before = data_of(folder)["sha256"]
    if change == "pixel":
        path = folder / "b_masks.tif"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    elif change == "name":
        for path in list(folder.glob("b_*")):
            path.rename(path.with_name(path.name.replace("b_", "c_")))
    elif change == "ignore":
        write_image(folder / "a_ignore.png", np.ones((96, 96), np.uint8))
    else:
        first, second = folder / "a_img.png", folder / "b_img.png"
        one, other = first.read_bytes(), second.read_bytes()
        first.write_bytes(other)
        second.write_bytes(one)
    assert data_of(folder)["sha256"] != before


def test_a_store_says_its_hash_itself_and_samcells_is_hashed(folder, tmp_path):
    settings = ProcessSettings(format="folder", size=64, overlap=8)
    list(process(find_pairs(folder), tmp_path / "store", settings, workers=1))
    info = read_info(tmp_path / "store")
    assert data_of(tmp_path / "store") == {"name": "store", "images": 2, "sha256": info.content_sha256}

    samcell = tmp_path / "samcell"
    samcell.mkdir()
    for name in ("imgs.npy", "dist_maps.npy", "anns.npy"):
        shutil.copy2(tmp_path / "store" / name, samcell)
    before = data_of(samcell)
    assert before["images"] == info.items
    (samcell / "anns.npy").unlink()
    assert data_of(samcell)["sha256"] != before["sha256"]


def test_what_ran_is_named(folder, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    found = describe_environment(make_config(folder, seed=7))
    assert (found["dinocell"], found["seed"]) == (__version__, 7)
    assert found["python"] == platform.python_version()
    assert found["packages"]["torch"] == importlib.metadata.version("torch")
    assert {"numpy", "transformers", "torch"} <= found["packages"].keys()
    assert found["machine"]["world_size"] == 3
    assert found["machine"]["threads"] == torch.get_num_threads()
    assert len(found["machine"]["gpus"]) == torch.cuda.device_count()
    assert found["machine"]["processor"]


def test_determinism_is_said_as_it_is(folder, monkeypatch):
    for wanted in (True, False):
        monkeypatch.setattr(torch.backends.cudnn, "deterministic", wanted)
        found = describe_environment(make_config(folder))["determinism"]
        assert found["cudnn_deterministic"] is wanted
        assert found["deterministic_algorithms"] is torch.are_deterministic_algorithms_enabled()


def test_the_file_holds_no_path_of_this_machine(folder, tmp_path):
    path = write_environment(tmp_path, describe_environment(make_config(folder, output=tmp_path / "run")))
    text = path.read_text(encoding="utf-8")
    assert path == tmp_path / "environment.json"
    assert str(tmp_path) not in text
    assert json.loads(text) == describe_environment(make_config(folder))
    assert list(tmp_path.glob(".*")) == []


def test_missing_data_and_a_missing_folder_are_named(folder, tmp_path):
    with pytest.raises(FileMissingError, match="nowhere"):
        describe_environment(make_config(folder, tmp_path / "nowhere"))
    with pytest.raises(OutputError, match=r"environment\.json cannot be written"):
        write_environment(tmp_path / "nowhere", describe_environment(make_config(folder)))
