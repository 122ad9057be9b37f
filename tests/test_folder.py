import numpy as np
import pytest

from dinocell.datasets.folder import find_pairs
from dinocell.errors import FileFormatError, FileMissingError
from dinocell.images import write_image, write_labels

LABELS = np.array([[0, 1, 1], [2, 0, 70_000]], np.int32)


def _pair(folder, name, *, labels=LABELS):
    write_image(folder / f"{name}_img.png", np.full((2, 3), 9, np.uint8))
    write_labels(folder / f"{name}_masks.tif", labels)


def test_pairs_are_found_by_suffix_and_sorted(tmp_path):
    for name in ("b", "a"):
        _pair(tmp_path, name)
    (tmp_path / "notes.txt").write_text("x")
    write_image(tmp_path / "c_overlay.png", np.zeros((2, 2, 3), np.uint8))
    assert [pair.name for pair in find_pairs(tmp_path)] == ["a", "b"]


def test_reading_gives_image_and_labels_with_ignored_pixels(tmp_path):
    _pair(tmp_path, "a")
    write_image(tmp_path / "a_ignore.png", np.array([[255, 0, 0], [0, 0, 0]], np.uint8))
    annotated = find_pairs(tmp_path)[0].read()
    assert (annotated.pixels == 9).all()
    assert annotated.labels.tolist() == [[-1, 1, 1], [2, 0, 70_000]]


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileMissingError, match="no folder"):
        find_pairs(tmp_path / "none")
    with pytest.raises(FileMissingError, match="no annotated images"):
        find_pairs(tmp_path)
    write_image(tmp_path / "x_img.png", np.zeros((2, 3), np.uint8))
    with pytest.raises(FileMissingError, match=r"add x_masks\.png"):
        find_pairs(tmp_path)


def test_what_is_ambiguous_is_refused(tmp_path):
    _pair(tmp_path, "a")
    write_image(tmp_path / "a_ignore.png", np.zeros((2, 1), np.uint8))
    with pytest.raises(FileFormatError, match="same size"):
        find_pairs(tmp_path)[0].read()
    write_image(tmp_path / "a_img.tif", np.zeros((2, 3), np.uint8))
    with pytest.raises(FileFormatError, match="remove or rename one"):
        find_pairs(tmp_path)


def test_image_and_masks_of_different_size_are_refused(tmp_path):
    _pair(tmp_path, "a", labels=np.zeros((5, 3), np.int32))
    with pytest.raises(FileFormatError, match="same size"):
        find_pairs(tmp_path)[0].read()
