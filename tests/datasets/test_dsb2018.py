import pickle
from pathlib import Path

import numpy as np
import pytest

from dinocell.datasets.dsb2018 import find_items
from dinocell.datasets.folder import find_pairs
from dinocell.errors import FileFormatError, FileMissingError
from dinocell.io.saving import write_image
from tests.cases import CASES

SHARED = Path(__file__).parents[3] / "shared" / "data"


def _fake(folder, name, masks, *, pixels=None):
    """Write the folder of one image; `masks` has the content of every file by its name."""
    (folder / name / "images").mkdir(parents=True)
    (folder / name / "masks").mkdir()
    shape = next(iter(masks.values())).shape if masks else (4, 4)
    image = np.full((*shape, 4), 9, np.uint8) if pixels is None else pixels
    write_image(folder / name / "images" / f"{name}.png", image)
    for stem, mask in masks.items():
        write_image(folder / name / "masks" / f"{stem}.png", np.where(mask, 255, 0).astype(np.uint8))


def _mask(*rows):
    return np.array([[character != "." for character in row] for row in rows])


@pytest.mark.parametrize("name", [name for name in CASES if name != "empty"])
def test_labels_come_back_from_one_file_a_cell(tmp_path, name):
    labels = CASES[name]
    masks = {f"{number:04}": labels == number for number in range(1, labels.max() + 1)}
    _fake(tmp_path, "id", masks)
    annotated = find_items(tmp_path)[0].read()
    assert np.array_equal(annotated.labels, labels)
    assert annotated.labels.dtype == np.int32
    assert annotated.overlapped_pixels == 0
    assert annotated.pixels.shape == (*labels.shape, 4)


def test_the_smaller_cell_lies_on_top_and_overlaps_are_counted(tmp_path):
    _fake(
        tmp_path,
        "id",
        {
            "a": _mask("##...", "##...", "....."),  # 4 px
            "b": _mask("#####", "#####", "....."),  # 10 px, the lowest
            "c": _mask("..##.", "..##.", "..##."),  # 6 px
            "d": _mask(".....", "...##", "...##"),  # 4 px, as large as a
        },
    )
    annotated = find_items(tmp_path)[0].read()
    assert annotated.labels.tolist() == [[1, 1, 3, 3, 2], [1, 1, 3, 4, 4], [0, 0, 3, 4, 4]]
    # a lies on 4 px of b, c on 4 px of b, d on 2 px of b or c and on (2, 3) of c: each pixel counts once.
    assert annotated.overlapped_pixels == 10


def test_of_equal_cells_the_later_lies_on_top(tmp_path):
    _fake(tmp_path, "id", {"a": _mask("##."), "b": _mask(".##")})
    annotated = find_items(tmp_path)[0].read()
    assert annotated.labels.tolist() == [[1, 2, 2]]
    assert annotated.overlapped_pixels == 1


def test_empty_masks_and_hidden_cells_leave_no_gap(tmp_path):
    _fake(
        tmp_path,
        "id",
        {"a": _mask("...."), "b": _mask("##.."), "c": _mask("##.."), "d": _mask("...#")},
    )
    annotated = find_items(tmp_path)[0].read()
    assert annotated.labels.tolist() == [[1, 1, 0, 2]]
    assert annotated.overlapped_pixels == 2


def test_masks_that_are_all_empty_give_an_image_without_cells(tmp_path):
    _fake(tmp_path, "id", {"a": _mask("....")})
    annotated = find_items(tmp_path)[0].read()
    assert not annotated.labels.any()
    assert annotated.overlapped_pixels == 0


def test_items_are_sorted_small_and_without_strange_files(tmp_path):
    for name in ("b", "a"):
        _fake(tmp_path, name, {"2": _mask("#."), "1": _mask(".#")})
    (tmp_path / "stage1_train_labels.csv").write_text("ImageId,EncodedPixels\n")
    (tmp_path / "a" / "masks" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "a" / "masks" / "._1.png").write_bytes(b"x")
    items = find_items(tmp_path)
    assert [item.name for item in items] == ["a", "b"]
    files = ("images/a.png", "masks/1.png", "masks/2.png")
    assert items[0].files == tuple(tmp_path / "a" / file for file in files)
    assert pickle.loads(pickle.dumps(items)) == items  # noqa: S301 (our own bytes)


def test_a_mask_saved_in_colour_is_read(tmp_path):
    _fake(tmp_path, "id", {"a": _mask("#.")})
    white = np.array([[[255, 255, 255, 255], [0, 0, 0, 255]]], np.uint8)
    write_image(tmp_path / "id" / "masks" / "a.png", white)
    assert find_items(tmp_path)[0].read().labels.tolist() == [[1, 0]]


def test_an_image_without_masks_is_refused_alone(tmp_path):
    _fake(tmp_path, "a", {})
    _fake(tmp_path, "b", {})
    (tmp_path / "b" / "masks").rmdir()
    with pytest.raises(FileMissingError, match=r"2 images and no masks.*stage1_train"):
        find_items(tmp_path)
    _fake(tmp_path, "c", {"1": _mask("#.")})
    items = find_items(tmp_path)
    for item in items[:2]:
        with pytest.raises(FileMissingError, match=r"\.png has no masks"):
            item.read()
    assert items[2].read().labels.tolist() == [[1, 0]]


def test_masks_that_do_not_fit_are_named(tmp_path):
    _fake(tmp_path, "a", {"1": _mask("#."), "2": _mask("#..")})
    with pytest.raises(FileFormatError, match=r"2\.png.*same size"):
        find_items(tmp_path)[0].read()
    write_image(tmp_path / "a" / "masks" / "2.png", np.array([[1, 2]], np.uint8))
    with pytest.raises(FileFormatError, match=r"2\.png holds several values"):
        find_items(tmp_path)[0].read()
    (tmp_path / "a" / "masks" / "2.png").write_bytes(b"")
    with pytest.raises(FileFormatError, match=r"2\.png is empty"):
        find_items(tmp_path)[0].read()
    (tmp_path / "a" / "images" / "a.png").unlink()
    with pytest.raises(FileMissingError, match=r"a\.png does not exist"):
        find_items(tmp_path)[0].read()


def test_other_folders_are_refused_with_the_one_to_name(tmp_path):
    with pytest.raises(FileMissingError, match="no folder"):
        find_items(tmp_path / "none")
    with pytest.raises(FileMissingError, match="no annotated images"):
        find_items(tmp_path)
    _fake(tmp_path / "stage1_train", "a", {"1": _mask("#.")})
    with pytest.raises(FileMissingError, match=r"name .*stage1_train for those in it"):
        find_items(tmp_path)
    with pytest.raises(FileMissingError, match=r"name the one above, .*stage1_train"):
        find_items(tmp_path / "stage1_train" / "a")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data")
def test_real_folders_agree_with_their_label_images():
    items = find_items(SHARED / "originals" / "dsb2018_folders")
    assert [len(item.masks) for item in items] == [27, 36, 70, 86]
    pairs = {
        pair.name: pair for part in ("train", "val") for pair in find_pairs(SHARED / part / "dsb2018_nuclei")
    }
    for item in items:
        annotated = item.read()
        assert annotated.pixels.shape[2] == 4
        assert annotated.labels.max() == len(item.masks)
        pair = pairs[item.name[:12]].read()
        assert np.array_equal(annotated.labels > 0, pair.labels > 0)
