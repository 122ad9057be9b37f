"""Images → store: what the crops hold, what is left out, and that processes change nothing."""

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dinocell.datasets import process
from dinocell.datasets.folder import Pair
from dinocell.datasets.inspect import describe
from dinocell.datasets.prepare import MAX_DIAMETER_SCALE
from dinocell.datasets.process import ProcessSettings, StoreProgress, _hash_items
from dinocell.datasets.records import StoreInfo, hash_entries
from dinocell.datasets.store import DINOCellDataset, find_items
from dinocell.datasets.writer import partial_folder
from dinocell.errors import (
    FileFormatError,
    FileMissingError,
    InputError,
    MissingExtraError,
    OutputError,
)
from dinocell.io.saving import write_image
from dinocell.labels import median_diameter, relabel
from dinocell.postprocess.distance import labels_to_distance
from dinocell.preprocess.preprocessing import Preprocessing, preprocess
from tests.cases import CASES, disk
from tests.fakes.items import (
    SMALL,
    WHOLE,
    FakeItem,
    begin,
    contents,
    expected_contents,
    fake_items,
    finish,
    make_store,
    pixels_of,
)
from tests.fakes.tiff import write_ome_set

ROOT = Path(__file__).parents[2]


# What the items hold


def check_crops(folder, items, options):
    """Check that all pixels of all images are in some crop, with value, cell and distance, beside padding."""
    dataset = DINOCellDataset(folder)
    crops = {}
    for entry, sample in zip(dataset.index, dataset, strict=True):
        crops.setdefault(entry.name, []).append((entry, sample))
    assert list(crops) == [item.name for item in items]
    assert dataset.size == (options.size, options.size)
    for item in items:
        image = preprocess(pixels_of(item.labels), options.preprocessing)
        distance = labels_to_distance(item.labels)
        seen = np.zeros(item.labels.shape, bool)
        for entry, sample in crops[item.name]:
            assert (entry.image_shape, entry.crops) == (item.labels.shape, len(crops[item.name]))
            window = np.s_[entry.y : entry.y + options.size, entry.x : entry.x + options.size]
            height, width = item.labels[window].shape
            seen[window] = True
            assert np.array_equal(sample.image[:height, :width], image[window])
            assert np.array_equal(sample.distance[:height, :width], distance[window])
            # The same pixels together, numbered 1…N in the order of their ids.
            assert np.array_equal(sample.labels[:height, :width], relabel(item.labels[window]))
            check_padding(sample, height, width)
        assert seen.all()
    arrays = {
        name: np.load(folder / name, mmap_mode="r") for name in ("imgs.npy", "dist_maps.npy", "anns.npy")
    }
    assert {name: array.dtype for name, array in arrays.items()} == {
        "imgs.npy": np.uint8,
        "dist_maps.npy": np.float32,
        "anns.npy": np.int32,
    }
    assert arrays["imgs.npy"].shape == (len(dataset), options.size, options.size, 3)
    assert (arrays["imgs.npy"] == arrays["imgs.npy"][..., :1]).all()


def check_padding(sample, height, width):
    outside = np.ones(sample.labels.shape, bool)
    outside[:height, :width] = False
    assert (sample.labels[outside] == -1).all()
    assert (sample.distance[outside] == 0).all()
    mirrored = [(0, full - length) for full, length in zip(outside.shape, (height, width), strict=True)]
    assert np.array_equal(sample.image, np.pad(sample.image[:height, :width], mirrored, mode="symmetric"))


@pytest.mark.parametrize(("size", "overlap"), [(32, 8), (24, 0), (7, 3), (512, 64)])
def test_crops_show_every_pixel_as_the_whole_image_has_it(tmp_path, size, overlap):
    items = fake_items() if size > 7 else fake_items()[:5]
    options = replace(SMALL, size=size, overlap=overlap)
    info = make_store(items, tmp_path / "store", options)
    check_crops(tmp_path / "store", items, options)
    assert (info.purpose, info.size, info.overlap) == ("train", (size, size), overlap)
    assert info.images == len(items)
    assert info.cells == sum(int(item.labels.max()) for item in items)
    assert info.overlapped_pixels == sum(item.labels.size % 3 for item in items)


IDS = st.sampled_from([-1, 0, 0, 0, 1, 2, 3, 9, 2**31 - 1])
LABELS = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=21), elements=IDS)


@given(st.lists(LABELS, min_size=1, max_size=3), st.sampled_from([(8, 0), (8, 4), (16, 3), (1, 0)]))
@settings(deadline=None, max_examples=40)
def test_crops_of_any_labels_show_every_pixel(images, crop):
    options = replace(SMALL, size=crop[0], overlap=crop[1])
    items = [FakeItem(f"{number}", labels) for number, labels in enumerate(images)]
    with tempfile.TemporaryDirectory() as folder:
        make_store(items, Path(folder) / "store", options)
        check_crops(Path(folder) / "store", items, options)


@given(st.lists(LABELS, min_size=1, max_size=4))
@settings(deadline=None, max_examples=25)
def test_whole_images_come_back_without_their_padding(images):
    items = [FakeItem(f"{number}", labels) for number, labels in enumerate(images)]
    with tempfile.TemporaryDirectory() as folder:
        check_whole(make_store(items, Path(folder) / "store", WHOLE), Path(folder) / "store", items)


def check_whole(info, folder, items):
    dataset = DINOCellDataset(folder)
    shapes = np.array([item.labels.shape for item in items])
    assert info.size == dataset.size == tuple(shapes.max(axis=0))
    assert (info.purpose, info.items, info.overlap) == ("evaluate", len(items), 0)
    for item, stored, sample in zip(items, find_items(folder), dataset, strict=True):
        annotated = stored.read()
        assert np.array_equal(annotated.pixels, preprocess(pixels_of(item.labels)))
        assert np.array_equal(annotated.labels, relabel(item.labels))
        height, width = item.labels.shape
        assert np.array_equal(sample.distance[:height, :width], labels_to_distance(item.labels))
        check_padding(sample, height, width)


def test_whole_images_of_many_sizes_are_padded_to_the_largest(tmp_path):
    items = [*fake_items(), FakeItem("1x1", np.ones((1, 1), np.int32)), FakeItem("flat", CASES["full"][:1])]
    info = make_store(items, tmp_path / "store", WHOLE)
    check_whole(info, tmp_path / "store", items)


def test_the_smallest_image_fills_a_crop(tmp_path):
    items = [FakeItem("1x1", np.ones((1, 1), np.int32))]
    make_store(items, tmp_path / "store")
    check_crops(tmp_path / "store", items, SMALL)
    sample = DINOCellDataset(tmp_path / "store")[0]
    assert sample.labels[0, 0] == sample.distance[0, 0] == 1
    assert (sample.labels == -1).sum() == 32 * 32 - 1


def test_a_cut_cell_keeps_the_distances_of_the_whole_one(tmp_path):
    labels = disk((32, 56), (16, 38), 14).astype(np.int32)  # its middle is right of the first crop
    make_store([FakeItem("a", labels)], tmp_path / "store")
    first = DINOCellDataset(tmp_path / "store")[0]
    assert 0.5 < first.distance.max() < 1
    assert labels_to_distance(first.labels).max() == 1


def test_the_preprocessing_is_applied_once_and_recorded(tmp_path):
    options = replace(SMALL, preprocessing=Preprocessing(low_percentile=3, clahe=False))
    items = fake_items()[:3]
    assert make_store(items, tmp_path / "store", options).preprocessing == options.preprocessing
    check_crops(tmp_path / "store", items, options)
    assert DINOCellDataset(tmp_path / "store").info.preprocessing == options.preprocessing


def test_the_index_says_where_every_item_is_from(tmp_path):
    make_store([FakeItem("a", CASES["many"]), FakeItem("b", CASES["one"])], tmp_path / "store")
    lines = (tmp_path / "store" / "index.jsonl").read_text().splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    assert len(first.pop("sha256")) == 64
    assert first == {
        "item": 0,
        "name": "a",
        "files": ["a.png", "a_masks.png"],
        "image_shape": [324, 324],
        "y": 0,
        "x": 0,
        "scale": 1.0,
        "crops": 14 * 14,
        "cells": 324,
        "overlapped_pixels": 0,
        "notes": [],
    }
    assert (last["item"], last["name"], last["y"], last["x"]) == (len(lines) - 1, "b", 8, 18)


class Split(FakeItem):
    """An item whose labels were split into pieces."""

    def read(self):
        return replace(super().read(), notes=(f"{self.name}: 1 id in 3 pieces, each a cell now",))


def test_what_must_be_known_of_the_labels_is_told_and_recorded_once(tmp_path):
    items = [Split("a", CASES["many"]), FakeItem("b", CASES["one"])]
    *events, info = finish(items, tmp_path / "store")
    note = "a: 1 id in 3 pieces, each a cell now"
    assert [event.notes for event in events] == [(note,), ()]
    assert info.notes == (note,)
    dataset = DINOCellDataset(tmp_path / "store")
    assert [entry.notes for entry in dataset.index if entry.notes] == [(note,)]
    assert f"note: {note}" in describe(dataset)


def test_an_unfinished_store_is_not_resumed_when_labels_are_split_otherwise(tmp_path):
    items = fake_items()
    begin(items, tmp_path / "store")
    split = [replace(item, split_components=True) for item in items]
    with pytest.raises(OutputError, match="of other data or settings"):
        finish(split, tmp_path / "store")


def test_files_whose_names_are_no_unicode_are_recorded(tmp_path):
    class Odd(FakeItem):
        files = (Path("\udcff.png"),)

    make_store([Odd("a", CASES["one"])], tmp_path / "store")
    assert DINOCellDataset(tmp_path / "store").index[0].files == ("\ufffd.png",)


# Scaling


@pytest.mark.parametrize("diameter", [7.0, 18.0, 33.3])
@pytest.mark.parametrize("whole", [False, True])
def test_cells_are_brought_to_a_diameter(tmp_path, diameter, whole):
    spread = np.where(CASES["many"] > 0, CASES["many"] * 1000, 0)
    items = [FakeItem("many", spread), FakeItem("one", CASES["one"]), FakeItem("empty", CASES["empty"])]
    options = ProcessSettings("fake", whole=whole, size=1024, diameter=diameter)
    assert make_store(items, tmp_path / "store", options).diameter == diameter
    dataset = DINOCellDataset(tmp_path / "store")
    for item, entry, sample in zip(items, dataset.index, dataset, strict=True):
        found = median_diameter(item.labels)
        scale = 1 if np.isnan(found) else diameter / found
        height, width = (round(length * scale) for length in item.labels.shape)
        assert entry.scale == pytest.approx(scale)
        assert entry.image_shape == (height, width)
        labels = sample.labels[:height, :width]
        assert np.array_equal(
            sample.image[:height, :width], preprocess(pixels_of(item.labels), scale=entry.scale)
        )
        assert np.array_equal(sample.distance[:height, :width], labels_to_distance(labels))
        check_padding(sample, height, width)
        # Nearest neighbours: where a pixel's centre came from, and no id that was not there.
        rows, columns = (
            ((np.arange(new) + 0.5) * old / new).astype(int)
            for new, old in zip(labels.shape, item.labels.shape, strict=True)
        )
        agreement = (labels == relabel(item.labels[np.ix_(rows, columns)])).mean()
        assert agreement > 0.99
        if not np.isnan(found):
            assert median_diameter(labels) == pytest.approx(diameter, rel=0.05)


def test_cells_are_scaled_within_bounds(tmp_path):
    for diameter, scale in ((1e6, MAX_DIAMETER_SCALE), (1e-6, 1 / MAX_DIAMETER_SCALE)):
        make_store(
            [FakeItem("one", CASES["one"])],
            tmp_path / f"{scale}",
            ProcessSettings("fake", whole=True, diameter=diameter),
        )
        assert DINOCellDataset(tmp_path / f"{scale}").index[0].scale == scale


@pytest.mark.parametrize(
    "wrong",
    [{"size": 0}, {"overlap": -1}, {"size": 32, "overlap": 17}, {"diameter": 0}, {"diameter": np.inf}],
)
def test_settings_out_of_bounds_are_refused(wrong):
    with pytest.raises(InputError, match="expected"):
        ProcessSettings("fake", **wrong)


def test_the_size_of_crops_does_not_matter_for_whole_images():
    ProcessSettings("fake", whole=True, size=8)


# The same content, the same bytes


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return the bytes that all other stores must be equal to."""
    return expected_contents(tmp_path_factory.mktemp("expected"))


@pytest.mark.parametrize("whole", [False, True])
def test_the_number_of_processes_changes_nothing(tmp_path, expected, whole):
    make_store(fake_items(), tmp_path / "store", WHOLE if whole else SMALL, workers=2)
    assert contents(tmp_path / "store") == expected[whole]
    assert not partial_folder(tmp_path / "store").exists()
    assert not multiprocessing.active_children()


def test_the_content_is_hashed(tmp_path):
    def hash_of(labels):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        info = make_store([FakeItem("a", labels)], folder)
        assert info.content_sha256 == hash_entries(DINOCellDataset(folder).index)
        return info.content_sha256

    labels = CASES["many"]
    other = labels.copy()
    other[other == 324] = 0
    assert hash_of(labels) == hash_of(labels)
    assert hash_of(labels) == hash_of(6 * labels)  # which the fake images show alike
    assert hash_of(labels) != hash_of(other)


def test_of_two_cells_that_are_cut_alike_the_maps_tell_the_items_apart(tmp_path):
    labels = np.zeros((32, 56), np.int32)
    labels[8:24, 20:34] = 1
    longer = labels.copy()
    longer[8:24, 34:50] = 1  # beyond the first crop, whose labels stay the same
    stores = []
    for number, cells in enumerate((labels, longer)):
        make_store([FakeItem("a", cells)], tmp_path / f"{number}")
        stores.append(DINOCellDataset(tmp_path / f"{number}"))
    assert np.array_equal(stores[0][0].labels, stores[1][0].labels)
    assert stores[0].index[0].sha256 != stores[1].index[0].sha256


# Progress


def test_progress_is_told_after_every_image(tmp_path):
    *events, info = finish(fake_items(), tmp_path / "store", WHOLE)
    assert events == [
        StoreProgress(name, stage, number, len(CASES))
        for stage in ("measure", "process")
        for number, name in enumerate(CASES, 1)
    ]
    assert isinstance(info, StoreInfo)


def test_an_unfinished_store_that_was_removed_does_not_end_well(tmp_path):
    store = tmp_path / "out" / "store"
    store.parent.mkdir()
    events = process.process(fake_items(), store, SMALL, workers=0)
    next(event for event in events if event.stage == "process")
    store.parent.rename(tmp_path / "moved")
    with pytest.raises(OutputError, match=r"cannot write .*store"):
        list(events)
    assert not store.parent.exists()


@pytest.mark.slow
def test_a_close_while_processes_work_leaves_none(tmp_path, expected):
    events = process.process(fake_items(), tmp_path / "store", SMALL, workers=2)
    next(events)
    children = multiprocessing.active_children()
    assert children
    events.close()
    assert not any(child.is_alive() for child in children)
    finish(fake_items(), tmp_path / "store")
    assert contents(tmp_path / "store") == expected[False]


# Images that fail


def with_bad(*errors):
    items = fake_items()
    bad = [FakeItem(f"bad{number}", CASES["one"], error) for number, error in enumerate(errors)]
    return [*items[:4], *bad, *items[4:]]


BAD = (FileMissingError("no file a.png"), InputError("5 channels"), MemoryError())


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_bad_images_are_named_and_left_out(tmp_path, expected, whole, workers):
    events = list(
        process.process(with_bad(*BAD), tmp_path / "store", WHOLE if whole else SMALL, workers=workers)
    )
    info = events.pop()
    assert {event.name: event.failure for event in events if event.failure} == {
        "bad0": "bad0: no file a.png",
        "bad1": "bad1: 5 channels",
        "bad2": "bad2: the memory is not enough for it",
    }
    assert [(failure.name, failure.reason[:6]) for failure in info.failed] == [
        (f"bad{number}", f"bad{number}: ") for number in range(3)
    ]
    assert events[-1].done == events[-1].total == len(CASES) + 3
    found = contents(tmp_path / "store")
    description = json.loads(found.pop("dataset.json"))
    assert [failure["name"] for failure in description["failed"]] == ["bad0", "bad1", "bad2"]
    assert description | {"failed": []} == json.loads(expected[whole]["dataset.json"])
    assert found == {name: data for name, data in expected[whole].items() if name != "dataset.json"}
    assert DINOCellDataset(tmp_path / "store").info == info


def test_failures_are_found_again_after_a_stop(tmp_path):
    for whole in (False, True):
        options = replace(SMALL, whole=whole)
        make_store(with_bad(*BAD), tmp_path / f"{whole}", options)
        begin(with_bad(*BAD), tmp_path / f"stopped{whole}", options, images=9)
        finish(with_bad(*BAD), tmp_path / f"stopped{whole}", options)
        assert contents(tmp_path / f"stopped{whole}") == contents(tmp_path / f"{whole}")


@pytest.mark.parametrize("workers", [0, 1])
def test_strict_stops_at_the_first_bad_image_and_keeps_what_is_done(tmp_path, expected, workers):
    store = tmp_path / "store"
    events = process.process(with_bad(*BAD), store, SMALL, workers=workers, strict=True)
    assert [next(events).name for _ in range(4)] == list(CASES)[:4]
    with pytest.raises(FileFormatError, match=r"bad0: no file a\.png"):
        next(events)
    assert not store.exists()
    *events, _ = finish(with_bad(*BAD), store)
    assert [event.name for event in events] == ["bad0", "bad1", "bad2", *list(CASES)[4:]]
    assert contents(store).keys() == expected[False].keys()
    assert contents(store)["imgs.npy"] == expected[False]["imgs.npy"]


@pytest.mark.parametrize("whole", [False, True])
def test_without_a_good_image_there_is_no_store(tmp_path, whole):
    bad = [FakeItem(f"bad{number}", CASES["one"], FileFormatError("is damaged")) for number in range(3)]
    with pytest.raises(
        FileFormatError, match="none of 3 images could be processed; the first: bad0: is damaged"
    ):
        make_store(bad, tmp_path / "store", replace(SMALL, whole=whole))
    with pytest.raises(FileFormatError, match="there are no images to process"):
        make_store([], tmp_path / "store", replace(SMALL, whole=whole))
    assert not (tmp_path / "store").exists()


def test_what_is_the_same_for_every_image_stops_at_once(tmp_path):
    with pytest.raises(MissingExtraError, match="pip install"):
        make_store(with_bad(MissingExtraError("pip install x")), tmp_path / "store")
    with pytest.raises(ZeroDivisionError):  # our own mistakes are not the image's
        make_store(with_bad(ZeroDivisionError()), tmp_path / "store")


def test_an_image_that_cannot_be_preprocessed_is_left_out(tmp_path):
    class Colourful(FakeItem):
        def read(self):
            annotated = super().read()
            return replace(annotated, pixels=np.zeros((*self.labels.shape, 7), np.uint8))

    class Stained(FakeItem):
        def read(self):
            annotated = super().read()
            return replace(annotated, pixels=np.zeros((*self.labels.shape, 3), np.uint8), needs_channel=True)

    one = CASES["one"]
    items = [
        FakeItem("a", one),
        Colourful("b", one),
        FakeItem("c", one - 7),
        FakeItem("d", one, MemoryError()),
        Stained("e", one),
    ]
    for whole in (False, True):  # where what cannot be read is found before what cannot be preprocessed
        info = make_store(items, tmp_path / f"{whole}", replace(SMALL, whole=whole))
        assert [failure.name for failure in info.failed] == ["b", "c", "d", "e"]
        assert "7 channels" in info.failed[0].reason
        assert "values from -7" in info.failed[1].reason
        assert "3 channels, expected one or colours: choose with --channel" in info.failed[3].reason


def test_an_image_that_grows_after_it_was_measured_is_left_out(tmp_path):
    begin([FakeItem("a", CASES["one"]), FakeItem("b", CASES["one"])], tmp_path / "store", WHOLE, images=1)
    items = [FakeItem("a", CASES["one"]), FakeItem("b", CASES["many"])]
    *_, info = finish(items, tmp_path / "store", WHOLE)
    assert (info.items, info.size) == (1, CASES["one"].shape)
    assert "b: is (324, 324) px, larger than when it was measured" in info.failed[0].reason


def test_reasons_that_are_no_unicode_can_be_written(tmp_path):
    info = make_store(with_bad(FileFormatError("\udcff.png is damaged")), tmp_path / "store")
    assert info.failed[0].reason == "bad0: \ufffd.png is damaged"
    assert DINOCellDataset(tmp_path / "store").info == info


def test_names_that_cannot_be_told_apart_or_written_are_refused(tmp_path):
    with pytest.raises(InputError, match="2 images have the name 'one'"):
        make_store([*fake_items(), FakeItem("one", CASES["one"])], tmp_path / "store")
    with pytest.raises(InputError, match="not Unicode text: rename its file"):
        make_store([FakeItem("\udcff", CASES["one"])], tmp_path / "store")
    assert not list(tmp_path.iterdir())


def test_ids_far_apart_take_no_memory_and_no_process(tmp_path):
    labels = np.where(CASES["touching"] == 2, 2**31 - 1, CASES["touching"])
    for diameter in (None, 20.0):
        info = make_store(
            [FakeItem("a", labels)], tmp_path / f"{diameter}", replace(SMALL, diameter=diameter)
        )
        assert (info.cells, info.failed) == (2, ())


# Memory


MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from dinocell.datasets.process import ProcessSettings, process
from tests.fakes.items import FakeItem

if __name__ == "__main__":
    labels = np.kron(np.arange(1, 300).reshape(13, 23), np.ones((40, 30), np.int32))[:520, :704]
    labels = np.pad(labels, ((0, 520 - labels.shape[0]), (0, 704 - labels.shape[1]))).astype(np.int32)
    items = [FakeItem(f"{n}", labels) for n in range(int(sys.argv[2]))]
    for _ in process(items, Path(sys.argv[1]), ProcessSettings("fake"), workers=2):
        pass
    # Not RUSAGE_SELF: it remembers the size of the process that this one was forked from.
    status = Path("/proc/self/status").read_text()
    own = int(status.split("VmHWM:")[1].split()[0])
    print(own + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from Linux's /proc")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(MEMORY)
    peaks = []
    for count in (60, 300):
        said = subprocess.run(
            [sys.executable, script, tmp_path / f"{count}", str(count)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        peaks.append(int(said) / 1024)
        for path in (tmp_path / f"{count}").iterdir():
            path.unlink()
    assert peaks[1] - peaks[0] < 50
    assert max(peaks) < 400


def test_work_is_not_resumed_after_a_file_of_a_set_has_changed(tmp_path):
    image, other = write_ome_set(tmp_path, np.full((2, 40, 40), 9, np.uint8))
    masks = tmp_path / "masks.png"
    write_image(masks, np.full((40, 40), 3, np.uint8))
    pair = Pair("set", image, masks, channel=1)
    before = _hash_items([pair])
    assert _hash_items([pair]) == before
    for file in (image, other, masks):
        os.utime(file, (1, 1))
        assert _hash_items([pair]) != before
        before = _hash_items([pair])
