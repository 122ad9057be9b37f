"""The shipped model held to floors on the sample images, which lie in the repository."""

from pathlib import Path

import pytest

from dinocell.datasets.folder import find_pairs
from dinocell.evaluation.scoring import evaluate_items
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.metrics.pooling import pool

SAMPLES = Path(__file__).parents[2] / "samples"
SHARED = Path(__file__).parents[3] / "shared" / "data" / "val"


@pytest.fixture(scope="module")
def results():
    return {
        r.name: r.scores for r in evaluate_items(DINOCellPipeline("nano", device="cpu"), find_pairs(SAMPLES))
    }


def test_every_sample_has_true_labels(results):
    assert len(results) == 5
    assert all(scores.counts.true_cells >= 5 for scores in results.values())


@pytest.mark.parametrize(("name", "floor"), [("phase", 0.50), ("fluorescence", 0.65), ("histology", 0.42)])
def test_nano_reaches_its_floor_on_each_kind(results, name, floor):
    scores = pool(scores for key, scores in results.items() if key.startswith(name))
    assert scores.ap[0.5] >= floor
