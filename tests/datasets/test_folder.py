import pickle
from pathlib import Path

import numpy as np
import pytest

from dinocell.datasets.corrected import find_corrected
from dinocell.datasets.folder import Pair, find_items, find_pairs
from dinocell.datasets.items import Item
from dinocell.datasets.listing import list_images
from dinocell.errors import FileFormatError, FileMissingError, InputError
from dinocell.io.saving import write_image, write_labels
from dinocell.labels import cell_areas
from tests.fakes.nd2 import FakeND2
from tests.fakes.tiff import write_ome_set

SHARED = Path(__file__).parents[3] / "shared" / "data" / "val"
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


def _image(path, value=9):
    path.parent.mkdir(exist_ok=True)
    write_image(path, np.full((2, 3), value, np.uint8))


def _masks(path, labels=LABELS):
    path.parent.mkdir(exist_ok=True)
    write_image(path, labels.astype(np.uint16))


def test_pairs_are_sorted_by_name_and_hidden_files_are_left_out(tmp_path):
    for name in ("b1", "b", "a-1", "a"):
        _pair(tmp_path, name)
    (tmp_path / "._a_img.png").write_bytes(b"a copy's resource fork")
    (tmp_path / "._a_masks.png").write_bytes(b"another")
    assert [pair.name for pair in find_items(tmp_path)] == ["a", "a-1", "b", "b1"]


def test_a_pair_is_an_item_that_can_be_sent_to_another_process(tmp_path):
    _pair(tmp_path, "a")
    item: Item = find_items(tmp_path)[0]
    assert pickle.loads(pickle.dumps(item)) == item  # noqa: S301 (our own bytes)
    assert item.files == (tmp_path / "a_img.png", tmp_path / "a_masks.tif")


def test_a_channel_is_read_alone(tmp_path):
    _pair(tmp_path, "a")
    colours = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    write_image(tmp_path / "a_img.png", colours)
    assert np.array_equal(find_items(tmp_path)[0].read().pixels, colours)
    assert np.array_equal(find_items(tmp_path, channel=1)[0].read().pixels, colours[..., 1])
    with pytest.raises(InputError, match=r"a_img\.png has no channel 3"):
        find_items(tmp_path, channel=3)[0].read()


@pytest.mark.parametrize("ending", ["", "_masks", "_mask", "_label", "_labels", "_cp_masks"])
def test_masks_in_their_own_folder_are_matched_by_stem(tmp_path, ending):
    for number, name in enumerate(("b.1", "a"), start=1):
        _image(tmp_path / "x" / f"{name}.tif", number)
        _masks(tmp_path / "y" / f"{name}{ending}.png", np.full((2, 3), number))
    _masks(tmp_path / "y" / "c.png")  # fewer images than masks are not a mistake
    items = find_items(tmp_path / "x", tmp_path / "y")
    assert [item.name for item in items] == ["a", "b.1"]
    for item in items:
        annotated = item.read()
        assert (annotated.labels == annotated.pixels).all()


@pytest.mark.parametrize("folder", ["masks", "labels"])
def test_folders_images_and_masks_are_found_in_a_folder(tmp_path, folder):
    _image(tmp_path / "images" / "a.tif")
    _masks(tmp_path / folder / "a.png")
    assert find_items(tmp_path) == [Pair("a", tmp_path / "images" / "a.tif", tmp_path / folder / "a.png")]


def test_pairs_go_before_a_folder_that_happens_to_be_called_images(tmp_path):
    _pair(tmp_path, "a")
    (tmp_path / "images").mkdir()
    assert [pair.name for pair in find_items(tmp_path)] == ["a"]


def test_one_folder_may_be_that_of_images_and_that_of_masks(tmp_path):
    _image(tmp_path / "x" / "a.tif")
    for ending in ("cp_masks", "ignore", "overlay"):
        _masks(tmp_path / "x" / f"a_{ending}.png")
    items = find_items(tmp_path / "x", tmp_path / "x" / ".." / "x")
    assert [item.name for item in items] == ["a"]
    assert items[0].masks.name == "a_cp_masks.png"
    assert (items[0].read().labels == np.where(LABELS > 0, -1, 0)).all()


@pytest.mark.parametrize("side", ["x", "y"])
def test_ignored_pixels_may_lie_in_either_folder(tmp_path, side):
    _image(tmp_path / "x" / "a.tif")
    _masks(tmp_path / "y" / "a.png", np.array([[0, 1, 1], [2, 0, 3]]))
    write_image(tmp_path / side / "a_ignore.png", np.array([[255, 0, 0], [0, 0, 255]], np.uint8))
    items = find_items(tmp_path / "x", tmp_path / "y")
    assert [item.name for item in items] == ["a"]
    assert items[0].read().labels.tolist() == [[-1, 1, 1], [2, 0, -1]]


def test_missing_masks_are_counted_and_the_first_is_named(tmp_path):
    for name in "abc":
        _image(tmp_path / "x" / f"{name}.tif")
    _masks(tmp_path / "y" / "b.png")
    with pytest.raises(
        FileMissingError, match=r"2 of 3 images have no masks \(a\.tif, c\.tif\).*x/a\.tif.*a_cp_masks"
    ):
        find_items(tmp_path / "x", tmp_path / "y")


def test_folders_that_do_not_fit_are_refused(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(FileMissingError, match=r"no folder .*y: expected masks"):
        find_items(tmp_path / "x", tmp_path / "y")
    with pytest.raises(FileMissingError, match=r"no folder .*z: expected images"):
        find_items(tmp_path / "z", tmp_path / "x")
    with pytest.raises(FileMissingError, match="x holds no annotated images"):
        find_items(tmp_path / "x", tmp_path / "x")
    (tmp_path / "images").mkdir()
    with pytest.raises(FileMissingError, match="none of its masks"):
        find_items(tmp_path)


def test_what_may_be_either_is_refused(tmp_path):
    _image(tmp_path / "images" / "a.tif")
    _masks(tmp_path / "masks" / "a.png")
    (tmp_path / "labels").mkdir()
    with pytest.raises(FileFormatError, match="name the folder of images"):
        find_items(tmp_path)
    (tmp_path / "labels").rmdir()
    _masks(tmp_path / "masks" / "a_mask.png")
    with pytest.raises(FileFormatError, match=r"a\.png and .*a_mask\.png may both be the masks of .*a\.tif"):
        find_items(tmp_path)
    (tmp_path / "masks" / "a_mask.png").unlink()
    for side in ("images", "masks"):
        _masks(tmp_path / side / "a_ignore.png")
    with pytest.raises(FileFormatError, match="may both be the ignored pixels"):
        find_items(tmp_path)
    _pair(tmp_path, "a")
    with pytest.raises(FileFormatError, match="NAME_img or NAME_masks files, expected one annotation"):
        find_items(tmp_path)


def test_a_folder_that_may_not_be_listed_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(FileFormatError, match=r"cannot be opened \(Permission denied\), expected images"):
        list_images(tmp_path, "images")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data")
@pytest.mark.parametrize(
    ("name", "images", "cells"),
    [("usiigaci_phase", 5, 309), ("dsb2018_nuclei", 69, 3351), ("bbbc039_nuclei", 23, 2521)],
)
def test_real_folders_hold_what_their_readme_says(name, images, cells):
    items = find_items(SHARED / name)
    assert len(items) == images
    assert sum(np.count_nonzero(cell_areas(item.read().labels)[1:]) for item in items) == cells


def test_a_set_of_files_is_one_image_with_one_annotation(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    first, _ = write_ome_set(tmp_path / "images", np.zeros((2, 8, 8), np.uint8))
    write_labels(tmp_path / "masks" / "set_C0_labels.tif", np.ones((8, 8), np.int32))
    (pair,) = find_items(tmp_path, channel=1)
    assert (pair.name, pair.image) == ("set_C0", first)
    (item,), left_out = find_corrected(tmp_path / "images", tmp_path / "masks")
    assert (item.image, left_out) == (first, {})


def test_an_image_named_like_an_annotation_is_an_image_where_no_other_is_there(tmp_path):
    for folder, name in (("images", "CellMask_mask.tif"), ("masks", "CellMask_mask_labels.tif")):
        (tmp_path / folder).mkdir()
        write_labels(tmp_path / folder / name, np.ones((8, 8), np.int32))
    assert [pair.name for pair in find_items(tmp_path)] == ["CellMask_mask"]
    (item,), _ = find_corrected(tmp_path / "images", tmp_path / "masks")
    assert item.name == "CellMask_mask"


def test_images_and_masks_that_no_pair_is_made_of_are_named(tmp_path, caplog):
    pairs, apart = tmp_path / "pairs", tmp_path / "apart"
    for folder in (pairs, apart / "images", apart / "masks"):
        folder.mkdir(parents=True)
    _pair(pairs, "a")
    find_items(pairs)
    assert not caplog.records
    write_image(pairs / "b.png", np.zeros((2, 3), np.uint8))
    write_image(pairs / "a_img_overlay.png", np.zeros((2, 3), np.uint8))
    find_items(pairs)
    assert "left out: 1 file (images without masks: b.png)" in caplog.text
    for name in ("images/a.png", "masks/a_masks.png", "masks/a_overlay.png", "masks/gone_masks.png"):
        write_image(apart / name, np.zeros((2, 3), np.uint8))
    find_items(apart)
    assert "left out: 1 file (masks without an image: gone_masks.png)" in caplog.text


def test_masks_may_be_named_with_the_ome_of_their_image(tmp_path):
    write_labels(tmp_path / "a.ome.tif", np.ones((8, 8), np.int32))
    write_labels(tmp_path / "a.ome_cp_masks.tif", np.ones((8, 8), np.int32))
    (pair,) = find_items(tmp_path, tmp_path)
    assert (pair.name, pair.masks.name) == ("a", "a.ome_cp_masks.tif")


def test_images_of_microscopes_are_paired_too(tmp_path):
    (tmp_path / "a_img.nd2").write_bytes(FakeND2(np.zeros((1, 8, 8), np.uint16)).content())
    write_labels(tmp_path / "a_masks.tif", np.ones((8, 8), np.int32))
    (pair,) = find_pairs(tmp_path)
    assert pair.read().pixels.shape == (8, 8)


def test_a_copy_of_an_image_in_a_rare_format_is_passed_over(tmp_path):
    _pair(tmp_path, "d")
    np.save(tmp_path / "d_img.npy", np.zeros((2, 3)))
    np.save(tmp_path / "d_masks.npy", LABELS)
    assert [(pair.image.suffix, pair.masks.suffix) for pair in find_pairs(tmp_path)] == [(".png", ".tif")]


def test_an_ome_tiff_beside_a_tiff_of_its_name_keeps_the_ome(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for name in ("a.tif", "a.ome.tif"):
            write_labels(tmp_path / folder / name, np.ones((8, 8), np.int32))
    assert [(p.name, p.masks.name) for p in find_items(tmp_path)] == [("a", "a.tif"), ("a.ome", "a.ome.tif")]
