import csv
import math

import numpy as np
import pytest

from dinocell.datasets.items import AnnotatedImage
from dinocell.evaluation.scoring import pool_results, score_image
from dinocell.evaluation.tables import image_rows, summary_rows
from dinocell.postprocess.thresholds import Thresholds
from dinocell.reports.tables import write_table


class Item:
    def __init__(self, name):
        self.name, self.files = name, ()


def result(name, true, predicted, markers=None):
    annotated = AnnotatedImage(np.zeros((1, 8)), np.array([true], np.int32), markers=markers)
    return score_image(Item(name), annotated, np.array([predicted], np.int32), Thresholds())


PERFECT = result("perfect", [1, 1, 1, 0, 2, 2, 2, 0], [1, 1, 1, 0, 2, 2, 2, 0])
HALF = result("half", [1, 1, 1, 0, 2, 2, 2, 0], [1, 1, 1, 0, 0, 0, 0, 0])
EMPTY = result("empty", [0] * 8, [0] * 8)


def test_a_row_an_image_and_one_a_dataset():
    rows = image_rows({"d": [PERFECT, HALF, EMPTY]})
    assert [(row["dataset"], row["image"], row["true_cells"]) for row in rows] == [
        ("d", "perfect", 2), ("d", "half", 2), ("d", "empty", 0),
    ]  # fmt: skip
    assert rows[1]["seg"] == 0.5
    assert rows[1]["ap50"] == 0.5
    assert math.isnan(rows[2]["seg"])
    (summary,) = summary_rows({"d": [PERFECT, HALF, EMPTY]})
    assert (summary["images"], summary["images_without_cells"], summary["true_cells"]) == (3, 1, 4)
    assert summary["seg"] == 0.75  # pooled over four cells
    assert summary["mean_seg"] == 0.75  # of the two images with cells
    assert summary["ap50"] == 0.75  # 3 of 4
    assert summary["seg_low"] <= 0.75 <= summary["seg_high"]


def test_detection_comes_from_the_markers_where_there_are_some():
    # Labels annotate one cell only, the rest is ignored; the markers know two, and one is missed.
    markers = np.array([[0, 1, 0, 0, 0, 2, 0, 0]], np.int32)
    sparse = result("t000", [1, 1, 1, -1, -1, -1, -1, -1], [1, 1, 1, 0, 0, 0, 0, 0], markers)
    pooled = pool_results([sparse])
    assert pooled.seg == 1
    assert pooled.det == 0.5  # D = 10·1 of D0 = 10·2
    assert pooled.op_csb == 0.75
    (summary,) = summary_rows({"d": [sparse]})
    assert summary["det"] == 0.5
    assert "op_csb_low" not in summary


def test_undefined_scores_are_empty_cells(tmp_path):
    write_table(tmp_path / "t.csv", image_rows({"a, b": [EMPTY, HALF]}))
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert first["dataset"] == "a, b"
    assert first["seg"] == ""
    assert float(second["seg"]) == pytest.approx(0.5)
