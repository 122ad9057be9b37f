"""Labels inside OME-Zarr: round trips, NGFF's rules, and what is refused or must stay as it is."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dinocell.errors import DINOCellError, FileFormatError, InputError, OutputError

pytest.importorskip("zarr")

import zarr

from dinocell.io.images import read_labels
from dinocell.io.readers.ome_zarr import OmeZarrReader
from dinocell.results.zarr_labels import read_zarr_labels, write_zarr_labels
from dinocell.version import __version__
from tests.fakes.zarr import attributes_of, noise, write_group, write_ome_zarr

open_ome_zarr = OmeZarrReader().open

VERSIONS = pytest.mark.parametrize("version", ["0.4", "0.5"])
QUICK = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
STEPS = {"t": 60.0, "c": 1.0, "z": 2.0, "y": 0.5, "x": 0.5}


def cells(seed: int = 0, shape: tuple[int, int] = (33, 41)) -> Any:
    """Draw ids of all magnitudes, and pixels to ignore."""
    chance = np.random.default_rng(seed)
    return chance.choice(np.array([-1, 0, 1, 255, 256, 70_000, 2**31 - 1], np.int32), shape)


def image(folder: Path, version: str, axes: str = "tczyx", levels: int = 3) -> Path:
    sizes = {"t": 2, "c": 2, "z": 3, "y": 33, "x": 41}
    pixels = noise(*(sizes[axis] for axis in axes))
    return write_ome_zarr(folder, pixels, axes, version=version, levels=levels, scale=STEPS)


def content_of(folder: Path) -> dict[str, bytes]:
    """List every file below a folder."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@VERSIONS
@pytest.mark.parametrize("axes", ["yx", "cyx", "tyx", "zyx", "czyx", "tczyx", "zxy"])
def test_labels_come_back_for_any_axes(tmp_path: Path, version: str, axes: str) -> None:
    source = image(tmp_path / "a.zarr", version, axes)
    before = content_of(source)
    t, z = ("t" in axes) * 1, ("z" in axes) * 2
    group = write_zarr_labels(source, cells(), t=t, z=z)
    got = read_zarr_labels(source, t=t, z=z)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, cells())
    if t or z:
        assert not read_zarr_labels(source).any()  # a plane that was not written
    levels = attributes_of(group, version)
    entry = (levels["ome"] if version == "0.5" else levels)["multiscales"][0]
    assert "".join(axis["name"] for axis in entry["axes"]) == axes.replace("c", "")
    after = content_of(source)
    assert {name: after[name] for name in before} == before  # the image is as it was
    assert all(name.startswith("labels/") for name in after.keys() - before.keys())


@VERSIONS
def test_the_labels_beside_an_image_are_read_and_never_the_image(tmp_path: Path, version: str) -> None:
    source = image(tmp_path / "a.zarr", version, "yx")
    pixels = read_labels(source)  # an image without labels may be labels, whatever it says
    write_zarr_labels(source, cells(1), name="other")
    assert np.array_equal(read_labels(source), cells(1))
    assert not np.array_equal(pixels, cells(1))
    write_zarr_labels(source, cells(2), name="third")
    with pytest.raises(FileFormatError, match="labels other, third in it, expected one"):
        read_labels(source)
    write_zarr_labels(source, cells(3))
    assert np.array_equal(read_labels(source), cells(3))
    assert np.array_equal(read_labels(source / "labels" / "third"), cells(2))


@VERSIONS
def test_planes_fill_one_group(tmp_path: Path, version: str) -> None:
    source = image(tmp_path / "a.zarr", version)
    planes = [(t, z) for t in range(2) for z in range(3)]
    groups = {write_zarr_labels(source, cells(10 * t + z), t=t, z=z) for t, z in reversed(planes)}
    assert groups == {source / "labels" / "dinocell"}
    for t, z in planes:
        np.testing.assert_array_equal(read_zarr_labels(source, t=t, z=z), cells(10 * t + z))
    write_zarr_labels(source, cells(99), t=1, z=1)
    np.testing.assert_array_equal(read_zarr_labels(source, t=1, z=1), cells(99))
    np.testing.assert_array_equal(read_zarr_labels(source, t=1, z=2), cells(12))
    write_zarr_labels(source, cells(7), name="others")
    listed = attributes_of(source / "labels", version)
    assert (listed["ome"] if version == "0.5" else listed)["labels"] == ["dinocell", "others"]


@VERSIONS
def test_threads_may_write_planes_of_one_image(tmp_path: Path, version: str) -> None:
    source = image(tmp_path / "a.zarr", version)
    planes = [(t, z) for t in range(2) for z in range(3)]

    def write(plane: tuple[int, int]) -> None:
        t, z = plane
        write_zarr_labels(source, cells(10 * t + z), t=t, z=z, provenance={"plane": plane})

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, planes))
    for t, z in planes:
        np.testing.assert_array_equal(read_zarr_labels(source, t=t, z=z), cells(10 * t + z))
    made = attributes_of(source / "labels" / "dinocell", version)["dinocell"]
    assert len(made["planes"]) == 5  # and the first one's


@VERSIONS
def test_coarser_levels_keep_every_second_pixel(tmp_path: Path, version: str) -> None:
    source = image(tmp_path / "a.zarr", version)
    group = write_zarr_labels(source, cells(), t=1, z=2)
    for level, step in enumerate((1, 2, 4)):
        stored = zarr.open_array(group / str(level), mode="r")
        assert stored.shape == (2, 3, -(-33 // step), -(-41 // step))
        np.testing.assert_array_equal(stored[1, 2], cells()[::step, ::step])


def test_levels_that_drop_the_last_pixel_and_slices(tmp_path: Path) -> None:
    """Take level 1 with 16 of 33 rows, 20 of 41 columns and 2 of 4 slices, as some programs round down."""
    source = write_ome_zarr(tmp_path / "a.zarr", noise(4, 33, 41), "zyx", levels=2, scale=STEPS)
    shutil.rmtree(source / "1")
    zarr.create_array(source / "1", shape=(2, 16, 20), dtype="uint16", chunks=(1, 16, 20), zarr_format=2)
    for z in range(4):
        write_zarr_labels(source, cells(z), z=z)
    stored = zarr.open_array(source / "labels" / "dinocell" / "1", mode="r")
    np.testing.assert_array_equal(stored[:], [cells(z)[:32:2, :40:2] for z in (0, 2)])


@VERSIONS
def test_metadata_follow_ngff(tmp_path: Path, version: str) -> None:
    source = image(tmp_path / "a.zarr", version)
    group = write_zarr_labels(source, cells(), provenance={"model": "nano"})
    stored = attributes_of(group, version)
    assert stored["dinocell"] == {
        "version": __version__, "provenance": {"model": "nano"}, "planes": {}, "z": "slices", "multiscale": 0
    }  # fmt: skip
    ngff = stored["ome"] if version == "0.5" else stored
    (entry,) = ngff["multiscales"]
    label = ngff["image-label"]
    assert label["source"]["image"] == "../../"
    assert (group / label["source"]["image"]).resolve() == source.resolve()
    assert (ngff["version"] if version == "0.5" else entry["version"]) == version
    assert ("version" in label) == (version == "0.4")
    assert [axis["type"] for axis in entry["axes"]] == ["time", "space", "space", "space"]
    assert [axis["unit"] for axis in entry["axes"]] == ["second", "micrometer", "micrometer", "micrometer"]
    for level, dataset in enumerate(entry["datasets"]):
        step = 0.5 * 2**level
        assert dataset["coordinateTransformations"] == [{"type": "scale", "scale": [60.0, 2.0, step, step]}]
        array = json.loads(
            (group / dataset["path"] / ("zarr.json" if version == "0.5" else ".zarray")).read_text()
        )
        if version == "0.5":
            assert (array["zarr_format"], array["data_type"]) == (3, "int32")
            assert array["dimension_names"] == ["t", "z", "y", "x"]
        else:
            assert (array["zarr_format"], array["dtype"], array["dimension_separator"]) == (2, "<i4", "/")
    with open_ome_zarr(group, 0) as labels:  # labels are an image, too
        assert labels.info.pixel_size_um == 0.5


def test_image_without_transformations_gets_ratios(tmp_path: Path) -> None:
    """Write by the rules of 0.4 where version 0.3 names its axes only."""
    source = image(tmp_path / "a.zarr", "0.4", "czyx", 2)
    entry = attributes_of(source, "0.4")["multiscales"][0]
    entry |= {"version": "0.3", "axes": ["c", "z", "y", "x"], "datasets": [{"path": "0"}, {"path": "1"}]}
    write_group(source, {"multiscales": [entry]}, "0.4")
    labels = attributes_of(write_zarr_labels(source, cells()), "0.4")["multiscales"][0]
    assert labels["axes"] == [{"name": axis, "type": "space"} for axis in "zyx"]
    scales = [level["coordinateTransformations"][0]["scale"] for level in labels["datasets"]]
    assert scales == [[1, 1, 1], [1, 33 / 17, 41 / 21]]


@VERSIONS
def test_projections_have_one_slice_and_say_so(tmp_path: Path, version: str) -> None:
    source = image(tmp_path / "a.zarr", version)
    group = write_zarr_labels(source, cells(), t=1, z=None)
    np.testing.assert_array_equal(read_zarr_labels(source, t=1), cells())
    assert zarr.open_array(group / "0", mode="r").shape == (2, 1, 33, 41)
    assert attributes_of(group, version)["dinocell"]["z"] == "projection"
    with pytest.raises(OutputError, match="labels there are of another shape or kind: choose another name"):
        write_zarr_labels(source, cells(), t=1, z=0)
    write_zarr_labels(source, cells(1), z=0, overwrite=True)
    np.testing.assert_array_equal(read_zarr_labels(source), cells(1))
    assert zarr.open_array(group / "0", mode="r").shape == (2, 3, 33, 41)
    assert [item.name for item in (source / "labels").iterdir() if item.is_dir()] == ["dinocell"]


@VERSIONS
def test_scenes_have_labels_of_their_own(tmp_path: Path, version: str) -> None:
    source = tmp_path / "a.zarr"
    for field in range(2):
        image(source / "A/1" / str(field), version, "yx")
    write_group(source / "A/1", {"well": {"images": [{"path": "0"}, {"path": "1"}]}}, version)
    write_group(source, {"plate": {"wells": [{"path": "A/1"}]}}, version)
    assert write_zarr_labels(source, cells(), scene="A/1/1") == source / "A/1/1/labels/dinocell"
    np.testing.assert_array_equal(read_zarr_labels(source, scene=1), cells())
    with pytest.raises(FileFormatError, match="no labels 'dinocell' in it"):
        read_zarr_labels(source, scene=0)


@VERSIONS
def test_each_plane_keeps_its_provenance(tmp_path: Path, version: str) -> None:
    source = image(tmp_path / "a.zarr", version)
    for z, model in enumerate(("nano", "nano", "small")):
        group = write_zarr_labels(source, cells(), z=z, provenance={"model": model})
    made = attributes_of(group, version)["dinocell"]
    assert (made["provenance"], made["planes"]) == ({"model": "nano"}, {"t=0 z=2": {"model": "small"}})
    write_zarr_labels(source, cells(), z=2, provenance={"model": "nano"})
    assert attributes_of(group, version)["dinocell"]["planes"] == {"t=0 z=2": {"model": "nano"}}
    with pytest.raises(InputError, match="provenance cannot be stored"):
        write_zarr_labels(source, cells(), provenance={"model": tmp_path})


@VERSIONS
def test_labels_of_others_are_kept_unless_overwritten(tmp_path: Path, version: str) -> None:
    source = image(tmp_path / "a.zarr", version, "yx", 1)
    theirs = source / "labels" / "nuclei"
    write_ome_zarr(theirs, cells(5), "yx", version=version)
    write_group(source / "labels", {"labels": ["nuclei"], "more": 1}, version)
    np.testing.assert_array_equal(read_zarr_labels(source, "nuclei"), cells(5))
    before = content_of(source)
    with pytest.raises(OutputError, match="the labels there were not made by DINOCell"):
        write_zarr_labels(source, cells(), name="nuclei")
    assert content_of(source) == before
    write_zarr_labels(source, cells())
    listed = attributes_of(source / "labels", version)
    listed = listed["ome"] if version == "0.5" else listed
    assert (listed["labels"], listed["more"]) == (["nuclei", "dinocell"], 1)
    write_zarr_labels(source, cells(), name="nuclei", overwrite=True)
    np.testing.assert_array_equal(read_zarr_labels(source, "nuclei"), cells())


@VERSIONS
def test_what_does_not_fit_is_refused_and_nothing_written(tmp_path: Path, version: str) -> None:
    source = image(tmp_path / "a.zarr", version)
    before = content_of(source)
    for options, message in [
        ({"labels": cells(shape=(33, 40))}, r"labels have shape \(33, 40\), expected \(33, 41\)"),
        ({"t": 2}, "has no time 2"),
        ({"z": 3}, "has no z.* 3"),
        ({"scene": 1}, "has no scene 1"),
        ({"labels": cells() * 0.5}, "expected integers"),
        *(
            ({"name": name}, "labels cannot be named")
            for name in ("", "..", ".a", "a/b", "__a", "a\n", "x" * 300)
        ),
    ]:
        with pytest.raises(InputError, match=message):
            write_zarr_labels(source, **({"labels": cells()} | options))
    assert content_of(source) == before


@VERSIONS
def test_nothing_is_written_outside(tmp_path: Path, version: str) -> None:
    source, outside = image(tmp_path / "a.zarr", version), tmp_path / "outside"
    outside.mkdir()
    (source / "labels").symlink_to(outside)
    with pytest.raises(FileFormatError, match="leads outside"):
        write_zarr_labels(source, cells())
    (source / "labels").unlink()
    group = write_zarr_labels(source, cells())
    chunks = group / "0" / ("c" if version == "0.5" else "0")
    shutil.rmtree(chunks)
    chunks.symlink_to(outside)
    with pytest.raises(OutputError, match="leads outside"):
        write_zarr_labels(source, cells())
    assert not list(outside.iterdir())


@VERSIONS
def test_folders_that_cannot_be_written(tmp_path: Path, version: str) -> None:
    source = image(tmp_path / "a.zarr", version, "yx")
    (source / "labels").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        write_zarr_labels(source, cells())
    assert (source / "labels").read_text() == "a file"
    (source / "labels").unlink()
    if os.geteuid():  # root may write everywhere
        source.chmod(0o500)
        try:
            with pytest.raises(OutputError, match="cannot be written"):
                write_zarr_labels(source, cells())
        finally:
            source.chmod(0o700)


@VERSIONS
def test_a_leftover_of_a_killed_process_is_no_obstacle(tmp_path: Path, version: str) -> None:
    """Complete, but not listed: what a kill between renaming and listing leaves."""
    source = image(tmp_path / "a.zarr", version, "yx")
    write_zarr_labels(source, cells())
    write_group(source / "labels", {"labels": []}, version)
    write_zarr_labels(source, cells(1))
    listed = attributes_of(source / "labels", version)
    assert (listed["ome"] if version == "0.5" else listed)["labels"] == ["dinocell"]


@QUICK
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["0.4", "0.5"]))
def test_every_size_comes_back(tmp_path: Path, height: int, width: int, version: str) -> None:
    shutil.rmtree(tmp_path / "a.zarr", ignore_errors=True)
    source = write_ome_zarr(tmp_path / "a.zarr", noise(height, width), "yx", version=version, levels=2)
    write_zarr_labels(source, cells(shape=(height, width)))
    np.testing.assert_array_equal(read_zarr_labels(source), cells(shape=(height, width)))


@VERSIONS
@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"multiscales": 3}', '{"dinocell": 3}', '{"attributes": 7}']
)
def test_damaged_labels_raise_our_errors(tmp_path: Path, version: str, damage: str) -> None:
    source = image(tmp_path / "a.zarr", version, "yx")
    group = write_zarr_labels(source, cells())
    name = "zarr.json" if version == "0.5" else ".zattrs"
    (group / name).write_text(damage)
    for action in (read_zarr_labels, lambda folder: write_zarr_labels(folder, cells())):
        with pytest.raises(DINOCellError, match=r"a\.zarr"):
            action(source)


# Read back by another implementation


@VERSIONS
def test_ngff_zarr_reads_the_labels(tmp_path: Path, version: str) -> None:
    ngff_zarr = pytest.importorskip("ngff_zarr")
    source = image(tmp_path / "a.zarr", version)
    group = write_zarr_labels(source, cells(), t=1, z=2)
    levels = ngff_zarr.from_ngff_zarr(str(group)).images
    assert [level.data.shape[:2] for level in levels] == [(2, 3)] * 3
    assert levels[0].dims == ("t", "z", "y", "x")
    assert levels[0].scale == pytest.approx({axis: STEPS[axis] for axis in "tzyx"})
    np.testing.assert_array_equal(np.asarray(levels[0].data)[1, 2], cells())
    np.testing.assert_array_equal(np.asarray(levels[1].data)[1, 2], cells()[::2, ::2])
