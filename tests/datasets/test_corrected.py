import json

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from dinocell.cli import app
from dinocell.datasets.corrected import find_corrected
from dinocell.datasets.items import AnnotatedImage
from dinocell.datasets.origin import ImageFiles, ImagePlane, Origin, find_by_name, read_origin
from dinocell.datasets.repairs import Repairs
from dinocell.errors import FileFormatError, FileMissingError, InputError
from dinocell.io.images import read_labels, stem_of
from dinocell.io.saving import write_image, write_labels
from tests.cases import disk


@pytest.fixture
def folders(tmp_path):
    """Two images, and what `segment` wrote of them."""
    images, results = tmp_path / "images", tmp_path / "results"
    images.mkdir()
    results.mkdir()
    for name in ("a", "b"):
        labels = three_disks()
        gray = (40 + 100 * (labels > 0)).astype(np.uint8)
        write_image(images / f"{name}.png", gray)
        write_labels(results / f"{name}_labels.tif", labels)
        write_image(results / f"{name}_overlay.png", np.stack([gray] * 3, axis=-1))
        areas = [f"{number},{(labels == number).sum()},16.5" for number in (1, 2, 3)]
        (results / f"{name}_cells.csv").write_text("\n".join(["label,area,centroid_y", *areas]))
    return images, results


def three_disks():
    labels = np.zeros((64, 80), np.int32)
    for number, centre in enumerate([(16, 16), (16, 50), (45, 30)], start=1):
        labels[disk(labels.shape, centre, 9)] = number
    return labels


def edited(results, dtype=np.int64):
    """Remove the third cell of label image a, as a person would, and write it as napari does."""
    labels = three_disks()
    labels[labels == 3] = 0
    tifffile.imwrite(results / "a_labels.tif", labels.astype(dtype))
    return labels


@pytest.mark.parametrize(
    ("record", "outlined"),
    [
        ({"result": {"target": "nuclei"}}, "nuclei"),
        ({"result": {"target": "cats"}}, None),
        ({"result": 3}, None),
    ],
)
def test_the_record_says_what_was_outlined(record, outlined, folders):
    images, results = folders
    edited(results)
    (item,), _ = find_corrected(images, results)
    assert item.outlined is None
    (results / "a_provenance.json").write_text(json.dumps(record))
    (item,), _ = find_corrected(images, results)
    assert item.outlined == outlined


def test_only_label_images_that_were_edited_are_taken(folders):
    images, results = folders
    write_image(images / "c.png", np.zeros((20, 20), np.uint8))
    with pytest.raises(FileMissingError, match=r"a \(still as segment wrote it"):
        find_corrected(images, results)
    expected = edited(results)
    (item,), left_out = find_corrected(images, results)
    assert (item.name, item.files) == ("a", (images / "a.png", results / "a_labels.tif"))
    assert left_out == {"b": "still as segment wrote it, so not corrected", "c": "no label image"}
    np.testing.assert_array_equal(item.read().labels, expected)
    both, left_out = find_corrected(images, results, accept_unchanged=True)
    assert [item.name for item in both] == ["a", "b"]
    assert list(left_out) == ["c"]


def test_what_segment_wrote_is_known_until_it_is_edited(folders):
    images, results = folders
    result = CliRunner().invoke(app, ["segment", str(images), "-o", str(results), "--overwrite"])
    assert result.exit_code == 0, result.output
    with pytest.raises(FileMissingError, match="still as segment wrote it"):
        find_corrected(images, results)
    path = results / "b_labels.tif"
    labels = read_labels(path)
    assert labels.max() >= 2
    labels[labels == 1] = 2
    tifffile.imwrite(path, labels)
    assert [item.name for item in find_corrected(images, results)[0]] == ["b"]


def stack(folder, name="s"):
    """Return three times, two channels and two slices, in which the value of a pixel is its place."""
    folder.mkdir(exist_ok=True)
    t, z, c = np.meshgrid(range(3), range(2), range(2), indexing="ij")
    pixels = np.broadcast_to((100 * t + 10 * z + c)[..., None, None], (3, 2, 2, 64, 80)).astype(np.uint8)
    tifffile.imwrite(folder / f"{name}.tif", pixels, imagej=True, metadata={"axes": "TZCYX"})
    return folder


def record(folder, result, **source):
    said = {"provenance": {"source": {"t": 0, "z": 0, "scene_number": 0, **source}}, "source": "/else/where"}
    (folder / f"{result}_provenance.json").write_text(json.dumps(said))


def test_corrected_frames_of_a_stack_are_read_with_the_plane_and_channel_of_their_record(tmp_path):
    images, results = stack(tmp_path / "images"), tmp_path / "results"
    results.mkdir()
    for result, source in (
        ("s_t0002_z001", {"name": "s.tif", "t": 2, "z": 1, "channel_number": 1}),
        ("s_t0001_zmax", {"name": "s.tif", "t": 1, "z": "max", "channel_number": 0}),
        ("day1_s_t0000_z000", {"name": "s.tif", "channel_number": 1}),  # two folders had a file s.tif
    ):
        write_labels(results / f"{result}_labels.tif", three_disks())
        record(results, result, **source)
    items, left_out = find_corrected(images, results)
    found = {item.name: item.read().pixels for item in items}
    assert {name: np.unique(pixels).tolist() for name, pixels in found.items()} == {
        "s_t0002_z001": [211],
        "s_t0001_zmax": [110],
        "day1_s_t0000_z000": [1],
    }
    assert all(pixels.shape == (64, 80) for pixels in found.values())
    assert left_out == {}
    (other, *_), _ = find_corrected(images, results, channel=0)
    assert other.read().pixels.max() == 0


def test_a_folder_of_many_images_is_listed_once_and_each_result_finds_its_own(tmp_path):
    names = ["a.tif", "a.ome.tif", "b.ome.tif", "b_t0001.png", "c.d.png", "c.png", "e.OME.TIF"]
    files = [tmp_path / name for name in names]
    index = ImageFiles(files, tmp_path)
    for stem in ("a", "a.ome", "b", "b.ome", "b_t0001", "c.d", "c", "d", "e", "e.OME", ""):
        assert index.with_stem(stem) == [file for file in files if stem in (stem_of(file), file.stem)]
    assert index.find_named(["c.png", {"a.tif": 1}, None, "x.png", "a.tif", "c.png"]) == [files[5], files[0]]
    for result, image in (("b_t0003", "b.ome.tif"), ("b_t0001", "b_t0001.png"), ("c.d_zmax", "c.d.png")):
        assert find_by_name(result, index).image.name == image
    assert find_by_name("x", index) is None
    with pytest.raises(InputError, match="may both be the image of a"):
        find_by_name("a", index)


def test_a_record_whose_files_are_no_names_says_what_its_name_says(tmp_path):
    record(tmp_path, "s", name="s.tif", files=[{"name": "s.tif"}, ["s.tif"], 3])
    found = read_origin("s", tmp_path, ImageFiles([tmp_path / "s.tif"], tmp_path))
    assert found == Origin(tmp_path / "s.tif", ImagePlane(0, 0, 0))


def test_without_a_record_the_name_says_which_plane_it_is(tmp_path):
    images, results = stack(tmp_path / "images"), tmp_path / "results"
    stack(tmp_path / "images", "own_t0001")  # a name of the user's own
    results.mkdir()
    for result in ("s_t0002_z001", "own_t0001_t0000_zmean"):
        write_labels(results / f"{result}_labels.tif", three_disks())
    write_labels(results / "s_t0001_labels.tif", three_disks())
    items, _ = find_corrected(images, results, channel=1)
    found = {item.name: item for item in items}
    assert found["s_t0002_z001"].read().pixels.max() == 211
    assert found["own_t0001_t0000_zmean"].image.name == "own_t0001.tif"
    assert found["own_t0001_t0000_zmean"].read().pixels.max() == 6
    with pytest.raises(InputError, match=r"s\.tif has 2 slices, but none is named"):
        found["s_t0001"].read()


@pytest.mark.parametrize("planes", ["--all-planes --separate-planes", "--all-planes", "--time 0:3"])
def test_frames_that_segment_wrote_are_told_from_corrected_ones(tmp_path, planes):
    images, results = tmp_path / "images", tmp_path / "results"
    images.mkdir()
    gray = (40 + 100 * (three_disks() > 0)).astype(np.uint8)
    frames = np.stack([gray, gray + 1, gray])
    tifffile.imwrite(images / "s.tif", frames, imagej=True, metadata={"axes": "TYX"})
    assert (
        CliRunner()
        .invoke(app, ["segment", str(images), "-o", str(results), "--target", "cells", *planes.split()])
        .exit_code
        == 0
    )
    with pytest.raises(FileMissingError, match=r"s_t0000 \(still as segment wrote it"):
        find_corrected(images, results)
    path = results / ("s_t0001_labels.tif" if "--separate-planes" in planes else "s_labels.tif")
    labels = tifffile.imread(path)
    frame = labels if labels.ndim == 2 else labels[1]
    frame[frame == 1] = 0
    tifffile.imwrite(path, labels, photometric="minisblack")  # as other programs do, without names of axes
    (item,), left_out = find_corrected(images, results)
    assert (item.name, item.image, item.outlined) == ("s_t0001", images / "s.tif", "cells")
    annotated = item.read()
    assert np.array_equal(annotated.pixels, gray + 1)
    assert np.array_equal(annotated.labels > 0, frame > 0)
    assert sorted(left_out) == ["s_t0000", "s_t0002"]


def test_a_stack_that_lost_planes_is_refused(tmp_path):
    images, results = tmp_path / "images", tmp_path / "results"
    images.mkdir()
    gray = (40 + 100 * (three_disks() > 0)).astype(np.uint8)
    tifffile.imwrite(images / "s.tif", np.stack([gray] * 3), imagej=True, metadata={"axes": "TYX"})
    CliRunner().invoke(app, ["segment", str(images), "-o", str(results), "--all-planes"])
    tifffile.imwrite(
        results / "s_labels.tif", np.zeros((2, *gray.shape), np.uint16), photometric="minisblack"
    )
    with pytest.raises(InputError, match="has 2 planes, expected more than 2"):
        find_corrected(images, results)


def test_an_image_of_several_channels_is_read_as_it_was_segmented(folders):
    images, results = folders
    edited(results)
    two = np.stack([np.full((64, 80), 7, np.uint8), np.full((64, 80), 9, np.uint8)])
    (images / "a.png").unlink()
    tifffile.imwrite(images / "a.tif", two, imagej=True, metadata={"axes": "CYX"})
    assert find_corrected(images, results)[0][0].read().needs_channel
    record(results, "a", name="a.tif", channel_number=1)
    annotated = find_corrected(images, results)[0][0].read()
    assert (annotated.pixels == 9).all()
    assert not annotated.needs_channel


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"provenance": {"source": {"name": "a.png", "t": -1}}}', "[" * 9999]
)
def test_a_damaged_record_says_nothing(folders, text):
    images, results = folders
    edited(results)
    (results / "a_provenance.json").write_text(text)
    assert [item.plane for item in find_corrected(images, results)[0]] == [None]


def test_results_beside_the_images_are_found_too(folders):
    images, results = folders
    for file in results.iterdir():
        file.rename(images / file.name)
    edited(images)
    write_labels(images / "a_unchecked.tif", np.eye(64, 80, dtype=np.int32))
    (item,), left_out = find_corrected(images, images)
    assert (item.name, list(left_out)) == ("a", ["b"])
    assert item.unchecked == images / "a_unchecked.tif"


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint32, np.float32])
def test_what_fiji_and_napari_save_is_read(folders, dtype):
    images, results = folders
    expected = edited(results, dtype=dtype)
    (item,), _ = find_corrected(images, results)
    image, repairs = item.read_repaired()
    np.testing.assert_array_equal(image.labels, expected)
    assert repairs == Repairs()
    assert not str(repairs)


def test_a_full_8_bit_label_image_keeps_its_255_cells(folders):
    images, results = folders
    labels = np.zeros((64, 80), np.uint8)
    for number in range(255):
        row, column = divmod(number, 20)
        labels[4 * row : 4 * row + 3, 4 * column : 4 * column + 3] = number + 1
    tifffile.imwrite(results / "a_labels.tif", labels)
    (item,), _ = find_corrected(images, results)
    np.testing.assert_array_equal(item.read().labels, labels)


def test_colours_fractions_and_other_sizes_are_refused(folders):
    images, results = folders
    path = results / "a_labels.tif"
    for pixels, message in (
        (np.zeros((64, 80, 3), np.uint8), "colours are not? ids"),
        (np.full((64, 80), 0.5, np.float32), "not whole"),
        (np.zeros((60, 80), np.uint16), "must have the same size"),
    ):
        tifffile.imwrite(path, pixels)
        with pytest.raises(FileFormatError, match=message):
            find_corrected(images, results)[0][0].read()
    edited(results)
    write_labels(results / "a_unchecked.tif", np.zeros((9, 9), np.int32))
    with pytest.raises(FileFormatError, match=r"a_unchecked.tif is \(9, 9\)"):
        find_corrected(images, results)[0][0].read()


def test_two_files_for_one_image_are_refused(folders):
    images, results = folders
    write_labels(results / "a_masks.tif", three_disks())
    with pytest.raises(FileFormatError, match="remove or rename"):
        find_corrected(images, results)


def test_cells_that_the_mark_touches_are_ignored_whole(folders):
    images, results = folders
    labels = edited(results)
    marked = np.zeros(labels.shape, np.uint8)
    marked[10:20, 55:80] = 255  # part of cell 2, and background
    write_image(results / "a_unchecked.png", marked)
    (item,), _ = find_corrected(images, results)
    image, repairs = item.read_repaired()
    assert isinstance(image, AnnotatedImage)
    ignored = (marked > 0) | (labels == 2)
    np.testing.assert_array_equal(image.labels == -1, ignored)
    np.testing.assert_array_equal(image.labels == 1, labels == 1)
    assert repairs == Repairs(unchecked_cells=1, unchecked_share=ignored.mean())


def test_a_mark_says_that_a_person_has_looked(folders):
    images, results = folders
    write_image(results / "b_unchecked.png", np.pad(np.full((4, 4), 255, np.uint8), ((0, 60), (0, 76))))
    (item,), left_out = find_corrected(images, results)
    assert item.name == "b"
    assert list(left_out) == ["a"]
