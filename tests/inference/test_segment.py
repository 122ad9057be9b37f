"""One image in one call: what it takes, and what its result gives."""

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile

import dinocell
from dinocell import segment
from dinocell.errors import FileMissingError, InputError, OutputError
from dinocell.inference.inputs import open_input
from dinocell.io.images import read_image, read_labels
from dinocell.measure.cells import measure_cells

SAMPLE = Path(__file__).parents[2] / "samples" / "fluorescence_1_img.png"
CROP = slice(0, 120), slice(0, 160)


@pytest.fixture(scope="module")
def pixels():
    return read_image(SAMPLE).pixels[CROP]


@pytest.fixture(scope="module")
def result(pixels):
    return segment(pixels, pixel_size_um=0.5)


def test_a_file_an_array_and_a_list_give_the_same(pixels, result, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    several = segment([tmp_path / "a.tif", str(tmp_path / "a.tif"), pixels])
    assert not isinstance(several, list | tuple)  # one at a time
    for each in [segment(tmp_path / "a.tif"), segment(str(tmp_path / "a.tif")), *several]:
        np.testing.assert_array_equal(each.labels, result.labels)
    assert result.count > 3


def test_its_repr_fits_a_line(result):
    assert repr(result) == f"Segmentation({result.count} cells, 120×160)"


def test_the_table_is_that_of_the_cells(result, pixels):
    table = result.table()
    expected = measure_cells(result.labels, pixels, pixel_size_um=0.5)
    for name, column in expected.items():
        np.testing.assert_array_equal(table[name], column)
    assert ((table["confidence"] >= 0) & (table["confidence"] <= 1)).all()


def test_the_overlay_colours_outlines_alone(result, pixels):
    picture = result.overlay()
    assert picture.shape == (120, 160, 3)
    coloured = np.ptp(picture, axis=2) > 0
    assert coloured.any()
    assert (result.labels[coloured] > 0).all()


def test_numbers_and_a_legend_are_added_to_the_overlay(result, tmp_path):
    plain, numbers = result.overlay(), result.overlay(numbers=True)
    assert numbers.shape == plain.shape
    assert not np.array_equal(numbers, plain)
    both = result.overlay(numbers=True, legend=True)
    assert np.array_equal(both[:120, :160], numbers)
    assert both.shape[0] > 120
    (file,) = result.save(tmp_path, name="a", formats=["overlay"], numbers=True)
    assert np.array_equal(read_image(file).pixels, numbers)


def test_cells_of_an_unusual_size_are_warned_of(pixels, result, caplog):
    assert not result.parameters.warnings
    assert not caplog.records
    small = segment(pixels, diameter=10 * result.parameters.median_diameter)
    (warning,) = small.parameters.warnings
    assert "outside of the" in warning
    assert [f"image: {warning}"] == [record.getMessage() for record in caplog.records]
    assert str(round(small.parameters.median_diameter)) in warning


def test_files_are_written_once_and_read_back(result, tmp_path):
    files = result.save(tmp_path / "out", name="field", formats=["tif", "csv", "parquet"])
    assert sorted(file.name for file in files) == [
        "field_cells.csv",
        "field_cells.parquet",
        "field_labels.tif",
    ]
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "field_labels.tif"), result.labels)
    assert read_image(tmp_path / "out" / "field_labels.tif").pixel_size_um == 0.5
    with (tmp_path / "out" / "field_cells.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == result.count
    with pytest.raises(OutputError, match="set overwrite=True"):
        result.save(tmp_path / "out", name="field")
    assert result.save(tmp_path / "out", name="field", formats=["tif"], overwrite=True)
    with pytest.raises(InputError, match="is written into its source"):
        result.save(tmp_path / "out", formats=["zarr"])
    with pytest.raises(InputError, match="not known"):
        result.save(tmp_path / "out", formats=["gif"])


def test_names_of_files_follow_the_image(pixels, tmp_path):
    tifffile.imwrite(
        tmp_path / "a.ome.tif", pixels, metadata={"axes": "YX", "PhysicalSizeX": 0.3, "PhysicalSizeY": 0.3}
    )
    result = segment(tmp_path / "a.ome.tif", pixel_size_um=0.5)
    assert {file.name for file in result.save(tmp_path)} == {"a_overlay.png", "a_cells.csv", "a_labels.tif"}
    assert result.source.pixel_size_yx_um == (0.3, 0.3)  # the file knows it


def test_a_channel_of_an_array_and_of_a_file(pixels, result, tmp_path):
    empty = np.full_like(pixels, 9)
    both = np.stack([empty, pixels], axis=-1)
    by_number = segment(both, channel=1)
    np.testing.assert_array_equal(by_number.labels, result.labels)
    assert set(by_number.table()["mean_intensity_channel_0"]) == {9}
    metadata = {"axes": "CYX", "Channel": {"Name": ["GFP", "DAPI"]}}
    tifffile.imwrite(
        tmp_path / "c.ome.tif", np.moveaxis(both, -1, 0), metadata=metadata, photometric="minisblack"
    )
    by_name = segment(tmp_path / "c.ome.tif", channel="DAPI")
    np.testing.assert_array_equal(by_name.labels, result.labels)
    assert set(by_name.table()["mean_intensity_GFP"]) == {9}
    with pytest.raises(InputError, match=r"GFP, DAPI\), expected a choice: choose with channel="):
        segment(tmp_path / "c.ome.tif")


def test_a_sample_of_a_colour_is_a_channel(tmp_path):
    colours = np.zeros((8, 9, 3), np.uint8)
    colours[..., 1] = 5
    tifffile.imwrite(tmp_path / "rgb.tif", colours, photometric="rgb")
    opened = open_input(tmp_path / "rgb.tif", channel="G")
    np.testing.assert_array_equal(opened.pixels, colours[..., 1])
    assert opened.channels == {}


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((2, 30, 40)), {}, r"if it is \(C, Y, X\) or a stack, pass one plane, as image\[0\]"),
        (np.zeros((30, 40, 2)), {}, "so 2 channels, expected .*: pass one channel"),
        (np.zeros((5, 2, 30, 40)), {}, "pass one plane of it at a time"),
        (np.zeros((30, 40)), {"channel": 1}, "no channels, expected .* leave channel out"),
        (np.zeros((30, 40, 2)), {"channel": 2}, "has no channel 2"),
        (np.zeros((30, 40)), {"pixel_size_um": -1}, "pixel_size_um is -1"),
    ],
)
def test_messages_know_arrays_and_name_no_flag(image, options, message):
    with pytest.raises(InputError, match=message) as raised:
        segment(image, **options)
    assert "--" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileMissingError):
        segment(tmp_path / "none.tif")


def test_all_public_names_are_listed():
    assert set(dinocell.__all__) <= set(dir(dinocell))


def test_thresholds_have_the_names_of_the_options_too():
    image = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    short = segment(image, cells_max=0.6, cell_fill=0.2).parameters.settings
    long = segment(image, cells_max_threshold=0.6, cell_fill_threshold=0.2).parameters.settings
    assert short == long
    assert short.thresholds_of["cells"].cells_max_threshold == 0.6
    with pytest.raises(InputError, match="cells_max and cells_max_threshold are two names of one option"):
        segment(image, cells_max=0.6, cells_max_threshold=0.6)


def test_a_stack_in_a_file_is_refused_with_words_for_python(tmp_path):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, np.zeros((3, 2, 32, 32), np.uint8), imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(InputError, match=r"holds 3 times, 2 slices, expected one plane: read one"):
        segment(path)
    assert segment(read_image(path, page=5).pixels).count == 0
