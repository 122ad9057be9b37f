"""Tiles of images and labels: put together, they are the whole."""

from io import BytesIO

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dinocell.errors import InputError
from dinocell.web.archive.records import ImageRecord
from dinocell.web.correcting.label_tiles import as_colours
from dinocell.web.failures import GoneError
from dinocell.web.reading.conversion import Order, convert
from dinocell.web.reading.tiles import TILE, image_tile, level_of, parse_shown


def record_of(folder, pixels):
    source = folder / "source.ome.tif"
    tifffile.imwrite(
        source, pixels, ome=True, photometric="minisblack", metadata={"axes": "CYX"[-pixels.ndim :]}
    )
    found = convert(Order(source, source.name, folder))
    known = {"id": "i", "name": source.name, "bytes": 1, "sha256": "0", "file": "i", "created": "now"}
    return ImageRecord.model_validate({**known, **vars(found)})


def decoded(tile):
    return np.asarray(Image.open(BytesIO(tile)))


def whole(folder, record, zoom, **shown):
    chosen = parse_shown(record, shown.get("channel"), shown.get("range"), shown.get("colour"))
    height, width = record.level_shapes[len(record.level_shapes) - 1 - zoom]
    rows = [
        np.hstack([decoded(image_tile(folder, record, zoom, x, y, chosen)) for x in range(-(-width // TILE))])
        for y in range(-(-height // TILE))
    ]
    return np.vstack(rows)


def test_tiles_of_the_last_level_are_the_image(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (300, 530), np.uint8)
    record = record_of(tmp_path, pixels)
    found = whole(tmp_path, record, len(record.level_shapes) - 1, range="0:255", channel="0")
    np.testing.assert_array_equal(found, np.repeat(pixels[..., None], 3, axis=2))
    assert whole(tmp_path, record, 0).shape == (75, 133, 3)


def test_values_are_stretched_between_black_and_the_colour(tmp_path):
    record = record_of(tmp_path, np.array([[0, 100, 150, 200, 255]], np.uint8))
    found = whole(tmp_path, record, 0, channel="0", range="100:200", colour="ff8000")
    assert found[0].tolist() == [[0, 0, 0], [0, 0, 0], [128, 64, 0], [255, 128, 0], [255, 128, 0]]


def test_channels_add_up(tmp_path):
    pixels = np.zeros((2, 4, 4), np.uint8)
    pixels[0, 0], pixels[1, :, 0] = 255, 255
    record = record_of(tmp_path, pixels)
    found = whole(tmp_path, record, 0, channel="1,0", range="0:255,0:255", colour="00ff00,ff0000")
    assert found[0, 0].tolist() == [255, 255, 0]
    assert found[0, 1].tolist() == [255, 0, 0]
    assert found[1, 0].tolist() == [0, 255, 0]


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        ({"channel": "1"}, "channel is 1"),
        ({"channel": "0;1"}, "expected numbers joined by commas"),
        ({"range": "5:5"}, "the lower one first"),
        ({"range": "nan:5"}, "two numbers"),
        ({"range": "0:1,0:1"}, "range has 2 parts, expected 1"),
        ({"colour": "red"}, "six hexadecimal digits"),
    ],
)
def test_what_cannot_be_shown_is_refused(tmp_path, shown, message):
    record = record_of(tmp_path, np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match=message):
        parse_shown(record, shown.get("channel"), shown.get("range"), shown.get("colour"))


@given(st.integers(-3, 9), st.integers(-3, 9), st.integers(-3, 9))
def test_a_tile_lies_in_its_level_or_is_not_there(zoom, x, y):
    shapes = ((1000, 700), (500, 350), (250, 175))
    try:
        level, rows, columns = level_of(zoom, x, y, shapes)
    except GoneError:
        return
    assert 0 <= rows.start < rows.stop <= shapes[level][0]
    assert 0 <= columns.start < columns.stop <= shapes[level][1]


@given(st.lists(st.integers(0, 2**24 - 1), min_size=1, max_size=50))
def test_ids_come_back_from_their_colours(ids):
    red, green, blue = np.moveaxis(as_colours(np.array([ids])).astype(int), -1, 0)
    np.testing.assert_array_equal((red * 65536 + green * 256 + blue)[0], ids)
