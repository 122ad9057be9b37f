import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dinocell.errors import CheckpointError, InputError, OutputError, UnknownModelError, UntrainedModelError
from dinocell.io.opening import MAX_WHOLE_BYTES
from dinocell.models.architecture import ConvNeXtConfig, DecoderConfig, ResidualConfig, ViTConfig
from dinocell.models.checkpoint import WEIGHTS_FILE, replaced_folder
from dinocell.models.configuration import ModelConfig, TargetSettings
from dinocell.models.finding import CONFIG_FILE
from dinocell.models.listing import list_models
from dinocell.models.network.dinocell import DINOCell, normalise
from dinocell.models.variants import VARIANTS
from dinocell.postprocess.thresholds import Thresholds

BACKBONES = {
    "vit": ViTConfig(hidden_size=48, depth=4, heads=2, intermediate_size=96, feature_blocks=(0, 1, 2, 3)),
    "convnext": ConvNeXtConfig(widths=(8, 16, 24, 32), depths=(1, 1, 2, 1)),
    "residual": ResidualConfig(stem_width=8, widths=(8, 16, 24, 32), depths=(1, 1, 1, 1)),
}


TARGETS = {"nuclei": TargetSettings(thresholds=Thresholds(merge=0.7)), "cells": TargetSettings()}


def tiny(kind="residual", **settings):
    torch.manual_seed(0)
    config = ModelConfig(
        variant="tiny",
        backbone=BACKBONES[kind],
        decoder=DecoderConfig(widths=(8, 8, 8, 16, 16, 16)),
        **settings,
    )
    return DINOCell(config.folded()).eval()


@pytest.mark.parametrize("kind", BACKBONES)
def test_save_and_load_give_equal_outputs_and_config(kind, tmp_path):
    model = tiny(kind, trained=True, targets=TARGETS, training={"seed": 3, "µ": "ü"})
    loaded = DINOCell.from_pretrained(model.save_pretrained(tmp_path / "ck"))
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(model(x), loaded(x))
    assert loaded.config == model.config
    assert not loaded.training


def test_float16_storage_is_close_and_loads_as_float32(tmp_path):
    model = tiny()
    loaded = DINOCell.from_pretrained(model.save_pretrained(tmp_path / "ck", dtype=torch.float16))
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(x), loaded(x), atol=0.02, rtol=0.02)
    sizes = (tmp_path / "ck" / WEIGHTS_FILE).stat().st_size
    assert sizes < 2.2 * sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 64, 65), (1, 3, 48, 64)])
def test_a_shape_that_does_not_fit_is_refused(shape):
    with pytest.raises(InputError, match="expected"):
        tiny()(torch.zeros(shape))


def test_an_image_alone_and_in_a_batch_gives_the_same():
    model, x = tiny(), torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(x)[2:3], model(x[2:3]), atol=1e-5, rtol=1e-5)


def test_a_frozen_backbone_gets_no_gradient():
    model = tiny()
    model.freeze_backbone()
    model(torch.randn(1, 3, 64, 64)).sum().backward()
    assert all(p.grad is None for p in model.backbone.parameters())
    assert any(p.grad is not None for p in model.decoder.parameters())


def test_normalise_by_hand():
    # (0 − 0.485) / 0.229 = −2.1179 and (1 − 0.406) / 0.225 = 2.64
    x = normalise(torch.tensor([[[0, 255]]], dtype=torch.uint8))
    assert x.shape == (1, 3, 1, 2)
    assert x[0, 0, 0, 0] == pytest.approx(-2.1179, abs=1e-4)
    assert x[0, 2, 0, 1] == pytest.approx(2.64, abs=1e-4)


def test_unknown_and_untrained_names_are_refused(tmp_path, monkeypatch):
    with pytest.raises(UnknownModelError, match="Known models: nano"):
        DINOCell.from_pretrained("nanoo")
    with pytest.raises(UntrainedModelError, match="no trained weights"):
        DINOCell.from_pretrained("small")
    with pytest.raises(UnknownModelError, match="no variant"):
        DINOCell.from_variant("nanoo")
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read"):
        DINOCell.from_pretrained(tmp_path)
    (tmp_path / "small").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UntrainedModelError, match=r"here \(the folder of that name is \./small\): train it"):
        DINOCell.from_pretrained("small")
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read"):
        DINOCell.from_pretrained("./small")


def _damage_config(folder, **changes):
    path = folder / CONFIG_FILE
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def _replace_by(path, make):
    path.unlink()
    make(path)


def _damage_weights(folder, change):
    weights = load_file(folder / WEIGHTS_FILE)
    name = min(weights)
    save_file(weights | {name: change(weights[name])}, folder / WEIGHTS_FILE)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / WEIGHTS_FILE).unlink(), "is missing"),
        (lambda f: (f / WEIGHTS_FILE).write_bytes(b"not a tensor"), "damaged or not safetensors"),
        (lambda f: (f / WEIGHTS_FILE).write_bytes((f / WEIGHTS_FILE).read_bytes()[:-9]), "damaged"),
        (lambda f: (f / CONFIG_FILE).write_text("{"), "not a DINOCell configuration"),
        (lambda f: _damage_config(f, tile_siez=3), "tile_siez"),
        (lambda f: _damage_config(f, tile_size="x"), "tile_size"),
        (lambda f: _damage_config(f, tile_size=8192), "tile_size: .*less than or equal to 4096"),
        (lambda f: _damage_config(f, preprocessing={"clahe_window": 10**9}), "whole pixels from 2 to 4096"),
        (lambda f: _damage_config(f, variant="../../x"), "variant: .*'../../x' is not the name of a design"),
        (lambda f: _damage_config(f, variant="a/b"), "variant"),
        (lambda f: _damage_config(f, variant=".."), "variant"),
        (lambda f: _damage_config(f, variant=""), "variant"),
        (lambda f: _damage_config(f, targets={"cells": {"diameter_range": [20, 10]}}), "diameter_range"),
        (lambda f: _damage_config(f, targets={}), "targets"),
        (lambda f: _damage_config(f, targets={"blobs": {}}), "targets"),
        (lambda f: _damage_config(f, thresholds={}), "earlier version.*fine-tune the model again"),
        (lambda f: _damage_config(f, decoder={"widths": [8, 8, 8, 2**15, 2**15, 2**15]}), "but the file has"),
        (lambda f: _damage_config(f, decoder={"widths": [8, 8, 8, 16, 16, 10**9]}), "less than or equal"),
        (lambda f: (f / CONFIG_FILE).write_bytes(b" " * (MAX_WHOLE_BYTES + 1)), "more than"),
        (lambda f: _replace_by(f / CONFIG_FILE, os.mkfifo), "pipe or device"),
        (lambda f: _replace_by(f / CONFIG_FILE, lambda path: path.symlink_to("/dev/zero")), "pipe or device"),
        (lambda f: _replace_by(f / WEIGHTS_FILE, os.mkfifo), "is missing"),
        (lambda f: _damage_weights(f, lambda value: value * np.inf), "1 with NaN or infinite values"),
        (lambda f: _damage_weights(f, lambda value: value * np.nan), "1 with NaN or infinite values"),
        (
            lambda f: _damage_weights(f, lambda value: value.to(torch.int32)),
            "1 not of floating-point numbers",
        ),
        (
            lambda f: _damage_config(f, decoder={"widths": [8, 8, 8, 16, 16, 24]}),
            "of another shape",
        ),
        (
            lambda f: _damage_config(f, backbone=BACKBONES["convnext"].model_dump()),
            "missing .* unexpected",
        ),
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, damage, message):
    folder = tiny().save_pretrained(tmp_path / "ck")
    damage(folder)
    with pytest.raises(CheckpointError, match=message):
        DINOCell.from_pretrained(folder)


def test_saving_replaces_a_checkpoint_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "ck"
    tiny().save_pretrained(folder)
    before = (folder / CONFIG_FILE).read_bytes()

    def fail_halfway():
        with replaced_folder(folder) as temporary:
            (temporary / CONFIG_FILE).write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_halfway()
    assert (folder / CONFIG_FILE).read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["ck"]
    (folder / "README.md").write_text("my notes")
    tiny(trained=True).save_pretrained(folder)
    assert DINOCell.from_pretrained(folder).config.trained
    assert (folder / "README.md").read_text() == "my notes"
    assert [p.name for p in tmp_path.iterdir()] == ["ck"]


def test_a_folder_of_other_things_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("three years")
    with pytest.raises(OutputError, match="holds other files"):
        tiny().save_pretrained(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "three years"


def test_list_models_counts_parameters_without_memory():
    infos = {info.name: info for info in list_models()}
    assert list(infos) == list(VARIANTS)
    # Meta's model cards: ViT-S 21.6 M, ViT-B 85.7 M, ViT-L 303.1 M; ConvNeXt 27.8, 49.5, 87.6, 196.2 M.
    published = {
        "small": 21.6, "base": 85.7, "large": 303.1,
        "convnext-tiny": 27.8, "convnext-small": 49.5, "convnext-base": 87.6, "convnext-large": 196.2,
    }  # fmt: skip
    for name, millions in published.items():
        assert infos[name].backbone_parameters / 1e6 == pytest.approx(millions, rel=0.01)
    nano = infos["nano"]
    assert nano.backbone_parameters + nano.decoder_parameters <= 6e6
    assert nano.trained
    assert not infos["small"].trained
