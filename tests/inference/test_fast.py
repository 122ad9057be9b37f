"""The fastest way to run a model is taken only where its labels are as good."""

import json

import pytest

from dinocell.errors import UnknownModelError
from dinocell.inference import fast
from dinocell.inference.fast import FastChoice, Way, _choose, find_fastest

USUAL = Way("onnx", "float32", 1.0, 0.800)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], USUAL),
        ([Way("openvino", "float32", 0.9, 0.800)], Way("openvino", "float32", 0.9, 0.800)),
        ([Way("openvino", "float32", 0.97, 0.800)], USUAL),  # that is chance
        ([Way("openvino", "bfloat16", 0.5, 0.794)], USUAL),  # that costs labels
        ([Way("openvino", "bfloat16", 0.5, 0.796)], Way("openvino", "bfloat16", 0.5, 0.796)),
        (
            [Way("torch", "float32", 0.7, 0.9), Way("torch", "bfloat16", 0.6, 0.8)],
            Way("torch", "bfloat16", 0.6, 0.8),
        ),
    ],
)
def test_the_fastest_of_those_that_are_as_good_is_chosen(others, expected):
    assert _choose([USUAL, *others]).chosen == expected


def test_the_choice_says_what_it_brings_and_what_it_costs():
    found = FastChoice(Way("openvino", "bfloat16", 0.5, 0.796), USUAL, ())
    assert str(found) == (
        "openvino bfloat16, 2.0 times as fast as onnx float32; AP@0.5 on the samples 0.796, was 0.800"
    )
    assert found.chosen.options() == {"engine": "openvino", "precision": "bfloat16"}
    assert USUAL.options() == {"engine": "onnx"}  # results that were made without asking stay the same


def test_every_sample_is_annotated():
    images = list(fast.samples_folder().glob("*_img.png"))
    assert len(images) == 5
    assert all(image.with_name(image.name.replace("_img", "_masks")).is_file() for image in images)


def test_a_model_that_does_not_exist_is_refused():
    with pytest.raises(UnknownModelError):
        find_fastest("nanno")


@pytest.mark.slow
def test_a_machine_is_measured_once(tmp_path, monkeypatch):
    monkeypatch.setenv("DINOCELL_CACHE", str(tmp_path))
    found = find_fastest("nano", device="cpu")
    assert {way.engine for way in found.ways} >= {"onnx", "torch"}
    assert found.usual.engine == "onnx"
    assert all(way.ap > 0.5 for way in found.ways)
    monkeypatch.setattr(fast, "_measure", None)
    assert find_fastest("nano", device="cpu") == found
    (kept,) = tmp_path.glob("fast-*.json")
    kept.write_text(json.dumps([{"engine": "onnx"}]))  # damaged: measured again
    with pytest.raises(TypeError):
        find_fastest("nano", device="cpu")
