"""Label images as people and programs give them: read as stored, split, or refused as what they are not."""

import json
import logging
import shutil
from dataclasses import replace
from operator import itemgetter

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from dinocell import evaluate
from dinocell.cli import app
from dinocell.datasets import cellpose, ctc, dsb2018, formats, table
from dinocell.datasets.folder import find_items
from dinocell.datasets.masks import check_masks, first_few, read_masks
from dinocell.datasets.store import IMAGES_FILE, LABELS_FILE, MAPS_FILE
from dinocell.errors import FileFormatError
from dinocell.evaluation.predictions import read_prediction
from dinocell.evaluation.scoring import evaluate_prediction
from dinocell.io.saving import write_image
from tests.cases import CASES, disk
from tests.fakes.ctc import write_tiff
from tests.fakes.items import WHOLE, FakeItem, make_store

CENTRES = [(y, x) for y in (14, 44, 74) for x in (14, 44, 74, 104)]
REFUSED = "1 id in 12 pieces.*--split-components"


def twelve(value=None):
    """Draw twelve cells apart from each other, all of one value where that is given."""
    labels = np.zeros((90, 120), np.int32)
    for number, centre in enumerate(CENTRES, start=1):
        labels[disk(labels.shape, centre, 9)] = number if value is None else value
    return labels


# Two pixels that meet at a corner are one cell; the one below right is another.
SHAPE = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
COMPONENTS = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 2]]


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_binary_file_holds_a_cell_for_every_component(tmp_path, dtype, white, name):
    write_image(tmp_path / name, (SHAPE * white).astype(dtype))
    labels = read_masks(tmp_path / name).labels
    assert labels.dtype == np.int32
    assert labels.tolist() == COMPONENTS


def test_a_boolean_file_holds_a_cell_for_every_component(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", SHAPE.astype(bool))
    assert read_masks(tmp_path / "a.tif").labels.tolist() == COMPONENTS


@pytest.mark.parametrize(
    ("dtype", "value"), [(np.uint8, 1), (np.uint16, 1), (np.uint16, 255), (np.uint8, 254), (np.int32, 65535)]
)
def test_any_other_single_value_is_one_cell(tmp_path, dtype, value):
    write_image(tmp_path / "a.tif", (SHAPE * value).astype(dtype))
    assert np.array_equal(read_masks(tmp_path / "a.tif").labels, SHAPE * value)


def test_touching_cells_of_a_binary_file_are_one(tmp_path):
    write_image(tmp_path / "a.png", np.where(CASES["touching"] > 0, 255, 0).astype(np.uint8))
    assert read_masks(tmp_path / "a.png").labels.max() == 1


@pytest.mark.parametrize("name", CASES)
def test_label_images_are_read_as_stored(tmp_path, name):
    write_image(tmp_path / "a.png", CASES[name].astype(np.uint16))
    assert np.array_equal(read_masks(tmp_path / "a.png").labels, CASES[name])


@pytest.mark.parametrize(
    ("dtype", "value"),
    [(np.uint8, 1), (np.uint8, 7), (np.uint16, 255), (np.int32, 255), (np.int32, 65535), (np.float32, 1)],
)
def test_a_mask_of_one_value_in_many_pieces_is_refused_or_split_or_taken(tmp_path, dtype, value):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, twelve(value).astype(dtype))
    with pytest.raises(FileFormatError, match=rf"a\.tif: {REFUSED}"):
        read_masks(path)
    labels, notes = read_masks(path, split_components=True)
    assert np.array_equal(labels, twelve())
    assert notes == (f"{path}: 1 id in 12 pieces, each a cell now",)
    labels, notes = read_masks(path, split_components=False)
    assert np.array_equal(labels, twelve(value))
    assert notes == (f"{path}: 1 id in 12 pieces, taken as one cell",)


def test_the_pieces_of_a_binary_file_are_cells_and_that_is_said(tmp_path):
    path = tmp_path / "a.png"
    write_image(path, twelve(255).astype(np.uint8))
    labels, notes = read_masks(path)
    assert np.array_equal(labels, twelve())
    (note,) = notes
    assert note.startswith(f"{path}: a binary mask, its 12 pieces are the cells")
    assert read_masks(path, split_components=False).labels.max() == 255


def test_an_id_of_two_distant_cells_is_named_with_its_places_and_not_refused(tmp_path):
    labels = twelve()
    labels[labels == 12] = 3
    write_image(tmp_path / "a.tif", labels)
    read, notes = read_masks(tmp_path / "a.tif")
    assert np.array_equal(read, labels)
    (note,) = notes
    assert note.startswith(f"{tmp_path / 'a.tif'}: id 3 is 2 cells, at y, x (14, 74) and (74, 104): ")
    assert "--split-components" in note
    split, notes = read_masks(tmp_path / "a.tif", split_components=True)
    assert np.array_equal(split, twelve())
    assert notes == (f"{tmp_path / 'a.tif'}: 11 ids in 12 pieces, each a cell now",)


def test_of_many_shared_ids_the_first_are_named_and_the_others_counted():
    labels = np.zeros((60, 620), np.int32)
    for number in range(20):
        labels[disk(labels.shape, (15, 15 + 30 * number), 8)] = number % 10 + 1
    (note,) = check_masks(labels, "x").notes
    assert note.startswith("x: id 1 is 2 cells, at y, x (15, 15) and (15, 315); id 2 is 2 cells, ")
    assert note.count(" is 2 cells") == 3
    assert "; and 7 more ids: " in note


def test_a_map_of_classes_is_refused():
    inside, outside = np.where(twelve(), 2, 1), np.where(twelve(), 1, 0)
    for centre in CENTRES:
        outside[disk(outside.shape, centre, 9) & ~disk(outside.shape, centre, 7)] = 2
    with pytest.raises(FileFormatError, match=r"2 ids in 13 pieces.*classes"):
        check_masks(inside.astype(np.int32), "x")
    with pytest.raises(FileFormatError, match=r"2 ids in 24 pieces.*classes"):
        check_masks(outside.astype(np.int32), "x")


@pytest.mark.parametrize("name", CASES)
def test_sound_label_images_are_taken_without_a_word(name):
    labels, notes = check_masks(CASES[name], "x")
    assert labels is CASES[name]
    assert notes == () or name == "full"


def test_what_real_label_images_hold_is_no_reason_to_refuse_them():
    """Draw specks of a brush, the parts of a cell under others, and a fragment beside its cell."""
    one = twelve() * (twelve() == 6)
    one[2, 2] = one[5:7, 60:62] = 6
    assert check_masks(one, "x").notes == ()
    cut = one.copy()
    cut[:, 43:47] = 0
    assert check_masks(cut, "x").notes == ("x: 1 id in 2 pieces, taken as one cell",)
    labels = twelve()
    labels[:, 43:47] = 0  # three cells lie under something
    labels[80:84, 2:6] = 1  # a fragment of 16 pixels
    assert check_masks(labels, "x").notes == ()


def test_a_single_cell_that_covers_the_image_is_worth_a_word():
    (note,) = check_masks(CASES["full"], "x").notes
    assert note.startswith("x: its only cell covers 100% of it")


def test_the_first_notes_are_given_and_the_rest_is_counted():
    assert first_few(["a", "b", "a"], 2) == ["a", "b"]
    assert first_few([*"abcde"], 2) == ["a", "b", "and 3 more notes like these"]


def pairs(folder, masks):
    folder.mkdir(exist_ok=True)
    write_image(folder / "a_img.png", np.full(masks.shape, 9, np.uint8))
    write_image(folder / "a_masks.tif", masks)
    return folder


def a_pair(tmp_path, masks):
    return find_items(pairs(tmp_path, masks))


def a_row(tmp_path, masks):
    pairs(tmp_path, masks)
    (tmp_path / "t.csv").write_text("image,masks\na_img.png,a_masks.tif\n")
    return table.find_items(tmp_path / "t.csv")


def a_cellpose_pair(tmp_path, masks):
    return cellpose.find_items(pairs(tmp_path, masks))


def masks_of_a_frame(tmp_path, masks):
    write_tiff(tmp_path / "01" / "t000.tif", np.zeros(masks.shape, np.uint8))
    write_tiff(tmp_path / "01_GT" / "SEG" / "man_seg000.tif", masks.astype(np.uint16))
    return ctc.find_items(tmp_path)


def markers_of_a_frame(tmp_path, masks):
    write_tiff(tmp_path / "01_GT" / "TRA" / "man_track000.tif", masks.astype(np.uint16))
    return masks_of_a_frame(tmp_path, twelve())


def a_file_of_all_cells(tmp_path, masks):
    for part, pixels in (("images", np.zeros(masks.shape, np.uint8)), ("masks", masks)):
        (tmp_path / "a" / part).mkdir(parents=True)
        write_image(tmp_path / "a" / part / "a.png", pixels.astype(np.uint8))
    return dsb2018.find_items(tmp_path)


def an_annotation_of_all_cells(tmp_path, masks):
    write_image(tmp_path / "a.png", np.zeros(masks.shape, np.uint8))
    squares = [[x - 9, y - 9, x + 9, y - 9, x + 9, y + 9, x - 9, y + 9] for y, x in CENTRES]
    image = {"id": 1, "file_name": "a.png", "height": masks.shape[0], "width": masks.shape[1]}
    document = {"images": [image], "annotations": [{"image_id": 1, "segmentation": squares}]}
    (tmp_path / "a.json").write_text(json.dumps(document))
    return formats.find_items("livecell", tmp_path / "a.json")


def an_item_of_samcell_s_store(tmp_path, masks):
    np.save(tmp_path / IMAGES_FILE, np.zeros((1, *masks.shape, 3), np.uint8))
    np.save(tmp_path / MAPS_FILE, np.zeros((1, *masks.shape), np.float32))
    np.save(tmp_path / LABELS_FILE, masks[None])
    return formats.open_dataset(tmp_path)


@pytest.mark.parametrize(
    "make",
    [
        a_pair,
        a_row,
        a_cellpose_pair,
        masks_of_a_frame,
        markers_of_a_frame,
        a_file_of_all_cells,
        an_annotation_of_all_cells,
        an_item_of_samcell_s_store,
    ],
)
def test_every_reader_of_annotations_refuses_a_mask_and_splits_it_when_asked(tmp_path, make):
    (item,) = make(tmp_path, twelve(1))
    with pytest.raises(FileFormatError, match=REFUSED):
        item.read()
    annotated = replace(item, split_components=True).read()
    assert np.array_equal(np.unique(annotated.labels), np.arange(13))
    (note,) = annotated.notes
    assert "1 id in 12 pieces" in note
    annotated = replace(item, split_components=False).read()
    assert "taken as one cell" in annotated.notes[0]


@pytest.mark.parametrize("split", [None, True, False])
def test_the_option_reaches_the_items_of_every_format(tmp_path, split):
    folder = pairs(tmp_path / "x", twelve())
    assert find_items(folder, split_components=split)[0].split_components is split
    (item,) = formats.open_dataset(folder, split_components=split)
    assert item.split_components is split
    (item,) = formats.find_items("cellpose", folder, split_components=split)
    assert item.split_components is split
    make_store([FakeItem("a", twelve())], tmp_path / "store", WHOLE)
    (item,) = formats.open_dataset(tmp_path / "store", split_components=split)
    assert item.split_components is split


@pytest.fixture
def masks(tmp_path):
    """An image and its mask of one value."""
    return pairs(tmp_path / "masks", twelve(1).astype(np.uint8))


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    "command",
    [
        ("process", "folder", "DATA", "-o", "OUT", "--workers", 0),
        ("tune", "DATA", "-o", "OUT", "--workers", 0),
        pytest.param(
            ("finetune", "DATA", "-o", "OUT", "--steps", 1, "--variants", 1, "--no-cross-validation"),
            marks=pytest.mark.slow,
        ),
        ("compare", "--data", "DATA", "-o", "OUT", "--tools", "dinocell"),
    ],
    ids=itemgetter(0),
)
def test_every_command_that_reads_annotations_has_the_option(masks, tmp_path, command):
    given = [{"DATA": masks, "OUT": tmp_path / "out"}.get(part, part) for part in command]
    refused = run(*given)
    assert refused.exit_code == 1
    assert "1 id in 12 pieces" in f"{refused.output} {refused.exception}"
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    split = run(*given, "--split-components")
    assert split.exit_code == 0, split.output
    assert f"note: {masks / 'a_masks.tif'}: 1 id in 12 pieces, each a cell now" in split.output


def test_train_has_the_option():
    given = ("train", "--train", "a", "--validation", "b", "--print-config")
    assert "split_components: null" in run(*given).output
    assert "split_components: true" in run(*given, "--split-components").output


def test_a_mask_for_a_prediction_is_refused_or_split_and_said(tmp_path):
    (item,) = a_pair(tmp_path / "data", twelve())
    write_image(tmp_path / "a_labels.png", twelve(1).astype(np.uint8))
    with pytest.raises(FileFormatError, match=rf"a_labels\.png: {REFUSED}"):
        read_prediction(tmp_path, item)
    result = evaluate_prediction(replace(item, split_components=True), tmp_path)
    assert result.scores.seg == 1.0
    assert result.notes == (f"{tmp_path / 'a_labels.png'}: 1 id in 12 pieces, each a cell now",)


def test_arrays_that_look_like_a_mask_are_scored_and_a_warning_is_logged(caplog):
    with caplog.at_level(logging.WARNING, "dinocell"):
        assert evaluate(twelve(), twelve()).seg == 1.0
        assert caplog.messages == []
        assert evaluate(twelve(1), twelve()).seg == 0.0
        evaluate(twelve(), twelve(1) > 0)
    assert [message[:34] for message in caplog.messages] == [
        "true labels are 1 id in 12 pieces,",
        "predicted labels are 1 id in 12 pi",
    ]


def test_a_background_with_an_id_is_named():
    labels = np.ones((40, 40), np.int32)
    labels[5:10, 5:10], labels[20:26, 20:26] = 2, 3
    (note,) = check_masks(labels, "a.png").notes
    assert note == "a.png: one of its 3 ids covers 96% of it, expected 0 where there is no cell"
    assert check_masks(np.where(labels == 1, 0, labels), "a.png").notes == ()
