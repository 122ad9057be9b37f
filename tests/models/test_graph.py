"""The graph of a checkpoint computes what the network does, from the weights beside it and no others."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from dinocell.errors import CheckpointError, InputError
from dinocell.models.checkpoint import GRAPH_FILE, WEIGHTS_FILE
from dinocell.models.export import checkpoint_graph
from dinocell.models.export.program import export_program
from dinocell.models.finding import find_checkpoint
from dinocell.models.graph import FEATURES, INPUT, OUTPUT, open_session
from dinocell.models.network.dinocell import DINOCell, normalise
from tests.models.test_export import built

pytest.importorskip("onnxscript")
TILES = np.random.default_rng(0).integers(0, 256, (2, 64, 96), np.uint8)


def check_equal(model, path):
    with torch.inference_mode():
        x = normalise(torch.from_numpy(TILES))
        maps = model.backbone(x)
        expected = [torch.sigmoid(model(x, *maps)), *maps]
    found = open_session(path).run([OUTPUT, *FEATURES], {INPUT: TILES})
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["residual", "vit", "dinov2", "convnext"])
def test_a_graph_fits_all_weights_of_its_design(kind, tmp_path, monkeypatch):
    first, second = built(kind), built(kind)
    with torch.no_grad():
        for weights in second.parameters():
            weights.mul_(0.9)
    monkeypatch.setenv("DINOCELL_CACHE", str(tmp_path / "one"))
    one = first.save_pretrained(tmp_path / "first", graph=True) / GRAPH_FILE
    monkeypatch.setenv("DINOCELL_CACHE", str(tmp_path / "other"))
    other = second.save_pretrained(tmp_path / "second", graph=True) / GRAPH_FILE
    assert one.read_bytes() == other.read_bytes()
    check_equal(first, one)
    check_equal(second, other)
    with pytest.raises(AssertionError):
        check_equal(second, one)


@pytest.mark.slow
def test_half_precision_is_widened(tmp_path, export_cache):
    folder = built("residual").save_pretrained(tmp_path / "half", dtype=torch.float16, graph=True)
    check_equal(DINOCell.from_pretrained(folder), folder / GRAPH_FILE)


def test_the_weights_are_stored_once():
    files = find_checkpoint("nano")
    assert (files / GRAPH_FILE).stat().st_size < 0.01 * (files / WEIGHTS_FILE).stat().st_size


@pytest.mark.slow
def test_a_design_is_translated_once(tmp_path, export_cache, monkeypatch):
    first = built("residual").save_pretrained(tmp_path / "first", graph=True)
    monkeypatch.setattr(checkpoint_graph, "export_program", None)
    second = built("residual").save_pretrained(tmp_path / "second", graph=True)
    assert (first / GRAPH_FILE).read_bytes() == (second / GRAPH_FILE).read_bytes()


@pytest.mark.slow
def test_a_model_that_is_saved_without_a_graph_keeps_no_other(tmp_path, export_cache):
    folder = built("residual").save_pretrained(tmp_path / "model", graph=True)
    (folder / "README.md").write_text("a card")
    built("residual").save_pretrained(folder)
    assert {file.name for file in folder.iterdir()} == {"config.json", WEIGHTS_FILE, "README.md"}


@pytest.mark.slow
def test_what_translates_to_other_maps_gets_no_graph(tmp_path, monkeypatch):
    monkeypatch.setenv("DINOCELL_CACHE", str(tmp_path / "cache"))
    folder, model = tmp_path / "model", built("residual")
    model.save_pretrained(folder)

    def export_another(model, **settings):
        handle = model.decoder.register_forward_hook(lambda module, given, found: found + 1)
        try:
            return export_program(model, **settings)
        finally:
            handle.remove()

    monkeypatch.setattr(checkpoint_graph, "export_program", export_another)
    with pytest.raises(InputError, match="computes other maps as ONNX, by up to 0"):
        checkpoint_graph.write_graph(folder)
    assert not (folder / GRAPH_FILE).exists()
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def nano(tmp_path):
    return Path(shutil.copytree(find_checkpoint("nano"), tmp_path / "nano"))


def _cut(path, count):
    path.write_bytes(path.read_bytes()[:count])


def _overwrite(path, at, content):
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def _not_finite(folder):
    weights = load_file(folder / WEIGHTS_FILE)
    weights["decoder.head.bias"][0] = np.inf
    save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})


def _other_dtype(folder):
    (folder / "other").mkdir()
    other = DINOCell.from_pretrained(folder).save_pretrained(folder / "other")
    (other / WEIGHTS_FILE).replace(folder / WEIGHTS_FILE)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / WEIGHTS_FILE).unlink(), "model.safetensors is missing"),
        (lambda f: (f / WEIGHTS_FILE).write_bytes(b"weights"), "damaged or not safetensors"),
        (
            lambda f: (f / WEIGHTS_FILE).write_bytes((f / WEIGHTS_FILE).read_bytes()[:-2]),
            "damaged or not safetensors",
        ),
        (lambda f: _overwrite(f / WEIGHTS_FILE, 0, b"\xff" * 8), "damaged or not safetensors"),
        (_not_finite, r"NaN or infinite values \(decoder.head.bias\)"),
        (_other_dtype, "the graph of other weights"),
        (lambda f: (f / GRAPH_FILE).write_bytes(b"graph"), "model.onnx is damaged"),
        (
            lambda f: (f / GRAPH_FILE).write_bytes((f / GRAPH_FILE).read_bytes()[:5000]),
            "model.onnx is damaged",
        ),
    ],
)
def test_damaged_files_are_refused(nano, damage, message):
    damage(nano)
    with pytest.raises(CheckpointError, match=message):
        open_session(nano / GRAPH_FILE)
