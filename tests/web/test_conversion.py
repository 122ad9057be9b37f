"""Files as the server keeps them: a plane that equals the file's, and coarser levels of it."""

from itertools import pairwise

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

import dinocell
from dinocell.errors import FileFormatError, InputError
from dinocell.inference.fast import samples_folder
from dinocell.io.images import open_image
from dinocell.web.failures import TooLargeError
from dinocell.web.reading.conversion import PLANE, TILE, Order, convert, open_level


def converted(folder, source, **options):
    return convert(Order(source, "mine.tif", folder, **options))


def write(folder, pixels, **options):
    path = folder / "source.tif"
    tifffile.imwrite(path, pixels, **options)
    return path


def test_a_sample_is_kept_value_by_value(tmp_path):
    source = samples_folder() / "histology_1_img.png"
    found = converted(tmp_path, source)
    pixels = dinocell.read_image(source).pixels
    assert found.rgb
    assert found.shape == pixels.shape[:2]
    np.testing.assert_array_equal(open_level(tmp_path, 0, is_rgb=True), pixels[..., :3].transpose(2, 0, 1))
    with open_image(tmp_path / PLANE, windows=True) as again:  # as segment-large reads it
        np.testing.assert_array_equal(again.read_plane(), pixels[..., :3])


@given(st.integers(1, 700), st.integers(1, 700), st.sampled_from(["uint8", "uint16", "float32"]))
def test_levels_are_halves_down_to_one_tile(tmp_path_factory, height, width, dtype):
    folder = tmp_path_factory.mktemp("levels")
    pixels = (np.arange(height * width).reshape(height, width) % 251).astype(dtype)
    found = converted(folder, write(folder, pixels))
    sizes = [np.array(each) for each in found.level_shapes]
    assert max(sizes[-1]) <= TILE
    for level, (finer, coarser) in enumerate(pairwise(sizes), 1):
        np.testing.assert_array_equal(coarser, (finer + 1) // 2)
        before = open_level(folder, level - 1, is_rgb=False)[0].astype(float)
        even = before[: finer[0] // 2 * 2, : finer[1] // 2 * 2]
        mean = even.reshape(finer[0] // 2, 2, finer[1] // 2, 2).mean((1, 3))
        stored = open_level(folder, level, is_rgb=False)[0][: finer[0] // 2, : finer[1] // 2]
        np.testing.assert_allclose(stored, mean, atol=0.5 if dtype != "float32" else 1e-4)


def test_channels_keep_their_names_and_the_pixel_size(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 4000, (2, 300, 280), np.uint16)
    metadata = {
        "axes": "CYX", "Channel": {"Name": ["DAPI", "actin"]},
        "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm",
    }  # fmt: skip
    path = tmp_path / "x.ome.tif"
    tifffile.imwrite(path, pixels, ome=True, metadata=metadata)
    found = converted(tmp_path, path)
    assert [each.name for each in found.channels] == ["DAPI", "actin"]
    assert found.pixel_size_um == (0.25, 0.5)
    np.testing.assert_array_equal(open_level(tmp_path, 0, is_rgb=False), pixels)
    low, high = np.percentile(pixels[1], (0.1, 99.9))
    assert (found.channels[1].low, found.channels[1].high) == pytest.approx((low, high))
    assert (found.channels[1].least, found.channels[1].most) == (pixels[1].min(), pixels[1].max())


def test_of_a_stack_one_plane_is_kept_and_a_note_says_which(tmp_path):
    stack = np.arange(3 * 5)[:, None, None] * np.ones((40, 50), int)
    path = tmp_path / "stack.ome.tif"
    tifffile.imwrite(path, stack.reshape(3, 5, 40, 50).astype(np.uint8), ome=True, metadata={"axes": "TZYX"})
    found = converted(tmp_path, path)
    assert (found.times, found.slices, found.place) == (3, 5, {"scene": 0, "time": 0, "z": 2})
    assert "3 times, 5 slices; this is time 0, slice 2" in found.notes[0]
    other = tmp_path / "other"
    other.mkdir()
    converted(other, path, time=2, slice=4)
    assert open_level(other, 0, is_rgb=False).mean() == 14
    with pytest.raises(InputError, match="no time 3, expected one from 0 to 2"):
        converted(other, path, time=3)


def test_values_that_are_not_numbers_stay_out_of_the_range(tmp_path):
    pixels = np.linspace(0, 1, 100 * 100, dtype=np.float32).reshape(100, 100)
    pixels[:5] = np.nan
    found = converted(tmp_path, write(tmp_path, pixels))
    (channel,) = found.channels
    assert 0.04 < channel.low < 0.06
    assert channel.high <= channel.most == 1
    empty = tmp_path / "empty"
    empty.mkdir()
    (channel,) = converted(empty, write(empty, np.full((9, 9), 7, np.uint8))).channels
    assert (channel.low, channel.high) == (7, 8)


def test_what_is_too_large_or_not_an_image_is_refused_by_the_name_that_the_user_knows(tmp_path):
    path = write(tmp_path, np.zeros((100, 100), np.uint8))
    with pytest.raises(TooLargeError, match=r"^mine.tif has 100 × 100 pixels in 1 channels"):
        converted(tmp_path, path, most_pixels=9999)
    path.write_bytes(b"no image at all")
    with pytest.raises(FileFormatError, match=r"^mine.tif"):
        converted(tmp_path, path)
