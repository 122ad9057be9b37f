import os
import struct
from pathlib import Path

import numpy as np
import pytest

from dinocell.batch.names import unique_stems
from dinocell.batch.sources import ANNOTATION, BELOW, LINK, NAMED_ONLY, NO_IMAGE, PART, find_sources
from dinocell.io.images import open_image
from dinocell.io.readers.tiff_directories import first_description
from dinocell.results.record import ResultRecord, write_record
from tests.fakes.tiff import tiff, write_ome_set
from tests.fakes.zarr import write_ome_zarr


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def find(arguments, **options):
    found = find_sources(arguments, **options)
    return found.sources, found.failures


def names(sources):
    return [source.name.as_posix() for source in sources]


def test_folders_globs_and_files_name_each_image_once(tmp_path):
    touch(
        tmp_path,
        "a.png",
        "b.TIF",
        "a_masks.png",
        "a_labels.tif",
        "b_overlay.png",
        ".h.png",
        "notes.txt",
        "c.nd2",
    )
    found, failures = find([str(tmp_path), str(tmp_path / "*.png"), str(tmp_path / "a.png")])
    assert [s.path.name for s in found] == ["a.png", "b.TIF", "c.nd2", "a_masks.png", "b_overlay.png"]
    assert not failures  # a glob is taken at its word, a folder leaves annotations out


def test_what_stands_for_nothing_is_said(tmp_path):
    _, failures = find(["x" * 5000])
    assert "cannot be opened" in failures[0] or "does not exist" in failures[0]
    _, failures = find([str(tmp_path / "none.png"), str(tmp_path / "*.nd2"), str(tmp_path)])
    assert ["does not exist" in failures[0], "matches no file" in failures[1]] == [True, True]
    assert "--recursive" in failures[2]


def test_a_tree_is_kept_and_the_results_in_it_are_left_out(tmp_path):
    touch(tmp_path, "a.png", "day1/a.png", "day1/b.png", "day2/well/a.tif", "out/a.png", ".hidden/a.png")
    found, failures = find([str(tmp_path)], recursive=True, results=tmp_path / "out")
    assert names(found) == ["a", "day1/a", "day1/b", "day2/well/a"]
    assert not failures
    assert names(find([str(tmp_path)])[0]) == ["a"]


def test_results_may_go_into_the_folder_of_the_images(tmp_path):
    touch(tmp_path, "a.png", "HeLa_cells.png")
    found, failures = find([str(tmp_path)], recursive=True, results=tmp_path)
    assert names(found) == ["HeLa_cells", "a"]
    assert not failures


def test_names_without_a_stem_get_one(tmp_path, monkeypatch):
    touch(tmp_path, "a.zarr/.zgroup", "..png")
    monkeypatch.chdir(tmp_path / "a.zarr")
    assert names(find(["."])[0]) == ["a"]
    assert names(find(["../..png"])[0]) == ["image"]


def test_an_ome_zarr_is_an_image_and_not_a_folder_to_search(tmp_path):
    touch(tmp_path, "plate/a.zarr/.zgroup", "plate/a.zarr/.zattrs", "plate/a.zarr/0/x.png", "plate/b.png")
    found, _ = find([str(tmp_path)], recursive=True)
    assert names(found) == ["plate/a", "plate/b"]
    assert names(find([str(tmp_path / "plate" / "a.zarr")])[0]) == ["a"]


def test_links_that_lead_in_circles_end(tmp_path):
    touch(tmp_path, "in/a.png")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "itself.png").symlink_to("itself.png")
    found, _ = find([str(tmp_path / "in")], recursive=True)
    assert names(found) == ["a", "itself"]  # the second is a link to nothing, which reading it will say
    other = tmp_path / "elsewhere"
    touch(other, "b.png")
    (tmp_path / "in" / "link").symlink_to(other)
    assert "link/b" in names(find([str(tmp_path / "in")], recursive=True)[0])


def test_the_same_stem_in_two_trees_gets_two_names(tmp_path):
    touch(tmp_path, "x/day1/a.png", "y/day1/a.png", "y/day1/a.tif")
    found, _ = find([str(tmp_path / "x"), str(tmp_path / "y")], recursive=True)
    assert len({name.casefold() for name in names(found)}) == 3
    assert {Path(name).parent.as_posix() for name in names(found)} == {"day1"}


@pytest.mark.parametrize(
    "name", ["line\nbreak.png", "ünïcødé 細胞.png", "-o.png", "a b'c\"d.png", "x" * 200 + ".png"]
)
def test_unusual_names_are_names(tmp_path, name):
    touch(tmp_path, name)
    found, failures = find([str(tmp_path)])
    assert names(found) == [name.removesuffix(".png")]
    assert not failures


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may list any folder")
def test_a_folder_that_may_not_be_listed_is_named_and_the_rest_found(tmp_path):
    touch(tmp_path, "a.png", "secret/b.png")
    (tmp_path / "secret").chmod(0)
    found, failures = find([str(tmp_path)], recursive=True)
    (tmp_path / "secret").chmod(0o700)
    assert names(found) == ["a"]
    assert "secret" in failures[0]


def test_inputs_of_the_same_stem_get_names_of_their_own():
    paths = [Path(p) for p in ("/x/a/cell.png", "/x/b/cell.png", "/x/b/cell.tif", "/y/b/cell.tif", "/x/c/b_cell.png", "/x/CELL2.png", "/y/cell2.png")]  # fmt: skip # noqa: E501
    stems = unique_stems(paths)
    assert len({name.casefold() for name in stems.values()}) == len(paths)
    assert stems[paths[0]] == "a_cell"
    assert stems[paths[4]] == "b_cell"
    assert unique_stems([Path("/x/a.png")]) == {Path("/x/a.png"): "a"}


def left_out(arguments, **options):
    found = find_sources([str(argument) for argument in arguments], **options)
    return {why: [path.name for path in paths] for why, paths in found.left_out.items()}


def test_what_no_image_is_there_for_is_an_image_whatever_its_name(tmp_path):
    touch(tmp_path, "CellMask_mask.tif", "antibody_label.tif", "x_overlay.png", "_mask.png")
    found, failures = find([str(tmp_path)])
    assert names(found) == ["CellMask_mask", "_mask", "antibody_label", "x_overlay"]
    assert not failures
    touch(tmp_path, "x.tif")
    assert names(find([str(tmp_path)])[0]) == ["CellMask_mask", "_mask", "antibody_label", "x"]
    assert left_out([tmp_path]) == {ANNOTATION: ["x_overlay.png"]}


def test_annotations_and_results_are_left_out_with_a_word(tmp_path):
    mine = ("a.ome.tif", "b_img.png", "stack.nd2", "CellMask_mask.tif")
    theirs = (
        "a_labels.tif",
        "a_t0001_z003_labels.tif",
        "b_masks.png",
        "stack_s01_labels.tif",
        "b_img_seg.npy",
    )
    made = ("gone_labels.tif", "gone_provenance.json", "gone_cells.csv", "segment.jsonl")
    touch(tmp_path, *mine, *theirs, *made, "notes.txt")
    (tmp_path / "whole.slide").write_bytes(b"II*\0" + bytes(20))
    (tmp_path / "old.gif").write_bytes(b"GIF89a")
    assert names(find([str(tmp_path)])[0]) == ["CellMask_mask", "a", "b_img", "stack"]
    said = left_out([tmp_path])
    assert said.pop(ANNOTATION) == sorted([*theirs, "gone_labels.tif"]) + sorted(made[1:])
    assert said == {NAMED_ONLY: ["whole.slide"], NO_IMAGE: ["notes.txt", "old.gif"]}


def test_masks_in_a_folder_beside_their_images_are_no_images(tmp_path):
    touch(tmp_path, "images/a.png", "images/b.png", "masks/a.png", "masks/b_masks.png", "masks/other.png")
    touch(tmp_path, "day1/labels/c.png")
    found, _ = find([str(tmp_path)], recursive=True)
    assert names(found) == ["day1/labels/c", "images/a", "images/b", "masks/other"]
    assert left_out([tmp_path], recursive=True) == {ANNOTATION: ["a.png", "b_masks.png"]}


SUFFIXES = (
    ".tif",
    ".tiff",
    ".btf",
    ".tf2",
    ".tf8",
    ".stk",
    ".lsm",
    ".npy",
    ".PNG",
    ".jpeg",
    ".bmp",
    ".czi",
    ".lif",
)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_read_when_it_is_named_is_found_in_folders(tmp_path, suffix):
    touch(tmp_path, f"a{suffix}")
    assert names(find([str(tmp_path)])[0]) == ["a"]


def test_a_set_of_files_is_one_input(tmp_path):
    first, second, third = write_ome_set(tmp_path, np.zeros((3, 8, 8), np.uint8))
    for arguments in ([tmp_path], [first, second, third], [tmp_path, second]):
        found, _ = find([str(argument) for argument in arguments])
        assert [(source.path, str(source.name)) for source in found] == [(first, "set_C0")]
        assert left_out(arguments) == {PART: [second.name, third.name]}
    assert [source.path for source in find([str(second)])[0]] == [second]


def test_links_to_one_file_are_named(tmp_path):
    touch(tmp_path, "real.png")
    for name in ("B02.png", "B03.png"):
        (tmp_path / name).symlink_to("real.png")
    found, _ = find([str(tmp_path)])
    assert names(found) == ["real"]
    assert left_out([tmp_path]) == {LINK: ["B02.png", "B03.png"]}
    assert names(find([str(tmp_path / "B03.png")])[0]) == ["B03"]  # what is asked for is called as it was
    assert left_out([tmp_path / "real.png", tmp_path / "real.png"]) == {}


def record(results, name, source, stem):
    path = results / f"{name}_provenance.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(path, ResultRecord(provenance={"source": {}}, source=os.path.realpath(source), stem=stem))


def test_a_name_once_given_is_kept_whatever_inputs_there_are(tmp_path):
    touch(tmp_path, "in/a.png", "in/a.tif", "in/b.png")
    out = tmp_path / "out"
    first = {source.path.name: str(source.name) for source in find([str(tmp_path / "in")], results=out)[0]}
    assert first == {"a.png": "in_a_png", "a.tif": "in_a_tif", "b.png": "b"}
    for source, stem in first.items():
        record(out, f"{stem}_t0000", tmp_path / "in" / source, stem)
    (tmp_path / "in" / "a.png").unlink()
    assert names(find([str(tmp_path / "in")], results=out)[0]) == ["in_a_tif", "b"]
    touch(tmp_path, "in/a.png", "in/b.tif")
    kept = {source.path.name: str(source.name) for source in find([str(tmp_path / "in")], results=out)[0]}
    assert kept == first | {"b.tif": "in_b"}


def test_names_in_a_tree_are_kept_when_a_part_of_it_is_named(tmp_path):
    touch(tmp_path, "in/day1/a.png", "in/day2/a.png")
    record(tmp_path / "out", "day1/a", tmp_path / "in" / "day1" / "a.png", "a")
    found, _ = find([str(tmp_path / "in" / day) for day in ("day2", "day1")], results=tmp_path / "out")
    assert names(found) == ["a", "day1/a"]


def test_records_that_are_damaged_name_nothing(tmp_path):
    touch(tmp_path, "in/a.png", "out/x_provenance.json")
    assert names(find([str(tmp_path / "in")], results=tmp_path / "out")[0]) == ["a"]


@pytest.mark.parametrize("what", ["first directory", "description"])
def test_a_tiff_that_points_beyond_what_a_file_can_be_ends_no_search(tmp_path, what):
    content = bytearray(tiff(np.zeros((8, 8), np.uint8), bigtiff=True, description="x" * 99, metadata=None))
    at = 8
    if what == "description":
        (first,) = struct.unpack("<Q", content[8:16])
        entries = range(first + 8, len(content), 20)
        at = 12 + next(entry for entry in entries if content[entry : entry + 2] == struct.pack("<H", 270))
    content[at : at + 8] = b"\xff" * 8
    (tmp_path / "a.tif").write_bytes(content)
    touch(tmp_path, "b.png")
    assert names(find([str(tmp_path)])[0]) == ["a", "b"]


def test_results_of_another_call_in_a_folder_of_results_name_nothing(tmp_path):
    touch(tmp_path, "in/a.png", "out/other/segment.jsonl")
    record(tmp_path / "out" / "other", "mine", tmp_path / "in" / "a.png", "mine")
    assert names(find([str(tmp_path / "in")], results=tmp_path / "out")[0]) == ["a"]
    assert names(find([str(tmp_path / "in")], results=tmp_path / "out" / "other")[0]) == ["mine"]


@pytest.mark.parametrize("master", ["set_A", "set_C"])
def test_a_set_is_one_input_whichever_of_its_files_describes_it(tmp_path, master):
    described, binary = tmp_path / f"{master}.ome.tif", tmp_path / "set_B.ome.tif"
    first, second = write_ome_set(tmp_path, np.zeros((2, 8, 8), np.uint8))
    xml = first_description(first).replace(first.name, described.name).replace(second.name, binary.name)
    only = f'<OME><BinaryOnly MetadataFile="{described.name}" UUID="urn:uuid:0"/></OME>'
    for path, text in ((described, xml), (binary, only)):
        path.write_bytes(tiff(np.zeros((8, 8), np.uint8), description=text, metadata=None))
    for path in (first, second):
        path.unlink()
    assert [source.path for source in find([str(tmp_path)])[0]] == [described]
    assert left_out([tmp_path]) == {PART: [binary.name]}


def test_a_set_is_what_the_reader_follows(tmp_path):
    first, second = write_ome_set(tmp_path, np.zeros((2, 8, 8), np.uint8))
    xml = first_description(first)
    for file in (first, second):
        file.write_bytes(tiff(np.zeros((8, 8), np.uint8), description=f"{xml}<!-- done -->", metadata=None))
    with open_image(first) as image:
        assert (image.info.shape[1], image.files) == (1, (first,))
    assert {source.path for source in find([str(tmp_path)])[0]} == {first, second}


def test_masks_that_are_named_after_an_ome_tiff_with_its_ending_belong_to_it(tmp_path):
    touch(tmp_path, "a.ome.tif", "a.ome_cp_masks.png", "a.ome_labels.tif")
    assert names(find([str(tmp_path)])[0]) == ["a"]
    assert left_out([tmp_path]) == {ANNOTATION: ["a.ome_cp_masks.png", "a.ome_labels.tif"]}


def test_annotations_in_folders_around_their_images_are_left_out_of_a_tree(tmp_path):
    touch(tmp_path, "a.png", "masks/a_masks.png", "truth/a_label.png", "truth/antibody_label.png")
    touch(tmp_path, "day/pictures/k.png", "day/annotations/k_masks.png", "Masks/b.png", "images/b.png")
    found, _ = find([str(tmp_path)], recursive=True)
    assert names(found) == ["a", "day/pictures/k", "images/b", "truth/antibody_label"]
    said = left_out([tmp_path], recursive=True)
    assert sorted(said[ANNOTATION]) == ["a_label.png", "a_masks.png", "b.png", "k_masks.png"]


def test_a_zarr_of_labels_is_no_image(tmp_path):
    write_ome_zarr(tmp_path / "image.zarr", np.zeros((8, 8), np.uint8), "yx")
    write_ome_zarr(tmp_path / "made.zarr", np.zeros((8, 8), np.uint16), "yx", **{"image-label": {}})
    assert names(find([str(tmp_path)])[0]) == ["image"]
    assert left_out([tmp_path]) == {ANNOTATION: ["made.zarr"]}


@pytest.mark.parametrize(
    ("sets", "images"),
    [
        ({"a": "ab", "b": "ab", "c": "abc"}, "c"),  # the last knows more than those before it
        ({"a": "ab", "b": "b", "c": "bc"}, "ac"),  # they share a file, and neither has all of the other
        ({"a": "ab", "b": "ab", "c": "ac"}, "ac"),
        ({"a": "ab", "b": "bc", "c": "abc"}, "c"),
    ],
)
def test_no_image_is_lost_where_descriptions_of_sets_contradict_each_other(tmp_path, sets, images):
    for name, members in sets.items():
        data = "".join(
            f'<TiffData FirstC="{n}" IFD="0" PlaneCount="1">'
            f'<UUID FileName="{member}.ome.tif">{n}</UUID></TiffData>'
            for n, member in enumerate(members)
        )
        xml = f'<OME><Image><Pixels SizeC="{len(members)}" SizeX="8" SizeY="8">{data}</Pixels></Image></OME>'
        content = tiff(np.zeros((8, 8), np.uint8), description=xml, metadata=None)
        (tmp_path / f"{name}.ome.tif").write_bytes(content)
    assert "".join(names(find([str(tmp_path)])[0])) == images


def test_folders_below_that_hold_images_are_named(tmp_path):
    for name in ("a.png", "day1/b.png", "empty/note.txt", "out/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_sources([str(tmp_path)], results=tmp_path / "out")
    assert found.left_out == {BELOW: [tmp_path / "day1"]}
    assert find_sources([str(tmp_path)], recursive=True, results=tmp_path / "out").left_out == {
        NO_IMAGE: [tmp_path / "empty" / "note.txt"]
    }
