"""Cell Tracking Challenge folders: which frames are annotated, what is ignored in them, what is refused."""

import pickle

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dinocell.datasets.ctc import find_items
from dinocell.datasets.formats import recognise
from dinocell.errors import FileFormatError, FileMissingError
from tests.fakes.ctc import SHAPE, blocks, write_fake, write_frame, write_tiff

CELLS = blocks(c3=(1, 1, 4, 4), c8=(4, 8, 5, 5))


def read_one(dataset, **kwargs):
    """Read the image of the only item."""
    [item] = find_items(dataset, **kwargs)
    return item.read()


def test_a_dataset_is_read_as_it_was_written(tmp_path):
    truth = write_fake(tmp_path)
    items = pickle.loads(pickle.dumps(find_items(tmp_path)))  # noqa: S301 - our own
    assert [item.name for item in items] == sorted(truth)
    for item in items:
        labels, markers = truth[item.name]
        annotated = item.read()
        assert annotated.labels.dtype == np.int32
        np.testing.assert_array_equal(annotated.labels, labels)
        assert (annotated.pixels == int(item.name[-3:])).all()
        if markers is None:
            assert annotated.markers is None
        else:
            np.testing.assert_array_equal(annotated.markers, markers)
    assert items[0].files == tuple(
        tmp_path / name for name in ("01/t000.tif", "01_GT/SEG/man_seg000.tif", "01_GT/TRA/man_track000.tif")
    )
    assert items[2].files == (tmp_path / "02/t000.tif", tmp_path / "02_GT/SEG/man_seg000.tif")


def test_one_sequence_may_be_named(tmp_path, monkeypatch):
    write_fake(tmp_path)
    assert [item.name for item in find_items(tmp_path / "02")] == ["02/t000"]
    monkeypatch.chdir(tmp_path / "01")
    names = [item.name for item in find_items(type(tmp_path)())]
    assert names == ["01/t000", "01/t001"]


def test_frames_with_markers_only_are_ignored_pixels_throughout(tmp_path):
    write_fake(tmp_path)
    items = find_items(tmp_path / "01", tracked_only=True)
    assert [item.name for item in items] == ["01/t000", "01/t001", "01/t002", "01/t003"]
    assert items[2].masks is None
    annotated = items[2].read()
    assert annotated.labels.dtype == np.int32
    assert (annotated.labels == -1).all()
    assert np.unique(annotated.markers).tolist() == [0, 1, 2]
    assert [path.name for path in items[2].files] == ["t002.tif", "man_track002.tif"]


def test_silver_masks_are_taken_on_request_where_gold_ones_lack(tmp_path):
    write_fake(tmp_path)
    write_frame(tmp_path, "000", silver=np.zeros(SHAPE, np.int32))
    items = find_items(tmp_path / "01", silver=True)
    assert [item.name for item in items] == ["01/t000", "01/t001", "01/t003"]
    assert [item.masks.parts[-3] for item in items] == ["01_GT", "01_GT", "01_ST"]
    np.testing.assert_array_equal(items[2].read().labels, CELLS)


def test_silver_masks_may_be_all_there_is(tmp_path):
    write_frame(tmp_path, "000", silver=CELLS)
    with pytest.raises(FileMissingError, match=r"no annotated frames.*silver"):
        find_items(tmp_path)
    np.testing.assert_array_equal(read_one(tmp_path, silver=True).labels, CELLS)
    np.testing.assert_array_equal(read_one(tmp_path / "01", silver=True).labels, CELLS)


def test_a_marker_that_a_mask_touches_is_covered(tmp_path):
    write_frame(tmp_path, "000", masks=CELLS, markers=blocks(c1=(4, 4, 3, 3), c2=(8, 12, 2, 2)))
    np.testing.assert_array_equal(read_one(tmp_path).labels, CELLS)


def test_a_marker_beside_all_masks_makes_the_background_ignored(tmp_path):
    write_frame(tmp_path, "000", masks=CELLS, markers=blocks(c1=(2, 2, 1, 1), c2=(5, 5, 2, 3)))
    np.testing.assert_array_equal(read_one(tmp_path).labels, np.where(CELLS == 0, -1, CELLS))


def test_a_frame_without_cells_is_background(tmp_path):
    nothing = np.zeros(SHAPE, np.int32)
    write_frame(tmp_path, "000", masks=nothing, markers=nothing)
    assert (read_one(tmp_path).labels == 0).all()


IDS = arrays(np.int32, (4, 5), elements=st.integers(0, 3))


@given(IDS, IDS)
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_masks_are_never_changed_and_background_is_all_or_nothing(tmp_path, masks, markers):
    write_frame(tmp_path, "000", masks=masks, markers=markers)
    write_tiff(tmp_path / "01" / "t000.tif", np.zeros((4, 5)))
    labels = read_one(tmp_path).labels
    np.testing.assert_array_equal(np.maximum(labels, 0), masks)
    uncovered = any(not (masks[markers == number] > 0).any() for number in set(markers[markers > 0].tolist()))
    assert (labels[masks == 0] == (-1 if uncovered else 0)).all()


def test_frames_may_have_four_digits(tmp_path):
    for number in ("0007", "1000"):
        write_frame(tmp_path, number, masks=CELLS, markers=CELLS)
    assert [item.name for item in find_items(tmp_path)] == ["01/t0007", "01/t1000"]


def test_a_missing_frame_is_refused_when_it_is_read(tmp_path):
    write_frame(tmp_path, "000", masks=CELLS)
    write_frame(tmp_path, "001", masks=CELLS)
    (tmp_path / "01" / "t001.tif").unlink()
    there, missing = find_items(tmp_path)
    assert there.read().markers is None
    assert missing.name == "01/t001"
    with pytest.raises(FileMissingError, match=r"01/t001\.tif does not exist"):
        missing.read()


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileMissingError, match=r"no folder .*none"):
        find_items(tmp_path / "none")
    with pytest.raises(FileMissingError, match=r"no annotated frames.*name a dataset or a sequence"):
        find_items(tmp_path)
    write_frame(tmp_path, "000", markers=CELLS)
    with pytest.raises(FileMissingError, match="tracked_only"):
        find_items(tmp_path)
    (tmp_path / "04_GT").write_text("no folder")
    assert len(find_items(tmp_path, tracked_only=True)) == 1


def test_volumes_are_refused(tmp_path):
    write_frame(tmp_path, "000", masks=CELLS)
    tifffile.imwrite(tmp_path / "01" / "t000.tif", np.zeros((3, *SHAPE), np.uint16), photometric="minisblack")
    with pytest.raises(FileFormatError, match=r"t000\.tif is a stack of several planes.*3-D"):
        find_items(tmp_path)[0].read()
    write_tiff(tmp_path / "01_GT" / "SEG" / "man_seg_000_012.tif", CELLS)
    with pytest.raises(FileFormatError, match=r"man_seg_000_012\.tif is a slice of a volume: 3-D"):
        find_items(tmp_path)


@pytest.mark.parametrize(
    "name", ["01/frame1.tif", "01/t00.tif", "01_GT/SEG/seg000.tif", "01_GT/TRA/man_track00000.TIF"]
)
def test_files_with_other_names_are_refused(tmp_path, name):
    write_frame(tmp_path, "000", masks=CELLS, markers=CELLS)
    write_tiff(tmp_path / name, CELLS)
    with pytest.raises(FileFormatError, match=f"{name} is not named .*remove or rename"):
        find_items(tmp_path)


def test_hidden_files_and_other_endings_are_passed_over(tmp_path):
    write_frame(tmp_path, "000", masks=CELLS)
    for name in ("01/._t000.tif", "01/notes.txt", "01_GT/SEG/.DS_Store"):
        (tmp_path / name).write_text("x")
    assert len(find_items(tmp_path)) == 1


def test_two_files_of_a_number_are_refused(tmp_path):
    write_frame(tmp_path, "000", masks=CELLS)
    write_tiff(tmp_path / "01" / "t0000.tif", CELLS)
    with pytest.raises(FileFormatError, match=r"t000\.tif and .*t0000\.tif have the same number"):
        find_items(tmp_path)


@pytest.mark.parametrize("name", ["01_GT/SEG/man_seg000.tif", "01_GT/TRA/man_track000.tif"])
def test_annotations_of_another_size_are_refused(tmp_path, name):
    write_frame(tmp_path, "000", masks=CELLS, markers=CELLS)
    write_tiff(tmp_path / name, CELLS.T)
    with pytest.raises(FileFormatError, match=f"{name} .*same size"):
        find_items(tmp_path)[0].read()


def test_a_folder_that_cannot_be_opened_is_refused_not_passed_over(tmp_path, monkeypatch):
    write_frame(tmp_path, "000", masks=CELLS, markers=CELLS)
    real = type(tmp_path).iterdir

    def closed(path):
        if path.name == "TRA":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(type(tmp_path), "iterdir", closed)
    with pytest.raises(FileFormatError, match=r"TRA cannot be opened .*check its permissions"):
        find_items(tmp_path)


def test_a_sequence_that_is_not_there_is_not_recognised_by_its_truth(tmp_path):
    (tmp_path / "01_GT").mkdir()
    with pytest.raises(FileMissingError, match="no folder"):
        recognise(tmp_path / "01")
