"""Golden files that the page in the browser is held to: those that Python computes now."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from dinocell.models.checkpoint import read_config
from dinocell.models.finding import find_checkpoint

ROOT = Path(__file__).parents[2]
GOLDENS = ROOT / "page" / "test" / "golden"
SAMPLES = json.loads((GOLDENS / "samples.json").read_text(encoding="utf-8"))["samples"]


@pytest.fixture
def ship_page(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module("ship_page")
    for name in [name for name in sys.modules if name.startswith("ship_page")]:
        del sys.modules[name]


def as_read(value):
    return json.loads(json.dumps(value))


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_golden_files_are_what_python_computes_now(ship_page, name):
    golden = SAMPLES[name]
    target = golden["target"]
    thresholds = read_config(find_checkpoint("nano")).targets[target].thresholds
    computed = as_read(ship_page.computed_golden(name, thresholds, target))
    for key, value in computed.items():
        if key in ("table", "resized"):  # sums may differ in their last digits from one processor to another
            assert pytest.approx(_numbers(value), rel=1e-5, abs=1e-6) == _numbers(golden[key])
        else:
            assert value == golden[key], key


def _numbers(value):
    if isinstance(value, dict):
        return [number for each in value.values() for number in _numbers(each)]
    return [number for each in value for number in _numbers(each)] if isinstance(value, list) else [value]


@pytest.mark.slow
def test_golden_corrections_are_what_python_makes_now(ship_page):
    golden = json.loads((GOLDENS / "edits.json").read_text(encoding="utf-8"))
    for seed, (name, sequences) in enumerate(golden.items()):
        target = SAMPLES[name]["target"]
        thresholds = read_config(find_checkpoint("nano")).targets[target].thresholds
        computed = as_read(ship_page.computed_edits(seed, name, thresholds, target))
        for one, other in zip(computed, sequences, strict=True):
            assert one["steps"] == other["steps"], name


def test_files_are_read_as_the_golden_ones_say(ship_page, tmp_path):
    golden = json.loads((GOLDENS / "files.json").read_text(encoding="utf-8"))
    assert as_read(list(ship_page.write_files(tmp_path / "files"))) == golden
