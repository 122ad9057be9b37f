import json
import lzma
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dinocell.cli import app
from dinocell.errors import CheckpointError, OutputError
from dinocell.models.checkpoint import read_config
from dinocell.models.finding import find_checkpoint
from dinocell.web.static_site import PAGE, describe_model, write_static_site

GOLDENS = Path(__file__).parents[2] / "page" / "test" / "golden"
KNOWN = {"https://web.dev/cross-origin-isolation-guide/"}  # in a message of ONNX Runtime


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Return a built page that is quick to unpack."""
    folder = tmp_path / "page"
    (folder / "ort").mkdir(parents=True)
    shutil.copyfile(PAGE / "index.html", folder / "index.html")
    (folder / "worker.js").write_text("export {};")
    (folder / "ort" / "runtime.wasm.xz").write_bytes(lzma.compress(b"wasm" * 1000))
    (folder / "ort" / "sums.json").write_text("{}")
    return folder


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_site_holds_the_page_the_model_and_the_runtime_unpacked(tmp_path, page):
    site = write_static_site("nano", tmp_path / "site", page=page)
    model = {"model/config.json", "model/model.onnx", "model/model.safetensors"}
    assert files_of(site) == {"README.txt", "index.html", "worker.js", "ort/runtime.wasm", *model}
    assert (site / "ort" / "runtime.wasm").read_bytes() == b"wasm" * 1000
    shipped = find_checkpoint("nano")
    for name in ("model.onnx", "model.safetensors"):
        assert (site / "model" / name).read_bytes() == (shipped / name).read_bytes()
    assert json.loads((site / "model" / "config.json").read_text()) == describe_model(shipped)
    assert not (tmp_path / ".site.tmp").exists()


def test_the_page_of_a_site_segments_itself_and_reaches_nothing_else(tmp_path, page):
    index = (write_static_site("nano", tmp_path / "site", page=page) / "index.html").read_text()
    assert '<meta name="dinocell-backend" content="browser">' in index
    assert 'content="server"' not in index
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', index)
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "unsafe-eval'" not in policy.replace("wasm-unsafe-eval", "")
    assert not re.search(r"https?:|\*", policy)


def test_the_built_workers_name_no_other_host():
    built = [*PAGE.glob("network*.js"), PAGE / "worker.js", *PAGE.glob("ort/*.mjs")]
    assert len(built) == 5
    for path in built:
        found = set(re.findall(r"(?:https?|wss?)://[\w./-]+", path.read_text(encoding="utf-8")))
        assert not found - KNOWN, path.name


def test_the_runtime_lies_packed_in_the_package_and_whole():
    for packed in PAGE.glob("ort/*.wasm.xz"):
        with lzma.open(packed) as file:
            assert file.read(4) == b"\0asm", packed.name
    assert len(list(PAGE.glob("ort/*.wasm.xz"))) == len(list(PAGE.glob("ort/*.mjs"))) == 2


def test_the_golden_files_of_the_page_are_of_the_model_that_ships():
    golden = json.loads((GOLDENS / "samples.json").read_text(encoding="utf-8"))
    described = describe_model(find_checkpoint("nano"))
    assert golden["config"] | {"dinocell": ""} == described | {"dinocell": ""}
    assert golden["weights"] == read_config(find_checkpoint("nano")).training["weights"]


def test_numbers_that_are_fitted_to_the_weights_travel_with_the_model():
    from dinocell.inference import targets
    from dinocell.measure import confidence

    described = describe_model(find_checkpoint("nano"))
    assert described["target_choice"] == {"bright": targets.BRIGHT, "wider": targets.WIDER}
    assert described["confidence"]["intercept"] == confidence.INTERCEPT
    assert list(described["targets"]) == ["cells", "nuclei"]
    assert (described["tile_size"], described["stride"]) == (256, 32)


def test_a_site_is_replaced_only_where_that_is_asked_for(tmp_path, page):
    site = write_static_site("nano", tmp_path / "site", page=page)
    (site / "old.js").write_text("")
    with pytest.raises(OutputError, match="--overwrite"):
        write_static_site("nano", site, page=page)
    assert (site / "old.js").exists()
    write_static_site("nano", site, page=page, overwrite=True)
    assert not (site / "old.js").exists()


def test_a_folder_of_others_is_never_replaced(tmp_path, page):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="did not write"):
        write_static_site("nano", tmp_path, page=page, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path, page):
    (tmp_path / "site").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        write_static_site("nano", tmp_path / "site", page=page, overwrite=True)


def test_an_empty_folder_is_filled(tmp_path, page):
    (tmp_path / "site").mkdir()
    assert "index.html" in files_of(write_static_site("nano", tmp_path / "site", page=page))


def test_a_model_without_a_graph_is_refused(tmp_path, page):
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(find_checkpoint("nano") / name, model / name)
    with pytest.raises(CheckpointError, match=r"model\.onnx"):
        write_static_site(model, tmp_path / "site", page=page)
    assert not (tmp_path / "site").exists()


def test_damaged_weights_are_refused(tmp_path, page):
    model = tmp_path / "model"
    shutil.copytree(find_checkpoint("nano"), model)
    (model / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(CheckpointError, match="damaged"):
        write_static_site(model, tmp_path / "site", page=page)


def test_the_command_names_what_it_cannot_do(tmp_path):
    run = CliRunner().invoke
    output = ["-o", str(tmp_path / "site")]
    for options, expected in (
        (["--to", "pdf"], "expected onnx or web"),
        (["--to", "web", "--precision", "int8"], "float32 only"),
    ):
        result = run(app, ["export", "nano", *output, *options])
        assert result.exit_code != 0
        assert expected in str(result.exception) + result.output
