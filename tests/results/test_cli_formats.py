"""`dinocell info`, `segment --format` and `import`, from file to file."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import tifffile
from typer.testing import CliRunner

from dinocell.cli import app
from dinocell.errors import FileMissingError
from dinocell.io.images import read_image, read_labels
from dinocell.io.saving import write_image
from dinocell.results.formats import PLANE_FORMATS, parse_formats
from tests.cases import disk
from tests.fakes.tiff import write_ome_set

runner = CliRunner()


def run(*arguments):
    return runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Write one image in every format but that of OME-Zarr; once, not to be changed."""
    folder = tmp_path_factory.mktemp("formats")
    labels = np.zeros((128, 140), np.int32)
    for number, centre in enumerate([(30, 30), (40, 95), (95, 50), (3, 60)], start=1):
        labels[disk(labels.shape, centre, 12)] = number
    image = folder / "in" / "cells.ome.tif"
    image.parent.mkdir()
    size = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(image, (40 + 120 * (labels > 0)).astype(np.uint8), metadata={"axes": "YX"} | size)
    chosen = ",".join(set(PLANE_FORMATS) - {"zarr"})
    result = run("segment", image, "-o", folder / "out", "--format", chosen)
    assert result.exit_code == 0, result.output
    return folder


def test_every_format_holds_the_same_labels(results):
    out = results / "out"
    stem = out / "cells"
    expected = read_labels(f"{stem}_labels.tif")
    assert expected.max() == 4
    assert np.array_equal(read_labels(f"{stem}_labels.png"), expected)
    assert np.array_equal(np.load(f"{stem}_labels.npy"), expected)
    for name in ("_rois.zip", "_cells.geojson"):
        again = results / f"from{name}"
        image = results / "in" / "cells.ome.tif"
        assert run("import", f"{stem}{name}", "--image", image, "-o", again).exit_code == 0
        assert np.array_equal(read_labels(again / "cells_labels.tif"), expected)
    table = pyarrow.parquet.read_table(f"{stem}_cells.parquet").to_pydict()
    assert table["area"] == [int((expected == number).sum()) for number in range(1, 5)]
    assert table["touches_border"] == [
        int(3 < 0 or number in np.unique(expected[0])) for number in range(1, 5)
    ]
    assert table["area_um2"] == pytest.approx([area / 4 for area in table["area"]])
    assert all(0 <= value <= 1 for value in table["confidence"])
    assert len(json.loads(Path(f"{stem}_coco.json").read_text())["annotations"]) == 4
    assert read_image(f"{stem}_labels.tif").pixel_size_um == pytest.approx(0.5)


def test_every_file_that_has_a_place_for_it_says_how_it_was_made(results):
    record = json.loads((results / "out" / "cells_provenance.json").read_text())
    digest = record["provenance"]["source"]["sha256"].encode()
    for name in set(PLANE_FORMATS) - {"zarr", "csv", "npy", "distance"}:
        content = (results / "out" / f"cells{PLANE_FORMATS[name].ending}").read_bytes()
        assert digest in content, name
    assert set(record["files"]) == {
        f"cells{PLANE_FORMATS[name].ending}" for name in set(PLANE_FORMATS) - {"zarr"}
    }


@pytest.mark.slow
def test_labels_go_into_the_zarr_they_were_found_in(results, tmp_path):
    from dinocell.results.zarr_labels import read_zarr_labels
    from tests.fakes.zarr import write_ome_zarr

    pixels = read_image(results / "in" / "cells.ome.tif").pixels
    source = tmp_path / "cells.zarr"
    write_ome_zarr(source, np.stack([pixels, pixels[::-1]])[:, None, None], "tczyx")
    out = tmp_path / "out"
    first = run("segment", source, "-o", out, "--format", "zarr,tif", "--all-planes", "--separate-planes")
    assert first.exit_code == 0, first.output
    for t in range(2):
        assert np.array_equal(read_zarr_labels(source, t=t), read_labels(out / f"cells_t000{t}_labels.tif"))
    again = run("segment", source, "-o", out, "--format", "zarr,tif", "--all-planes", "--separate-planes")
    assert again.output.count("zarr: skipped, done") == 2, (
        again.output
    )  # writing labels has not changed the source
    plain = tmp_path / "plain"
    run("segment", source, "-o", plain, "--time", "0")
    more = run("segment", source, "-o", plain, "--time", "0", "--format", "zarr,tif")
    assert "skipped" not in more.output  # the labels in the Zarr were not asked for before
    refused = run("segment", results / "in", "-o", tmp_path / "other", "--format", "zarr")
    assert refused.exit_code == 1
    assert "is not an OME-Zarr" in refused.output


def test_unknown_formats_are_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"'tiff' is not known.*geojson"):
        parse_formats(["tiff"])
    assert parse_formats([]) == ("overlay", "csv", "tif")
    assert parse_formats(["TIF, .csv", "rois"]) == ("csv", "rois", "tif")


def test_info_prints_what_a_file_holds(results, tmp_path):
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(
        stack, np.zeros((2, 3, 16, 20), np.uint16), imagej=True, resolution=(4, 4),
        metadata={"axes": "ZCYX", "unit": "um", "spacing": 1.5, "Labels": ["DAPI", "GFP", "RFP"] * 2},
    )  # fmt: skip
    shown = run("info", stack, results / "in" / "cells.ome.tif")
    assert shown.exit_code == 0
    for text in (
        "ImageJ TIFF",
        "16 × 20 pixels",
        "1 times, 3 channels, 2 z slices",
        "0.25 µm",
        "1.5 µm",
        "OME-TIFF",
    ):
        assert text in shown.output
    values = json.loads(run("info", stack, "--json").output)
    assert values["axes"] == {"T": 1, "C": 3, "Z": 2, "Y": 16, "X": 20}
    assert values["pixel_size_um"] == pytest.approx(0.25)
    oblong = {"axes": "CYX", "PhysicalSizeX": 0.325, "PhysicalSizeY": 0.65, "Channel": {"Name": ["DAPI", ""]}}
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((2, 9, 8)), ome=True, metadata=oblong)
    shown = " ".join(run("info", tmp_path / "b.tif").output.split())
    assert "pixel 0.65 × 0.325 µm (Y × X), not square channels 0 DAPI, 1 (no name)" in shown
    assert json.loads(run("info", tmp_path / "b.tif", "--json").output)["pixel_size_yx_um"] == [0.65, 0.325]
    missing = run("info", stack, tmp_path / "none.nd2")
    assert missing.exit_code == 1
    assert "none.nd2 does not exist" in missing.output


def test_import_needs_a_size_and_finds_it_in_the_folder_of_images(results, tmp_path):
    rois = results / "out" / "cells_rois.zip"
    assert run("import", rois, "-o", tmp_path).exit_code != 0
    assert run("import", rois, "-o", tmp_path, "--size", "128x140").exit_code == 0
    expected = read_labels(results / "out" / "cells_labels.tif")
    assert np.array_equal(read_labels(tmp_path / "cells_labels.tif"), expected)
    existing = run("import", rois, "-o", tmp_path, "--size", "128x140")
    assert existing.exit_code == 1
    assert "--overwrite" in existing.output
    folder = run("import", rois, "-o", tmp_path / "b", "--image", results / "in")
    assert folder.exit_code == 0, folder.output
    shutil.copy(rois, tmp_path / "stranger_rois.zip")
    stranger = run("import", tmp_path / "stranger_rois.zip", "-o", tmp_path / "c", "--image", results / "in")
    assert stranger.exit_code == 1
    assert "holds no image named stranger" in stranger.output
    shutil.copy(rois, tmp_path / "cells_t0001_zmax_rois.zip")  # of a plane of the image
    plane = run(
        "import", tmp_path / "cells_t0001_zmax_rois.zip", "-o", tmp_path / "e", "--image", results / "in"
    )
    assert plane.exit_code == 0, plane.output
    for size in ("12", "0x5", "ax3", "-1x3", "9" * 5000 + "x1"):
        assert run("import", rois, "-o", tmp_path / "d", "--size", size).exit_code == 1


def _shape_of(rois, images, output):
    result = run("import", rois, "-o", output, "--image", images)
    assert result.exit_code == 0, result.output
    (path,) = output.iterdir()
    return path.name, read_labels(path).shape


def test_a_name_that_ends_like_a_plane_is_the_user_s_own(results, tmp_path):
    rois = results / "out" / "cells_rois.zip"
    images = tmp_path / "in"
    images.mkdir()
    for name, shape in (("well_s02.tif", (130, 150)), ("well.tif", (60, 70)), ("b_t0001.png", (140, 141))):
        write_image(images / name, np.zeros(shape, np.uint8))
    for name, images_of, shape in (
        ("well_s02", images, (130, 150)),
        ("well_s02", images / "well_s02.tif", (130, 150)),
        ("b_t0001", images, (140, 141)),
        ("well_z003", images, (60, 70)),
        ("other_s02", images / "well_s02.tif", (130, 150)),
    ):
        shutil.copy(rois, tmp_path / f"{name}_rois.zip")
        output = tmp_path / f"{name} {images_of.name}"
        assert _shape_of(tmp_path / f"{name}_rois.zip", images_of, output) == (f"{name}_labels.tif", shape)


def test_only_images_give_the_size_and_two_of_a_name_are_refused(results, tmp_path):
    shutil.copy(results / "out" / "cells_rois.zip", tmp_path / "b_rois.zip")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.txt").write_text("notes")
    write_image(tmp_path / "in" / "b.png", np.zeros((130, 150), np.uint8))
    assert _shape_of(tmp_path / "b_rois.zip", tmp_path / "in", tmp_path / "out")[1] == (130, 150)
    write_image(tmp_path / "in" / "b.tif", np.zeros((130, 151), np.uint8))
    result = run("import", tmp_path / "b_rois.zip", "-o", tmp_path / "other", "--image", tmp_path / "in")
    assert result.exit_code == 1
    assert "b.png and b.tif may both be the image of b" in result.output


def test_a_folder_of_images_that_cannot_be_listed_is_named(results, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    rois = results / "out" / "cells_rois.zip"
    monkeypatch.setattr(
        Path, "iterdir", lambda _: (_ for _ in ()).throw(PermissionError(13, "no permission"))
    )
    result = run("import", rois, "-o", tmp_path / "out", "--image", tmp_path / "in")
    assert result.exit_code == 1
    assert isinstance(result.exception, FileMissingError)
    assert "in cannot be listed (no permission), expected a folder of images" in str(result.exception)


def test_many_files_are_imported_by_one_listing_of_the_images(results, tmp_path, monkeypatch):
    images, listed, iterdir = tmp_path / "in", [], Path.iterdir
    images.mkdir()
    for number in range(3):
        write_image(images / f"{number}.png", np.zeros((130 + number, 150), np.uint8))
        shutil.copy(results / "out" / "cells_rois.zip", tmp_path / f"{number}_rois.zip")
    monkeypatch.setattr(Path, "iterdir", lambda folder: listed.append(folder) or iterdir(folder))
    files = sorted(tmp_path.glob("*_rois.zip"))
    assert run("import", *files, "-o", tmp_path / "out", "--image", images).exit_code == 0
    assert listed.count(images) == 1
    shapes = [read_labels(tmp_path / "out" / f"{number}_labels.tif").shape for number in range(3)]
    assert shapes == [(130, 150), (131, 150), (132, 150)]


def test_the_record_beside_the_results_knows_the_image_and_the_scene(results, tmp_path):
    rois = results / "out" / "cells_rois.zip"
    images = tmp_path / "in"
    images.mkdir()
    record = json.loads((results / "out" / "cells_provenance.json").read_text())
    record["provenance"]["source"] |= {"name": "b.tif", "scene_number": 1}
    shutil.copy(rois, tmp_path / "day1_b_rois.zip")
    (tmp_path / "day1_b_provenance.json").write_text(json.dumps(record))
    write_image(images / "b.png", np.zeros((5, 5), np.uint8))
    write_image(images / "day1_b.tif", np.zeros((6, 6), np.uint8))
    with tifffile.TiffWriter(images / "b.tif", ome=True) as tif:
        for side in (70, 130):
            tif.write(np.zeros((side, side + 20), np.uint8), metadata={"axes": "YX"})
    found = _shape_of(tmp_path / "day1_b_rois.zip", images, tmp_path / "out")
    assert found == ("day1_b_labels.tif", (130, 150))
    (images / "b.tif").unlink()  # then the name tells
    assert _shape_of(tmp_path / "day1_b_rois.zip", images, tmp_path / "again")[1] == (6, 6)


def test_an_image_whose_own_name_ends_in_cells_is_found(results, tmp_path):
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "my_cells.png", np.zeros((130, 150), np.uint8))
    shutil.copy(results / "out" / "cells_rois.zip", tmp_path / "my_cells_rois.zip")
    shutil.copy(results / "out" / "cells_cells.geojson", tmp_path / "my_cells.geojson")
    for number, name in enumerate(("my_cells_rois.zip", "my_cells.geojson")):
        found = _shape_of(tmp_path / name, tmp_path / "in", tmp_path / str(number))
        assert found == ("my_cells_labels.tif", (130, 150))


def test_outlines_of_a_stack_know_their_plane(results, tmp_path):
    import roifile

    stack = tmp_path / "stack.tif"
    pixels = read_image(results / "in" / "cells.ome.tif").pixels
    tifffile.imwrite(
        stack, np.stack([pixels] * 4).reshape(2, 2, *pixels.shape), imagej=True, metadata={"axes": "TZYX"}
    )
    chosen = ("--time", "1", "--z", "0", "--format", "rois,geojson")
    assert run("segment", stack, "-o", tmp_path, *chosen).exit_code == 0
    rois = roifile.roiread(tmp_path / "stack_t0001_z000_rois.zip")
    assert {(roi.t_position, roi.z_position) for roi in rois} == {(2, 1)}
    plain = {"description": b"ImageJ=1.54f\nimages=3\nslices=3\n", "metadata": None, "byteorder": ">"}
    tifffile.imwrite(tmp_path / "z.tif", np.stack([pixels] * 3), photometric="minisblack", **plain)
    assert run("segment", tmp_path / "z.tif", "-o", tmp_path, "--z", "2", "--format", "rois").exit_code == 0
    (position,) = {(roi.position, roi.z_position) for roi in roifile.roiread(tmp_path / "z_z002_rois.zip")}
    assert position == (3, 0)
    features = json.loads((tmp_path / "stack_t0001_z000_cells.geojson").read_text())["features"]
    assert {(f["geometry"]["plane"]["t"], f["geometry"]["plane"]["z"]) for f in features} == {(1, 0)}


def test_info_names_all_files_of_a_set(tmp_path):
    first, second = write_ome_set(tmp_path, np.zeros((2, 8, 8), np.uint8))
    assert f"files     2: {first.name}, {second.name}" in run("info", first).output
    assert json.loads(run("info", second, "--json").output)["files"] == [str(first), str(second)]


def test_a_log_file_hides_no_warning_from_the_screen(tmp_path):
    first, second = write_ome_set(tmp_path, np.zeros((2, 8, 8), np.uint8))
    second.unlink()
    asked = [sys.executable, "-m", "dinocell", "--log-file", str(tmp_path / "log"), "info", str(first)]
    shown = subprocess.run(asked, capture_output=True, text=True, check=True)
    said = "1 of the 2 planes that its OME-XML speaks of are not there"
    assert said in shown.stderr
    assert said in (tmp_path / "log").read_text()
