"""Scores, thresholds and settings of a model that has a map for cells and another for nuclei."""

import json

import numpy as np
import pytest

from dinocell.datasets.folder import find_items, find_pairs
from dinocell.datasets.process import ProcessSettings, process
from dinocell.datasets.store import find_items as find_stored
from dinocell.errors import InputError
from dinocell.evaluation.output import write_thresholds
from dinocell.evaluation.run import EvaluationRun
from dinocell.evaluation.scoring import evaluate_items, pool_results
from dinocell.evaluation.tables import image_rows
from dinocell.evaluation.tuning import TuneResult, tune
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.io.saving import write_image, write_labels
from dinocell.labels import TARGETS
from dinocell.models.checkpoint import read_config
from tests.cases import disk
from tests.fakes.two_targets import LOOSE, bright_and_dark

LABELS = np.zeros((64, 80), np.int32)
for number, centre in enumerate([(16, 16), (18, 58), (46, 30), (45, 62)], start=1):
    LABELS[disk(LABELS.shape, centre, 9)] = number


def write_images(folder, *, bright):
    """Write two images of disks, which are bright or dark."""
    folder.mkdir()
    for name, level in (("a", 150), ("b", 120)):
        image = np.where((LABELS > 0) == bright, 40 + level, 40).astype(np.uint8)
        write_image(folder / f"{name}_img.png", image)
        write_labels(folder / f"{name}_masks.tif", LABELS)
    return folder


@pytest.fixture
def bright(tmp_path):
    return write_images(tmp_path / "bright", bright=True)


@pytest.fixture
def dark(tmp_path):
    return write_images(tmp_path / "dark", bright=False)


@pytest.fixture(scope="module")
def pipeline():
    return DINOCellPipeline(bright_and_dark(), device="cpu")


def ap50(results):
    return pool_results(list(results)).ap[0.5]


@pytest.mark.parametrize("stored", [False, True])
def test_the_map_of_the_target_is_scored(stored, bright, dark, pipeline, tmp_path):
    for folder, fits, fails in ((bright, "cells", "nuclei"), (dark, "nuclei", "cells")):
        items = find_pairs(folder)
        if stored:
            settings = ProcessSettings("folder", whole=True, preprocessing=pipeline.predictor.preprocessing)
            list(process(items, tmp_path / f"{fits}_store", settings, workers=0))
            items = find_stored(tmp_path / f"{fits}_store")
        for target, score in ((fits, 1.0), (fails, 0.0)):
            results = list(evaluate_items(pipeline, items, target=target))
            assert {result.target for result in results} == {target}
            assert ap50(results) == score
        for item, result in zip(items, evaluate_items(pipeline, items), strict=True):
            (same,) = evaluate_items(pipeline, [item], target=result.target)  # whichever was chosen
            assert (same.scores, same.upper_bound) == (result.scores, result.upper_bound)


def test_images_of_which_another_target_was_outlined_are_counted(bright, dark):
    pipeline = DINOCellPipeline(bright_and_dark(), device="cpu", target="nuclei")
    run = EvaluationRun({"b": find_pairs(bright), "d": find_pairs(dark)}, {"d": "nuclei"})
    list(run.score_model(pipeline))
    assert run.notes == [
        "b annotates cells, but nuclei were outlined in 2 of its 2 images (see --target and --annotates)"
    ]
    assert {row["target"] for row in image_rows(run.results)} == {"nuclei"}


@pytest.mark.slow
def test_thresholds_are_searched_and_written_for_the_target_of_the_data(bright, dark, pipeline, tmp_path):
    checkpoint = pipeline.model.save_pretrained(tmp_path / "model")
    for name, folder, target in (("b", bright, "cells"), ("d", dark, "nuclei")):
        before = read_config(checkpoint)
        run = EvaluationRun({name: find_pairs(folder)}, {name: target})
        list(run.search(pipeline, workers=0))
        assert run.points[0].objective == 1.0
        assert run.notes == [
            f"the thresholds were searched for {target}, and {target} are outlined with them"
        ]
        list(run.score_model(pipeline))
        assert {result.target for result in run.results[name]} == {target}
        write_thresholds(run, checkpoint)
        after = read_config(checkpoint)
        other = next(each for each in TARGETS if each != target)
        assert after.targets[target].thresholds == run.points[0].thresholds
        assert after.targets[other] == before.targets[other]
    chosen_on = after.training["thresholds_chosen_on"]
    assert {target: list(named) for target, named in chosen_on.items()} == {"cells": ["b"], "nuclei": ["d"]}
    # Another folder of the same labels is no test.
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    pipeline.model.config = pipeline.model.config.model_copy(update={"training": config["training"]})
    run = EvaluationRun({"x": find_pairs(bright)})
    list(run.score_model(DINOCellPipeline(pipeline.model, device="cpu", target="cells")))
    assert run.notes == [
        "the model's thresholds were chosen on 2 of the 2 images of x: "
        "this is validation, not a test, and the scores are too good"
    ]


def test_thresholds_are_not_searched_for_two_targets_at_once(bright, dark, pipeline):
    run = EvaluationRun({"b": find_pairs(bright), "d": find_pairs(dark)}, {"d": "nuclei"})
    with pytest.raises(InputError, match="b annotates cells and d annotates nuclei, expected one target"):
        list(run.search(pipeline, workers=0))


def tuned(pipeline, folder, target=None):
    *_, result = tune(pipeline, find_items(folder), target=target)
    assert isinstance(result, TuneResult)
    return result


@pytest.mark.slow
def test_tuning_finds_the_target_or_heeds_it(bright, dark, pipeline):
    for folder, target in ((bright, "cells"), (dark, "nuclei")):
        found = tuned(pipeline, folder)
        assert (found.best.target, found.after.ap[0.5]) == (target, 1.0)
    # The model's own thresholds are as good as any, so they are kept: those of the target.
    assert found.best.thresholds == LOOSE
    forced = tuned(pipeline, dark, "cells")
    assert (forced.best.target, forced.after.ap[0.5]) == ("cells", 0.0)
    untouched = [pipeline.run(item.read().pixels).labels.max() for item in find_items(dark)]
    assert found.before.counts.predicted_cells == forced.before.counts.predicted_cells == sum(untouched)


@pytest.mark.slow
def test_a_scale_is_tried_where_all_targets_know_their_diameters(dark):
    model = bright_and_dark(diameter_range=(36, 40))
    found = tuned(DINOCellPipeline(model, device="cpu"), dark)
    assert found.best.target == "nuclei"
    assert found.best.scale == 1  # the image as it is comes first among equals
    assert found.diameter is None
