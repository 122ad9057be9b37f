"""Layouts of files that people keep images and masks in: read alike, and refused alike."""

import numpy as np
import pytest

from dinocell.datasets.corrected import find_corrected
from dinocell.datasets.folder import find_items, find_pairs
from dinocell.datasets.formats import open_dataset, open_originals
from dinocell.errors import FileFormatError, FileMissingError, InputError
from dinocell.io.images import read_labels
from tests.fakes.layouts import LAYOUTS, TRUTH, pixels_of, write_cellpose_file, write_file

LABELS = TRUTH[0].astype(np.uint16)
PIXELS = pixels_of(0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_holds_the_same_pairs(tmp_path, caplog, layout):
    data, masks = LAYOUTS[layout](tmp_path)
    items = open_dataset(data, masks)
    assert len(items) == len({item.name for item in items}) == 2
    for number, item in enumerate(items):
        annotated = item.read()
        np.testing.assert_array_equal(annotated.pixels, pixels_of(number))
        np.testing.assert_array_equal(annotated.labels, TRUTH[number])
    assert not caplog.records


@pytest.mark.parametrize("layout", ["NAME_masks.tif beside NAME.tif", "images/ and masks/", "two folders"])
def test_an_image_without_masks_is_named(tmp_path, layout):
    data, masks = LAYOUTS[layout](tmp_path)
    folder = data / "images" if (data / "images").is_dir() else data
    for name in ("alone", "lonely"):
        write_file(folder / f"{name}.tif", PIXELS)
    with pytest.raises(FileMissingError, match=r"2 of 4 images have no masks \(alone\.tif, lonely\.tif\)"):
        open_dataset(data, masks)


@pytest.mark.parametrize("layout", ["NAME_masks.tif beside NAME.tif", "images/ and masks/", "two folders"])
def test_masks_without_an_image_are_named(tmp_path, caplog, layout):
    data, masks = LAYOUTS[layout](tmp_path)
    folder = masks or (data / "masks" if (data / "masks").is_dir() else data)
    write_file(folder / "gone_masks.tif", LABELS)
    assert len(open_dataset(data, masks)) == 2
    assert "1 file (masks without an image: gone_masks.tif)" in caplog.text


@pytest.mark.parametrize("other", ["w0_cp_masks.png", "w0_mask.tif", "w0_masks.png"])
def test_two_masks_of_one_image_are_both_named(tmp_path, other):
    LAYOUTS["NAME_masks.tif beside NAME.tif"](tmp_path)
    write_file(tmp_path / other, LABELS)
    with pytest.raises(FileFormatError) as caught:
        open_dataset(tmp_path)
    assert "w0_masks.tif" in str(caught.value)
    assert other in str(caught.value)


def test_an_image_whose_masks_another_has_is_left_out_and_named(tmp_path, caplog):
    LAYOUTS["NAME_masks.png beside NAME_img.png"](tmp_path)
    write_file(tmp_path / "w0.tif", PIXELS)
    assert [pair.image.name for pair in find_items(tmp_path)] == ["w0_img.png", "w1_img.png"]
    assert "1 file (images without masks: w0.tif)" in caplog.text


def test_two_images_that_a_short_name_would_fit_keep_their_own(tmp_path):
    LAYOUTS["NAME_masks.png beside NAME_img.png"](tmp_path)
    for name in ("w0.tif", "w0_cp_masks.png"):
        write_file(tmp_path / name, LABELS)
    named = {pair.name: pair.masks.name for pair in find_pairs(tmp_path)}
    assert named == {"w0": "w0_cp_masks.png", "w0_img": "w0_masks.png", "w1": "w1_masks.png"}


def test_the_annotation_goes_before_results_for_the_image(tmp_path):
    LAYOUTS["NAME_masks.png beside NAME_img.png"](tmp_path)
    write_file(tmp_path / "w0_img_cp_masks.png", LABELS)
    assert [pair.masks.name for pair in find_pairs(tmp_path)] == ["w0_masks.png", "w1_masks.png"]


def test_what_segment_wrote_beside_an_image_is_no_annotation(tmp_path):
    LAYOUTS["NAME_labels.tif beside NAME.png"](tmp_path)
    (tmp_path / "w1_provenance.json").write_text("{}")
    with pytest.raises(FileMissingError, match=r"w1_labels\.tif is what `dinocell segment` wrote.* w1_masks"):
        open_dataset(tmp_path)
    write_file(tmp_path / "w1_masks.tif", LABELS)
    assert [item.masks.name for item in open_dataset(tmp_path)] == ["w0_labels.tif", "w1_masks.tif"]


def test_masks_in_two_places_are_refused(tmp_path):
    LAYOUTS["images/ and masks/"](tmp_path)
    LAYOUTS["NAME_masks.tif beside NAME.tif"](tmp_path)
    with pytest.raises(FileFormatError, match=r"holds images/, masks/ and .*expected one annotation"):
        open_dataset(tmp_path)


def test_two_folders_of_other_names_need_both(tmp_path):
    LAYOUTS["two folders"](tmp_path)
    with pytest.raises(FileMissingError, match="the name of the folder of masks as well"):
        open_dataset(tmp_path)


# Cellpose's own file


class Trap:
    """An object that leaves a trace when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)


def write_trap(folder, name="w0_seg.npy"):
    write_file(folder / "w0.tif", PIXELS)
    np.save(folder / name, np.array({"masks": Trap(folder / "ran")}, dtype=object), allow_pickle=True)
    return folder / name


WAY_OUT = (
    r"w0_seg\.npy is Cellpose's own file.*never loaded.*Save masks as PNG/tif.*--save_tif.*NAME_cp_masks"
)


@pytest.mark.parametrize("twice", [False, True])
def test_cellposes_own_file_is_refused_with_the_way_out(tmp_path, twice):
    write_trap(tmp_path)
    with pytest.raises(FileFormatError, match=WAY_OUT):
        open_dataset(tmp_path, tmp_path if twice else None)
    assert not (tmp_path / "ran").exists()


def test_cellposes_own_file_is_refused_wherever_labels_are_read(tmp_path):
    file = write_trap(tmp_path)
    with pytest.raises(FileFormatError, match=WAY_OUT):
        read_labels(file)
    (tmp_path / "pairs.csv").write_text("image,masks\nw0.tif,w0_seg.npy\n")
    (item,) = open_dataset(tmp_path / "pairs.csv")
    with pytest.raises(FileFormatError, match=WAY_OUT):
        item.read()
    with pytest.raises(FileMissingError, match=WAY_OUT):
        find_corrected(tmp_path, tmp_path)
    assert not (tmp_path / "ran").exists()


def test_other_arrays_of_objects_are_refused_as_before(tmp_path):
    file = write_trap(tmp_path, "w0_masks.npy")
    with pytest.raises(FileFormatError, match="not a complete array of plain numbers"):
        read_labels(file)


def test_an_array_of_numbers_may_be_called_as_cellposes_file(tmp_path):
    np.save(tmp_path / "a_seg.npy", LABELS)
    np.testing.assert_array_equal(read_labels(tmp_path / "a_seg.npy"), LABELS)


def test_cellposes_file_beside_its_masks_is_passed_over(tmp_path):
    write_file(tmp_path / "a.tif", PIXELS)
    write_file(tmp_path / "a_cp_masks.tif", LABELS)
    write_cellpose_file(tmp_path / "a_seg.npy", TRUTH[0])
    (item,) = open_dataset(tmp_path)
    assert item.masks.name == "a_cp_masks.tif"


# Cell Tracking Challenge


def test_frames_without_masks_are_named_and_markers_are_read(tmp_path, caplog):
    LAYOUTS["CTC names in one folder"](tmp_path)
    write_file(tmp_path / "t002.tif", LABELS)
    write_file(tmp_path / "man_track000.tif", LABELS)
    first, second = open_dataset(tmp_path)
    assert [file.name for file in first.files] == ["t000.tif", "man_seg000.tif", "man_track000.tif"]
    assert second.markers is None
    assert "left out: 1 of 3 frames, without masks (t002.tif)" in caplog.text


def test_a_folder_of_truth_brings_its_markers(tmp_path):
    data, masks = LAYOUTS["CTC sequence and masks"](tmp_path)
    write_file(tmp_path / "01_GT" / "TRA" / "man_track000.tif", LABELS)
    assert open_dataset(data, masks)[0].markers == tmp_path / "01_GT" / "TRA" / "man_track000.tif"
    assert open_dataset(data, masks.parent)[0].markers == tmp_path / "01_GT" / "TRA" / "man_track000.tif"


# Stores


def test_what_learns_from_images_refuses_a_store(tmp_path):
    for name in ("imgs", "dist_maps", "anns"):
        np.save(tmp_path / f"{name}.npy", np.zeros((1, 8, 8), np.float32 if name != "anns" else np.int32))
    with pytest.raises(InputError, match="is a store of preprocessed images"):
        open_originals(tmp_path)
    with pytest.raises(InputError, match="is a store, which holds its labels"):
        open_dataset(tmp_path, tmp_path)
