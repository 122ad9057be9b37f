"""Reading stores: ours, damaged ones, and those that SAMCell's scripts write."""

import io
import json
import logging
import os
import pickle
import shutil
from contextlib import suppress

import numpy as np
import pytest

from dinocell.datasets.items import Item
from dinocell.datasets.npy import GrowingArray, open_npy, write_all
from dinocell.datasets.process import ProcessSettings
from dinocell.datasets.store import DINOCellDataset, StoreItem, find_items, is_store
from dinocell.errors import DINOCellError, FileFormatError, FileMissingError
from dinocell.preprocess.preprocessing import Preprocessing
from tests.cases import CASES
from tests.fakes.items import FakeItem, fake_items, make_store

ARRAYS = ("imgs.npy", "dist_maps.npy", "anns.npy")
FILES = (*ARRAYS, "index.jsonl", "dataset.json")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Build a store of crops and one of whole images, which tests do not change."""
    folder = tmp_path_factory.mktemp("made")
    make_store(fake_items(), folder / "crops")
    make_store(fake_items(), folder / "whole", ProcessSettings("fake", whole=True))
    return folder


@pytest.fixture
def crops(made, tmp_path):
    """A copy of the store of crops."""
    return shutil.copytree(made / "crops", tmp_path / "crops")


def test_items_are_read_one_at_a_time(made):
    dataset = DINOCellDataset(made / "crops")
    samples = list(dataset)
    assert len(samples) == len(dataset) == dataset.info.items == len(dataset.index)
    assert dataset.size == (32, 32)
    assert dataset.has_labels
    for sample, entry in zip(samples, dataset.index, strict=True):
        assert sample.name == entry.name
        assert (sample.image.shape, sample.image.dtype) == ((32, 32), np.uint8)
        assert (sample.distance.shape, sample.distance.dtype) == ((32, 32), np.float32)
        assert (sample.labels.shape, sample.labels.dtype) == ((32, 32), np.int32)
    assert np.array_equal(dataset[-1].labels, samples[-1].labels)
    assert dataset[np.int64(3)].name == samples[3].name
    for number in (len(dataset), -len(dataset) - 1):
        with pytest.raises(IndexError, match=f"item {number} of"):
            dataset[number]


def test_what_is_read_may_be_changed_and_the_store_stays(made):
    dataset = DINOCellDataset(made / "crops")
    sample = dataset[0]
    before = [array.copy() for array in (sample.image, sample.distance, sample.labels)]
    for array in (sample.image, sample.distance, sample.labels):
        array[:] = 7
    after = DINOCellDataset(made / "crops")[0]
    for old, new in zip(before, (after.image, after.distance, after.labels), strict=True):
        assert np.array_equal(old, new)


def test_a_store_is_small_to_send(made):
    dataset = DINOCellDataset(made / "crops")
    sent = pickle.dumps(dataset)
    assert len(sent) < 1000
    assert np.array_equal(pickle.loads(sent)[5].image, dataset[5].image)  # noqa: S301 (our own)


def test_arrays_are_mapped_not_read(tmp_path):
    with (tmp_path / "imgs.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 1 << 10, 1 << 10)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + (1 << 40))  # a terabyte with nothing in it
    assert open_npy(tmp_path / "imgs.npy")[1 << 19, 5, 5] == 0


def test_whole_images_are_items_to_evaluate(made):
    items = find_items(made / "whole")
    assert [item.name for item in items] == list(CASES)
    first: Item = items[0]
    assert first.files == (made / "whole" / "imgs.npy", made / "whole" / "anns.npy")
    assert pickle.loads(pickle.dumps(items)) == items  # noqa: S301 (our own)
    assert items[0].read().preprocessing == Preprocessing()
    assert is_store(made / "whole")
    assert not is_store(made)


def test_crops_are_not_evaluated(made):
    with pytest.raises(FileFormatError, match=r"crops to train on.*--whole"):
        find_items(made / "crops")


def test_an_item_of_a_store_that_is_gone_is_refused(made, tmp_path):
    store = shutil.copytree(made / "whole", tmp_path / "whole")
    item = find_items(store)[-1]
    np.save(store / "imgs.npy", np.zeros((1, 4, 4, 3), np.uint8))
    with pytest.raises(FileFormatError, match=rf"imgs\.npy item {item.number}: "):
        item.read()
    shutil.rmtree(store)
    with pytest.raises(FileMissingError, match=r"imgs\.npy is missing"):
        item.read()


# What is missing or damaged


@pytest.mark.parametrize("name", FILES[:-1])
def test_a_missing_file_is_named(crops, name):
    (crops / name).unlink()
    with pytest.raises(FileMissingError, match=name.replace(".", r"\.")):
        DINOCellDataset(crops)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FileMissingError, match=r"no folder .*gone"):
        DINOCellDataset(tmp_path / "gone")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("left", [0, 40, -1, -200])
def test_a_cut_file_is_refused(crops, name, left):
    data = (crops / name).read_bytes()
    (crops / name).write_bytes(data[:left])
    if name == "index.jsonl" and left == -1:  # without the last line's end it says the same
        assert len(DINOCellDataset(crops))
        return
    if name == "dataset.json" and left == -1:
        assert len(DINOCellDataset(crops))
        return
    with pytest.raises(FileFormatError, match=name.replace(".", r"\.")):
        DINOCellDataset(crops)


@pytest.mark.parametrize("name", FILES)
def test_other_content_is_refused(crops, name):
    for data in (b"\xff\xfe\x00", b"PK\x03\x04 a zip", b"[]", b"null\n", b"{}\n", b"\n\n"):
        (crops / name).write_bytes(data)
        with pytest.raises(FileFormatError, match=name.replace(".", r"\.")):
            DINOCellDataset(crops)
    (crops / name).unlink()
    (crops / name).mkdir()
    with pytest.raises(DINOCellError, match=name.replace(".", r"\.")):
        DINOCellDataset(crops)


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_another_kind_are_refused(crops, name):
    array = np.load(crops / name)
    others = (array[:-1], array[:, 1:], array.astype(np.float64), array[..., None], array[0, 0], array[:0])
    for other in (*others, array.astype(bool), array.astype(complex), array.astype("S1")):
        np.save(crops / name, other)
        with pytest.raises(FileFormatError, match=name.replace(".", r"\.")):
            DINOCellDataset(crops)


class Trap:
    """Object that creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ARRAYS)
def test_nothing_is_ever_unpickled(crops, tmp_path, name):
    trap = np.array([Trap(tmp_path / "sprung")] * 8, object).reshape(2, 2, 2)
    np.save(crops / name, trap, allow_pickle=True)
    with pytest.raises(FileFormatError, match="damaged or no array"):
        DINOCellDataset(crops)
    (crops / name).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(FileFormatError, match="damaged or no array"):
        DINOCellDataset(crops)
    np.savez(crops / "zip.npz", trap)
    (crops / "zip.npz").rename(crops / name)
    with pytest.raises(FileFormatError, match="damaged or no array"):
        DINOCellDataset(crops)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.filterwarnings("ignore")  # what numpy thinks of odd headers
def test_a_header_with_anything_in_it_is_read_or_refused(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 4, 5), np.float32))
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    headers = [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 4, 5)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4, 10**99)}",
        f"{{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4, {10**99})}}",
        "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (3, 4, 5)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3L, 4L, 5L)}",
        "{1: 2, 'shape': 3}",
        "{'descr': [], 'fortran_order': 3, 'shape': [3]}",
        "-" * 5000 + "1",
        "(" * 5000,
    ]
    cases = [good[:8] + len(text).to_bytes(2, "little") + text.encode() + good[128:] for text in headers]
    for _ in range(200):
        data = bytearray(good)
        for place in rng.integers(0, 128, rng.integers(1, 5)):
            data[place] = rng.integers(0, 256)
        cases.append(bytes(data))
    for case in cases:
        path.write_bytes(case)
        with suppress(FileFormatError):
            assert open_npy(path).ndim >= 3


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"purpose": "both"}, "purpose"),
        ({"size": [32]}, "size"),
        ({"items": "many"}, "items"),
        ({"more": 1}, "more"),
        ({"preprocessing": {"clahe_window": 0}}, "preprocessing"),
    ],
)
def test_what_is_wrong_in_the_description_is_named(crops, change, where):
    info = json.loads((crops / "dataset.json").read_text())
    (crops / "dataset.json").write_text(json.dumps(info | change))
    with pytest.raises(FileFormatError, match=rf"dataset\.json: {where}"):
        DINOCellDataset(crops)


def test_an_index_of_other_items_is_refused(crops):
    lines = (crops / "index.jsonl").read_text().splitlines()
    swapped = [lines[1], lines[0], *lines[2:]]
    other = json.dumps(json.loads(lines[0]) | {"sha256": "0" * 64})
    moved = json.dumps(json.loads(lines[0]) | {"item": 1})
    for wrong in (
        lines[1:],
        lines[:-1],
        [*lines, lines[-1]],
        swapped,
        [other, *lines[1:]],
        [moved, *lines[1:]],
    ):
        (crops / "index.jsonl").write_text("\n".join(wrong) + "\n")
        with pytest.raises(FileFormatError, match="do not fit each other"):
            DINOCellDataset(crops)


def test_names_may_hold_what_ends_a_line_elsewhere(tmp_path):
    items = [FakeItem(f"a{odd}b \"'\\", CASES["one"]) for odd in "\n\r\x0b\x85\u2028é"]
    make_store(items, tmp_path / "store")
    assert {sample.name for sample in DINOCellDataset(tmp_path / "store")} == {item.name for item in items}


# SAMCell's stores


GRAY = np.stack([np.full((6, 8), 10, np.uint8), np.arange(48, dtype=np.uint8).reshape(6, 8) * 5])
MAPS = np.linspace(0, 1, GRAY.size, dtype=np.float32).reshape(GRAY.shape)
CELLS = np.stack([np.zeros((6, 8), np.int16), np.repeat([[0, 1, 1, 2, 2, 0, 3, 3]], 6, axis=0)])


def samcell_store(folder, images=GRAY, maps=MAPS, cells=None):
    folder.mkdir(exist_ok=True)
    np.save(folder / "imgs.npy", images)
    np.save(folder / "dist_maps.npy", maps)
    if cells is not None:
        np.save(folder / "anns.npy", cells)
    return folder


@pytest.mark.parametrize("three", [False, True])
@pytest.mark.parametrize(
    ("dtype", "top"),
    [(np.uint8, 255), (np.int64, 255), (np.float32, 255), (np.float32, 1), (np.float64, 1), (np.float16, 1)],
)
def test_their_images_become_ours(tmp_path, three, dtype, top):
    images = GRAY.astype(dtype) if top == 255 else GRAY.astype(dtype) / 255
    images = np.repeat(images[..., None], 3, axis=3) if three else images
    dataset = DINOCellDataset(samcell_store(tmp_path / "theirs", images))
    assert (dataset.info, dataset.index, dataset.has_labels) == (None, [], False)
    for sample, image, distance in zip(dataset, GRAY, MAPS, strict=True):
        assert np.array_equal(sample.image, image)
        assert sample.image.dtype == np.uint8
        assert np.array_equal(sample.distance, distance)
        assert sample.labels is None


@pytest.mark.parametrize(
    "shape", [lambda a: a, lambda a: a[..., None], lambda a: a[:, None]], ids=["NYX", "NYX1", "N1YX"]
)
@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int64])
def test_their_labels_become_ours(tmp_path, shape, dtype):
    store = samcell_store(tmp_path / "theirs", maps=MAPS[..., None], cells=shape(CELLS.astype(dtype)))
    dataset = DINOCellDataset(store)
    assert np.array_equal(np.stack([sample.labels for sample in dataset]), CELLS)
    assert np.array_equal(dataset[1].distance, MAPS[1])
    items = find_items(store)
    assert items == [
        StoreItem(store, number, str(number), (6, 8), Preprocessing()) for number in range(len(CELLS))
    ]
    annotated = items[1].read()
    assert np.array_equal(annotated.pixels, GRAY[1])
    assert np.array_equal(annotated.labels, CELLS[1])
    assert annotated.preprocessing == Preprocessing()


def test_crowds_in_their_second_plane_are_ignored(tmp_path):
    crowds = np.zeros_like(CELLS)
    crowds[1, :2] = 1
    store = samcell_store(tmp_path / "theirs", cells=np.stack([CELLS, crowds], axis=1))
    labels = DINOCellDataset(store)[1].labels
    assert (labels[:2] == -1).all()
    assert np.array_equal(labels[2:], CELLS[1, 2:])


def test_what_differs_in_theirs_is_said_once(tmp_path, caplog):
    store = samcell_store(tmp_path / "theirs", cells=CELLS)
    with caplog.at_level(logging.WARNING):
        items = find_items(store)
        for item in items:
            item.read()
    assert len(caplog.records) == 1
    for word in ("theirs", "dataset.json", "SAMCell", "CLAHE", "union of all cells"):
        assert word in caplog.text
    assert "cannot be evaluated" not in caplog.text


def test_theirs_is_not_evaluated_without_labels(tmp_path, caplog):
    store = samcell_store(tmp_path / "theirs")
    with pytest.raises(FileFormatError, match=r"no anns\.npy to evaluate on"):
        find_items(store)
    assert "without anns.npy it cannot be evaluated" in caplog.text


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"images": GRAY.astype(np.float32) - 20}, "values from -10 to"),
        ({"images": GRAY.astype(np.uint16) + 300}, "values from 310 to"),
        ({"images": np.full(GRAY.shape, np.nan, np.float32)}, "values from nan to"),
        ({"images": np.repeat(GRAY[..., None], 2, axis=3) + np.uint8([0, 1])}, "2 channels"),
        ({"maps": MAPS[:1]}, "do not fit each other"),
        ({"maps": MAPS[:, 1:]}, r"dist_maps\.npy item 0: an item has shape"),
        ({"cells": CELLS[:, :, 1:]}, r"anns\.npy item 0: an item has shape"),
        ({"cells": CELLS.astype(np.float32)}, r"anns\.npy item 0: .* expected integers"),
        ({"cells": CELLS - 2}, r"anns\.npy item 0: .* holds values from -2"),
    ],
)
def test_what_can_be_neither_is_refused(tmp_path, files, message):
    with pytest.raises(FileFormatError, match=message):
        DINOCellDataset(samcell_store(tmp_path / "theirs", **files))


def test_a_wrong_item_further_on_is_named_when_it_is_read(tmp_path):
    images = GRAY.astype(np.float32)
    images[1, 0, 0] = np.inf
    dataset = DINOCellDataset(samcell_store(tmp_path / "theirs", images))
    with pytest.raises(FileFormatError, match=r"imgs\.npy item 1: an image has values from 5 to inf"):
        dataset[1]


# Arrays that grow


def test_an_array_grows_and_numpy_reads_it(tmp_path):
    with (tmp_path / "a.npy").open("w+b", buffering=0) as file:
        array = GrowingArray(file, (2, 3), np.float32)
        for number in range(12):
            array.append(np.full((2, 3), number, np.float32))
        assert np.load(tmp_path / "a.npy").shape == (0, 2, 3)
        array.finish()
    loaded = np.load(tmp_path / "a.npy")
    assert loaded.shape == (12, 2, 3)
    assert (loaded == np.arange(12)[:, None, None]).all()


def test_what_the_system_takes_in_parts_is_written_whole():
    class Reluctant(io.BytesIO):
        def write(self, data):
            return super().write(bytes(data)[:5])

    file = Reluctant()
    write_all(file, np.arange(7, dtype=np.int32).data)
    assert np.array_equal(np.frombuffer(file.getvalue(), np.int32), np.arange(7))
