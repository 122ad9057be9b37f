"""An exported model is the model: at sizes and batches that the exporter never saw."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from dinocell.errors import InputError, OutputError
from dinocell.inference.engines.torch_engine import TorchEngine
from dinocell.inference.settings import InferenceSettings
from dinocell.models.architecture import (
    ConvNeXtConfig,
    DecoderConfig,
    DINOv2Config,
    ResidualConfig,
    ViTConfig,
)
from dinocell.models.configuration import ModelConfig
from dinocell.models.export.cache import exported_file
from dinocell.models.export.standalone import export_onnx
from dinocell.models.graph import INPUT
from dinocell.models.network.dinocell import DINOCell
from dinocell.models.variants import VARIANTS

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

# In strides: square, wide and tall, as small as can be, smaller and larger than the exporter's example.
SIZES = [(1, 1, 1), (1, 2, 5), (2, 7, 4), (3, 4, 4), (1, 13, 11)]

THIN = DecoderConfig(widths=(8, 8, 8, 16, 16, 16))
VIT = ViTConfig(hidden_size=64, depth=4, heads=4, intermediate_size=128, feature_blocks=(0, 1, 2, 3))
DINOV2 = DINOv2Config(hidden_size=64, depth=4, heads=4, feature_blocks=(0, 1, 2, 3), positions=8)
SMALL = {
    "residual": ResidualConfig(stem_width=8, widths=(8, 16, 16, 24), depths=(1, 1, 1, 1)),
    "vit": VIT,
    "gated vit": VIT.model_copy(update={"gated_mlp": True, "attention_bias": False}),
    "dinov2": DINOV2,
    "dinov2 with tokens at stride 8": DINOV2.model_copy(update={"token_stride": 8}),
    "convnext": ConvNeXtConfig(widths=(16, 16, 32, 32), depths=(1, 1, 2, 1)),
}


def awaken(model):
    """Draw weights with which every layer changes its input: fresh ones hide an export that is wrong."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "layer_scale" in name or name.endswith("gamma"):
                weights.uniform_(0.3, 1.0)
            elif weights.ndim > 1:
                weights.normal_(0, 1.4 * weights[0].numel() ** -0.5)
            else:
                weights.add_(0.2 * torch.randn_like(weights))
    return model.eval()


def built(name, **changes):
    torch.manual_seed(3)  # of some weights the maps are too even to compare
    config = SMALL.get(name)
    if config is not None:
        return awaken(DINOCell(ModelConfig(variant="thin", backbone=config, decoder=THIN)))
    variant = VARIANTS[name]
    backbone = variant.backbone.model_copy(update=changes)
    return awaken(DINOCell(ModelConfig(variant=name, backbone=backbone, decoder=variant.decoder)))


def check_equal(model, path, sizes, tolerance=1e-4):
    """Compare the file, in ONNX Runtime, with the model in PyTorch."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    engine = TorchEngine(model, InferenceSettings(device="cpu"))
    rng = np.random.default_rng(0)
    for batch, rows, columns in sizes:
        shape = (batch, rows * model.stride, columns * model.stride)
        coarse = rng.integers(0, 256, (shape[0], shape[1] // 16, shape[2] // 16), np.uint8)
        tiles = coarse.repeat(16, axis=1).repeat(16, axis=2)  # no noise, in which nano sees no cell
        expected = engine.forward(tiles)
        assert expected.std() > 0.003  # else all would be equal to all
        (found,) = session.run(None, {INPUT: tiles})
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def exported(export_cache):
    """Return nano, and its file."""
    model = DINOCell.from_pretrained("nano")
    return model, exported_file(model, precision="float32")


@pytest.mark.slow
def test_an_exported_model_agrees_at_sizes_it_was_not_made_at(exported):
    check_equal(*exported, SIZES)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_other_backbones_agree_too(name, tmp_path):
    model = built(name)
    check_equal(model, export_onnx(model, tmp_path / "model.onnx"), SIZES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("small", {}),
        ("dinov2-small", {}),
        ("dinov2-small", {"token_stride": 16}),
        ("base", {}),
        ("large", {}),
        ("convnext-tiny", {}),
        ("convnext-small", {}),
        ("convnext-base", {}),
        ("convnext-large", {}),
        ("small-plus", {}),
        ("huge-plus", {"depth": 4, "feature_blocks": (0, 1, 2, 3)}),
        ("7b", {"depth": 4, "feature_blocks": (0, 1, 2, 3)}),
    ],
)
def test_variants_agree_at_their_real_width(name, changes, tmp_path):
    model = built(name, **changes)
    sizes = SIZES if model.stride == 16 else [(batch, -(-y // 2), -(-x // 2)) for batch, y, x in SIZES]
    check_equal(model, export_onnx(model, tmp_path / "model.onnx"), sizes)


@pytest.mark.slow
def test_a_file_says_how_to_use_it_and_nothing_of_this_machine(exported):
    model, path = exported
    described = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert described["stride"] == "32"
    assert described["tile_size"] == "256"
    targets = {name: found.model_dump(mode="json") for name, found in model.config.targets.items()}
    assert json.loads(described["targets"]) == targets
    assert list(json.loads(described["targets"])) == list(targets)  # the order of the maps
    assert json.loads(described["preprocessing"])["clahe"] is True
    assert b"site-packages" not in path.read_bytes()
    assert not list(path.parent.glob(".*"))


@pytest.mark.slow
def test_eight_bits_stay_near_and_make_the_file_smaller(tmp_path):
    model = built("vit")
    whole = export_onnx(model, tmp_path / "whole.onnx")
    short = export_onnx(model, tmp_path / "short.onnx", precision="int8")
    check_equal(model, short, [(1, 4, 4), (2, 3, 6)], tolerance=0.15)
    with pytest.raises(AssertionError):
        check_equal(model, short, [(1, 4, 4)], tolerance=1e-5)
    assert short.stat().st_size < whole.stat().st_size


@pytest.mark.slow
def test_a_smaller_model_leaves_no_weights_of_a_larger_one_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    with monkeypatch.context() as patch:
        patch.setattr("dinocell.models.export.standalone.ONE_FILE", 1000)
        export_onnx(built("residual"), path)
    assert (tmp_path / "model.onnx.data").exists()
    model = built("residual")
    check_equal(model, export_onnx(model, path), [(1, 1, 1)])
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_what_cannot_be_exported_is_refused(tmp_path):
    model = built("residual")
    with pytest.raises(InputError, match="made of convolutions"):
        export_onnx(model, tmp_path / "model.onnx", precision="int8")
    with pytest.raises(InputError, match=r"expected a name ending in \.onnx"):
        export_onnx(model, tmp_path / "model.pt")
    with pytest.raises(OutputError, match="choose another place"):
        export_onnx(model, tmp_path / "missing" / "model.onnx")
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_the_command_writes_a_file_and_replaces_none_unasked(tmp_path):
    model = DINOCell(built("residual").config.model_copy(update={"trained": True}))
    model.save_pretrained(tmp_path / "checkpoint")
    command = [sys.executable, "-m", "dinocell", "export", "checkpoint", "-o", "model.onnx"]
    run = {"cwd": tmp_path, "capture_output": True, "text": True, "check": False}
    first = subprocess.run(command, **run)
    assert first.returncode == 0, first.stderr
    assert "model.onnx: " in first.stdout
    onnx.checker.check_model(onnx.load(tmp_path / "model.onnx"))
    second = subprocess.run(command, **run)
    assert second.returncode == 1
    assert "model.onnx exists" in second.stderr
    third = subprocess.run([*command, "--overwrite", "--precision", "int4"], **run)
    assert third.returncode == 1
    assert "expected float32 or int8" in third.stderr
