"""A command chooses an engine, and a run that goes on keeps the one that it began with."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from dinocell.cli import app
from dinocell.inference import fast
from dinocell.inference.fast import FastChoice, Way
from dinocell.io.saving import write_image
from tests.cases import disk


@pytest.fixture
def images(tmp_path):
    """Write two images of three bright disks."""
    folder = tmp_path / "images"
    folder.mkdir()
    image = np.full((128, 128), 20, np.uint8)
    for centre in ((30, 30), (30, 90), (90, 60)):
        image[disk(image.shape, centre, 12)] = 200
    for name in ("a.png", "b.png"):
        write_image(folder / name, image)
    return folder


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.exception
    return result.output


def engines(folder):
    """Read engine and precision of each result by its image."""
    records = [json.loads(file.read_text()) for file in folder.glob("*_provenance.json")]
    used = [(one["result"]["engine"], one["result"]["precision"]) for one in records]
    return dict(zip((one["provenance"]["source"]["name"][0] for one in records), used, strict=True))


def test_a_batch_that_goes_on_keeps_its_engine(images, tmp_path):
    output = tmp_path / "results"
    run("segment", images / "a.png", "-o", output, "--device", "cpu", "--engine", "torch")
    run("segment", images, "-o", output, "--device", "cpu")
    assert engines(output) == {"a": ("torch", "float32"), "b": ("torch", "float32")}
    run("segment", images, "-o", output, "--device", "cpu", "--overwrite")
    assert engines(output) == {"a": ("onnx", "float32"), "b": ("onnx", "float32")}


def test_another_engine_can_be_asked_for(images, tmp_path):
    output = tmp_path / "results"
    run("segment", images / "a.png", "-o", output, "--device", "cpu", "--engine", "torch")
    run("segment", images, "-o", output, "--device", "cpu", "--engine", "onnx")
    assert engines(output) == {"a": ("torch", "float32"), "b": ("onnx", "float32")}


@pytest.mark.slow
def test_workers_keep_the_engine_too(images, tmp_path):
    output = tmp_path / "results"
    run("segment", images / "a.png", "-o", output, "--device", "cpu", "--engine", "torch")
    run("segment", images, "-o", output, "--device", "cpu", "--workers", "1")
    assert engines(output) == {"a": ("torch", "float32"), "b": ("torch", "float32")}


def test_an_engine_that_is_gone_is_named_with_the_way_on(images, tmp_path, monkeypatch):
    output = tmp_path / "results"
    run("segment", images / "a.png", "-o", output, "--device", "cpu", "--engine", "torch")
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    result = CliRunner().invoke(app, ["segment", str(images), "-o", str(output)])
    assert "made with engine torch in float32; to go on with another, name one with" in str(result.exception)
    run("segment", images, "-o", output, "--engine", "onnx")
    assert engines(output)["b"] == ("onnx", "float32")


def test_a_large_image_keeps_its_engine(images, tmp_path):
    pytest.importorskip("zarr")
    output = tmp_path / "labels.zarr"
    command = ("segment-large", images / "a.png", "-o", output, "--device", "cpu", "--format", "none")
    run(*command, "--engine", "torch", "--keep-map")
    made = json.loads((output / "zarr.json").read_text())["attributes"]["dinocell"]
    assert (made["engine"], made["precision"]) == ("torch", "float32")
    shutil.rmtree(output)
    run(*command, "--min-size", "5")  # on the map that was kept
    made = json.loads((output / "zarr.json").read_text())["attributes"]["dinocell"]
    assert made["engine"] == "torch"


def test_fast_says_what_it_takes_and_records_it(images, tmp_path, monkeypatch):
    usual, faster = Way("onnx", "float32", 1.0, 0.8), Way("torch", "bfloat16", 0.5, 0.8)
    choice = FastChoice(faster, usual, (usual, faster))
    monkeypatch.setattr(fast, "find_fastest", lambda name, device: choice)
    output = tmp_path / "results"
    said = run("segment", images / "a.png", "-o", output, "--device", "cpu", "--fast")
    assert "fast: torch bfloat16, 2.0 times as fast as onnx float32" in said
    assert engines(output) == {"a": ("torch", "bfloat16")}


@pytest.mark.parametrize("option", [("--engine", "onnx"), ("--precision", "float32"), ("--compile",)])
def test_fast_and_a_choice_contradict_each_other(images, tmp_path, option):
    result = CliRunner().invoke(app, ["segment", str(images), "-o", str(tmp_path / "o"), "--fast", *option])
    assert f"so {option[0]} has nothing to choose" in str(result.exception)


def test_workers_may_be_left_to_the_machine(images, tmp_path, monkeypatch):
    monkeypatch.setattr("dinocell.workers.automatic.thread_count", lambda: 4)
    said = run("segment", images, "-o", tmp_path / "results", "--workers", "auto")
    assert "workers: this process alone" in said
    assert engines(tmp_path / "results").keys() == {"a", "b"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--workers", "none"), "--workers is 'none', expected a number from 1, or auto"),
        (("--workers", "0"), "--workers is '0', expected a number from 1, or auto"),
        (("--workers", "auto", "--scheduler", "tcp://here:1"), "are both given, expected one"),
    ],
)
def test_workers_that_cannot_be_are_refused(images, tmp_path, options, message):
    result = CliRunner().invoke(app, ["segment", str(images), "-o", str(tmp_path / "o"), *options])
    assert message in str(result.exception)
