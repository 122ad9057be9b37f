"""Leica LIF files, against the package liffile and by hand."""

import itertools
import logging
import struct
import sys
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dinocell.errors import DINOCellError, FileFormatError, InputError, MissingExtraError
from dinocell.io.readers.lif import LifReader
from dinocell.io.readers.units import known_size
from tests.fakes.lif import FakeLIF, header, lif, ramp

open_lif = LifReader().open

liffile = pytest.importorskip("liffile")
Array = NDArray[Any]
LENGTHS = {"X": 3e-6, "Y": 2e-6, "Z": 1.5e-6, "T": 20.0}


def write(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


def planes(file: Path, scene: int | str = 0) -> Array:
    """Read all planes as (T, C, Z, Y, X) or (T, C, Z, Y, X, S)."""
    with open_lif(file, scene) as image:
        t, c, z = image.info.shape[:3]
        stack = np.stack([image.read_plane(*at) for at in itertools.product(range(t), range(c), range(z))])
        return stack.reshape(t, c, z, *stack.shape[1:])


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_every_plane_of_every_image(tmp_path: Path, dtype: str, version: int) -> None:
    first, second = ramp(3, 4, 2, 5, 7, dtype=dtype), ramp(3, 5, 6, dtype=dtype)[..., ::-1]
    images = [FakeLIF("S1", first, "TZCYX"), FakeLIF("S2", np.ascontiguousarray(second), "TYX")]
    file = write(tmp_path / "a.lif", lif(images, collection="Collection", version=version))
    with liffile.LifFile(file) as oracle:
        np.testing.assert_array_equal(oracle.images[0].asarray(), first)
    read = planes(file, "Collection/S1")
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, first.transpose(0, 2, 1, 3, 4))
    np.testing.assert_array_equal(planes(file, 1)[:, 0, 0], second)


def test_what_a_file_says(tmp_path: Path) -> None:
    fake = FakeLIF("S1", ramp(3, 4, 2, 5, 7), "TZCYX", LENGTHS, luts=("Green", "Red"))
    with open_lif(write(tmp_path / "a.lif", lif([fake], collection="Slide 1")), "Slide 1/S1") as image:
        info = image.info
    assert (info.format, info.scenes, info.scene) == ("LIF", ("Slide 1/S1",), 0)
    assert (info.shape, info.samples, info.dtype) == ((3, 2, 4, 5, 7), 1, np.dtype("uint16"))
    assert info.pixel_size_um == pytest.approx(0.5)  # 3 µm over six steps
    assert (info.z_step_um, info.time_step_s) == (pytest.approx(0.5), 10.0)
    assert info.channel_names == ("Green", "Red")


def test_dyes_name_channels(tmp_path: Path) -> None:
    fake = FakeLIF("a", ramp(2, 5, 7), "CYX", luts=("Green", "Red"), dyes=("Leica/DAPI", ""))
    with open_lif(write(tmp_path / "a.lif", lif([fake])), 0) as image:
        assert image.info.channel_names == ("DAPI", "Red")


@pytest.mark.parametrize(
    ("lengths", "units"),
    [
        ({}, {}),
        ({"X": 6e-6, "Y": 5e-6}, {}),
        ({"X": 6.0, "Y": 4.0}, {"X": "Pixel", "Y": "Pixel"}),
        ({"X": float("inf"), "Y": float("inf")}, {}),
    ],
    ids=["none", "oblong", "pixels", "infinite"],
)
def test_no_pixel_size(tmp_path: Path, lengths: dict[str, float], units: dict[str, str]) -> None:
    fake = FakeLIF("a", ramp(5, 7), "YX", lengths, units)
    with open_lif(write(tmp_path / "a.lif", lif([fake])), 0) as image:
        assert image.info.pixel_size_um is image.info.z_step_um is image.info.time_step_s is None
        assert image.info.channel_names == ()
        oblong = known_size(1.25, 1.0) if lengths.get("Y") == 5e-6 else None
        assert image.info.pixel_size_yx_um == (None if oblong is None else pytest.approx(oblong))


@pytest.mark.parametrize("axes", ["TZCYX", "CTZYX", "TZYXC", "ZTCXY", "CZXTY", "YTCZX"])
def test_any_layout(tmp_path: Path, axes: str) -> None:
    sizes = {"T": 2, "Z": 3, "C": 2, "Y": 5, "X": 4}
    pixels = ramp(*(sizes[axis] for axis in axes))
    file = write(tmp_path / "a.lif", lif([FakeLIF("a", pixels, axes, LENGTHS)]))
    np.testing.assert_array_equal(planes(file), pixels.transpose([axes.index(axis) for axis in "TCZYX"]))


def test_a_plane_that_is_spread_is_read_row_by_row(tmp_path: Path) -> None:
    pixels = ramp(50, 400, 10)
    file = write(tmp_path / "a.lif", lif([FakeLIF("a", pixels, "YZX")]))
    with open_lif(file, 0) as image:
        tracemalloc.start()
        plane = image.read_plane(z=399)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    np.testing.assert_array_equal(plane, pixels[:, 399])
    assert peak < pixels.nbytes / 4


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("MYX", (1, 6)), ("MTYX", (2, 6)), ("MZYX", (6, 2)), ("RMZYX", (12, 3)), ("MTZYX", (12, 3))],
)
def test_other_axes_are_folded(tmp_path: Path, axes: str, shape: tuple[int, int]) -> None:
    sizes = {"M": 6, "R": 2, "T": 2, "Z": 2, "Y": 4, "X": 3} | ({"Z": 3} if len(axes) == 5 else {})
    pixels = ramp(*(sizes[axis] for axis in axes))
    file = write(tmp_path / "a.lif", lif([FakeLIF("a", pixels, axes, LENGTHS)]))
    read = planes(file)[:, 0]
    assert read.shape == (*shape, 4, 3)
    expected = pixels.swapaxes(0, 1) if axes == "MTYX" else pixels
    np.testing.assert_array_equal(read, expected.reshape(read.shape))
    with open_lif(file, 0) as image:
        assert image.info.time_step_s == (20.0 if axes == "MTYX" else None)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("colours", ["RGB", "BGR"])
def test_colours(tmp_path: Path, colours: str, padding: int) -> None:
    pixels = ramp(2, 4, 5, 3, dtype="uint8")
    fake = FakeLIF(
        "a", pixels, "ZYXS", LENGTHS, luts=("Red", "Green", "Blue"), colours=colours, padding=padding
    )
    file = write(tmp_path / "a.lif", lif([fake]))
    np.testing.assert_array_equal(planes(file)[0, 0], pixels)
    with open_lif(file, 0) as image:
        assert (image.info.shape, image.info.samples, image.info.channel_names) == ((1, 1, 2, 4, 5), 3, ())


def test_rows_with_padding(tmp_path: Path) -> None:
    pixels = ramp(2, 4, 5)
    file = write(tmp_path / "a.lif", lif([FakeLIF("a", pixels, "TYX", padding=2)]))
    np.testing.assert_array_equal(planes(file)[:, 0, 0], pixels)


def test_images_below_images_and_equal_names(tmp_path: Path) -> None:
    below = FakeLIF("b", ramp(2, 5), "YX")
    images = [FakeLIF("a", ramp(3, 5), "YX", images=(below,)), FakeLIF("c", ramp(4, 5), "YX")]
    file = write(tmp_path / "a.lif", lif([*images, FakeLIF("c", ramp(6, 5), "YX")]))
    for scene, height in enumerate((3, 2, 4, 6)):
        with open_lif(file, scene) as image:
            assert image.info.scenes == ("a", "a/b", "c", "c")
            assert image.info.shape[3] == height
            np.testing.assert_array_equal(image.read_plane(), ramp(height, 5))
    with pytest.raises(InputError, match="2 scenes named 'c'"):
        open_lif(file, "c")
    with pytest.raises(InputError, match="no scene 4"):
        open_lif(file, 4)


def test_photons_are_no_image(tmp_path: Path) -> None:
    images = [FakeLIF("a", ramp(1), "X", photons=True), FakeLIF("b", ramp(4, 5), "YX")]
    file = write(tmp_path / "a.lif", lif(images))
    np.testing.assert_array_equal(planes(file, "b")[0, 0, 0], ramp(4, 5))
    with pytest.raises(FileFormatError, match="holds photons in scene 0, expected an image"):
        open_lif(file, "a")


# Refusals

SMALL = lif([FakeLIF("a", ramp(4, 5), "YX", LENGTHS)])


def changed(old: str, new: str) -> bytes:
    """Return a small file with another description."""
    length = struct.unpack("<I", SMALL[9:13])[0]
    text = SMALL[13 : 13 + 2 * length].decode("utf-16-le")
    assert old in text
    return header(text.replace(old, new)) + SMALL[13 + 2 * length :]


TWO_KINDS = changed(
    "</Channels>",
    '<ChannelDescription DataType="0" Resolution="8" BytesInc="0"/></Channels>',
)
HUGE = changed('NumberOfElements="4"', f'NumberOfElements="{2**31}"')
BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty.lif": (b"", "it ends too early"),
    "text.lif": (b"hello, world, hello", "its first bytes are of another format"),
    "head.lif": (SMALL[:40], r"it says its description has \d+ bytes"),
    "cut.lif": (SMALL[:-5], "40 bytes of pixels are expected, 35 are there"),
    "block.lif": (SMALL[:-50], "its memory block MemBlock_0 is missing|0 are there"),
    "xml.lif": (header("<LMSDataContainerHeader"), "damaged or unsupported LIF"),
    "none.lif": (header('<LMSDataContainerHeader Version="2"/>'), "holds no image, expected at least one"),
    "entity.lif": (
        header('<!DOCTYPE a [<!ENTITY b "c">]><a Version="2">&b;</a>'),
        "declares a document type",
    ),
    "lof.lif": (header("LMS_Object_File"), r"is a part of a Leica project \(LOF or LIFEXT\)"),
    "huge.lif": (HUGE, "2147483648 × 5 pixels, expected 1 to"),
    "flat.lif": (changed('NumberOfElements="4"', 'NumberOfElements="0"'), "0 × 5 pixels, expected 1 to"),
    "line.lif": (changed('DimID="2"', 'DimID="3"'), "has axes Z X in scene 0, expected Y and X"),
    "overlap.lif": (
        changed('NumberOfElements="4"', 'NumberOfElements="40000"').replace(
            'BytesInc="10"'.encode("utf-16-le"), 'BytesInc="00"'.encode("utf-16-le")
        ),
        "400000 bytes of pixels are expected, 40 are there",
    ),
    "back.lif": (changed('BytesInc="10"', 'BytesInc="-5"'), "steps or lengths of its axes are negative"),
    "steps.lif": (changed('BytesInc="10"', f'BytesInc="{10**30}"'), "bytes of pixels are expected, 40 are"),
    "kinds.lif": (TWO_KINDS, "has channels of 2 kinds of numbers, expected one"),
    "bits.lif": (changed('Resolution="16"', 'Resolution="99"'), "channels of type 0 with 13 bytes"),
    "complex.lif": (changed('DataType="0"', 'DataType="2"'), "channels of type 2"),
    "elsewhere.lif": (changed('"MemBlock_0"', '"MemBlock_9"'), "its memory block MemBlock_9 is missing"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(tmp_path: Path, name: str) -> None:
    content, message = BAD_FILES[name]
    file = write(tmp_path / name, content)
    with pytest.raises(FileFormatError, match=message) as caught:
        open_lif(file, 0)
    assert str(caught.value).startswith(f"{file} ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("at", ["description", "block"])
def test_lengths_are_believed_only_as_far_as_the_file_goes(tmp_path: Path, at: str) -> None:
    data = bytearray(SMALL)
    place = 9 if at == "description" else SMALL.index("MemBlock_0".encode("utf-16-le"), -100) - 4
    data[place : place + 4] = struct.pack("<I", 2**32 - 1)
    file = write(tmp_path / "a.lif", bytes(data))
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=r"it says its description has|is missing"):
            open_lif(file, 0)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_other_files_are_never_opened(tmp_path: Path) -> None:
    write(tmp_path / "other.lif", b"not a LIF file: opening it would fail")
    file = write(tmp_path / "a.lif", changed("</Children>", '<Reference File="other.lif"/></Children>'))
    np.testing.assert_array_equal(planes(file)[0, 0, 0], ramp(4, 5))


def test_deep_and_wide_descriptions(tmp_path: Path) -> None:
    deep = '<LMSDataContainerHeader Version="2">' + "<Element><Children>" * 20000
    content = header(deep + "</Children></Element>" * 20000 + "</LMSDataContainerHeader>")
    with pytest.raises(FileFormatError, match="holds no image"):
        open_lif(write(tmp_path / "a.lif", content), 0)
    wide = header(f'<LMSDataContainerHeader Version="2">{"<a/>" * 2**21}</LMSDataContainerHeader>')
    with pytest.raises(FileFormatError, match="is too large"):
        open_lif(write(tmp_path / "b.lif", wide), 0)


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    file = write(tmp_path / "a.lif", SMALL)
    with open_lif(file, 0) as image:
        write(file, SMALL[:-5])
        with pytest.raises(FileFormatError, match=r"a\.lif is a damaged or unsupported LIF file"):
            image.read_plane()


def test_liffile_stays_silent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    filters = list(logging.getLogger("liffile").filters)
    with pytest.raises(FileFormatError):
        open_lif(write(tmp_path / "a.lif", BAD_FILES["none.lif"][0]), 0)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("liffile").filters == filters


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "liffile", None)
    with pytest.raises(
        MissingExtraError, match=r'reading LIF files needs liffile .*pip install "dinocell\[io\]"'
    ):
        open_lif(write(tmp_path / "a.lif", SMALL), 0)


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut the file, or change digits and other bytes of the description and of the block heads."""
    if rng.random() < 0.1:
        return data[: rng.integers(len(data))]
    mutated = np.frombuffer(data, np.uint8).copy()
    digits = np.flatnonzero((mutated >= ord("0")) & (mutated <= ord("9")))
    for _ in range(rng.choice([1, 1, 2, 8])):
        if rng.random() < 0.6:
            mutated[rng.choice(digits)] = rng.choice(list(b"0123456789-"))
        else:
            mutated[rng.integers(len(data))] = rng.choice([0, 255, 60, 34, rng.integers(256)])
    return mutated.tobytes()


def test_damage_gives_an_image_or_our_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    images = [
        FakeLIF("a", ramp(2, 2, 3, 4), "TCYX", LENGTHS),
        FakeLIF("b", ramp(2, 3, 4, 3), "ZYXS", LENGTHS),
    ]
    data, rng, read = lif(images), np.random.default_rng(6), 0
    for number in range(200):
        file = write(tmp_path / "a.lif", mutate(data, rng))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                with open_lif(file, number % 2) as image:
                    for at in itertools.product(*(range(min(n, 3)) for n in image.info.shape[:3])):
                        image.read_plane(*at)
            except DINOCellError as error:
                assert "a.lif" in str(error)  # noqa: PT017
            else:
                read += 1
    assert 20 < read < 180
    assert capfd.readouterr() == ("", "")
