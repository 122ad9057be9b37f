"""Corrections, what was checked, and the files to learn from; no window is needed."""

import numpy as np
import pytest

import dinocell
from dinocell.datasets.corrected import find_corrected
from dinocell.editing.corrected import CORRECTED, IMAGES
from dinocell.editing.review import Review
from dinocell.errors import DINOCellError
from dinocell.napari.correcting import Correction, save_for_finetuning
from dinocell.napari.exporting import Cells
from dinocell.napari.gestures import Gestures
from dinocell.napari.sources import describe_layer
from dinocell.postprocess.distance import labels_to_distance
from tests import cases
from tests.napari.layers import FakeLayer

SHAPE = (60, 90)


def drawn():
    """Return three disks, of ids with gaps, and their perfect map."""
    labels = np.zeros(SHAPE, np.int32)
    for cell, centre in ((2, (20, 20)), (5, (20, 60)), (9, (45, 40))):
        labels[cases.disk(SHAPE, centre, 10)] = cell
    return labels, labels_to_distance(labels).astype(np.float32)


@pytest.fixture
def plane():
    return Review.of(*drawn())


@pytest.fixture
def correction():
    labels, distance = drawn()
    stack = np.stack([labels, labels[::-1]])
    cells = Cells(
        describe_layer(FakeLayer(np.arange(stack.size, dtype=np.uint16).reshape(stack.shape))), stack
    )
    made = Correction(cells)
    made.begin((0,), distance)
    made.begin((1,), np.ascontiguousarray(distance[::-1]))
    return made


def test_one_key_at_a_point_deletes_and_adds(plane):
    gestures = Gestures()
    edit, said = gestures.press("D", plane, (20, 60))
    assert (edit.ids, said) == ((), "Deleted cell 5")
    assert plane.ids == [2, 9]
    edit, said = gestures.press("A", plane, (20.4, 60.2))
    assert plane.cell_at((20, 60)) == edit.ids[0] == 10
    np.testing.assert_array_equal(plane.editor.labels == 10, drawn()[0] == 5)


def test_two_points_merge_and_split(plane):
    gestures = Gestures()
    edit, said = gestures.press("M", plane, (20, 20))
    assert edit is None
    assert "press M" in said
    edit, _ = gestures.press("M", plane, (20, 60))
    assert edit.ids == (2,)
    assert edit.notes
    assert gestures.press("S", plane, (20, 20))[0] is None
    edit, _ = gestures.press("S", plane, (20, 60))
    assert len(edit.ids) == 2
    assert plane.cell_at((20, 20)) != plane.cell_at((20, 60))


def test_another_key_forgets_the_first_point(plane):
    gestures = Gestures()
    gestures.press("M", plane, (20, 20))
    assert gestures.press("S", plane, (20, 60))[0] is None
    assert gestures.press("M", plane, (20, 60))[0] is None


@pytest.mark.parametrize("key", ["S", "M", "D"])
@pytest.mark.parametrize("point", [(0, 0), (-5, 3), (900, 900)])
def test_where_no_cell_is_a_key_says_so(plane, key, point):
    with pytest.raises(DINOCellError, match="no cell under the mouse"):
        Gestures().press(key, plane, point)


def test_the_least_certain_cell_comes_first_and_is_checked_when_the_next_is_shown(plane):
    plane.confidence = {2: 0.9, 5: 0.2, 9: 0.5}
    assert [plane.check_and_advance() for _ in range(4)] == [5, 9, 2, None]
    assert plane.checked == {2, 5, 9}


def test_a_cell_that_was_deleted_meanwhile_is_not_checked(plane):
    cell = plane.check_and_advance()
    plane.editor.delete([cell])
    assert plane.check_and_advance() != cell
    assert plane.checked == set()


def test_without_a_map_the_smallest_comes_first():
    labels = np.zeros(SHAPE, np.int32)
    labels[:9, :9], labels[20:23, 20:23] = 1, 2
    assert Review.of(labels, None).left() == [2, 1]


def test_what_was_painted_becomes_an_edit_an_id(plane):
    painted = plane.editor.labels.copy()
    painted[50:55, 0:5], painted[0:5, 80:85], painted[20, 60] = 77, 2, 0
    edits = plane.take_painted(painted)
    assert len(edits) == 3
    np.testing.assert_array_equal(plane.editor.labels, painted)
    assert not plane.take_painted(painted)


def test_undo_goes_back_over_all_planes(correction):
    start = [plane.editor.labels.copy() for plane in correction.planes.values()]
    for index, cell in (((0,), 2), ((1,), 5), ((0,), 9)):
        correction.note(index, [correction.planes[index].editor.delete([cell])])
    assert [correction.undo()[0] for _ in range(3)] == [(0,), (1,), (0,)]
    assert correction.undo() is None
    for plane, before in zip(correction.planes.values(), start, strict=True):
        np.testing.assert_array_equal(plane.editor.labels, before)
    assert [correction.redo()[0] for _ in range(3)] == [(0,), (1,), (0,)]
    assert correction.redo() is None
    assert correction.planes[0,].ids == [5]


def test_what_nobody_has_looked_at_is_marked(plane):
    assert plane.unchecked().all()
    plane.checked.add(5)
    unchecked, labels = plane.unchecked(), plane.editor.labels
    assert not unchecked[labels == 5].any()
    assert unchecked[(labels > 0) & (labels != 5)].all()
    assert not unchecked[20, 72]
    assert unchecked[59, 0]
    plane.is_done = True
    assert not plane.unchecked().any()


def test_finetune_reads_what_was_saved(correction, tmp_path):
    first, second = correction.planes.values()
    correction.note((0,), [first.editor.split(line=[(5, 20), (35, 20)])])
    second.is_done = True
    files = save_for_finetuning(correction, tmp_path)
    assert [path.name for path in files] == ["image_t0000_labels.tif", "image_t0001_labels.tif"]
    items, left_out = find_corrected(tmp_path / IMAGES, tmp_path / CORRECTED)
    assert not left_out
    assert [item.name for item in items] == ["image_t0000", "image_t0001"]
    one, other = (item.read() for item in items)
    np.testing.assert_array_equal(one.pixels, correction.cells.image.levels[0][0])
    assert one.labels.max() == 2
    assert (one.labels == -1).any()
    assert (other.labels >= 0).all()
    np.testing.assert_array_equal(other.labels > 0, second.editor.labels > 0)


def test_saving_again_forgets_a_mark_that_no_longer_holds(correction, tmp_path):
    plane = correction.planes[0,]
    plane.checked.add(2)
    save_for_finetuning(correction, tmp_path)
    mark = tmp_path / CORRECTED / "image_t0000_unchecked.tif"
    assert dinocell.read_labels(mark).any()
    plane.is_done = True
    save_for_finetuning(correction, tmp_path)
    assert not mark.exists()


def test_nothing_checked_is_nothing_to_save(correction, tmp_path):
    with pytest.raises(DINOCellError, match="no cell was checked yet"):
        save_for_finetuning(correction, tmp_path)
    assert not any(tmp_path.iterdir())
