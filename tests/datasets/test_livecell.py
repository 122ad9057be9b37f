"""COCO JSON: masks drawn pixel by pixel as pycocotools draws them, overlaps, crowds, and what is refused."""

import errno
import io
import json
import pickle
import sys
import tracemalloc
from array import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from dinocell.datasets import coco_masks, json_reader
from dinocell.datasets.coco_masks import CocoRuns, Spool, StoredMasks, mask_pixels
from dinocell.datasets.livecell import CocoImage, find_items
from dinocell.errors import (
    DINOCellError,
    FileFormatError,
    FileMissingError,
    MissingExtraError,
    OutputError,
)
from dinocell.io.saving import write_image
from dinocell.labels import relabel
from tests.cases import CASES
from tests.fakes.coco import SHAPE, annotation, outline, rectangle, runs, write_coco, write_fake

SQUARE = outline(1, 2, 3, 4)


def pack(mask):
    """Run lengths as pycocotools packs them."""
    return str(coco.encode(np.asfortranarray(mask, np.uint8))["counts"], "ascii")


def draw(folder, *segmentations, **more):
    """Return labels and number of overlapped pixels of one image with these annotations."""
    annotations = [annotation(1, segmentation, **more) for segmentation in segmentations]
    annotated = find_items(write_coco(folder / "x.json", {1: "x.png"}, annotations))[0].read()
    return annotated.labels, annotated.overlapped_pixels


def test_a_dataset_is_read_as_it_was_written(tmp_path):
    truth = write_fake(tmp_path)
    items = find_items(tmp_path)
    assert [item.name for item in items] == sorted(truth)
    for item in items:
        annotated = item.read()
        assert annotated.labels.dtype == np.int32
        assert annotated.labels.flags.c_contiguous
        np.testing.assert_array_equal(annotated.labels, truth[item.name])
    assert items[0].read().overlapped_pixels == 9
    assert items[1].read().overlapped_pixels == 0
    assert items[0].files == (tmp_path / "images/A172/a.png", tmp_path / "livecell_coco_val.json")
    assert (items[0].read().pixels == 2).all()


def test_items_survive_a_pickle_and_need_no_json_any_more(tmp_path):
    truth = write_fake(tmp_path)
    items = pickle.loads(pickle.dumps(find_items(tmp_path)))  # noqa: S301 - our own
    (tmp_path / "livecell_coco_val.json").unlink()
    assert [item.read().labels.tolist() for item in items] == [truth[name].tolist() for name in sorted(truth)]


def test_a_square_has_the_pixels_between_its_corners(tmp_path):
    labels, _ = draw(tmp_path, [SQUARE])
    np.testing.assert_array_equal(labels, rectangle(1, 2, 3, 4))


def test_parts_are_one_cell_and_overlap_nothing(tmp_path):
    labels, overlapped = draw(tmp_path, [SQUARE, outline(2, 3, 6, 2), [9, 9, 10, 9], []])
    np.testing.assert_array_equal(labels, rectangle(1, 2, 3, 4) | rectangle(2, 3, 6, 2))
    assert overlapped == 0


def test_a_polygon_without_the_list_around_it_is_one_part(tmp_path):
    labels, _ = draw(tmp_path, SQUARE)
    np.testing.assert_array_equal(labels, rectangle(1, 2, 3, 4))


def test_run_lengths_and_packed_run_lengths_are_the_same_mask(tmp_path):
    mask = rectangle(1, 2, 3, 11) | rectangle(0, 15, 12, 1)
    for segmentation in (runs(mask), {"size": list(SHAPE), "counts": pack(mask)}):
        labels, _ = draw(tmp_path, segmentation)
        np.testing.assert_array_equal(labels, mask)


@pytest.mark.slow
def test_an_outline_of_a_million_corners_is_drawn_and_one_that_fills_the_memory_is_refused():
    turn = np.linspace(0, 2 * np.pi, 1_000_000, endpoint=False)
    circle = 500 + 400 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    found = mask_pixels((array("d", circle.ravel()),), (1000, 1000), "x")
    y, x = np.ogrid[:1000, :1000]
    inside = (y - 499.5) ** 2 + (x - 499.5) ** 2 <= 400**2
    assert abs(len(found) - inside.sum()) < 0.001 * inside.sum()
    zigzag = np.stack([np.linspace(0, 1000, 1_000_000), np.tile([-1000.0, 2000.0], 500_000)], axis=1)
    with pytest.raises(FileFormatError, match=r"x has an outline of 1 parts that is \d+ pixels"):
        mask_pixels((array("d", zigzag.ravel()),), (1000, 1000), "x")


@pytest.mark.parametrize("order", [1, -1])
def test_the_smaller_cell_lies_on_top_and_ids_follow_the_json(tmp_path, order):
    big, small = outline(0, 0, 6, 6), outline(4, 4, 4, 4)
    labels, overlapped = draw(tmp_path, *[[big], [small]][::order])
    numbers = (1, 2)[::order]
    expected = np.where(rectangle(4, 4, 4, 4), numbers[1], rectangle(0, 0, 6, 6) * numbers[0])
    np.testing.assert_array_equal(labels, expected)
    assert overlapped == 4


def test_of_equal_cells_the_later_lies_on_top_and_pixels_of_three_count_once(tmp_path):
    labels, overlapped = draw(tmp_path, [outline(0, 0, 2, 2)], [outline(0, 1, 2, 2)], [outline(0, 0, 2, 3)])
    assert labels[0, :4].tolist() == [1, 2, 2, 0]
    assert overlapped == 6


def test_cells_without_pixels_and_cells_under_others_leave_no_gap(tmp_path):
    nothing = runs(np.zeros(SHAPE, bool))
    cells = [[], nothing, [[3, 3, 3, 3]], [SQUARE], [SQUARE], [outline(8, 8, 2, 2)]]
    labels, overlapped = draw(tmp_path, *cells)
    np.testing.assert_array_equal(labels, rectangle(1, 2, 3, 4) + 2 * rectangle(8, 8, 2, 2))
    assert overlapped == 12


def test_a_crowd_is_ignored_where_no_cell_is_and_is_no_overlap(tmp_path):
    annotations = [annotation(1, [outline(0, 0, 4, 4)], iscrowd=1), annotation(1, [outline(2, 2, 6, 6)])]
    annotated = find_items(write_coco(tmp_path / "x.json", {1: "x.png"}, annotations))[0].read()
    expected = np.where(rectangle(2, 2, 6, 6), 1, -1 * rectangle(0, 0, 4, 4))
    np.testing.assert_array_equal(annotated.labels, expected)
    assert annotated.overlapped_pixels == 0


def test_polygons_may_reach_over_the_border(tmp_path):
    labels, _ = draw(tmp_path, [[-5, -5, 4, -5, 4, 3, -5, 3]])
    np.testing.assert_array_equal(labels, rectangle(0, 0, 3, 4))


@given(
    arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 4)),
    st.booleans(),
)
@settings(deadline=None)
def test_any_labels_come_back_from_run_lengths(labels, packed):
    cells = tuple(
        CocoRuns(labels.shape, pack(labels == number) if packed else runs(labels == number)["counts"])
        for number in range(1, 5)
    )
    read_image_of(labels.shape, cells, relabel(labels))


@pytest.mark.parametrize("name", CASES)
def test_named_labels_come_back_from_packed_run_lengths(name):
    labels = CASES[name]
    cells = tuple(CocoRuns(labels.shape, pack(labels == n)) for n in range(1, labels.max() + 1))
    read_image_of(labels.shape, cells, labels)


def read_image_of(shape, cells, expected):
    drawn, overlapped = coco_masks.draw_masks([mask_pixels(cell, shape, "here") for cell in cells], [], shape)
    np.testing.assert_array_equal(drawn, expected)
    assert overlapped == 0


@given(st.lists(st.floats(-20, 60), min_size=6, max_size=12).filter(lambda p: len(p) % 2 == 0))
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools 2.0.11
def test_any_polygon_is_drawn_as_pycocotools_draws_it(polygon):
    shape = (30, 40)
    expected = coco.decode(coco.merge(coco.frPyObjects([polygon], *shape)))
    drawn = np.zeros(shape[0] * shape[1], np.uint8)
    drawn[mask_pixels((polygon,), shape, "here")] = 1
    np.testing.assert_array_equal(drawn.reshape(40, 30).T, expected)


def test_images_and_annotations_may_be_lists_or_objects_and_ids_text(tmp_path):
    file = write_coco(tmp_path / "x.json", {1: "x.png"}, [annotation("i", [SQUARE])], by_id=True)
    content = json.loads(file.read_text())
    content["images"] = {"first": content["images"][0] | {"id": "i"}}
    del content["annotations"]["100"]["iscrowd"]
    file.write_text("\ufeff" + json.dumps(content), "utf-8")  # as Windows programs begin a text
    np.testing.assert_array_equal(find_items(file)[0].read().labels, rectangle(1, 2, 3, 4))


@pytest.mark.parametrize("piece", [1, 2, 7, 100])
@pytest.mark.parametrize("indent", [None, 1])
def test_a_json_is_read_in_pieces_and_its_keys_in_any_order(tmp_path, monkeypatch, piece, indent):
    monkeypatch.setattr(json_reader, "PIECE", piece)
    truth = write_fake(tmp_path)
    file = tmp_path / "livecell_coco_val.json"
    content = json.loads(file.read_text())
    assert list(content)[-1] == "annotations"
    more = {"version": -1.25e2, "n": 12, "nothing": None, "text": '\\"]}é', "nested": [{"images": [[]]}]}
    content = more | {key: content[key] for key in reversed(content)} | {"last": float("-inf")}
    content["annotations"]["100"]["area"] = float("nan")
    file.write_text(json.dumps(content, indent=indent))
    for item in find_items(tmp_path):
        np.testing.assert_array_equal(item.read().labels, truth[item.name])


@given(data=st.data(), piece=st.integers(1, 40))
@settings(deadline=None)
def test_a_json_that_was_cut_off_is_refused(tmp_path_factory, data, piece):
    file = write_coco(
        tmp_path_factory.mktemp("cut") / "x.json", {1: "x.png"}, [annotation(1, [SQUARE])], image_files=False
    )
    text = file.read_text()
    file.write_text(text[: data.draw(st.integers(0, len(text) - 1))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_reader, "PIECE", piece)
        with pytest.raises(FileFormatError, match="cannot be read"):
            find_items(file)


def test_an_image_that_is_listed_twice_gives_two_items(tmp_path):
    annotations = [annotation(1, [SQUARE]), annotation(2, [SQUARE]), annotation(2, [outline(6, 6, 2, 2)])]
    items = find_items(write_coco(tmp_path / "x.json", {2: "x.png", 3: "y.png", 1: "x.png"}, annotations))
    assert [item.name for item in items] == ["x-1", "x-2", "y"]
    assert [int(item.read().labels.max()) for item in items] == [1, 2, 0]


def test_images_are_found_by_file_name_in_the_folder_that_is_named(tmp_path):
    write_coco(tmp_path / "a" / "x.json", {1: "x.png"}, [])
    file = write_coco(tmp_path / "b" / "x.json", {1: "train\\x.png"}, [], image_files=False)
    assert find_items(file, images=tmp_path / "a")[0].image == tmp_path / "a/images/A172/x.png"
    with pytest.raises(FileMissingError, match=r"no folder .*none"):
        find_items(file, images=tmp_path / "none")


def test_two_files_of_a_name_are_refused_if_an_image_has_that_name(tmp_path):
    file = write_coco(tmp_path / "x.json", {1: "x.png"}, [])
    for name in ("y.png", "x.png"):
        assert len(find_items(file)) == 1
        write_image(tmp_path / name, np.zeros(SHAPE, np.uint8))
        write_image(tmp_path / "images" / name, np.zeros(SHAPE, np.uint8))
    with pytest.raises(FileFormatError, match=r"x\.png may both be the image x\.png"):
        find_items(file)


def test_a_missing_image_is_refused_when_it_is_read(tmp_path):
    file = write_coco(tmp_path / "x.json", {1: "x.png", 2: "y.png"}, [])
    (tmp_path / "images/A172/x.png").unlink()
    missing, there = find_items(file)
    assert there.read().labels.shape == SHAPE
    with pytest.raises(FileMissingError, match=r"x\.png does not exist.*name the folder of the images"):
        missing.read()


def test_an_image_of_another_size_is_refused(tmp_path):
    file = write_coco(tmp_path / "x.json", {1: "x.png"}, [])
    write_image(tmp_path / "images/A172/x.png", np.zeros((16, 12), np.uint8))
    with pytest.raises(FileFormatError, match=r"x\.png is \(16, 12\) px but x\.json says \(12, 16\)"):
        find_items(file)[0].read()


@pytest.mark.parametrize("piece", [1, 10, 2**20])
def test_a_folder_must_hold_one_json_of_annotations(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(json_reader, "PIECE", piece)
    with pytest.raises(FileMissingError, match="holds no annotations"):
        find_items(tmp_path)
    (tmp_path / "settings.json").write_text('{"a": 1}')
    with pytest.raises(FileFormatError, match=r'settings\.json has no list "images"'):
        find_items(tmp_path)
    write_coco(tmp_path / "x.json", {1: "x.png"}, [])
    assert find_items(tmp_path)[0].annotations == tmp_path / "x.json"
    write_coco(tmp_path / "y.json", {1: "x.png"}, [])
    with pytest.raises(FileFormatError, match=r"holds x\.json, y\.json, expected one .*name it"):
        find_items(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read"),
        ('{"images": [', "cannot be read"),
        ('{"images": [1', "cannot be read .*character 13"),
        ('{"images": [1,]}', "cannot be read .*Expecting value: character 14"),
        ('{"images": [1}', "cannot be read"),
        ('{"images": {1: 2}}', "cannot be read .*Expecting a name: character 12"),
        ('{"images" []}', "cannot be read"),
        ('{"images": []} 1', "cannot be read .*Extra data: character 15"),
        ('{"images": ' + "[" * 100_000, "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b'{"images\xff": []}', "cannot be read .*no UTF-8 text"),
        ("[]", 'has no list "images"'),
        ("[1, 2]", 'has no list "images"'),
        ('{"images": 3, "annotations": []}', 'has no list "images"'),
        ('{"images": [{"id": 1, "file_name": "x", "height": 1, "width": 1}]}', 'no list "annotations"'),
        ('{"images": [], "annotations": []}', "has no images"),
        ('{"images": [5], "annotations": []}', "image 1 has no usable id, file_name"),
        ('{"images": [{"id": 1, "file_name": "x", "height": 1}], "annotations": []}', "image 1 has no"),
        ('{"images": [{"id": 1, "file_name": "..", "height": 1, "width": []}], "annotations": []}', "1 has"),
    ],
)
def test_a_json_without_images_and_annotations_is_refused(tmp_path, content, message):
    file = tmp_path / "x.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FileFormatError, match=message) as caught:
        find_items(file)
    assert str(file) in str(caught.value)


def test_a_json_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileMissingError, match=r"x\.json does not exist"):
        find_items(tmp_path / "x.json")


def test_a_json_that_contradicts_itself_is_refused(tmp_path):
    annotations = [annotation(1, []), annotation(5, []), annotation("1", [])]
    file = write_coco(tmp_path / "x.json", {1: "x.png"}, annotations)
    with pytest.raises(FileFormatError, match="has 2 annotations of images that it does not list, first 5"):
        find_items(file)
    content = json.loads(file.read_text())
    content["images"] *= 2
    file.write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match="several images of the same id"):
        find_items(file)


@pytest.mark.parametrize(
    "segmentation",
    [None, 5, "abc", [5], [[1, 2, 3]], [["a"]], [None], {}, {"size": [1], "counts": []},
     {"size": [12, 16], "counts": [-1]}, {"size": [12, 16], "counts": [1.5]}, {"size": None, "counts": "a"},
     {"size": [12, 16], "counts": [2**40]}],
)  # fmt: skip
def test_an_annotation_without_a_mask_is_refused_by_its_number(tmp_path, segmentation):
    annotations = [annotation(1, [SQUARE]), annotation(1, segmentation)]
    file = write_coco(tmp_path / "x.json", {1: "x.png"}, annotations)
    with pytest.raises(FileFormatError, match="annotation 2 has no usable image_id or segmentation"):
        find_items(file)


def test_an_annotation_of_a_box_alone_is_refused(tmp_path):
    for key in ("segmentation", "image_id"):
        damaged = annotation(1, [SQUARE])
        del damaged[key]
        with pytest.raises(FileFormatError, match="annotation 1 has no usable"):
            find_items(write_coco(tmp_path / "x.json", {1: "x.png"}, [damaged]))


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [16, 12], "counts": [192]},
        {"size": [12, 16], "counts": []},
        {"size": [12, 16], "counts": [3, 4]},
        {"size": [12, 16], "counts": [3, 400]},
        {"size": [12, 16], "counts": ""},
        {"size": [12, 16], "counts": "abc"},
        {"size": [12, 16], "counts": "~~~~€"},
        {"size": [12, 16], "counts": "o" * 300},
        {"size": [12, 16], "counts": "X6H"},  # runs of 200 and -8
        [[0, 0, 1e9, 0, 1e9, 1e9]],
        [[0, 0, -1e9, 0, -1e9, -1e9]],
        [[0, 0, float("nan"), 0, 5, 5]],
        [[0, 0, float("inf"), 0, 5, 5]],
    ],
)
def test_a_damaged_mask_is_refused_when_it_is_read(tmp_path, segmentation):
    file = write_coco(
        tmp_path / "x.json", {1: "x.png"}, [annotation(1, [SQUARE]), annotation(1, segmentation)]
    )
    with pytest.raises(FileFormatError, match=r"x\.json, image x\.png, cell 2 has"):
        find_items(file)[0].read()


def test_without_pycocotools_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    items = find_items(write_coco(tmp_path / "x.json", {1: "x.png"}, [annotation(1, [SQUARE])]))
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    with pytest.raises(MissingExtraError, match=r'pip install "dinocell\[evaluate\]"') as caught:
        items[0].read()
    assert isinstance(caught.value, DINOCellError)
    assert isinstance(caught.value, ImportError)


def test_run_lengths_need_no_pycocotools(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    labels, _ = draw(tmp_path, runs(rectangle(1, 2, 3, 4)))
    np.testing.assert_array_equal(labels, rectangle(1, 2, 3, 4))


def test_masks_are_kept_compact(tmp_path):
    item = find_items(write_coco(tmp_path / "x.json", {1: "x.png"}, [annotation(1, [SQUARE * 50])]))[0]
    assert isinstance(item, CocoImage)
    assert len(pickle.dumps(item.cells)) < 9 * len(SQUARE * 50)


@pytest.mark.slow
def test_of_a_json_only_a_piece_is_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(json_reader, "PIECE", 2**14)
    cells = [annotation(number % 50, [SQUARE * 20]) for number in range(4000)]
    file = write_coco(tmp_path / "x.json", dict.fromkeys(range(50), "x.png"), cells, image_files=False)
    assert file.stat().st_size > 2**21
    del cells
    tracemalloc.start()
    try:
        items = find_items(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [len(item.cells) for item in items] == [80] * 50
    assert peak < 2**19


def test_stored_masks_are_a_sequence_and_pickled_a_tuple():
    spool = Spool()
    masks, others = StoredMasks(spool), StoredMasks(spool)
    runs_of = [CocoRuns((1, n), "a" * n) for n in range(4)]
    for mask in runs_of:
        others.append(mask)
        masks.append(mask)
    assert list(masks) == runs_of
    assert (masks[-1], masks[1:3], masks.index(runs_of[2])) == (runs_of[3], tuple(runs_of[1:3]), 2)
    with pytest.raises(IndexError):
        masks[4]
    assert pickle.loads(pickle.dumps(masks)) == tuple(runs_of)  # noqa: S301 - our own


def test_a_temporary_file_that_is_full_or_has_no_place_is_no_fault_of_the_json(tmp_path, monkeypatch):
    file = write_coco(tmp_path / "x.json", {1: "x.png"}, [annotation(1, [SQUARE])])

    class Full(io.FileIO):
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    def nowhere(**_):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    for temporary_file, message in ((lambda **_: Full(file), "No space left"), (nowhere, "No usable")):
        monkeypatch.setattr(coco_masks, "TemporaryFile", temporary_file)
        with pytest.raises(OutputError, match=f"{message}.*set TMPDIR"):
            find_items(file)
