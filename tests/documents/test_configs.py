"""Every file in configs/ trains: on a few small images, for one step, on a small network of the same kind."""

from pathlib import Path

import pytest

from dinocell.io.settings_files import read_settings
from dinocell.models.network.dinocell import DINOCell
from dinocell.training import TrainConfig, train
from dinocell.training.pretraining import PretrainConfig, pretrain
from tests.fakes.training import disks, rows_of, tiny_variant

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
TRAINING = [path for path in CONFIGS if not path.name.startswith("pretrain")]
PRETRAINING = [path for path in CONFIGS if path.name.startswith("pretrain")]


def network_of(config, tmp_path, monkeypatch):
    """Return the changes that replace a large ViT by a small one, and Meta's weights by its weights."""
    if config.model == "nano":
        return {}
    weights = tiny_variant(tmp_path, monkeypatch, depth=6)
    return {"model": "tiny", "backbone.weights": weights if config.backbone.weights else None}


def changed(path, kind, changes):
    settings = [f"{name}={'null' if value is None else value}" for name, value in changes.items()]
    return read_settings(kind, path, settings)


@pytest.mark.slow
@pytest.mark.parametrize("path", TRAINING, ids=lambda path: path.stem)
def test_a_configuration_trains(path, tmp_path, monkeypatch):
    config = read_settings(TrainConfig, path)
    data = f"[{{path: {disks(tmp_path / 'disks')}}}]"
    changes = {
        "train": data,
        "validation": data,
        "output": tmp_path / "run",
        "epochs": 1,
        "steps_per_epoch": 1,
        "cached_crops": min(2, config.cached_crops),
        "batch_size": 2,
        "crop_size": 64,
        "workers": 0,
    }
    if config.start_from is not None:
        changes["start_from"] = None  # weights that are not here
    config = changed(path, TrainConfig, changes | network_of(config, tmp_path, monkeypatch))
    model = DINOCell.from_pretrained(train(config))
    assert model.config.trained
    assert [row["step"] for row in rows_of(config.output)] == ["1"]


@pytest.mark.parametrize("path", PRETRAINING, ids=lambda path: path.stem)
def test_a_configuration_pretrains(path, tmp_path, monkeypatch):
    if read_settings(PretrainConfig, path).model != "nano":
        tiny_variant(tmp_path, monkeypatch, depth=4)
    changes = {
        "images": f"[{disks(tmp_path / 'disks')}]",
        "model": read_settings(PretrainConfig, path).model if "nano" in path.name else "tiny",
        "output": tmp_path / "run",
        "epochs": 1,
        "steps_per_epoch": 1,
        "batch_size": 2,
        "workers": 0,
        "field": 64,
        "global_views.size": 64,
        "local_views.size": 32,
    }
    backbone = pretrain(changed(path, PretrainConfig, changes))
    assert any(backbone.glob("*.safetensors"))
