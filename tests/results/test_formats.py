"""The classes of result formats, and what other rooms read off them."""

from pathlib import Path

import pytest

from dinocell.datasets.belonging import DERIVED_ENDINGS
from dinocell.io.readers.formats import IMAGE_SUFFIXES
from dinocell.results.formats import BLOCK_FORMATS, DEFAULT_FORMATS, PLANE_FORMATS


def test_endings_tell_formats_apart():
    endings = [found.ending for found in PLANE_FORMATS.values()]
    assert len(set(endings)) == len(endings)
    folders = [found.folder_ending for found in BLOCK_FORMATS.values()]
    assert len(set(folders)) == len(folders)


@pytest.mark.parametrize("name", PLANE_FORMATS)
def test_results_that_could_be_taken_for_images_belong_to_theirs(name):
    ending = Path(f"x{PLANE_FORMATS[name].ending}")
    if ending.suffix in IMAGE_SUFFIXES:
        assert ending.stem.removeprefix("x") in DERIVED_ENDINGS


def test_the_default_is_a_label_image_a_table_and_a_picture():
    assert set(DEFAULT_FORMATS) == {"tif", "csv", "overlay"}


def test_cells_are_measured_in_every_channel_for_tables_and_objects():
    assert {name for name, found in PLANE_FORMATS.items() if found.needs_channels} == {
        "csv",
        "parquet",
        "geojson",
    }


def test_large_images_have_a_table_and_polygons():
    assert list(BLOCK_FORMATS) == ["parquet", "geoparquet", "geojson"]
    traced = {name for name, found in BLOCK_FORMATS.items() if found.needs_outlines}
    assert traced == {"geoparquet", "geojson"}
