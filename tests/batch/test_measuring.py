"""Measuring label images that other tools made."""

import csv

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from dinocell.batch import MeasureSettings, measure_labels
from dinocell.cli import app
from dinocell.errors import InputError
from dinocell.io.images import read_image, read_labels
from dinocell.io.pixel_size import describe_difference, parse_pixel_size, validate_pixel_size
from dinocell.io.saving import write_image, write_labels
from dinocell.io.selection import Selection, Span
from dinocell.measure.cells import measure_cells

runner = CliRunner()


def run(*arguments):
    return runner.invoke(app, [str(argument) for argument in arguments])


def refusal(*arguments):
    """Return what a call that fails says."""
    result = run(*arguments)
    assert result.exit_code == 1
    return str(result.exception)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


LABELS = np.zeros((6, 8), np.int32)
LABELS[1:3, 1:4], LABELS[4:, 6:] = 7, 300  # six and four pixels, ids as another tool left them


@pytest.fixture
def pair(tmp_path):
    """An image of rising values, and labels of two cells."""
    pixels = np.arange(LABELS.size, dtype=np.uint16).reshape(LABELS.shape)
    write_image(tmp_path / "field.tif", pixels)
    write_labels(tmp_path / "any.tif", LABELS)
    return tmp_path / "field.tif", tmp_path / "any.tif", tmp_path / "out"


def test_a_table_by_hand(pair):
    image, labels, out = pair
    result = run("measure", image, labels, "-o", out, "--pixel-size", "0.5")
    assert result.exit_code == 0, result.output
    assert "2 cells" in result.output
    first, second = rows_of(out / "field_cells.csv")
    assert (first["label"], first["area"], second["label"], second["area"]) == ("7", "6", "300", "4")
    assert float(first["mean_intensity"]) == (9 + 10 + 11 + 17 + 18 + 19) / 6
    assert float(first["area_um2"]) == 6 * 0.25
    assert second["touches_border"] == "1"
    assert "confidence" not in first


def test_pixels_that_are_not_square_have_no_micrometres_but_keep_their_size(pair):
    image, labels, out = pair
    assert (
        run("measure", image, labels, "-o", out, "--pixel-size", "0.5,0.25", "--format", "csv,tif").exit_code
        == 0
    )
    assert "area_um2" not in rows_of(out / "field_cells.csv")[0]
    assert read_image(out / "field_labels.tif").pixel_size_yx_um == (0.5, 0.25)
    np.testing.assert_array_equal(read_labels(out / "field_labels.tif"), LABELS)


def test_other_files_of_the_labels(pair):
    image, labels, out = pair
    result = run("measure", image, labels, "-o", out, "--format", "csv,overlay,rois,geojson,coco")
    assert result.exit_code == 0, result.output
    assert "and 4 other files" in result.output
    assert {path.name for path in out.iterdir()} == {
        "field_cells.csv", "field_overlay.png", "field_rois.zip", "field_cells.geojson", "field_coco.json",
    }  # fmt: skip
    back = run("import", out / "field_rois.zip", "--image", image, "-o", out / "back")
    assert back.exit_code == 0, back.output
    np.testing.assert_array_equal(read_labels(out / "back" / "field_labels.tif"), LABELS)


def test_numbers_and_a_legend_bring_an_overlay(pair):
    image, labels, out = pair
    for name, options in {"plain": ("--format", "overlay"), "numbers": ("--numbers",)}.items():
        assert run("measure", image, labels, "-o", out / name, *options).exit_code == 0
    plain, numbers = (read_image(out / name / "field_overlay.png").pixels for name in ("plain", "numbers"))
    assert (out / "numbers" / "field_cells.csv").exists()
    assert numbers.shape == plain.shape
    assert not np.array_equal(numbers, plain)
    assert run("measure", image, labels, "-o", out, "--legend").exit_code == 0
    legend = read_image(out / "field_overlay.png").pixels
    assert np.array_equal(legend[: plain.shape[0], : plain.shape[1]], plain)


def write_stacks(folder, axes, shape):
    """Write a stack whose values are the number of the plane, and labels with as many cells in each."""
    labels = np.zeros((*shape, 6, 8), np.uint16)
    pixels = np.zeros((*shape, 6, 8), np.uint8)
    for number, place in enumerate(np.ndindex(*shape)):
        pixels[place] = number
        for cell in range(number + 1):
            labels[place][cell, 2:5] = cell + 1
    tifffile.imwrite(folder / "movie.ome.tif", pixels, metadata={"axes": axes}, photometric="minisblack")
    return pixels, labels


def test_a_stack_is_one_table(tmp_path):
    _, labels = write_stacks(tmp_path, "TZYX", (2, 2))
    tifffile.imwrite(tmp_path / "l.ome.tif", labels, metadata={"axes": "TZYX"}, photometric="minisblack")
    result = run("measure", tmp_path / "movie.ome.tif", tmp_path / "l.ome.tif", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    rows = rows_of(tmp_path / "out" / "movie_cells.csv")
    assert list(rows[0])[:3] == ["t", "z", "label"]
    found = [(row["t"], row["z"], row["label"], row["mean_intensity"]) for row in rows]
    assert found == [
        (str(t), str(z), str(cell + 1), str(2 * t + z))
        for t in range(2)
        for z in range(2)
        for cell in range(2 * t + z + 1)
    ]


def test_labels_without_named_axes_belong_to_as_many_planes(tmp_path):
    _, labels = write_stacks(tmp_path, "TYX", (3,))
    tifffile.imwrite(tmp_path / "plain.tif", labels, photometric="minisblack")
    settings = MeasureSettings(tmp_path / "out", selection=Selection(time=Span(1, 3)))
    events = list(measure_labels(tmp_path / "movie.ome.tif", tmp_path / "plain.tif", settings))
    assert [event.cells for event in events] == [2, 3]
    rows = rows_of(tmp_path / "out" / "movie_cells.csv")
    assert [row["t"] for row in rows] == ["1", "1", "2", "2", "2"]


def test_one_plane_of_a_movie(tmp_path):
    pixels, labels = write_stacks(tmp_path, "TYX", (3,))
    write_labels(tmp_path / "l.tif", labels[2].astype(np.int32))
    out = tmp_path / "out"
    message = refusal("measure", tmp_path / "movie.ome.tif", tmp_path / "l.tif", "-o", out)
    assert "is a stack, expected a choice" in message
    assert (
        run("measure", tmp_path / "movie.ome.tif", tmp_path / "l.tif", "-o", out, "--time", "2").exit_code
        == 0
    )
    expected = measure_cells(labels[2].astype(np.int32), pixels[2])
    rows = rows_of(out / "movie_t0002_cells.csv")
    assert [float(row["mean_intensity"]) for row in rows] == expected["mean_intensity"].tolist() == [2, 2, 2]


def test_all_channels_are_measured_and_one_is_shown(tmp_path):
    pixels = np.stack([np.full(LABELS.shape, 3, np.uint8), np.full(LABELS.shape, 5, np.uint8)])
    metadata = {"axes": "CYX", "Channel": {"Name": ["GFP", "DAPI"]}}
    tifffile.imwrite(tmp_path / "c.ome.tif", pixels, metadata=metadata, photometric="minisblack")
    write_labels(tmp_path / "l.tif", LABELS)
    result = run(
        "measure",
        tmp_path / "c.ome.tif",
        tmp_path / "l.tif",
        "-o",
        tmp_path / "out",
        "--format",
        "csv,overlay",
    )
    assert result.exit_code == 0, result.output
    row = rows_of(tmp_path / "out" / "c_cells.csv")[0]
    assert (row["mean_intensity_GFP"], row["mean_intensity_DAPI"]) == ("3", "5")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "distance"], "cannot be written of labels alone"),
        (["--format", "zarr"], "cannot be written of labels alone"),
        (["--pixel-size", "0"], "expected micrometres from 1e-05 to 100000"),
        (["--pixel-size", "a,b"], "0.65,0.33 for height and width"),
        (["--scene", "all"], "expected one scene"),
    ],
)
def test_what_cannot_be_done_is_refused_before_a_file_is_written(pair, options, message):
    image, labels, out = pair
    assert message in refusal("measure", image, labels, "-o", out, *options)
    assert not out.exists()


def test_labels_of_another_image_are_refused(pair, tmp_path):
    image, _, out = pair
    write_labels(tmp_path / "other.tif", LABELS[:5])
    assert "labels have 5×8 pixels" in refusal("measure", image, tmp_path / "other.tif", "-o", out)
    two = np.stack([LABELS, LABELS]).astype(np.uint16)
    tifffile.imwrite(tmp_path / "two.tif", two, photometric="minisblack")
    with pytest.raises(InputError, match="expected the same: choose the labels of this image"):
        list(measure_labels(image, tmp_path / "two.tif", MeasureSettings(out)))


def test_a_file_that_is_there_is_replaced_only_if_asked_for(pair):
    image, labels, out = pair
    out.mkdir()
    (out / "field_cells.csv").write_text("mine")
    assert "exists: choose another -o" in refusal("measure", image, labels, "-o", out)
    assert (out / "field_cells.csv").read_text() == "mine"
    assert run("measure", image, labels, "-o", out, "--overwrite").exit_code == 0
    assert len(rows_of(out / "field_cells.csv")) == 2


def test_a_size_is_used_where_the_file_is_silent_and_compared_where_it_is_not(pair, tmp_path, caplog):
    _, labels, out = pair
    size = {"PhysicalSizeX": 0.325, "PhysicalSizeY": 0.325}
    tifffile.imwrite(tmp_path / "known.ome.tif", LABELS.astype(np.uint8), metadata={"axes": "YX"} | size)
    run("measure", tmp_path / "known.ome.tif", labels, "-o", out, "--pixel-size", "0.65")
    assert "by the file, but 0.65 µm were given: the file's size is used" in caplog.text
    assert float(rows_of(out / "known_cells.csv")[0]["area_um2"]) == pytest.approx(6 * 0.325**2, rel=1e-5)


def test_sizes_as_text_and_numbers():
    assert parse_pixel_size(" 0.65 , 0.33") == validate_pixel_size([0.65, 0.33]) == (0.65, 0.33)
    assert validate_pixel_size(1) == (1.0, 1.0)
    for bad in (0, -1, float("nan"), 1e6, (1, 2, 3), "0.65", (1, "2")):
        with pytest.raises(InputError, match="pixel_size_um is"):
            validate_pixel_size(bad)


def test_a_difference_of_a_hundredth_is_none(pair):
    from dinocell.io.images import open_image

    with open_image(pair[0]) as image:
        assert describe_difference(image.info, (0.5, 0.5)) == ""


def test_an_image_in_place_of_labels_is_refused(tmp_path):
    picture = np.random.default_rng(0).normal(120, 10, (64, 64)).astype(np.uint8)
    write_image(tmp_path / "picture.png", picture)
    write_labels(tmp_path / "labels.tif", np.eye(64, dtype=np.int32))
    told = refusal("measure", tmp_path / "labels.tif", tmp_path / "picture.png", "-o", tmp_path / "out")
    assert "image and labels may have been swapped" in told
    assert not list((tmp_path / "out").glob("*_cells.csv"))
