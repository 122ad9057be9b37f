"""The examples do what they say. (tests/evaluation/test_compare.py runs the one that compares.)"""

import csv
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from dinocell.io.images import read_image, read_labels

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("sample", [None, "histology_1_img.png"])
def test_simple_inference_writes_labels_a_table_and_a_picture(sample, tmp_path, monkeypatch, capsys):
    image = [] if sample is None else [str(ROOT / "samples" / sample)]
    monkeypatch.setattr(sys, "argv", ["simple_inference.py", *image, "-o", str(tmp_path / "out")])
    runpy.run_path(str(ROOT / "examples" / "simple_inference.py"), run_name="__main__")
    stem = tmp_path / "out" / Path(sample or "phase_1_img.png").stem
    labels = read_labels(f"{stem}_labels.tif")
    with open(f"{stem}_cells.csv", encoding="utf-8", newline="") as file:  # noqa: PTH123
        rows = list(csv.DictReader(file))
    assert len(rows) == labels.max() > 0
    assert sum(int(row["area"]) for row in rows) == (labels > 0).sum()
    assert read_image(f"{stem}_overlay.png").pixels.shape == (*labels.shape, 3)
    assert f"{labels.max()} cells" in capsys.readouterr().out


def test_every_example_has_a_test():
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for example in (ROOT / "examples").glob("*.py"):
        assert example.name in tests


@pytest.mark.slow
def test_the_first_hour_ends_in_tables_and_stacks(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "first_hour.py", tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )
    shown = " ".join(done.stdout.split())
    assert "movie TYX (4, 384, 512) uint16" in shown
    assert "stack ZYX (3, 256, 256) uint16" in shown
    assert "ROIs on planes [1, 2, 3, 4]" in shown
    wells = (tmp_path / "wells_results" / "summary.csv").read_text(encoding="utf-8")
    assert "mean_intensity_DAPI,mean_intensity_GFP" in wells
