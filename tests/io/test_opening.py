import os

import pytest

from dinocell.datasets import livecell, table
from dinocell.datasets.npy import open_npy
from dinocell.datasets.records import read_index, read_info
from dinocell.errors import DINOCellError, FileFormatError, UnknownModelError
from dinocell.inference.preset import read_preset
from dinocell.io.identity import hash_file
from dinocell.io.images import open_image, read_image, read_labels
from dinocell.io.opening import is_folder, open_regular, read_json_object, read_whole
from dinocell.io.settings_files import read_yaml
from dinocell.models.checkpoint import hash_checkpoint, read_config
from dinocell.models.finding import find_checkpoint
from dinocell.models.network.dinocell import DINOCell
from dinocell.models.network.weights import fetch_weights
from dinocell.models.variants import VARIANTS
from dinocell.results.geojson_import import read_geojson
from dinocell.results.imagej_import import read_imagej_rois
from dinocell.results.record import read_record


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    reasons = {"pipe": "pipe or device", "link": "pipe or device", ".": "folder", "a\0": "NUL"}
    for name, reason in reasons.items():
        with pytest.raises(OSError, match=reason) as refused:
            open_regular(tmp_path / name)
        assert reason in refused.value.strerror
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")


def test_what_holds_no_json_object_is_read_as_empty(tmp_path):
    path = tmp_path / "x.json"
    assert read_json_object(path) == {}
    for text, expected in (('{"a": [1]}', {"a": [1]}), ("[1]", {}), ('{"a"', {}), ("[" * 100_000, {})):
        path.write_text(text)
        assert read_json_object(path) == expected
    path.write_bytes(b'{"\xff": 1}')
    assert read_json_object(path) == {}


def test_a_name_that_is_too_long_is_no_folder_and_no_image(tmp_path):
    name = tmp_path / ("n" * 300)
    assert not is_folder(name)
    assert is_folder(tmp_path)
    with pytest.raises(FileFormatError, match=r"cannot be opened \(File name too long\)"):
        open_image(name)
    with pytest.raises(UnknownModelError):
        find_checkpoint(name)


def test_a_file_is_read_whole_up_to_a_size(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_whole(tmp_path / "link", 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_whole(tmp_path / "file", 4)


def _in_folder(read, name):
    """Return a reader of a file that it finds by its name in a folder."""

    def read_there(path):
        path.rename(path.parent / name)
        read(path.parent)

    return read_there


READERS = {
    "image": read_image,
    "lazy image": open_image,
    "labels": read_labels,
    "hash": hash_file,
    "settings": lambda path: read_yaml(path, remedy="give another"),
    "preset": read_preset,
    "pairs": table.find_items,
    "COCO": livecell.find_items,
    "GeoJSON": lambda path: read_geojson(path, (9, 9)),
    "ROIs": lambda path: read_imagej_rois(path, (9, 9)),
    "configuration": _in_folder(read_config, "config.json"),
    "checkpoint": _in_folder(DINOCell.from_pretrained, "config.json"),
    "hash of a checkpoint": _in_folder(hash_checkpoint, "config.json"),
    "store": _in_folder(read_info, "dataset.json"),
    "index of a store": _in_folder(read_index, "index.jsonl"),
    "arrays": open_npy,
    "weights": lambda path: fetch_weights(VARIANTS["small"], path),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"]
)
def test_no_reader_waits_for_a_pipe_or_reads_a_device(name, make, tmp_path):
    make(tmp_path / "named")
    with pytest.raises(DINOCellError) as refused:
        READERS[name](tmp_path / "named")
    assert "\n" not in str(refused.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_record_of_a_batch_that_is_a_pipe_is_none(tmp_path):
    os.mkfifo(tmp_path / "x_provenance.json")
    assert read_record(tmp_path / "x_provenance.json") is None
