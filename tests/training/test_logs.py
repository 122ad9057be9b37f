"""Logs as they are read back, and the pictures of a panel."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from dinocell.errors import MissingExtraError, OutputError
from dinocell.postprocess.distance import labels_to_distance
from dinocell.postprocess.thresholds import Thresholds
from dinocell.reports.pictures import BOTH, PREDICTED, TRUE
from dinocell.training.logs import GAP, WANDB_ID_FILE, RunLog, panel
from tests.cases import disk

NUMBERS = {"loss/train": 0.5, "loss/validation": 0.25, "learning_rate": 1e-4}


def open_log(folder, *, wandb=False, resume_step=0, config=None):
    return RunLog(folder, wandb=wandb, config=config or {}, resume_step=resume_step)


def read_back(folder):
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return events


def scalars_of(folder):
    """Return (step, value) of every event by name; new versions of tensorboard keep numbers as tensors."""
    events = read_back(folder)
    found = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    for tag in events.Tags()["tensors"]:
        found[tag] = [(e.step, float(tensor_util.make_ndarray(e.tensor_proto))) for e in events.Tensors(tag)]
    return found


def test_numbers_are_on_the_disk_as_soon_as_they_are_logged(tmp_path):
    with open_log(tmp_path) as log:
        log.scalars(250, NUMBERS)
        log.scalars(500, NUMBERS | {"loss/train": 0.125})
        found = scalars_of(tmp_path)  # not closed yet
    assert found.keys() == NUMBERS.keys()
    assert found["loss/train"] == [(250, 0.5), (500, 0.125)]
    assert found["learning_rate"] == [(250, pytest.approx(1e-4)), (500, pytest.approx(1e-4))]


def test_a_resumed_run_repeats_and_loses_nothing(tmp_path):
    first = open_log(tmp_path)
    for step in (10, 20, 30):  # killed when 30 was logged and its checkpoint not written
        first.scalars(step, {"loss/train": step})
    with open_log(tmp_path, resume_step=20) as second:
        for step in (30, 40):
            second.scalars(step, {"loss/train": step + 0.5})
    assert scalars_of(tmp_path)["loss/train"] == [(10, 10), (20, 20), (30, 30.5), (40, 40.5)]
    first.close()


def test_a_run_that_starts_anew_forgets_one_that_left_no_checkpoint(tmp_path):
    first = open_log(tmp_path)
    first.scalars(10, {"loss/train": 1})
    with open_log(tmp_path) as second:
        second.scalars(10, {"loss/train": 2})
    assert scalars_of(tmp_path)["loss/train"] == [(10, 2)]
    first.close()


def test_every_panel_is_a_picture_of_its_own(tmp_path):
    panels = np.arange(2 * 5 * 9 * 3, dtype=np.uint8).reshape(2, 5, 9, 3)
    with open_log(tmp_path) as log:
        log.images(10, panels)
        log.images(20, panels[::-1])
    events = read_back(tmp_path)
    tags = sorted(events.Tags()["images"])
    assert [tag.split(":")[0] for tag in tags] == ["validation/1", "validation/2"]
    assert all("true map" in tag for tag in tags)
    for tag in tags:
        images = events.Images(tag)
        assert [(image.step, image.height, image.width) for image in images] == [(10, 5, 9), (20, 5, 9)]
    assert events.Images(tags[0])[0].encoded_image_string == events.Images(tags[1])[1].encoded_image_string


def test_without_tensorboard_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingExtraError, match=r'tensorboard .*: pip install "dinocell\[train\]"'):
        open_log(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "tensorboard").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot write logs to .*tensorboard: .*choose another output"):
        open_log(tmp_path)


# Weights & Biases, by a package that keeps what it receives


class FakeWandb(SimpleNamespace):
    """As much of the package as is used."""

    Error = type("Error", (Exception,), {})

    def __init__(self, refuses=False):
        super().__init__(refuses=refuses, runs=[], logged=[], finished=[])

    def init(self, **settings):
        if self.refuses:
            raise self.Error("no key\nconfigured")
        self.runs.append(settings)
        return SimpleNamespace(
            id=settings["id"] or f"id{len(self.runs)}",
            log=lambda values, step: self.logged.append((step, values)),
            finish=lambda exit_code: self.finished.append(exit_code),
        )

    def Image(self, pixels, caption):  # noqa: N802 (the package's name)
        return pixels.shape, caption.split(",")[0]


@pytest.fixture
def wandb(monkeypatch):
    package = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", package)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return package


def test_wandb_gets_everything_too_and_resumes_its_run(tmp_path, wandb):
    with open_log(tmp_path, wandb=True, config={"seed": 1}) as log:
        log.scalars(10, NUMBERS)
        log.images(10, np.zeros((2, 4, 6, 3), np.uint8))
    assert wandb.logged == [(10, NUMBERS), (10, {"validation": [((4, 6, 3), "input")] * 2})]
    assert scalars_of(tmp_path)["loss/train"] == [(10, 0.5)]
    first = wandb.runs[0]
    assert (first["dir"], first["name"], first["project"]) == (str(tmp_path), tmp_path.name, "dinocell")
    assert first["config"] == {"seed": 1}
    assert (first["id"], first["resume"]) == (None, None)

    open_log(tmp_path, wandb=True, resume_step=10).close()
    assert (wandb.runs[1]["id"], wandb.runs[1]["resume"]) == ("id1", "allow")
    open_log(tmp_path, wandb=True).close()  # another run, in the same folder
    assert (wandb.runs[2]["id"], wandb.runs[2]["resume"]) == (None, None)
    assert (tmp_path / WANDB_ID_FILE).read_text() == "id3"
    assert wandb.finished == [0, 0, 0]


def test_wandb_learns_that_a_run_failed_and_which_project_is_wanted(tmp_path, wandb, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    with pytest.raises(KeyError), open_log(tmp_path, wandb=True):
        raise KeyError
    assert wandb.finished == [1]
    assert wandb.runs[0]["project"] == "mine"


def test_wandb_that_is_missing_or_refuses_stops_a_run_before_it_begins(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match=r'wandb .*: pip install "dinocell\[wandb\]"'):
        open_log(tmp_path, wandb=True)
    monkeypatch.setitem(sys.modules, "wandb", FakeWandb(refuses=True))
    with pytest.raises(
        OutputError, match=r"\(no key configured\): run `wandb login`, set WANDB_MODE=offline"
    ):
        open_log(tmp_path, wandb=True)
    assert list(tmp_path.iterdir()) == []


# Panels


@pytest.fixture
def crop():
    """A gray image, three true cells of which the second is missed, and a predicted one too many."""
    true, predicted = np.zeros((2, 64, 80), np.int32)
    true[disk(true.shape, (16, 16), 9)] = 1
    true[disk(true.shape, (45, 20), 9)] = 2
    true[disk(true.shape, (40, 55), 9)] = 3
    predicted[disk(true.shape, (16, 16), 9)] = 1
    predicted[disk(true.shape, (15, 60), 9)] = 2
    predicted[disk(true.shape, (40, 58), 9)] = 3
    image = np.full(true.shape, 90, np.uint8)
    return image, labels_to_distance(true), labels_to_distance(predicted), np.ones(true.shape, bool)


def parts_of(picture):
    width = (picture.shape[1] - 3 * GAP) // 4
    return [picture[:, start : start + width] for start in range(0, picture.shape[1], width + GAP)]


def where(part, colour):
    return (part == colour).all(axis=2)


def test_a_panel_shows_input_both_maps_and_both_outlines(crop):
    image, true_map, predicted_map, _ = crop
    picture = panel(*crop)
    assert picture.shape == (64, 4 * 80 + 3 * GAP, 3)
    assert picture.dtype == np.uint8
    shown, true, predicted, outlines = parts_of(picture)
    assert (shown == image[:, :, None]).all()
    for part, values in ((true, true_map), (predicted, predicted_map)):
        brightness = part.sum(axis=2, dtype=int)
        assert brightness[values == 1].min() > 500
        assert brightness[values == 0].max() < 10
        red, _, blue = part[values == 1].astype(int).T
        assert (red > blue).all()  # bright yellow, in RGB
        order = np.argsort(values, axis=None)
        assert (np.diff(brightness.ravel()[order]) >= -3).all()  # brighter the higher
    assert not np.array_equal(true, predicted)
    # the cell that both have, the missed one, the one too many, and the rest
    assert where(outlines, BOTH)[:30, :30].any()
    assert not where(outlines, TRUE)[:30, :30].any()
    assert where(outlines, TRUE)[34:, :34].any()
    assert where(outlines, PREDICTED)[:28, 45:].any()
    drawn = where(outlines, BOTH) | where(outlines, TRUE) | where(outlines, PREDICTED)
    assert (outlines[~drawn] == 90).all()
    assert not drawn[45, 20]


def test_a_panel_hatches_what_is_ignored(crop):
    image, true_map, predicted_map, valid = crop
    plain = panel(image, true_map, predicted_map, valid)
    valid = valid.copy()
    valid[:20, 30:60] = False
    given = [array.copy() for array in (image, true_map, predicted_map, valid)]
    hatched = panel(*given)
    for before, after in zip(parts_of(plain), parts_of(hatched), strict=True):
        assert np.array_equal(before[valid], after[valid])
        assert (before[~valid] != after[~valid]).any()
    assert set(np.unique(parts_of(hatched)[0][~valid])) == {45, 150}
    for array, original in zip(given, (image, true_map, predicted_map, valid), strict=True):
        assert np.array_equal(array, original)  # inputs are not changed


def test_a_panel_of_nothing_and_with_other_thresholds(crop):
    image, true_map, _, valid = crop
    empty = np.zeros_like(true_map)
    *_, outlines = parts_of(panel(image, empty, empty, valid))
    assert (outlines == 90).all()
    *_, outlines = parts_of(panel(image, true_map, empty, valid, Thresholds(cells_max_threshold=1)))
    assert (outlines == 90).all()  # no marker is above 1
