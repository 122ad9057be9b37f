"""The protocol between benchmarks/peers.py and the scripts of other tools, with a fake tool."""

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest

from dinocell.evaluation.baselines.script_tool import read_tool_labels

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

FAKE = f"""
import sys
sys.path.insert(0, {str(BENCHMARKS / "peers")!r})
import numpy as np
from peer_job import run_part

class Fake:
    packages = ("numpy",)

    def __init__(self, options, threads):
        self.factor = options.get("factor", 1)

    def predict(self, image):
        return [image * self.factor]

    def derive(self, labels):
        return {{"flipped": labels[::-1]}}

    def postprocess(self, ideal):
        return ideal["flipped"][::-1]

run_part(Fake)
"""


@pytest.fixture
def peers(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import peers

    return peers


@pytest.fixture
def task(peers, tmp_path):
    """Post-processing of a fake tool on two cells."""
    script = tmp_path / "fake.py"
    script.write_text(FAKE, encoding="utf-8")
    folder = tmp_path / "job"
    folder.mkdir()
    labels = np.repeat([[0, 1, 1, 0, 2]], 6, axis=0).astype(np.int32)
    np.save(folder / "image.npy", (labels * 90).astype(np.uint8))
    np.save(folder / "labels.npy", labels)
    return peers.Task(peers.Peer("fake", str(script.with_suffix(""))), peers.POST, "two cells", folder)


OPTIONS = argparse.Namespace(threads=1, timeout=120, once_above=60, environments=Path())


def test_cells_that_were_derived_come_back_and_are_measured(peers, task):
    peers.measure(task, OPTIONS)
    assert task.failure == ""
    (run,) = task.runs
    assert run["ap"] == {"0.5": 1.0, "0.75": 1.0}
    assert run["cells"] == 2
    assert run["peak_mib"] >= run["before_mib"] > 0
    assert run["versions"] == {"numpy": np.__version__}
    labels = np.load(task.folder / "labels.npy")
    assert np.array_equal(read_tool_labels(task.folder, "labels", labels.shape), labels)


def test_the_shape_of_what_a_network_gives_is_reported(peers, task):
    measured = peers.run_part(task, peers.NETWORK, OPTIONS)
    assert measured["output"] == "(6, 5)"
    assert measured["seconds"] > 0


def test_a_network_that_gives_no_numbers_fails_with_the_reason(peers, task):
    broken = peers.Peer("fake", task.peer.script, options={"factor": float("inf")})
    task = peers.Task(broken, peers.NETWORK, "two cells", task.folder)
    peers.measure(task, OPTIONS)
    assert "not finite" in task.failure
    assert task.runs == []


def test_a_tool_without_environment_names_the_command_that_creates_it(peers, task):
    absent = peers.Peer("fake", task.peer.script, environment="stardist")
    task = peers.Task(absent, peers.NETWORK, "two cells", task.folder)
    assert peers.run_part(task, peers.NETWORK, OPTIONS) == {}
    assert "--prepare" in task.failure
    assert sys.executable not in task.failure
