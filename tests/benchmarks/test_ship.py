"""Artefacts that benchmarks/ship.py writes, all of the weights that ship."""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from dinocell.metrics.counts import count_cells
from dinocell.models.configuration import TargetSettings
from dinocell.postprocess.thresholds import Thresholds

ROOT = Path(__file__).parents[2]
PAGE = """# Page

<!-- nano 0a: scores -->

| old |

<!-- end -->
<!-- nano 0a: measured -->

| by hand |

<!-- end -->
"""


def imported(name: str) -> Iterator[ModuleType]:
    """Import a script of benchmarks/, and forget the place afterwards."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        yield importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def pages() -> Iterator[ModuleType]:
    yield from imported("ship_pages")


@pytest.fixture(scope="module")
def card() -> Iterator[ModuleType]:
    yield from imported("ship_card")


def test_every_artefact_is_of_the_weights_that_ship(pages: ModuleType) -> None:
    shipped = pages.shipped_weights()
    stale = {name: weights for name, weights in pages.recorded().items() if weights != shipped}
    assert not stale, f"made with other weights than {shipped}: run make ship MODEL=RUN"


def test_what_is_recorded_is_found(pages: ModuleType) -> None:
    names = " ".join(pages.recorded())
    for part in ("README.md: scores", "trust.md: confidence", "models.md: scores", "nano/README.md: data",
                 "NOTICE.md: data", "result.png", "calibration.png", "Tutorial.ipynb", "confidence.py",
                 "config.json"):  # fmt: skip
        assert part in names


def test_every_picture_of_the_documentation_is_drawn(pages: ModuleType) -> None:
    for pictures in imported("ship_pictures"):
        names = {
            *(f"effect_{name}" for name in pictures.EFFECTS),
            *(f"failure_{n}" for n in pictures.FAILURES),
        }
        assert {path.stem for path in pages.DRAWN} == {"result", *names}


def test_a_block_is_replaced_and_nothing_else(pages: ModuleType) -> None:
    new = pages.replace_block(PAGE, "scores", ["| new |"], "1b")
    assert new == PAGE.replace("0a: scores", "1b: scores").replace("| old |", "| new |")
    assert pages.replace_block(new, "scores", ["| new |"], "1b") == new
    with pytest.raises(ValueError, match="'other' is there 0 times"):
        pages.replace_block(PAGE, "other", [], "1b")


def test_what_was_measured_with_other_weights_says_so_until_it_is_measured_again(pages: ModuleType) -> None:
    stale = pages.mark_stale(PAGE, "1b")
    assert stale == PAGE.replace("| by hand |", f"{pages.EARLIER}\n\n| by hand |")
    assert pages.mark_stale(stale, "1b") == stale
    assert pages.mark_stale(stale.replace("0a: measured", "1b: measured"), "1b") == PAGE.replace(
        "0a: measured", "1b: measured"
    )


def test_constants_are_written_where_they_are(pages: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "confidence.py"
    before = pages.CONFIDENCE.read_text(encoding="utf-8")
    file.write_text(before, encoding="utf-8")
    weights = {"agreement_weight": 2, "spill_weight": -3, "saddle_weight": 0.5}
    pages.write_constants(file, "0b", intercept=1.23, low_mean=0.7, **weights)
    after: dict[str, object] = {}
    exec(compile(file.read_text(encoding="utf-8"), file.name, "exec"), after)  # noqa: S102 (our own)
    assert after["FITTED_WITH"] == "0b"
    assert after["INTERCEPT"] == 1.23
    assert (after["AGREEMENT_WEIGHT"], after["SPILL_WEIGHT"], after["SADDLE_WEIGHT"]) == (2, -3, 0.5)
    assert after["LOW_MEAN"] == 0.7
    assert len(file.read_text(encoding="utf-8").splitlines()) == len(before.splitlines())
    with pytest.raises(ValueError, match="assigns OTHER 0 times"):
        pages.write_constants(file, "0b", other=1)


@pytest.fixture(scope="module")
def choice() -> Iterator[ModuleType]:
    yield from imported("ship_targets")


def weighed(correlation: float, wider: float) -> list[float]:
    """Return the sums of an image with such a correlation, and such a ratio of squares."""
    # Over 100 pixels, both grays and map have the mean 0 and the variance 1.
    return [100, 0, 100, 0, 100, 100 * correlation, 100 * wider, 0]


def test_the_choice_is_fitted_to_the_middle_of_what_fits(choice: ModuleType, monkeypatch) -> None:
    for name in ("BRIGHT", "WIDER"):
        monkeypatch.setattr(choice.targets, name, getattr(choice.targets, name))
    evidences = {
        "a_nuclei": np.array([weighed(0.9, 1.05), weighed(0.8, 1.45)]),
        "b_phase": np.array([weighed(0.6, 1.05)]),
        "c_wholecell": np.array([weighed(0.9, 2.45), weighed(0.8, 2.65)]),
    }
    bright, wider = choice.fit(evidences)
    assert 0.6 < bright < 0.8
    assert wider == pytest.approx(1.95, abs=0.4)
    choice.set_constants(bright, wider)
    assert list(choice.choice_lines(evidences))[2:] == [
        "| `a_nuclei` | nuclei | 2 of 2 |",
        "| `b_phase` | cells | 1 of 1 |",
        "| `c_wholecell` | cells | 2 of 2 |",
    ]


def test_card_and_notices_name_source_and_licence_of_every_training_set(card: ModuleType) -> None:
    config = ROOT / "src/dinocell/models/shipped/nano/config.json"
    training = json.loads(config.read_text(encoding="utf-8"))["training"]
    texts = [
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("NOTICE.md", "src/dinocell/models/shipped/nano/README.md")
    ]
    for name in training["train"]:
        source, licence = card.source_of(name)
        for text in texts:
            assert f"`{name}`" in text
            assert source in text
            assert licence in text


def test_all_annotated_sets_have_a_source_and_those_under_cc_by_their_authors(card: ModuleType) -> None:
    for name in ("aitslab_nuclei", "tnbc_histology", "c2c12_phase"):
        source, licence = card.source_of(name)
        assert "CC-BY-4.0" in licence
        assert re.search(r"Aits|Naylor|laptrack", source)
    assert card.source_of("cellbindb_cells") == card.source_of("cellbindb")
    assert "synthesize" in card.source_of("membrane")[0]


def test_scores_by_hand(card: ModuleType) -> None:
    true = np.zeros((20, 40), int)
    true[2:10, 2:10], true[2:10, 22:30] = 1, 2
    found = np.where(true == 1, 1, 0)
    row = {"default": asdict(count_cells(true, found)), "upper_bound": [2, 2, 2]}
    *_, line = card.score_lines({"bbbc039_nuclei": {"a": row, "b": row}}, "validation set")
    assert line == (
        "| BBBC039, nuclei (fluorescence) † | 2 / 4 | 0.500 | 0.500 | 0.500 | 0.500 (1.000) | 0.500 |"
    )
    assert "AP@0.5 of 0.50 to 0.50" in " ".join(card.readme_lines({"bbbc039_nuclei": {"a": row}}))


def test_thresholds_and_data_by_hand(card: ModuleType) -> None:
    settings = TargetSettings(thresholds=Thresholds(merge=0.5, regrow=True), diameter_range=(10, 60))
    *_, line = card.threshold_lines({"nuclei": settings})
    assert line == "| nuclei | 0.47 | 0.09 | 0.5 | yes | 10 to 60 |"
    *_, line = card.data_lines({"train": {"x": 1, "rbc_dic": 3}}, {"rbc_dic": (4, 1300)})
    assert line.startswith("| `rbc_dic` | 4 / 1,300 | 75% | [BBBC009]")


def test_the_recipe_is_told_by_its_record(card: ModuleType) -> None:
    training = {
        "optimiser": {"learning_rate": 2e-3, "warmup_steps": 10, "weight_decay": 0.05},
        "epochs": 3, "steps_per_epoch": 500, "seed": 7, "crop_size": 192, "batch_size": 32,
        "precision": "auto", "loss": {"kind": "mse"}, "start_from": None, "seconds": 600, "epoch": 2,
        "augmentation": {"flip": 0.5, "scale": [0.5, 2.0], "diameter": None, "empty": 0.0},
    }  # fmt: skip
    text = "\n".join(card.recipe_lines(training))
    for part in ("AdamW at 0.002", "zero at 1,500", "random weights", "10 minutes", "flip 0.5, scale 0.5–2."):
        assert part in text
    assert "None," not in text


def test_thresholds_are_those_of_the_best_mean_that_lose_little_on_val() -> None:
    for module in imported("ship_thresholds"):
        # By choice: the second has the best mean, but loses .05 on val.
        val = [{"a": [matched, 100, 100]} for matched in (90, 85, 89)]
        zeroshot = [{"a": [matched, 100, 100]} for matched in (50, 80, 60)]
        precision = [[module.set_precision(counts) for counts in scored] for scored in (val, zeroshot)]
        assert precision[0][0] - precision[0][1] > module.LOSS > precision[0][0] - precision[0][2]
        assert module.best_choice([val, zeroshot], [True, False]) == 2
        assert module.best_choice([val, zeroshot], [False, False]) == 1
        assert module.best_choice([zeroshot, zeroshot[::-1]], [True, True]) in range(3)
