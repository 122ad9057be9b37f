import importlib.metadata
import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from dinocell import doctor
from dinocell.cli import app
from dinocell.machine import memory_bytes, processor_name, thread_count


def findings(*arguments):
    result = CliRunner().invoke(app, ["doctor", "--json", *arguments])
    lines = [json.loads(line) for line in result.output.splitlines()]
    return result.exit_code, {line["topic"]: line for line in lines}


def test_this_installation_is_well(export_cache):
    code, found = findings()
    assert code == 0
    assert not any(line["broken"] for line in found.values())
    assert "16 of 16" in found["trial"]["text"]
    assert f"onnxruntime {importlib.metadata.version('onnxruntime')}" in found["packages"]["text"]
    assert found["extra io"] == {"topic": "extra io", "text": "installed", "advice": "", "broken": False}
    assert "extra dev" not in found
    assert found["model nano"]["text"].startswith("trained for cells and nuclei, ")
    assert str(export_cache) in found["exports in"]["text"]


def test_the_report_for_people_has_a_line_a_topic_and_ends_with_the_verdict():
    result = CliRunner().invoke(app, ["doctor"])
    lines = result.output.splitlines()
    assert result.exit_code == 0
    assert lines[-1] == "all is well"
    assert any(line.startswith("memory") for line in lines)


@pytest.fixture
def pretend(monkeypatch):
    """Change what is installed, as importlib.metadata reports it: a version, or None for not installed."""

    def change(**packages):
        real = importlib.metadata.version

        def version(name):
            if name in packages:
                if packages[name] is None:
                    raise importlib.metadata.PackageNotFoundError(name)
                return packages[name]
            return real(name)

        monkeypatch.setattr(importlib.metadata, "version", version)

    return change


def test_a_missing_and_an_old_package_are_named_with_what_to_install(pretend):
    pretend(edt=None, numpy="1.20.0")
    code, found = findings()
    assert code == 1
    first = next(line for line in doctor.examine() if line.topic == "packages")
    assert first.broken
    assert "edt is missing" in first.text
    assert "numpy is 1.20.0, expected >=1.26" in first.text
    assert '"edt>=2.4"' in first.advice
    assert found["trial"]["broken"] is False  # what is there still works


def test_a_missing_extra_breaks_nothing_and_says_how_to_get_it(pretend):
    pretend(zarr=None)
    code, found = findings()
    assert code == 0
    assert found["extra io"]["text"] == "zarr is missing"
    assert found["extra io"]["advice"] == 'optional: pip install "dinocell[io]"'


def test_weights_of_the_cache_are_found(tmp_path, monkeypatch):
    from huggingface_hub import constants

    folder = tmp_path / "models--timm--vit_small_patch16_dinov3_qkvb.lvd1689m"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    _, found = findings()
    assert "small, small-plus" in found["other models"]["text"]
    assert "dinocell download" in found["other models"]["advice"]
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "snapshots" / "abc" / "model.safetensors").touch()
    _, found = findings()
    assert str(folder) in found["model small"]["text"]
    assert found["other models"]["text"].startswith("dinov2-small, small-plus, ")


def test_a_model_that_finds_other_cells_is_broken(monkeypatch):
    image, _ = doctor.draw_cells()
    monkeypatch.setattr(doctor, "draw_cells", lambda: (image, 17))
    code, found = findings()
    assert code == 1
    assert "16 of 17" in found["trial"]["text"]
    assert found["trial"]["broken"]


def test_the_drawn_image_has_that_many_cells():
    from scipy import ndimage

    image, cells = doctor.draw_cells()
    assert ndimage.label(image > 100)[1] == cells


@pytest.mark.parametrize(
    ("chosen", "threads"), [("3", 3), ("2,1", 2), ("0", None), ("all", None), ("", None)]
)
def test_threads_are_those_of_openmp_or_all(chosen, threads, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    every = thread_count()
    assert 1 <= every <= os.cpu_count()
    monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    assert thread_count() == (threads or every)


def test_the_machine_has_a_name_and_memory():
    assert processor_name()
    size, free = memory_bytes()
    assert size is None or free is None or 0 < free <= size


def test_a_checkout_that_was_never_installed_is_looked_at_too(monkeypatch):
    def not_found(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", not_found)
    found = {line.topic: line for line in doctor.examine()}
    assert "not installed" in found["packages"].text
    assert not any(line.broken for line in found.values())


def test_a_torch_that_cannot_be_loaded_is_a_finding():
    script = (
        "import sys; sys.modules['torch'] = None; from dinocell.cli import app; app(['doctor', '--json'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    found = {line["topic"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0, done.stderr
    assert "with ONNX Runtime" in found["device"]["text"]
    assert "--force-reinstall torch" in found["torch"]["advice"]
    assert "16 of 16" in found["trial"]["text"]


def test_a_damaged_download_ends_nothing(tmp_path, monkeypatch):
    from huggingface_hub import constants

    snapshot = tmp_path / "models--timm--vit_small_patch16_dinov3_qkvb.lvd1689m"
    (snapshot / "refs").mkdir(parents=True)
    (snapshot / "refs" / "main").write_text("abc")
    (snapshot / "snapshots" / "abc").mkdir(parents=True)
    (snapshot / "snapshots" / "abc" / "model.safetensors.index.json").write_text("{")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    code, found = findings()
    assert code == 0
    assert "is damaged" in found["model small"]["text"]
    assert "trial" in found
