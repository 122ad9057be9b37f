"""Properties of edits: undo, redo and replay give the same labels, and labels stay valid."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinocell import DINOCellPipeline, LabelEditor, labels_to_distance, read_labels
from dinocell.editing import read_journal
from dinocell.errors import FileFormatError, InputError, OutputError
from dinocell.labels import relabel, validate_labels
from tests.cases import CASES

Labels = np.ndarray[Any, np.dtype[np.int32]]

SHAPE = (40, 60)

rows = st.floats(-2, SHAPE[0] + 1)
columns = st.floats(-2, SHAPE[1] + 1)
points = st.tuples(rows, columns)
clicks = st.lists(points, min_size=1, max_size=3)
ids = st.lists(st.integers(0, 9), max_size=3)


@st.composite
def calls(draw: st.DrawFn) -> Callable[[LabelEditor], object]:
    """Draw a call of an editor, which may be one that it cannot do."""
    kind = draw(
        st.sampled_from(
            ["add", "box", "outline", "split", "line", "merge", "delete", "paint"] * 2 + ["undo", "redo"]
        )
    )
    if kind == "add":
        inside, outside = draw(clicks), draw(st.lists(points, max_size=2))
        level = draw(st.none() | st.floats(0, 1))
        return lambda editor: editor.add(inside, outside=outside, level=level)
    if kind == "box":
        box = draw(points), draw(points)
        return lambda editor: editor.add(box=box)
    if kind == "outline":
        outline = draw(st.lists(points, min_size=3, max_size=6))
        return lambda editor: editor.add(outline=outline)
    if kind == "split":
        groups = draw(st.lists(clicks, min_size=2, max_size=3))
        return lambda editor: editor.split(groups)
    if kind == "line":
        line = draw(st.lists(points, min_size=2, max_size=4))
        return lambda editor: editor.split(line=line)
    if kind in ("merge", "delete"):
        chosen = draw(ids)
        return lambda editor: getattr(editor, kind)(chosen)
    if kind == "paint":
        mask = np.zeros(SHAPE, bool)
        top, left = draw(st.integers(0, SHAPE[0] - 1)), draw(st.integers(0, SHAPE[1] - 1))
        mask[top : top + draw(st.integers(0, 15)), left : left + draw(st.integers(1, 15))] = True
        number = draw(st.none() | st.integers(0, 9))
        return lambda editor: editor.paint(mask, number)
    return lambda editor: getattr(editor, kind)()


def touching() -> Labels:
    labels: Labels = CASES["touching"].copy()
    labels[34:38, 2:9] = 5  # ids may have gaps
    labels[0, :] = -1
    return labels


def do(editor: LabelEditor, call: Callable[[LabelEditor], object]) -> None:
    before = editor.labels.copy()
    try:
        call(editor)
    except InputError:
        np.testing.assert_array_equal(editor.labels, before)


@settings(max_examples=60)
@given(st.lists(calls(), max_size=12))
def test_edits_undone_redone_and_replayed(tmp_path_factory: pytest.TempPathFactory, made: list[Any]) -> None:
    check(tmp_path_factory.mktemp("edits") / "cell_edits.jsonl", made)


@pytest.mark.slow
@settings(max_examples=1000)
@given(st.lists(calls(), max_size=12))
def test_a_thousand_sequences_of_edits(tmp_path_factory: pytest.TempPathFactory, made: list[Any]) -> None:
    check(tmp_path_factory.mktemp("edits") / "cell_edits.jsonl", made)


def check(journal: Path, made: list[Any]) -> None:
    start = touching()
    given_labels, distance = start.copy(), labels_to_distance(start)
    editor = LabelEditor(given_labels, distance, journal=journal)
    for call in made:
        do(editor, call)
    end, holding = editor.labels.copy(), len(editor.edits)

    validate_labels(end)
    exported = editor.exported()
    cells = np.unique(exported[exported > 0])
    np.testing.assert_array_equal(cells, np.arange(1, cells.size + 1))
    np.testing.assert_array_equal(exported < 0, end < 0)

    replayed = LabelEditor(start, journal=journal)
    assert replayed.labels.tobytes() == end.tobytes()
    assert replayed.recorded() == editor.recorded()

    while editor.undo():
        pass
    np.testing.assert_array_equal(editor.labels, start)
    for _ in range(holding):
        assert editor.redo() is not None
    assert editor.labels.tobytes() == end.tobytes()
    np.testing.assert_array_equal(given_labels, start)
    np.testing.assert_array_equal(distance, labels_to_distance(start))


def test_new_ids_are_never_those_of_cells_that_were_there() -> None:
    editor = LabelEditor(touching())
    editor.delete([5])
    (new,) = editor.paint(np.eye(*SHAPE, dtype=bool)).ids
    assert new == 6
    editor.undo()
    assert editor.paint(np.eye(*SHAPE, dtype=bool)).ids == (7,)


def test_a_new_edit_ends_what_could_be_redone() -> None:
    editor = LabelEditor(touching())
    editor.delete([5])
    editor.undo()
    assert editor.can_redo
    editor.delete([1])
    assert not editor.can_redo
    assert editor.redo() is None


def test_labels_cannot_be_written_to() -> None:
    editor = LabelEditor(touching())
    with pytest.raises(ValueError, match="read-only"):
        editor.labels[0, 0] = 1


def test_edits_survive_a_program_that_dies_while_it_writes(tmp_path: Path) -> None:
    journal = tmp_path / "cell_edits.jsonl"
    editor = LabelEditor(touching(), journal=journal)
    editor.delete([5])
    whole = journal.read_bytes()
    editor.delete([1])
    written = journal.read_bytes()
    journal.write_bytes(written[: len(whole) + 20])
    again = LabelEditor(touching(), journal=journal)
    assert again.recorded()["delete"] == 1
    again.delete([1])
    assert journal.read_bytes() == written


def test_an_empty_journal_is_begun(tmp_path: Path) -> None:
    journal = tmp_path / "cell_edits.jsonl"
    journal.touch()
    LabelEditor(touching(), journal=journal).delete([5])
    assert LabelEditor(touching(), journal=journal).recorded()["delete"] == 1


def test_an_edit_that_cannot_be_written_is_not_made(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    journal = folder / "cell_edits.jsonl"
    editor = LabelEditor(touching(), journal=journal)
    journal.unlink()
    folder.rmdir()
    with pytest.raises(OutputError, match="the edit is not made"):
        editor.delete([5])
    np.testing.assert_array_equal(editor.labels, touching())


def test_edits_of_other_labels_are_not_made(tmp_path: Path) -> None:
    journal = tmp_path / "cell_edits.jsonl"
    LabelEditor(touching(), journal=journal).delete([5])
    with pytest.raises(InputError, match="made on other labels"):
        LabelEditor(CASES["one"], journal=journal)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "line 2"),
        ("[1]", "is not a JSON object"),
        ('{"edit": "dance"}', "line 2"),
        ('{"edit": "delete", "ids": [1], "pixels": [[0, 0, 0]]}', "line 2"),
        ('{"edit": "delete", "ids": []}', "line 2"),
        ('{"edit": "split", "points": [[[1, 2]]], "pixels": []}', "two clicks or more"),
        ('{"edit": "delete", "ids": [NaN]}', "line 2"),
    ],
)
def test_damaged_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    journal = tmp_path / "cell_edits.jsonl"
    LabelEditor(touching(), journal=journal)
    journal.write_text(journal.read_text() + line + "\n")
    with pytest.raises(FileFormatError, match=message):
        read_journal(journal)


def test_pixels_beyond_the_image_are_refused(tmp_path: Path) -> None:
    journal = tmp_path / "cell_edits.jsonl"
    LabelEditor(touching(), journal=journal)
    line = '{"edit": "delete", "ids": [1], "made": [], "notes": [], "pixels": [[39, 58, 5, 0]]}'
    journal.write_text(f"{journal.read_text()}{line}\n")
    with pytest.raises(InputError, match="none of an image of 40×60"):
        LabelEditor(touching(), journal=journal)


def test_the_map_is_predicted_from_the_image_when_it_is_needed() -> None:
    image = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    editor = LabelEditor(np.zeros((64, 64), np.int32), image=image)
    expected = DINOCellPipeline("nano").predict(image).distance_map
    np.testing.assert_array_equal(editor.distance_map, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"distance_map": np.zeros((3, 3), np.float32)}, "distance_map"),
        ({"distance_map": np.zeros(SHAPE, int)}, "distance_map"),
        ({"distance_map": np.full(SHAPE, np.nan)}, "NaN"),
        ({"image": np.zeros((3, 3))}, "image has shape"),
        ({"image": "cell.png"}, "image has shape"),
        ({"distance_map": [[0.5]]}, "distance_map"),
    ],
)
def test_arrays_must_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LabelEditor(touching(), **options)


def test_saved_labels_are_consecutive_and_record_the_edits(tmp_path: Path) -> None:
    editor = LabelEditor(np.maximum(touching(), 0))
    editor.delete([1])
    editor.save(tmp_path / "cell_labels.tif", provenance={"model": "nano"})
    np.testing.assert_array_equal(read_labels(tmp_path / "cell_labels.tif"), relabel(editor.labels))
