import os
from pathlib import Path

import pytest

from dinocell.batch.sources import find_sources, unique_stems


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


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
    found, failures = find_sources([str(tmp_path), str(tmp_path / "*.png"), str(tmp_path / "a.png")])
    assert [s.path.name for s in found] == ["a.png", "b.TIF", "c.nd2", "a_masks.png", "b_overlay.png"]
    assert not failures  # a glob is taken at its word, a folder leaves annotations out


def test_what_stands_for_nothing_is_said(tmp_path):
    _, failures = find_sources(["x" * 5000])
    assert "cannot be opened" in failures[0] or "does not exist" in failures[0]
    _, failures = find_sources([str(tmp_path / "none.png"), str(tmp_path / "*.nd2"), str(tmp_path)])
    assert ["does not exist" in failures[0], "matches no file" in failures[1]] == [True, True]
    assert "--recursive" in failures[2]


def test_a_tree_is_kept_and_the_results_in_it_are_left_out(tmp_path):
    touch(tmp_path, "a.png", "day1/a.png", "day1/b.png", "day2/well/a.tif", "out/a.png", ".hidden/a.png")
    found, failures = find_sources([str(tmp_path)], recursive=True, leave_out=tmp_path / "out")
    assert names(found) == ["a", "day1/a", "day1/b", "day2/well/a"]
    assert not failures
    assert names(find_sources([str(tmp_path)])[0]) == ["a"]


def test_results_may_go_into_the_folder_of_the_images(tmp_path):
    touch(tmp_path, "a.png", "HeLa_cells.png")
    found, failures = find_sources([str(tmp_path)], recursive=True, leave_out=tmp_path)
    assert names(found) == ["HeLa_cells", "a"]
    assert not failures


def test_names_without_a_stem_get_one(tmp_path, monkeypatch):
    touch(tmp_path, "a.zarr/.zgroup", "..png")
    monkeypatch.chdir(tmp_path / "a.zarr")
    assert names(find_sources(["."])[0]) == ["a"]
    assert names(find_sources(["../..png"])[0]) == ["image"]


def test_an_ome_zarr_is_an_image_and_not_a_folder_to_search(tmp_path):
    touch(tmp_path, "plate/a.zarr/.zgroup", "plate/a.zarr/.zattrs", "plate/a.zarr/0/x.png", "plate/b.png")
    found, _ = find_sources([str(tmp_path)], recursive=True)
    assert names(found) == ["plate/a", "plate/b"]
    assert names(find_sources([str(tmp_path / "plate" / "a.zarr")])[0]) == ["a"]


def test_links_that_lead_in_circles_end(tmp_path):
    touch(tmp_path, "in/a.png")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "itself.png").symlink_to("itself.png")
    found, _ = find_sources([str(tmp_path / "in")], recursive=True)
    assert names(found) == ["a", "itself"]  # the second is a link to nothing, which reading it will say
    other = tmp_path / "elsewhere"
    touch(other, "b.png")
    (tmp_path / "in" / "link").symlink_to(other)
    assert "link/b" in names(find_sources([str(tmp_path / "in")], recursive=True)[0])


def test_the_same_stem_in_two_trees_gets_two_names(tmp_path):
    touch(tmp_path, "x/day1/a.png", "y/day1/a.png", "y/day1/a.tif")
    found, _ = find_sources([str(tmp_path / "x"), str(tmp_path / "y")], recursive=True)
    assert len({name.casefold() for name in names(found)}) == 3
    assert {Path(name).parent.as_posix() for name in names(found)} == {"day1"}


@pytest.mark.parametrize(
    "name", ["line\nbreak.png", "ünïcødé 細胞.png", "-o.png", "a b'c\"d.png", "x" * 200 + ".png"]
)
def test_unusual_names_are_names(tmp_path, name):
    touch(tmp_path, name)
    found, failures = find_sources([str(tmp_path)])
    assert names(found) == [name.removesuffix(".png")]
    assert not failures


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may list any folder")
def test_a_folder_that_may_not_be_listed_is_named_and_the_rest_found(tmp_path):
    touch(tmp_path, "a.png", "secret/b.png")
    (tmp_path / "secret").chmod(0)
    found, failures = find_sources([str(tmp_path)], recursive=True)
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
