import pickle

import numpy as np
import pytest

from dinocell.datasets.cellpose import find_items
from dinocell.errors import FileFormatError, FileMissingError, InputError
from dinocell.io.saving import write_image

CYTOPLASM = np.array([[10, 20, 0], [30, 40, 50]], np.uint8)
NUCLEI = np.array([[0, 200, 0], [0, 0, 250]], np.uint8)
LABELS = np.array([[1, 1, 0], [300, 300, 2]], np.uint16)


def _colours(*channels):
    return np.stack([np.broadcast_to(np.uint8(channel), (2, 3)) for channel in channels], axis=2)


def _fake(folder, number, pixels=None):
    """Write one pair as in the published data: RGB with red nuclei and green cytoplasm, 16-bit masks."""
    folder.mkdir(exist_ok=True)
    write_image(folder / f"{number}_img.png", _colours(NUCLEI, CYTOPLASM, 0) if pixels is None else pixels)
    write_image(folder / f"{number}_masks.png", LABELS)


def test_of_two_false_colours_the_cytoplasm_is_read(tmp_path):
    _fake(tmp_path, "000")
    item = find_items(tmp_path)[0]
    annotated = item.read()
    assert np.array_equal(annotated.pixels, CYTOPLASM)
    assert annotated.pixels.flags.c_contiguous
    assert np.array_equal(annotated.labels, LABELS)
    assert annotated.labels.dtype == np.int32
    assert item.files == (tmp_path / "000_img.png", tmp_path / "000_masks.png")


@pytest.mark.parametrize(
    "pixels",
    [
        CYTOPLASM,
        _colours(CYTOPLASM, CYTOPLASM, CYTOPLASM),
        _colours(0, CYTOPLASM, NUCLEI),
        _colours(NUCLEI, 0, 0),
        _colours(0, 0, 0),
    ],
    ids=["gray", "gray as colours", "with blue", "red alone", "black"],
)
def test_any_other_image_is_read_as_it_is(tmp_path, pixels):
    _fake(tmp_path, "000", pixels)
    assert np.array_equal(find_items(tmp_path)[0].read().pixels, pixels)


def test_cytoplasm_without_nuclei_and_with_alpha_is_read_alone(tmp_path):
    _fake(tmp_path, "000", _colours(0, CYTOPLASM, 0))
    _fake(tmp_path, "001", _colours(NUCLEI, CYTOPLASM, 0, 255))
    for item in find_items(tmp_path):
        assert np.array_equal(item.read().pixels, CYTOPLASM)


def test_a_chosen_channel_is_read_alone(tmp_path):
    _fake(tmp_path, "000")
    assert np.array_equal(find_items(tmp_path, channel=0)[0].read().pixels, NUCLEI)
    with pytest.raises(InputError, match=r"000_img\.png has no channel 5"):
        find_items(tmp_path, channel=5)[0].read()


def test_pairs_are_sorted_by_number_and_what_cellpose_leaves_is_passed_over(tmp_path):
    for name in ("10", "9", "009", "100", "extra"):
        _fake(tmp_path, name)
    (tmp_path / "9_img_seg.npy").write_bytes(b"")
    write_image(tmp_path / "9_img_cp_masks.png", LABELS)
    items = find_items(tmp_path)
    assert [item.name for item in items] == ["009", "9", "10", "100", "extra"]
    assert pickle.loads(pickle.dumps(items)) == items  # noqa: S301 (our own bytes)


def test_the_folder_above_says_to_choose_one(tmp_path):
    for part in ("train", "test"):
        _fake(tmp_path / part, "000")
    with pytest.raises(FileMissingError, match=r"train and test: choose one folder, such as .*train"):
        find_items(tmp_path)
    assert len(find_items(tmp_path / "test")) == 1
    _fake(tmp_path, "000")
    assert [item.image.parent for item in find_items(tmp_path)] == [tmp_path]


def test_what_is_missing_or_does_not_fit_is_named(tmp_path):
    with pytest.raises(FileMissingError, match="no folder"):
        find_items(tmp_path / "none")
    with pytest.raises(FileMissingError, match="no annotated images"):
        find_items(tmp_path)
    _fake(tmp_path, "000", np.zeros((4, 4), np.uint8))
    with pytest.raises(FileFormatError, match=r"000_masks\.png.*same size"):
        find_items(tmp_path)[0].read()
    (tmp_path / "000_masks.png").unlink()
    with pytest.raises(FileMissingError, match=r"add 000_masks\.png"):
        find_items(tmp_path)
