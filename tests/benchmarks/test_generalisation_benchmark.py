"""The numbers of benchmarks/generalisation.py on cells of which all is known."""

import argparse
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label

from dinocell.io.saving import write_labels
from dinocell.labels import IGNORE
from dinocell.results.label_images import write_label_png

MODULES = ("resampling", "robustness", "generalisation_tables", "generalisation")


@pytest.fixture(scope="module")
def benchmark() -> Iterator[Any]:
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    finally:
        sys.path.pop(0)
        for name in MODULES:
            sys.modules.pop(name, None)


counts_of_images = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)).map(
        lambda count: [min(count), count[1], count[2]]
    ),
    min_size=1,
    max_size=6,
)


def test_average_precision_by_hand(benchmark: Any) -> None:
    assert benchmark.resampling.average_precision([[3, 5, 4], [0, 2, 0]]).tolist() == [0.5, 0.0]
    assert np.isnan(benchmark.resampling.average_precision([0, 0, 0]))


@settings(max_examples=8)
@given(counts=counts_of_images)
def test_a_model_does_not_differ_from_itself(benchmark: Any, counts: dict[str, list[int]]) -> None:
    found = benchmark.resampling.difference({"val/a": counts}, {"val/a": counts})
    numbers = np.array([found.value, found.low, found.high])
    assert np.all((numbers == 0) | np.isnan(numbers))


def test_a_difference_is_paired_by_image(benchmark: Any) -> None:
    # Images differ by far more than models: only on the same draws is the small gain certain.
    theirs = {f"{n}": [10 * n, 100, 100] for n in range(10)}
    ours = {name: [matched + 2, 100, 100] for name, (matched, *_) in theirs.items()}
    found = benchmark.resampling.difference({"val/a": ours}, {"val/a": theirs})
    alone = benchmark.resampling.estimate({"val/a": ours})
    assert 0 < found.low < found.value < found.high < 0.05 < alone.high - alone.low


def test_the_mean_is_over_sets_and_their_common_images(benchmark: Any) -> None:
    ours = {"val/a": {"1": [1, 1, 1], "2": [0, 1, 0]}, "val/b": {"1": [1, 2, 1]}, "val/c": {"1": [0, 1, 0]}}
    theirs = {"val/a": {"1": [0, 1, 0]}, "val/b": {"1": [0, 2, 0]}}
    assert benchmark.resampling.estimate(ours).value == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert benchmark.resampling.difference(ours, theirs).value == pytest.approx((1 + 0.5) / 2)


def draw_cells() -> tuple[np.ndarray, np.ndarray]:
    image = np.zeros((96, 80), np.uint8)
    for top, left in ((4, 4), (40, 10), (60, 50), (8, 48)):
        image[top : top + 20, left : left + 20] = 128
    return image, label(image > 0).astype(np.int32)


def find_gray(image: np.ndarray) -> np.ndarray:
    return label((image > 64) & (image < 192)).astype(np.int32)  # neither black nor white


def test_what_finds_all_cells_bears_all_changes(benchmark: Any) -> None:
    image, labels = draw_cells()
    outcomes = list(benchmark.robustness.measure(find_gray, image, labels, 20.0, 96 * 4))
    assert [each.change for each in outcomes] == [
        "black border", "white border", "mirrored border", "inverted", "0.5×", "2×", "3×", "4×",
    ]  # fmt: skip
    assert all(each.before[0] == each.after[0] == each.after[1] == each.after[2] == 4 for each in outcomes)


def test_a_border_that_takes_cells_away_is_noticed(benchmark: Any) -> None:
    image, labels = draw_cells()

    def disturbed(given: np.ndarray) -> np.ndarray:
        return find_gray(given) * bool(given[0, 0] == image[0, 0])  # nothing beside white

    borders = {e.change: e.after for e in benchmark.robustness.measure(disturbed, image, labels, 20.0, 96)}
    assert borders["white border"] == [0, 4, 0]
    assert borders["black border"] == [4, 4, 4]


def test_sizes_stay_between_8_and_250(benchmark: Any) -> None:
    assert benchmark.robustness.scales_for(110) == [0.25, 0.5, 2.0]
    assert benchmark.robustness.scales_for(16) == [0.5, 2.0, 3.0, 4.0]


def test_cut_cells_are_ignored(benchmark: Any) -> None:
    labels = np.zeros((6, 6), np.int32)
    labels[0:2, 2:4], labels[3:5, 3:5] = 1, 2
    left = benchmark.generalisation.without_cut_cells(labels)
    assert (left[labels == 1] == IGNORE).all()
    assert (left[labels == 2] == 2).all()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    image, labels = draw_cells()
    for name in ("val/gray_cells", "zeroshot/gray_nuclei"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for number in range(5):
            write_label_png(folder / f"{number}_img.png", image)
            write_label_png(folder / f"{number}_masks.png", labels)
            found = np.where(labels > min(number, 2), labels, 0)  # the first ones are missed
            target = tmp_path / "labels" / folder.name
            target.mkdir(parents=True, exist_ok=True)
            write_labels(target / f"{number}.tif", found.astype(np.int32))
    return tmp_path


def test_labels_of_another_tool_are_scored(benchmark: Any, data: Path) -> None:
    options = argparse.Namespace(
        labels=data / "labels", model=None, parts=["table", "robustness"], data=data / "data",
        overlays=data / "pictures", output=data / "out.json",
    )  # fmt: skip
    benchmark.generalisation.run(options)
    result = json.loads((data / "out.json").read_text())
    assert "robustness" not in result
    *lines, verdict = benchmark.generalisation_tables.score_table(result, result)
    # Of 4 cells in each of 5 images, 4, 3, 2, 2 and 2 are found.
    assert [line.split("|")[4].split()[0].strip("*") for line in lines[2:]] == ["0.650"] * 4
    assert verdict.endswith(": no set.")
    assert sorted(path.name for path in (data / "pictures").iterdir()) == [
        "gray_cells_0.500.png",
        "gray_nuclei_0.500.png",
    ]


def test_only_sets_with_enough_images_have_a_veto(benchmark: Any) -> None:
    def result(matched: int) -> dict[str, Any]:
        row = {"true_positives": [matched], "true_cells": 9, "predicted_cells": 9}
        sets = {"val/small": 4, "val/large": 5}
        return {
            "model": "old",
            "table": {
                name: {f"{n}": {"default": row, "upper_bound": [9, 9, 9]} for n in range(images)}
                for name, images in sets.items()
            },
        }

    *lines, verdict = benchmark.generalisation_tables.score_table(result(3), result(6))
    assert verdict == "\nWorse than old: val/large."
    assert any(line.startswith("| val/small †") and "-0.300" in line for line in lines)


def test_small_sets_are_not_in_the_means_of_robustness(benchmark: Any) -> None:
    def rows(stayed: int, images: int) -> dict[str, Any]:
        changes = {
            "black border": [[9, 9, 9], [stayed, 10, 10]],
            "white border": [[9, 9, 9], [10, 10, 10]],
            "2×": [[10, 10, 10], [5, 5, 10]],
        }
        return {"diameter": 20.0, "images_of_set": images, "images": {"1": changes}}

    result = {"robustness": {"val/small": rows(0, 4), "val/large": rows(5, 5)}}
    *lines, borders = benchmark.generalisation_tables.robustness_table(result, None)
    assert lines[2].startswith("| val/small † | 20 | 1 of 4 | 0.00 | 1.00 | -0.50 |")
    assert lines[-2] == "| **mean** | | | 0.33 | 1.00 | -0.50 |"
    assert borders == "\nAll borders: mean 0.67, worst 0.33."
