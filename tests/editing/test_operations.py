"""Each operation on cells whose right answer is known."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from dinocell import LabelEditor, labels_to_distance
from dinocell.editing import Add, Delete, Paint
from dinocell.errors import InputError
from tests.cases import CASES, disk

SHAPE = (48, 80)  # of the dumbbell: two disks around (24, 26) and (24, 52)


def iou(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_split_follows_the_valley_of_the_map() -> None:
    true, merged = CASES["split"], CASES["merged"]
    editor = LabelEditor(merged, labels_to_distance(true))
    assert editor.split([(24, 20), (24, 60)]).ids == (1, 2)
    for cell in (1, 2):
        assert iou(editor.labels == cell, true == cell) > 0.97


def test_split_without_a_map_follows_the_neck_of_the_mask() -> None:
    true, merged = CASES["split"], CASES["merged"]
    editor = LabelEditor(merged)
    editor.split([(24, 26), (24, 52)])
    for cell in (1, 2):
        assert iou(editor.labels == cell, true == cell) > 0.9


def test_split_where_the_map_has_no_valley_meets_half_way() -> None:
    labels = np.zeros((20, 60), np.int32)
    labels[5:15, 5:55] = 7
    editor = LabelEditor(labels, np.where(labels > 0, 0.8, 0).astype(np.float32))
    editor.split([(10, 15), (10, 44)])
    assert abs(int((editor.labels == 7).sum()) - int((editor.labels == 8).sum())) <= 20


def test_split_where_the_map_is_flat_is_drawn_to_the_neck_of_the_mask() -> None:
    true, merged = CASES["split"], CASES["merged"]
    editor = LabelEditor(merged, np.where(merged > 0, 0.3, 0).astype(np.float32))
    editor.split([(24, 14), (24, 52)])
    left = np.arange(SHAPE[1]) < 33  # half-way between the clicks, which is not the neck
    half_way = iou((merged > 0) & left, true == 1)
    assert iou(editor.labels == 1, true == 1) > half_way + 0.03


def test_split_gives_pixels_half_way_to_the_first_click() -> None:
    labels = np.ones((3, 9), np.int32)
    editor = LabelEditor(labels)
    editor.split([(1, 7), (1, 1)])
    assert editor.labels[1].tolist() == [2, 2, 2, 2, 1, 1, 1, 1, 1]


def test_add_leaves_other_hills_alone() -> None:
    true = CASES["split"]
    editor = LabelEditor(np.zeros(SHAPE, np.int32), labels_to_distance(true))
    editor.add((24, 22), level=0.01)
    assert iou(editor.labels == 1, true == 1) > 0.9


def test_an_outline_takes_no_pixels_of_other_cells() -> None:
    labels = CASES["one"]
    editor = LabelEditor(labels)
    editor.add(outline=[(0, 0), (0, 49), (39, 49), (39, 0)])
    np.testing.assert_array_equal(editor.labels == 1, labels == 1)


def test_split_takes_a_group_of_clicks_for_one_cell() -> None:
    labels = np.ones((10, 90), np.int32)
    editor = LabelEditor(labels)
    editor.split([[(5, 10), (5, 80)], [(5, 45)]])
    assert editor.labels[5, 2] == editor.labels[5, 88] == 1
    assert editor.labels[5, 45] == 2


def test_a_line_cuts_where_it_is_drawn_whatever_the_map_says() -> None:
    merged = CASES["merged"]
    editor = LabelEditor(merged, labels_to_distance(CASES["split"]))
    edit = editor.split(line=[(-5, 20), (60, 20)])
    assert set(edit.ids) == {1, 2}
    assert (editor.labels[:, :20][merged[:, :20] > 0] == 2).all()
    assert (editor.labels[:, 21:][merged[:, 21:] > 0] == 1).all()
    assert ((editor.labels > 0) == (merged > 0)).all()


def test_a_line_cuts_every_cell_that_it_crosses() -> None:
    labels = np.zeros((20, 40), np.int32)
    labels[4:16, 4:18], labels[4:16, 22:36] = 1, 2
    edit = LabelEditor(labels).split(line=[(10, 0), (10, 39)])
    assert sorted(edit.ids) == [1, 2, 3, 4]


def test_a_line_that_ends_inside_is_refused() -> None:
    with pytest.raises(InputError, match="does not cut cell 1"):
        LabelEditor(CASES["merged"]).split(line=[(0, 24), (20, 24)])


def test_add_takes_the_hill_under_the_click() -> None:
    true = CASES["split"]
    labels = np.where(true == 1, true, 0)
    editor = LabelEditor(labels, labels_to_distance(true))
    edit = editor.add((24, 55))
    assert edit.ids == (2,)
    assert iou(editor.labels == 2, true == 2) > 0.9
    whole = LabelEditor(labels, labels_to_distance(true))
    whole.add((24, 55), level=0.001)
    assert iou(whole.labels == 2, true == 2) > 0.97


def test_add_never_takes_pixels_of_other_cells() -> None:
    labels = CASES["one"]
    editor = LabelEditor(labels, np.full(labels.shape, 0.7, np.float32))
    editor.add((2, 2))
    np.testing.assert_array_equal(editor.labels == 1, labels == 1)


def test_add_with_a_click_outside_takes_less() -> None:
    true, merged = CASES["split"], CASES["merged"]
    editor = LabelEditor(np.zeros(SHAPE, np.int32), labels_to_distance(merged))
    editor.add([(24, 26)], outside=[(24, 52)], level=0.001)
    assert iou(editor.labels == 1, true == 1) > 0.9


def test_add_where_the_map_shows_nothing_is_a_disk_and_says_so() -> None:
    labels = np.where(disk(SHAPE, (24, 26), 10), 1, 0).astype(np.int32)
    editor = LabelEditor(labels, np.zeros(SHAPE, np.float32))
    edit = editor.add((24, 60))
    assert "disk of 20 px" in edit.notes[0]
    assert iou(editor.labels == 2, disk(SHAPE, (24, 60), 10)) > 0.95


def test_add_by_a_box_stays_in_it() -> None:
    true = CASES["split"]
    editor = LabelEditor(np.zeros(SHAPE, np.int32), labels_to_distance(true))
    editor.add(box=((40, 68), (8, 41)))
    assert iou(editor.labels == 1, true == 2) > 0.75
    assert not editor.labels[:, :41].any()


def test_add_by_an_outline_is_what_lies_inside() -> None:
    editor = LabelEditor(np.zeros((20, 20), np.int32))
    editor.add(outline=[(4.5, 3.5), (4.5, 9.5), (12.5, 9.5), (12.5, 3.5)])
    rows, columns = np.nonzero(editor.labels)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 12, 4, 9)
    assert rows.size == 8 * 6


def test_merged_cells_have_the_lowest_id() -> None:
    editor = LabelEditor(CASES["touching"])
    edit = editor.merge([2, 1])
    assert (edit.ids, edit.notes) == ((1,), ())
    np.testing.assert_array_equal(editor.labels, CASES["touching"] > 0)


def test_paint_wins_and_names_the_cells_that_are_gone() -> None:
    editor = LabelEditor(CASES["nested"])
    edit = editor.paint(disk((60, 60), (30, 30), 12), 1)
    assert edit.notes == ("painted over all of cell 2",)
    editor.paint(disk((60, 60), (30, 30), 3), 0)
    assert editor.labels[30, 30] == 0


@pytest.mark.parametrize(
    ("call", "options", "message"),
    [
        ("add", {"points": (20, 24)}, "lies in cell 1"),
        ("add", {"points": (400, 2)}, r"points\[0\] is \(400, 2\)"),
        ("add", {"points": [(1, 2, 3)]}, "pairs of row and column"),
        ("add", {"points": [(np.nan, 2)]}, "pairs of row and column"),
        ("add", {}, "points, a box or an outline"),
        ("add", {"points": (2, 2), "level": 3}, "level"),
        ("add", {"box": ((18, 22), (22, 26))}, "no background"),
        ("add", {"outline": [(1, 1), (2, 2)]}, "three corners"),
        ("split", {"points": [(20, 24)]}, "two clicks or more"),
        ("split", {"points": [(20, 24), (20, 24)]}, "a pixel twice"),
        ("split", {"points": [(20, 24), (1, 1)]}, "outside of cells"),
        ("split", {"line": [(0, 0), (5, 0)]}, "crosses no cell"),
        ("split", {}, "points or a line"),
        ("merge", {"ids": [1]}, "two cells or more"),
        ("merge", {"ids": [1, 9]}, "ids has 9"),
        ("delete", {"ids": [9]}, "ids has 9"),
        ("delete", {"ids": [0]}, "ids"),
        ("delete", {"ids": "abc"}, "numbers of cells"),
        ("delete", {"ids": [1.5]}, "numbers of cells"),
        ("add", {"outline": 5}, "pairs of row and column"),
        ("split", {"points": 5}, "groups of clicks"),
        ("split", {"points": [5, 6]}, "pairs of row and column"),
        ("paint", {"mask": np.zeros((3, 3), bool)}, "mask is bool of shape"),
        ("paint", {"mask": np.zeros((40, 50), bool)}, "mask is empty"),
        ("paint", {"mask": np.ones((40, 50), bool), "id": -4}, "id"),
    ],
)
def test_what_cannot_be_done_is_said(call: str, options: dict[str, Any], message: str) -> None:
    editor = LabelEditor(CASES["one"], np.zeros((40, 50), np.float32))
    with pytest.raises(InputError, match=message):
        getattr(editor, call)(**options)
    assert not editor.edits


@pytest.mark.parametrize(
    "asked",
    [
        {"edit": "delete", "ids": [True]},
        {"edit": "add", "points": [[1, 2]], "level": False},
        {"edit": "paint", "id": 1, "mask": [[0, True, 2]]},
    ],
)
def test_true_and_false_are_not_taken_for_numbers(asked):
    kinds = {"delete": Delete, "add": Add, "paint": Paint}
    with pytest.raises(ValidationError, match="true and false are not numbers"):
        kinds[asked["edit"]].model_validate(asked)
