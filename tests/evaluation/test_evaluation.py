from pathlib import Path

import numpy as np
import pytest

from dinocell.datasets.folder import Pair, find_pairs
from dinocell.errors import FileFormatError, FileMissingError, InputError
from dinocell.evaluation.predictions import check_distinct_files, prediction_path, read_prediction
from dinocell.evaluation.run import EvaluationRun
from dinocell.evaluation.scoring import evaluate_items
from dinocell.evaluation.search import search_thresholds
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.io.saving import write_image, write_labels
from dinocell.metrics.pooling import pool
from dinocell.metrics.scores import evaluate
from dinocell.postprocess.distance import labels_to_distance
from dinocell.postprocess.thresholds import Thresholds
from dinocell.postprocess.watershed import distance_to_labels
from tests.cases import CASES, disk


@pytest.fixture
def folder(tmp_path):
    labels = np.zeros((128, 160), np.int32)
    for number, centre in enumerate([(30, 30), (40, 100), (90, 60), (95, 130)], start=1):
        labels[disk(labels.shape, centre, 13)] = number
    image = (50 + 130 * (labels > 0)).astype(np.uint8)
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}_img.png", image)
        write_labels(tmp_path / f"{name}_masks.tif", labels)
    return tmp_path


def test_scores_are_those_of_the_pipeline_and_the_upper_bound_is_above(folder):
    pipeline = DINOCellPipeline("nano", device="cpu")
    results = list(evaluate_items(pipeline, find_pairs(folder)))
    assert [result.name for result in results] == ["a", "b"]
    scores, bound = pool(r.scores for r in results), pool(r.upper_bound for r in results)
    assert scores.counts.true_cells == 8
    assert bound.ap[0.5] == 1.0
    assert 0 < scores.seg <= 1
    nothing = pool(r.scores for r in evaluate_items(pipeline, find_pairs(folder), cells_max_threshold=1.0))
    assert (nothing.seg, nothing.counts.predicted_cells) == (0.0, 0)


class Named:
    files = ()
    split_components = None

    def __init__(self, name):
        self.name = name


def test_images_whose_label_files_would_be_one_are_refused():
    check_distinct_files([Named("01/t000"), Named("02/t000")])
    with pytest.raises(InputError, match="'x/y' and 'x_y' would have the same label file"):
        check_distinct_files([Named("x/y"), Named("x_y")])
    assert prediction_path(Path("out"), Named("../x")).parent == Path("out")


def test_several_predictions_of_an_image_are_refused(folder):
    item = find_pairs(folder)[0]
    out = folder / "out"
    out.mkdir()
    for name in ("a_labels.tif", "a_masks.tif"):
        write_labels(out / name, item.read().labels)
    with pytest.raises(FileFormatError, match=r"several label images of a \(a_labels\.tif, a_masks\.tif\)"):
        read_prediction(out, item)
    (out / "a_labels.tif").unlink()
    assert np.array_equal(read_prediction(out, item).labels, item.read().labels)
    (out / "a_masks.tif").unlink()
    np.save(out / "a.npy", item.read().labels)
    assert np.array_equal(read_prediction(out, item).labels, item.read().labels)
    np.save(out / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(FileFormatError, match=r"a\.npy is not a complete array of plain numbers"):
        read_prediction(out, item)


def test_results_named_as_the_cell_tracking_challenge_does_are_found(tmp_path):
    labels = np.eye(6, dtype=np.int32)
    (tmp_path / "02_RES").mkdir()
    write_labels(tmp_path / "02_RES" / "mask007.tif", labels)
    assert np.array_equal(read_prediction(tmp_path, Named("02/t007")).labels, labels)
    with pytest.raises(FileMissingError, match="01_RES/mask007"):
        read_prediction(tmp_path, Named("01/t007"))


def test_the_search_finds_the_thresholds_that_score_best():
    perfect = [(CASES[name], labels_to_distance(CASES[name])) for name in ("elongated", "split", "many")]
    grid = {
        "cells_max_threshold": (0.47,),
        "merge": (0.5, 1.0),
        "cell_fill_threshold": (0.02, 0.3),
        "regrow": (False,),
    }
    start = Thresholds(cell_fill_threshold=0.3, merge=1.0)
    coarse = {"merge": (0.5, 1.0)}
    points = list(search_thresholds([perfect[:2], perfect[2:]], coarse=coarse, fine=grid, start=start))
    best = max(points, key=lambda point: point.objective)
    # On perfect maps a low mask threshold keeps the boundary.
    assert best.thresholds.cell_fill_threshold == 0.02
    assert best.objective == pytest.approx(np.mean([best.ap50, best.ap75]))
    assert points[0].thresholds == start
    assert len({point.thresholds for point in points}) == len(points)  # nothing is scored twice
    labels, distance = perfect[2]
    direct = evaluate(labels, distance_to_labels(distance, thresholds=best.thresholds))
    assert best.ap75[1] == pytest.approx(direct.ap[0.75])


def test_labels_named_with_the_ome_of_their_image_are_found(tmp_path):
    labels = np.zeros((16, 16), np.int32)
    labels[2:6, 2:6] = 1
    write_labels(tmp_path / "b.ome_cp_masks.tif", labels)
    item = Pair("b", tmp_path / "b.ome.tif", tmp_path / "true.tif")
    np.testing.assert_array_equal(read_prediction(tmp_path, item).labels, labels)


def test_the_thresholds_of_a_pipeline_are_those_that_are_scored(folder):
    strict = DINOCellPipeline("nano", device="cpu", cells_max_threshold=1.0)  # no marker, so no cell
    run = EvaluationRun({"data": find_pairs(folder)})
    list(run.score_model(strict))
    for results in (run.results["data"], list(evaluate_items(strict, find_pairs(folder)))):
        assert pool(result.scores for result in results).counts.predicted_cells == 0
