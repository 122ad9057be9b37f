"""All engines are behind one contract: the same map, and errors that say what to do."""

import copy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dinocell import DINOCellPipeline
from dinocell.errors import InputError, MissingExtraError
from dinocell.inference.engines.start import choose_engine, open_engine
from dinocell.inference.engines.torch_engine import TorchEngine
from dinocell.inference.settings import InferenceSettings
from dinocell.machine import cache_folder
from dinocell.models.checkpoint import GRAPH_FILE, Checkpoint
from dinocell.models.export.cache import _digest, exported_file
from dinocell.models.finding import find_checkpoint
from dinocell.models.network.dinocell import DINOCell, normalise
from tests.models.test_export import built

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def nano():
    return DINOCell.from_pretrained("nano")


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 3000, (300, 420)).astype(np.uint16)


@pytest.fixture(scope="module")
def expected(nano, image):
    return DINOCellPipeline(nano, device="cpu").run(image)


@pytest.mark.slow
def test_onnx_runtime_gives_the_same_map(nano, export_cache, image, expected):
    pipeline = DINOCellPipeline(nano, device="cpu", engine="onnx")
    found = pipeline.run(image)
    np.testing.assert_allclose(found.distance_map, expected.distance_map, rtol=0, atol=1e-4)
    assert (found.parameters.engine, found.parameters.precision) == ("onnx", "float32")
    assert (expected.parameters.engine, expected.parameters.device) == ("torch", "cpu")


SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.mark.parametrize("sample", ["fluorescence_1", "fluorescence_2", "histology_1", "phase_1", "phase_2"])
def test_the_shipped_graph_gives_the_labels_of_the_network(nano, sample):
    image = SAMPLES / f"{sample}_img.png"
    found, expected = DINOCellPipeline("nano", device="cpu").run(image), DINOCellPipeline(nano).run(image)
    assert (found.parameters.engine, expected.parameters.engine) == ("onnx", "torch")
    np.testing.assert_allclose(found.distance_map, expected.distance_map, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(found.labels, expected.labels)


def test_all_engines_give_the_feature_maps_of_the_backbone(nano):
    pytest.importorskip("openvino")
    tiles = np.random.default_rng(0).integers(0, 256, (2, 64, 96), np.uint8)
    with torch.inference_mode():
        expected = [one.numpy() for one in nano.backbone(normalise(torch.from_numpy(tiles)))]
    for name in ("torch", "onnx", "openvino"):
        engine = open_engine(Checkpoint.find("nano"), InferenceSettings(engine=name, device="cpu"))
        maps = engine.features(tiles)
        assert [one.shape for one in maps] == [one.shape for one in expected]
        for one, other in zip(maps, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("chosen", "engine"),
    [
        ({}, "onnx"),
        ({"device": "cpu"}, "onnx"),
        ({"device": "cuda"}, "torch"),
        ({"compiled": True}, "torch"),
        ({"precision": "bfloat16"}, "torch"),
        ({"precision": "int8"}, "onnx"),
        ({"engine": "openvino", "device": "cuda"}, "openvino"),
    ],
)
def test_an_engine_is_chosen_by_what_is_there(nano, chosen, engine, monkeypatch):
    monkeypatch.setattr("dinocell.inference.engines.start.may_have_gpu", lambda: False)
    settings = InferenceSettings(**chosen)
    assert choose_engine(Checkpoint.find("nano"), settings) == engine
    assert choose_engine(nano, settings) == (
        "torch" if engine == "onnx" and not chosen.get("precision") else engine
    )


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "within"), [("float32", 1e-4), ("bfloat16", 0.03)])
def test_openvino_gives_the_same_map(nano, export_cache, image, expected, precision, within):
    pytest.importorskip("openvino")
    pipeline = DINOCellPipeline(nano, device="cpu", engine="openvino", precision=precision)
    first, second = (pipeline.run(image).distance_map for _ in range(2))
    np.testing.assert_allclose(first, expected.distance_map, rtol=0, atol=within)
    np.testing.assert_array_equal(first, second)


def test_bfloat16_is_near_and_leaves_the_model_alone(nano, image, expected):
    pipeline = DINOCellPipeline(nano, device="cpu", precision="bfloat16")
    found = pipeline.predict_on_full_img(image)
    np.testing.assert_allclose(found, expected.distance_map, rtol=0, atol=0.03)
    assert not np.array_equal(found, expected.distance_map)
    assert next(nano.parameters()).dtype == torch.float32


@pytest.mark.slow
def test_the_cache_is_used_and_a_damaged_file_in_it_is_replaced(nano, export_cache, image, expected, caplog):
    path = exported_file(nano, precision="float32")
    sound, kept = path.read_bytes(), set(export_cache.iterdir())
    assert exported_file(nano, precision="float32") == path
    path.write_bytes(sound[:1000])
    found = DINOCellPipeline(nano, device="cpu", engine="onnx").predict_on_full_img(image)
    np.testing.assert_allclose(found, expected.distance_map, rtol=0, atol=1e-4)
    assert "is damaged: it is made anew" in caplog.text
    assert path.stat().st_size == len(sound)
    assert set(export_cache.iterdir()) == kept


@pytest.mark.slow
@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"short")])
@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_weights_in_a_second_file_are_made_anew_with_it(engine, damage, tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setenv("DINOCELL_CACHE", str(tmp_path))
    monkeypatch.setattr("dinocell.models.export.standalone.ONE_FILE", 1000)
    model = built("vit")
    tiles = np.random.default_rng(0).integers(0, 256, (1, 64, 64), np.uint8)
    expected = TorchEngine(model, InferenceSettings(device="cpu")).forward(tiles)
    for _ in range(2):
        found = open_engine(model, InferenceSettings(engine=engine, device="cpu")).forward(tiles)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
        (weights,) = tmp_path.glob("*.onnx.data")
        assert weights.stat().st_size > 1000
        damage(weights)


def test_an_engine_in_float32_follows_its_model_and_another_does_not(nano):
    tiles = np.random.default_rng(0).integers(0, 256, (1, 64, 64), np.uint8)
    model = copy.deepcopy(nano)
    same, copied = (
        TorchEngine(model, InferenceSettings(device="cpu", precision=name))
        for name in ("float32", "bfloat16")
    )
    before = same.forward(tiles), copied.forward(tiles)
    with torch.no_grad():
        model.decoder.head.bias.add_(1)
    assert (same.forward(tiles) > before[0]).all()
    np.testing.assert_array_equal(copied.forward(tiles), before[1])


@pytest.mark.slow
def test_a_machine_that_cannot_compile_says_so(tmp_path):
    code = (
        "import numpy as np; from dinocell import DINOCellPipeline; from dinocell.errors import InputError\n"
        "try: DINOCellPipeline('nano', device='cpu', compiled=True).run(np.eye(64))\n"
        "except InputError as error: print(error)"
    )
    nowhere = {"PATH": str(tmp_path), "CXX": "no-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, "-c", code], env=nowhere, capture_output=True, text=True, check=False
    )
    assert "cannot be compiled here" in found.stdout, found.stderr
    assert "leave --compile" in found.stdout


def test_other_weights_have_another_file(nano, export_cache):
    other = DINOCell.from_pretrained("nano")
    with torch.no_grad():
        other.decoder.head.bias.add_(1e-3)
    assert _digest(other) != _digest(nano) == _digest(DINOCell.from_pretrained("nano"))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"engine": "tensorflow"}, "engine: .* 'onnx', 'torch' or 'openvino', not 'tensorflow'"),
        ({"precision": "float8"}, "precision: .* 'auto', 'float32', 'bfloat16' or 'int8', not 'float8'"),
        ({"precision": "int8"}, "made of convolutions"),
        ({"engine": "torch", "precision": "int8"}, "engine torch has no precision int8: choose engine onnx"),
        ({"engine": "onnx", "precision": "bfloat16"}, "choose torch or openvino"),
        ({"engine": "onnx", "precision": "int8"}, "made of convolutions"),
        ({"engine": "openvino", "precision": "int8"}, "choose onnx"),
        ({"engine": "openvino", "device": "cuda"}, "runs on CPUs"),
        ({"engine": "onnx", "device": "mps"}, "knows the devices auto, cpu and cuda"),
        ({"engine": "onnx", "device": "cuda:x"}, "knows the devices auto, cpu and cuda"),
        ({"engine": "onnx", "device": "cpu", "compiled": True}, "only engine torch is compiled"),
    ],
)
def test_what_an_engine_cannot_do_is_refused(nano, export_cache, chosen, message):
    with pytest.raises(InputError, match=message):
        DINOCellPipeline(nano, **chosen)


@pytest.mark.parametrize(
    ("missing", "chosen", "message"),
    [
        ("openvino", {"engine": "openvino"}, r'engine openvino needs openvino .*"dinocell\[openvino\]"'),
        ("torch", {"engine": "torch"}, r'engine torch needs torch .*"dinocell\[torch\]"'),
        ("torch", {"precision": "bfloat16"}, r'engine torch needs torch .*"dinocell\[torch\]"'),
    ],
)
def test_a_missing_engine_says_how_to_install_it(missing, chosen, message, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=message):
        DINOCellPipeline("nano", **chosen)


def test_a_checkpoint_without_a_graph_runs_in_torch_and_asks_for_it(tmp_path, monkeypatch):
    folder = Path(shutil.copytree(find_checkpoint("nano"), tmp_path / "model"))
    (folder / GRAPH_FILE).unlink()
    assert DINOCellPipeline(folder, device="cpu").predictor.engine.name == "torch"
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"'nano' has no model.onnx, so it needs torch"):
        DINOCellPipeline(folder, device="cpu")


def test_a_batch_that_does_not_fit_onnx_runtime_is_halved(nano, export_cache, image, expected):
    pipeline = DINOCellPipeline(nano, device="cpu", engine="onnx", batch_size=4)
    engine = pipeline.predictor.engine
    session, sizes = engine._session, []

    class Tight:
        def run(self, names, given):
            sizes.append(len(given["tiles"]))
            if sizes[-1] > 2:
                raise engine._failures[0]("Failed to allocate memory for requested buffer of size 8")
            return session.run(names, given)

    engine._session = Tight()
    found = pipeline.predict_on_full_img(image)
    np.testing.assert_allclose(found, expected.distance_map, rtol=0, atol=1e-4)
    assert sizes[:2] == [4, 2]


def test_a_processor_without_bfloat16_is_warned_of(nano, monkeypatch, caplog):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    TorchEngine(nano, InferenceSettings(device="cpu", precision="bfloat16"))
    assert "float32 is much faster" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders")
def test_exports_are_kept_in_the_cache_of_the_user_or_where_one_is_named(monkeypatch, tmp_path):
    for name in ("DINOCELL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "dinocell"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert cache_folder() == tmp_path / "caches" / "dinocell"
    monkeypatch.setenv("DINOCELL_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
