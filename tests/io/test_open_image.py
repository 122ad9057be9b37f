"""Opened image files: axes, scales, names, scenes as they were written; a plane is read alone."""

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dinocell.errors import FileFormatError, FileMissingError, InputError
from dinocell.io.images import open_image, read_image, read_labels
from dinocell.io.readers.lazy import ImageInfo, LazyImage
from dinocell.io.readers.naming import channel_index, channel_names, choose_scene, matching_names
from dinocell.io.readers.tiff_directories import first_description
from dinocell.io.readers.tiff_ome import ome_set
from dinocell.io.saving import write_image
from tests.fakes.tiff import named, tiff, write_ome_set

Array = NDArray[Any]


def numbered(*shape: int, dtype: str = "uint16") -> Array:
    """Return values that are all distinct, so that no two planes can be mixed up."""
    return np.arange(np.prod(shape)).astype(dtype).reshape(shape)


def planes(image: LazyImage) -> Iterator[tuple[tuple[int, int, int], Array]]:
    for index in np.ndindex(image.info.shape[:3]):
        yield index, image.read_plane(*index)


def assert_planes(image: LazyImage, expected: Array) -> None:
    """Compare all planes with an array (T, C, Z, Y, X) or (T, C, Z, Y, X, S)."""
    assert image.info.shape == expected.shape[:5]
    assert image.info.dtype == expected.dtype
    for index, plane in planes(image):
        assert plane.dtype.isnative
        assert plane.flags.c_contiguous
        np.testing.assert_array_equal(plane, expected[index])


# TIFF

WRITERS: dict[str, dict[str, Any]] = {
    "OME-TIFF": {"ome": True},
    "OME-TIFF, compressed": {"ome": True, "compression": "zlib", "tile": (16, 16)},
    "OME-TIFF, big-endian": {"ome": True, "bigtiff": True, "byteorder": ">"},
    "ImageJ TIFF": {"imagej": True},
    "ImageJ TIFF, one header": {"imagej": True, "truncate": True},
    "ImageJ TIFF, compressed": {"imagej": True, "compression": "zlib"},
}


@pytest.mark.parametrize("kind", WRITERS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.tuples(*(st.integers(1, 3) for _ in "TZC")))
def test_times_channels_and_slices_are_where_they_were(
    tmp_path: Path, kind: str, sizes: tuple[int, int, int]
) -> None:
    pixels = numbered(*sizes, 9, 14)
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, pixels, photometric="minisblack", metadata={"axes": "TZCYX"}, **WRITERS[kind])
    with open_image(file) as image:
        assert image.info.format == kind.partition(",")[0]
        assert image.info.samples == 1
        assert_planes(image, pixels.transpose(0, 2, 1, 3, 4))


@pytest.mark.parametrize("order", ["TZCYX", "CTZYX", "ZCTYX", "ZYX", "TYX", "CYX", "YX"])
def test_any_order_of_ome_axes(tmp_path: Path, order: str) -> None:
    sizes = {"T": 2, "C": 4, "Z": 3, "Y": 9, "X": 14}
    pixels = numbered(*(sizes[axis] for axis in order))
    tifffile.imwrite(tmp_path / "a.tif", pixels, ome=True, photometric="minisblack", metadata={"axes": order})
    missing = tuple(at for at, axis in enumerate("TCZYX") if axis not in order)
    full = pixels.transpose([order.index(axis) for axis in "TCZYX" if axis in order])
    with open_image(tmp_path / "a.tif") as image:
        assert_planes(image, np.expand_dims(full, missing))


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
@pytest.mark.parametrize("samples", [3, 4])
def test_colours_of_a_time_series_are_samples(tmp_path: Path, planarconfig: str, samples: int) -> None:
    pixels = numbered(5, 9, 14, samples, dtype="uint8")
    stored = pixels if planarconfig == "contig" else np.ascontiguousarray(np.moveaxis(pixels, -1, 1))
    axes = "TYXS" if planarconfig == "contig" else "TSYX"
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored,
        ome=True,
        photometric="rgb",
        planarconfig=planarconfig,
        metadata={"axes": axes},
    )
    with open_image(tmp_path / "a.tif") as image:
        assert image.info.samples == samples
        assert_planes(image, pixels[:, None, None])


def test_samples_that_are_no_colours_are_channels(tmp_path: Path) -> None:
    pixels = numbered(9, 14, 5)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", planarconfig="contig")
    with open_image(tmp_path / "a.tif") as image:
        assert image.info.samples == 1
        assert_planes(image, pixels.transpose(2, 0, 1)[None, :, None])


def test_alpha_beside_gray_is_no_channel(tmp_path: Path) -> None:
    pixels = numbered(9, 14, 2, dtype="uint8")
    options: dict[str, Any] = {"planarconfig": "contig", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", **options)
    with open_image(tmp_path / "a.tif") as image:
        assert_planes(image, pixels[None, None, None, ..., 0])


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ("QYX", (1, 1, 3)),
        ("IYX", (1, 1, 3)),
        ("AZYX", (3, 1, 2)),
        ("ATZYX", (6, 1, 4)),
        ("RACYX", (1, 4, 6)),
    ],
)
def test_other_axes_are_slices_or_else_times(tmp_path: Path, axes: str, expected: tuple[int, ...]) -> None:
    sizes = [3, 2, 4][: len(axes) - 2]
    pixels = numbered(*sizes, 9, 14)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", metadata={"axes": axes})
    with open_image(tmp_path / "a.tif") as image:
        assert image.info.format == "TIFF"
        assert image.info.shape[:3] == expected
        seen = np.concatenate([plane.ravel() for _, plane in planes(image)])
        ordered = pixels if axes != "RACYX" else pixels.transpose(2, 0, 1, 3, 4)
        np.testing.assert_array_equal(seen, ordered.ravel())


def test_ome_says_scales_steps_and_names(tmp_path: Path) -> None:
    metadata = {
        "axes": "TZCYX",
        "PhysicalSizeX": 500,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.5,
        "PhysicalSizeZ": 2.5,
        "TimeIncrement": 250,
        "TimeIncrementUnit": "ms",
        "Channel": {"Name": ["DAPI", "GFP"]},
    }
    tifffile.imwrite(tmp_path / "a.tif", numbered(2, 3, 2, 9, 14), ome=True, metadata=metadata)
    with open_image(tmp_path / "a.tif") as image:
        info = image.info
    assert info.pixel_size_um == pytest.approx(0.5)
    assert info.z_step_um == 2.5
    assert info.time_step_s == pytest.approx(0.25)
    assert info.channel_names == ("DAPI", "GFP")


def test_imagej_says_scales_and_steps(tmp_path: Path) -> None:
    metadata = {"axes": "TZYX", "unit": "nm", "spacing": 1500.0, "finterval": 0.2}
    file = tmp_path / "a.tif"
    tifffile.imwrite(
        file, numbered(2, 3, 9, 14), imagej=True, resolution=(1 / 500, 1 / 500), metadata=metadata
    )
    with open_image(file) as image:
        assert image.info.pixel_size_um == pytest.approx(0.5)
        assert image.info.z_step_um == pytest.approx(1.5)
        assert image.info.time_step_s == pytest.approx(0.2)


@pytest.mark.parametrize("unit", ["pixel", "furlong"])
def test_a_length_of_unknown_unit_is_none(tmp_path: Path, unit: str) -> None:
    metadata = {"axes": "ZYX", "unit": unit, "spacing": 2.0}
    tifffile.imwrite(
        tmp_path / "a.tif", numbered(3, 9, 14), imagej=True, resolution=(2, 2), metadata=metadata
    )
    with open_image(tmp_path / "a.tif") as image:
        assert (image.info.pixel_size_um, image.info.z_step_um, image.info.time_step_s) == (None, None, None)


def several(file: Path) -> list[Array]:
    series = [numbered(2, 9, 14), numbered(3, 5, 7) + 7, numbered(4, 9, 14) + 9]
    with tifffile.TiffWriter(file, ome=True) as writer:
        for name, pixels, step in zip(("left", "right", "left"), series, (1.0, 2.0, 3.0), strict=True):
            metadata = {"axes": "ZYX", "Name": name, "PhysicalSizeX": step, "PhysicalSizeY": step}
            writer.write(pixels, photometric="minisblack", metadata=metadata)
    return series


def test_scenes_are_series_with_their_own_scale(tmp_path: Path) -> None:
    series = several(tmp_path / "a.ome.tif")
    for at, pixels in enumerate(series):
        with open_image(tmp_path / "a.ome.tif", scene=at) as image:
            assert image.info.scenes == ("left", "right", "left")
            assert image.info.scene == at
            assert image.info.pixel_size_um == at + 1
            assert_planes(image, pixels[None, None])
    with open_image(tmp_path / "a.ome.tif", scene="right") as image:
        assert image.info.scene == 1
    with pytest.raises(
        InputError, match=r"has 2 scenes named 'left', expected one: choose it by number, .* 0, 2$"
    ):
        open_image(tmp_path / "a.ome.tif", scene="left")
    with pytest.raises(
        InputError, match=r"a\.ome\.tif has no scene 3, expected a number from 0 to 2 or a name"
    ):
        open_image(tmp_path / "a.ome.tif", scene=3)
    # pages are counted through all series
    np.testing.assert_array_equal(read_image(tmp_path / "a.ome.tif", page=4).pixels, series[1][2])


def test_only_the_finest_level_of_a_pyramid_is_a_scene(tmp_path: Path) -> None:
    pixels = numbered(2, 64, 64)
    with tifffile.TiffWriter(tmp_path / "a.tif", ome=True) as writer:
        writer.write(pixels, subifds=1, tile=(16, 16), metadata={"axes": "CYX"}, photometric="minisblack")
        writer.write(pixels[:, ::2, ::2], subfiletype=1, tile=(16, 16), photometric="minisblack")
    with open_image(tmp_path / "a.tif") as image:
        assert len(image.info.scenes) == 1
        assert_planes(image, pixels[None, :, None])


def test_planes_of_several_files(tmp_path: Path) -> None:
    def tiff_data(at: int) -> str:
        uuid = f'<UUID FileName="{at}.ome.tif">urn:uuid:{at}</UUID>'
        return f'<TiffData FirstT="{at}" IFD="0" PlaneCount="1">{uuid}</TiffData>'

    xml = (
        '<OME UUID="urn:uuid:0"><Image Name="all"><Pixels DimensionOrder="XYCZT" Type="uint16" SizeX="14" '
        f'SizeY="9" SizeC="1" SizeZ="1" SizeT="3">{"".join(map(tiff_data, range(3)))}</Pixels></Image></OME>'
    )
    pixels = numbered(3, 9, 14)
    for at in range(3):
        tifffile.imwrite(tmp_path / f"{at}.ome.tif", pixels[at], description=xml, metadata=None)
    with open_image(tmp_path / "0.ome.tif") as image:
        assert image.info.scenes == ("all",)
        assert_planes(image, pixels[:, None, None])
    (tmp_path / "2.ome.tif").unlink()
    with open_image(tmp_path / "0.ome.tif") as image:
        np.testing.assert_array_equal(image.read_plane(t=1), pixels[1])
        with pytest.raises(
            FileFormatError, match=r"time 2, channel 0, slice 0 \(1 of 3 planes are not in the file"
        ):
            image.read_plane(t=2)


@pytest.mark.parametrize("kind", ["OME-TIFF", "OME-TIFF, compressed", "ImageJ TIFF, one header"])
def test_only_the_plane_that_is_asked_for_is_read(tmp_path: Path, kind: str) -> None:
    pixels = numbered(64, 256, 256)  # 8 MiB
    options = {"photometric": "minisblack", "metadata": {"axes": "ZYX"}, **WRITERS[kind]}
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    with open_image(tmp_path / "a.tif") as image:
        image.read_plane(z=1)
        tracemalloc.start()
        try:
            plane = image.read_plane(z=63)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    np.testing.assert_array_equal(plane, pixels[63])
    assert peak < 8 * plane.nbytes < pixels.nbytes / 4


def test_planes_that_are_not_there(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", numbered(3, 9, 14), photometric="minisblack", metadata={"axes": "TYX"}
    )
    with open_image(tmp_path / "a.tif") as image:
        with pytest.raises(InputError, match="has no time 3, expected one from 0 to 2: it holds 3 times"):
            image.read_plane(t=3)
        with pytest.raises(
            InputError, match=r"has no z slice -1, expected one from 0 to 0: it holds 1 z slice$"
        ):
            image.read_plane(z=-1)


# One plane


@pytest.mark.parametrize("samples", [(), (3,), (4,)])
def test_png_is_one_plane(tmp_path: Path, samples: tuple[int, ...]) -> None:
    pixels = numbered(9, 14, *samples, dtype="uint8")
    write_image(tmp_path / "a.png", pixels)
    with open_image(tmp_path / "a.png") as image:
        assert image.info.samples == (samples or (1,))[0]
        assert_planes(image, pixels[None, None, None])
        first, second = image.read_plane(), image.read_plane()
        first[:] = 0
        np.testing.assert_array_equal(second, pixels)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["bool", ">u2", "<f4", "int64"])
def test_npy_of_a_plane(tmp_path: Path, dtype: str, order: str) -> None:
    pixels = np.asarray(numbered(9, 14) % 2, dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", pixels)
    with open_image(tmp_path / "a.npy") as image:
        assert image.info.format == "NPY"
        assert_planes(image, pixels[None, None, None])
    np.testing.assert_array_equal(read_image(tmp_path / "a.npy").pixels, pixels)
    assert read_image(tmp_path / "a.npy", page=0, channel=0).axes == "YX"


def test_npy_of_colours_and_of_labels(tmp_path: Path) -> None:
    colours = numbered(9, 14, 3, dtype="uint8")
    np.save(tmp_path / "a.npy", colours)
    assert read_image(tmp_path / "a.npy").axes == "YXS"
    np.testing.assert_array_equal(read_image(tmp_path / "a.npy", channel="B").pixels, colours[..., 2])
    np.save(tmp_path / "b.npy", numbered(9, 14, dtype="int64"))
    np.testing.assert_array_equal(read_labels(tmp_path / "b.npy"), numbered(9, 14))


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (
            np.zeros((3, 4, 5)),
            r"has shape \(3, 4, 5\) of float64, expected \(Y, X\), .* save it as an OME-TIFF",
        ),
        (np.zeros((4, 5, 3), np.float32), r"has shape \(4, 5, 3\) of float32, expected"),
        (np.zeros(5), r"has shape \(5,\) of float64, expected"),
        (np.zeros((4, 5), complex), "has complex128 pixels, expected booleans, integers or floats"),
        (np.zeros((0, 5)), "0 × 5 pixels, expected 1 to|not a complete array"),
        (np.zeros((4, 5), "f4,i4"), "pixels, expected booleans, integers or floats"),
    ],
)
def test_npy_of_anything_else(tmp_path: Path, pixels: Array, message: str) -> None:
    np.save(tmp_path / "a.npy", pixels)
    with pytest.raises(FileFormatError, match=message):
        open_image(tmp_path / "a.npy")


# Choosing


@pytest.mark.parametrize("beyond", [b"\0", bytes(99)])
def test_npy_of_another_size_than_it_says(tmp_path: Path, beyond: bytes) -> None:
    np.save(tmp_path / "a.npy", numbered(9, 14))
    with (tmp_path / "a.npy").open("ab") as stream:
        stream.write(beyond)
    with pytest.raises(FileFormatError, match=rf"has {len(beyond)} bytes after an array of shape \(9, 14\)"):
        open_image(tmp_path / "a.npy")


def test_channels_by_name(tmp_path: Path) -> None:
    pixels = numbered(3, 9, 14)
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP", "0"]}}
    tifffile.imwrite(tmp_path / "a.tif", pixels, ome=True, photometric="minisblack", metadata=metadata)
    for channel, at in (("GFP", 1), ("name:0", 2), ("number:0", 0), ("1", 1), (0, 0)):
        image = read_image(tmp_path / "a.tif", channel=channel)
        np.testing.assert_array_equal(image.pixels, pixels[at])
        assert image.channel_names == (metadata["Channel"]["Name"][at],)
    with pytest.raises(
        InputError, match=r"has no channel 'gfp', expected .* it holds 0 'DAPI', 1 'GFP', 2 '0'$"
    ):
        read_image(tmp_path / "a.tif", channel="gfp")
    tifffile.imwrite(tmp_path / "b.tif", numbered(9, 14, 3, dtype="uint8"), photometric="rgb")
    red = read_image(tmp_path / "b.tif", channel="R").pixels
    np.testing.assert_array_equal(red, numbered(9, 14, 3, dtype="uint8")[..., 0])


def described(channels: int, samples: int, names: tuple[str, ...] = ()) -> ImageInfo:
    shape = (1, channels, 1, 4, 4)
    return ImageInfo("TIFF", ("a",), 0, shape, samples, np.dtype("uint8"), channel_names=names)


@pytest.mark.parametrize(
    ("info", "channel", "expected"),
    [
        (described(1, 1), 0, 0),
        (described(3, 1, ("a", "b", "c")), "b", 1),
        (described(1, 3), "B", 2),
        (described(1, 4, ("camera",)), "A", 3),
        (described(2, 3), 4, 4),
        (described(2, 3, ("x", "y")), "y R", 3),
        (described(2, 3, ("x", "y")), "5", 5),
    ],
)
def test_channel_index(info: ImageInfo, channel: int | str, expected: int) -> None:
    assert channel_index(info, channel, Path("a.tif")) == expected


@pytest.mark.parametrize(
    ("info", "channel"),
    [
        (described(1, 1), "R"),
        (described(1, 3), "A"),
        (described(1, 3), 3),
        (described(2, 3), "R"),
        (described(2, 1), ""),
    ],
)
def test_channels_that_are_not_there(info: ImageInfo, channel: int | str) -> None:
    with pytest.raises(InputError, match=r"^a\.tif has no channel "):
        channel_index(info, channel, Path("a.tif"))


DIGITS = ("1", "2", "3")


@pytest.mark.parametrize(
    ("names", "wanted", "expected"),
    [
        (DIGITS, 1, 1),  # a number is always one
        (DIGITS, "0", 0),  # no channel has that name
        (DIGITS, "3", 2),  # no channel has that number
        (DIGITS, "name:1", 0),
        (DIGITS, "number:1", 1),
        (("0", "1"), "1", 1),  # both readings mean the same
        (("DAPI", "", "GFP"), "1", 1),
        (("DAPI", "", "GFP"), "channel 1", 1),
        (("DAPI", "", "GFP"), "name:GFP", 2),
        (("A", "A", "A 1"), "A 1", 2),
        (("A", "A", "A 1"), "A 1 1", 1),
        (("a", "name:a", "number:0"), "name:a", 1),  # a channel's very name goes before what the text says
        (("a", "name:a", "number:0"), "number:0", 2),
        (("01", "x"), "01", 0),
    ],
)
def test_one_rule_says_which_is_meant(names: tuple[str, ...], wanted: int | str, expected: int) -> None:
    assert channel_index(described(len(names), 1, names), wanted, Path("a.tif")) == expected
    assert choose_scene(names, wanted.replace("channel", "scene") if isinstance(wanted, str) else wanted,
                        Path("a.tif")) == expected  # fmt: skip


def test_digits_that_mean_two_things_are_refused_with_both_readings() -> None:
    for wanted, message in (
        ("1", r"a channel named '1' \(number 0\) and another that is number 1 \(named '2'\), .*: "
         "say name:1 or number:1$"),
        ("2", r"number 2 \(named '3'\)"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            channel_index(described(3, 1, DIGITS), wanted, Path("a.tif"))
    with pytest.raises(InputError, match=r"scene named '1'.*say name:1 or number:1"):
        choose_scene(DIGITS, "1", Path("a.czi"))
    with pytest.raises(InputError, match=r"2 channels named '1'.*the first are 0, number:1$"):
        channel_index(described(3, 1, ("1", "1", "2")), "1", Path("a.tif"))
    for wanted in ("name:0", "number:3", "number:x", "number:-1", "name:", "number:"):
        with pytest.raises(InputError, match=f"no channel '{wanted}'.*0 '1', 1 '2', 2 '3'"):
            channel_index(described(3, 1, DIGITS), wanted, Path("a.tif"))


@given(st.lists(st.sampled_from(["", "A", "A 0", "A 1", "A 1 1", "channel", "channel 1", "0"]), max_size=7))
def test_every_channel_has_a_name_that_finds_it(names: list[str]) -> None:
    info = described(len(names), 1, matching_names(names, len(names)))
    made = channel_names(info)
    assert len(set(made)) == len(names)
    for at, (name, unique) in enumerate(zip(names, made, strict=True)):
        assert channel_index(info, f"name:{unique}", Path("a.tif")) == at
        assert unique == name or names.count(name) > 1 or not name


def test_errors_stay_on_one_short_line() -> None:
    scenes = ["a\nb" * 100] * 5000
    for scene in ("no\nsuch" * 100, "²", "9" * 5000, -1, scenes[0]):
        with pytest.raises(InputError) as caught:
            choose_scene(scenes, scene, Path("a.czi"))
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 1000
    with pytest.raises(FileFormatError, match=r"a\.czi holds no image"):
        choose_scene([], 0, Path("a.czi"))


def test_folders_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="is a folder, expected an image file or an OME-Zarr"):
        open_image(tmp_path)
    with pytest.raises(FileMissingError):
        open_image(tmp_path / "no.czi")


def test_a_plain_image_needs_no_other_reader(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", numbered(9, 14, dtype="uint8"))
    code = (
        "import sys; from dinocell.io.images import read_image; read_image(sys.argv[1]); "
        "loaded = {'nd2', 'liffile', 'pylibCZIrw', 'zarr', 'tifffile'} & set(sys.modules); "
        "print(sorted(loaded))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.png"], capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_all_files_of_a_set_are_named_and_watched(tmp_path: Path) -> None:
    planes = np.arange(2 * 6 * 7, dtype=np.uint16).reshape(2, 6, 7)
    first, second = write_ome_set(tmp_path, planes)
    (tmp_path / "link.tif").symlink_to(second)
    for path, files in ((first, (first, second)), (tmp_path / "link.tif", (tmp_path / "link.tif", first))):
        with open_image(path) as image:
            assert set(image.files) == set(files)
            np.testing.assert_array_equal(image.read_plane(c=1), planes[1])
    with open_image(first) as image:
        os.utime(second, (1, 1))
        with pytest.raises(FileFormatError, match="changed while it was read"):
            image.read_plane(c=1)


@pytest.mark.parametrize(
    "options", [{"byteorder": ">"}, {"bigtiff": True}, {"bigtiff": True, "byteorder": ">"}]
)
def test_a_file_that_names_itself_alone_or_not_at_all_is_read_alone(
    tmp_path: Path, options: dict[str, object]
) -> None:
    xml, pixels = f"<OME>{named('a.tif')}</OME>", np.zeros((8, 8), np.uint8)
    for name, description in (
        ("a.tif", xml),
        ("copy.tif", xml),
        ("b.tif", 'FileName="a.tif"'),
        ("c.tif", None),
    ):
        file = tmp_path / name
        file.write_bytes(tiff(pixels, description=description, metadata=None, **options))
        assert first_description(file) == (description or "")
        assert ome_set(file) == (file,)


@pytest.mark.parametrize("count", [5, 6])
def test_samples_beyond_red_green_blue_and_alpha_have_numbers_alone(tmp_path: Path, count: int) -> None:
    file, pixels = tmp_path / "a.tif", np.arange(6 * 7 * count, dtype=np.uint8).reshape(6, 7, count)
    extra = ["unspecified"] * (count - 3)
    tifffile.imwrite(file, pixels, photometric="rgb", planarconfig="contig", extrasamples=extra)
    for page in (0, None):  # a page by its number, and the plane of the image
        for wanted in (4, "4", "number:4", "channel 4"):
            np.testing.assert_array_equal(read_image(file, page=page, channel=wanted).pixels, pixels[..., 4])
        with pytest.raises(InputError, match="has no channel ' ', expected a number from 0 to"):
            read_image(file, page=page, channel=" ")
    np.testing.assert_array_equal(read_image(file, page=0, channel="A").pixels, pixels[..., 3])


def test_a_file_of_a_set_that_another_one_describes_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    only = '<OME><BinaryOnly MetadataFile="first.ome.tif" UUID="urn:uuid:0"/></OME>'
    file = tmp_path / "second.ome.tif"
    file.write_bytes(tiff(np.ones((8, 8), np.uint8), description=only, metadata=None))
    with open_image(file) as image:
        assert image.read_plane().all()
    assert "one file of a set that first.ome.tif describes" in caplog.text
