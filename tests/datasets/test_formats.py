"""Every format by its name, and recognised by its files."""

from pathlib import Path

import numpy as np
import pytest

from dinocell.datasets.formats import DATASET_FORMATS, find_items, open_dataset, recognise
from dinocell.datasets.process import ProcessSettings, process
from dinocell.datasets.store import StoreItem
from dinocell.errors import DINOCellError, FileFormatError, FileMissingError, InputError
from dinocell.io.saving import write_image, write_labels
from tests.cases import CASES
from tests.fakes import coco as fakes_coco
from tests.fakes import ctc as fakes_ctc

SHARED = Path(__file__).parents[3] / "shared" / "data"
LABELS = CASES["touching"]
COLOURS = np.dstack([np.full(LABELS.shape, value, np.uint8) for value in (200, 90, 0)])


def write_pair(folder, name, pixels=COLOURS):
    folder.mkdir(parents=True, exist_ok=True)
    write_image(folder / f"{name}_img.png", pixels)
    write_labels(folder / f"{name}_masks.tif", LABELS)


def write_livecell(folder):
    return fakes_coco.write_fake(folder)


def write_cellpose(folder):
    for name in ("000", "001"):
        write_pair(folder, name)
    return {"000": LABELS, "001": LABELS}


def write_dsb2018(folder):
    for name in ("f00d", "beef"):
        for file, mask in (
            (f"images/{name}", LABELS > 0),
            ("masks/1", LABELS == 1),
            ("masks/2", LABELS == 2),
        ):
            path = folder / name / f"{file}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, np.where(mask, 255, 0).astype(np.uint8))
    return {"f00d": LABELS, "beef": LABELS}


def write_ctc(folder):
    return {name: labels for name, (labels, _) in fakes_ctc.write_fake(folder).items()}


def write_folder(folder):
    write_pair(folder, "a")
    write_pair(folder, "001")
    return {"a": LABELS, "001": LABELS}


def write_csv(folder):
    write_pair(folder, "a")
    (folder / "pairs.csv").write_text("image,masks\na_img.png,a_masks.tif\n")
    return {"a_img": LABELS}


WRITERS = {
    "livecell": write_livecell,
    "cellpose": write_cellpose,
    "dsb2018": write_dsb2018,
    "ctc": write_ctc,
    "folder": write_folder,
    "csv": write_csv,
}
FILES = {"livecell": "livecell_coco_val.json", "csv": "pairs.csv", "ctc": "01"}
"""Files that may be named instead of the folder; a table has to be."""

RECOGNISED_AS = {"cellpose": "folder"}
"""Formats that are recognised as another: their pairs are named as others are."""


@pytest.mark.parametrize("name", DATASET_FORMATS)
def test_a_format_is_opened_by_its_name_and_recognised_by_its_files(tmp_path, monkeypatch, name):
    expected = WRITERS[name](tmp_path)
    paths = [tmp_path] if name != "csv" else []
    if name in FILES:
        paths.append(tmp_path / FILES[name])
    for path in paths:
        assert recognise(path) == RECOGNISED_AS.get(name, name)
        for items in (find_items(name, path), find_items(name, str(path)), open_dataset(path)):
            found = {item.name: item.read().labels for item in items}
            assert found.keys() <= expected.keys()
            assert found
            for key, labels in found.items():
                np.testing.assert_array_equal(labels, expected[key])
        if path.is_dir():
            monkeypatch.chdir(path)
            assert recognise(Path()) == RECOGNISED_AS.get(name, name)
            assert len(open_dataset(Path())) == len(items)


def test_every_format_has_a_fake():
    assert WRITERS.keys() == DATASET_FORMATS.keys()


def test_cellposes_cytoplasm_is_read_alone_where_the_format_is_named(tmp_path):
    write_cellpose(tmp_path)
    assert (find_items("cellpose", tmp_path)[0].read().pixels == 90).all()
    assert (open_dataset(tmp_path)[0].read().pixels == COLOURS).all()


def test_images_and_masks_in_a_folder_each_are_a_folder(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    write_image(tmp_path / "images" / "a.png", COLOURS)
    write_labels(tmp_path / "masks" / "a.tif", LABELS)
    (tmp_path / "licence.json").write_text("{}")
    assert recognise(tmp_path) == "folder"
    assert [item.name for item in open_dataset(tmp_path)] == ["a"]


def test_pairs_beside_a_folder_of_the_same_name_are_no_sequence(tmp_path):
    write_pair(tmp_path / "hela", "a")
    (tmp_path / "hela_GT").mkdir()
    assert recognise(tmp_path / "hela") == "folder"


@pytest.mark.parametrize("whole", [False, True])
def test_a_store_is_opened_where_it_can_be_evaluated(tmp_path, whole):
    write_folder(tmp_path / "in")
    store = tmp_path / "store"
    list(
        process(
            find_items("folder", tmp_path / "in"), store, ProcessSettings("folder", whole=whole), workers=0
        )
    )
    if whole:
        items = open_dataset(store)
        assert [type(item) for item in items] == [StoreItem, StoreItem]
        assert np.array_equal(items[0].read().labels, LABELS)
        with pytest.raises(InputError, match=r"is a store, .*expected no --channel: leave it out"):
            open_dataset(store, channel=1)
    else:
        with pytest.raises(FileFormatError, match="crops to train on"):
            open_dataset(store)


@pytest.mark.parametrize("name", DATASET_FORMATS)
def test_every_format_can_be_processed_and_opened_again(tmp_path, name):
    expected = WRITERS[name](tmp_path / "in")
    path = tmp_path / "in" / (FILES[name] if name == "csv" else "")
    settings = ProcessSettings(name, whole=True)
    *_, info = process(find_items(name, path), tmp_path / "store", settings, workers=0)
    assert (info.format, info.failed) == (name, ())
    items = open_dataset(tmp_path / "store")
    assert {item.name for item in items} == expected.keys()
    for item in items:
        labels = item.read().labels
        assert labels.shape == expected[item.name].shape
        assert np.array_equal(labels > 0, expected[item.name] > 0)
        assert np.array_equal(labels == -1, expected[item.name] == -1)


# Options


def test_options_reach_their_format(tmp_path):
    write_folder(tmp_path)
    for name in ("folder", "cellpose"):
        assert (find_items(name, tmp_path, channel=0)[0].read().pixels == 200).all()
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    write_image(tmp_path / "x" / "b.png", COLOURS)
    write_labels(tmp_path / "y" / "b.tif", LABELS)
    assert [i.name for i in find_items("folder", tmp_path / "x", masks=tmp_path / "y", channel=None)] == ["b"]
    fakes_coco.write_fake(tmp_path / "coco")
    (tmp_path / "coco" / "images").rename(tmp_path / "elsewhere")
    items = find_items("livecell", tmp_path / "coco", images=tmp_path / "elsewhere", masks=None)
    assert all(item.image.is_file() for item in items)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("csv", {"channel": 0}, "--channel is for cellpose and folder, not for csv: leave it out"),
        ("livecell", {"masks": Path("x")}, "--masks is for ctc and folder, not for livecell"),
        ("folder", {"images": Path("x"), "channel": 1}, "--images is for livecell, not for folder"),
        ("ctc", {"silver": True}, "--silver is for no format"),
        ("coco", {}, "no format is called 'coco', expected one of livecell, cellpose, "),
    ],
)
def test_what_a_format_does_not_take_is_refused(tmp_path, name, options, message):
    with pytest.raises(InputError, match=message):
        find_items(name, tmp_path, **options)


def test_what_is_not_there_or_no_dataset_is_refused(tmp_path):
    for name in ("gone", "gone.csv", "gone.json"):
        with pytest.raises(FileMissingError, match=name):
            open_dataset(tmp_path / name)
    (tmp_path / "image.png").write_bytes(b"x")
    with pytest.raises(FileMissingError, match=r"no folder .*image\.png"):
        open_dataset(tmp_path / "image.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DINOCellError, match="holds no annotated images"):
        open_dataset(tmp_path / "empty")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data")
def test_the_shared_data_is_told():
    found = {path.name: recognise(path) for path in sorted((SHARED / "val").iterdir()) if path.is_dir()}
    assert found == dict.fromkeys(found, "folder")
    assert {"bbbc039_nuclei", "dsb2018_nuclei", "usiigaci_phase"} <= found.keys()
    assert recognise(SHARED / "originals" / "dsb2018_folders") == "dsb2018"
