"""Nikon ND2 files, against the package nd2 and by hand."""

import itertools
import struct
import sys
import tracemalloc
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dinocell.errors import DINOCellError, FileFormatError, InputError, MissingExtraError
from dinocell.io.readers.nd2 import Nd2Reader
from tests.fakes.nd2 import FakeND2, assemble, custom, lite, packed, phases, positions, slices, times

open_nd2 = Nd2Reader().open

nd2 = pytest.importorskip("nd2")
Array = NDArray[Any]
FULL = (times(2, 500.0), positions(["A1", "B2", "B2"]), slices(2, 0.5))


def ramp(*shape: int, dtype: str = "uint16") -> Array:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def write(file: Path, content: bytes | FakeND2) -> Path:
    file.write_bytes(content if isinstance(content, bytes) else content.content())
    return file


def planes(file: Path, scene: int | str = 0) -> Array:
    """Read all planes as (T, C, Z, Y, X) or (T, C, Z, Y, X, S)."""
    with open_nd2(file, scene) as image:
        t, c, z = image.info.shape[:3]
        stack = np.stack([image.read_plane(*at) for at in itertools.product(range(t), range(c), range(z))])
        return stack.reshape(t, c, z, *stack.shape[1:])


@pytest.mark.parametrize(
    "options",
    [{}, {"version": 2}, {"packed": True}, {"lossless": True}, {"padding": 6}],
    ids=["lite", "xml", "packed", "lossless", "padded"],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_every_plane(tmp_path: Path, dtype: str, options: dict[str, Any]) -> None:
    pixels = ramp(2, 3, 2, 2, 5, 7, dtype=dtype)
    file = write(tmp_path / "a.nd2", FakeND2(pixels, FULL, ("DAPI", "GFP"), **options))
    with nd2.ND2File(file) as oracle:
        np.testing.assert_array_equal(oracle.asarray(), pixels)
    for scene in range(3):
        read = planes(file, scene)
        assert read.dtype == dtype
        np.testing.assert_array_equal(read, pixels[:, scene].transpose(0, 2, 1, 3, 4))


def test_what_a_file_says(tmp_path: Path) -> None:
    file = write(tmp_path / "a.nd2", FakeND2(ramp(2, 3, 2, 2, 5, 7), FULL, ("DAPI", "GFP")))
    with open_nd2(file, "A1") as image:
        info = image.info
    assert (info.format, info.scenes, info.scene) == ("ND2", ("A1", "B2", "B2"), 0)
    assert (info.shape, info.samples, info.dtype) == ((2, 2, 2, 5, 7), 1, np.dtype("uint16"))
    assert (info.pixel_size_um, info.z_step_um, info.time_step_s) == (0.25, 0.5, 0.5)
    assert info.channel_names == ("DAPI", "GFP")
    for scene, message in (("B2", "2 scenes named 'B2'"), (3, "no scene 3"), ("C", "no scene 'C'")):
        with pytest.raises(InputError, match=message):
            open_nd2(file, scene)


@pytest.mark.parametrize(
    ("loops", "z_step", "time_step"),
    [
        ((times(4, 1000.0, 3674.2),), None, 3.6742),
        ((times(4),), None, None),
        ((phases([4], 2000.0),), None, 2.0),
        ((phases([1, 3], 2000.0),), None, None),
        ((slices(4, -0.3),), 0.3, None),
        ((custom(4),), None, None),
    ],
    ids=["measured", "unknown", "one phase", "two phases", "downwards", "custom"],
)
def test_steps(tmp_path: Path, loops: Any, z_step: float | None, time_step: float | None) -> None:
    with open_nd2(write(tmp_path / "a.nd2", FakeND2(ramp(4, 1, 5, 7), loops)), 0) as image:
        assert (image.info.z_step_um, image.info.time_step_s) == (z_step, time_step)


@pytest.mark.parametrize(
    ("loops", "shape"),
    [((custom(3), times(2)), (2, 1, 3)), ((custom(3), slices(2, 1.0)), (3, 1, 2))],
    ids=["into z", "into time"],
)
def test_other_loops_are_folded(tmp_path: Path, loops: Any, shape: tuple[int, int, int]) -> None:
    pixels = ramp(3, 2, 1, 4, 5)
    file = write(tmp_path / "a.nd2", FakeND2(pixels, loops))
    read = planes(file)
    assert read.shape == (*shape, 4, 5)
    expected = pixels[:, :, 0].transpose(1, 0, 2, 3) if shape[0] == 2 else pixels[:, :, 0]
    np.testing.assert_array_equal(read[:, 0], expected)


def test_two_loops_of_one_kind(tmp_path: Path) -> None:
    pixels = ramp(2, 2, 3, 1, 4, 5)
    loops = (phases([2], 60.0), positions(["", ""]), times(3, 1.0))
    file = write(tmp_path / "a.nd2", FakeND2(pixels, loops))
    for scene in range(2):
        np.testing.assert_array_equal(planes(file, scene)[:, 0, 0], pixels[:, scene].reshape(6, 4, 5))
    with open_nd2(file, 0) as image:
        assert (image.info.scenes, image.info.time_step_s) == (("", ""), None)


@pytest.mark.parametrize("padding", [0, 1])
def test_colours(tmp_path: Path, padding: int) -> None:
    pixels = ramp(3, 2, 4, 5, 3, dtype="uint8")
    fake = FakeND2(pixels, (slices(3, 1.0),), ("Brightfield", "Dark"), padding=padding)
    file = write(tmp_path / "a.nd2", fake)
    np.testing.assert_array_equal(planes(file)[0], pixels.transpose(1, 0, 2, 3, 4))
    with open_nd2(file, 0) as image:
        assert (image.info.shape, image.info.samples) == ((1, 2, 3, 4, 5), 3)


def test_without_loops_names_or_calibration(tmp_path: Path) -> None:
    pixels = ramp(2, 4, 5)
    fake = FakeND2(pixels, channels=("", ""), calibrated=False)
    file = write(tmp_path / "a.nd2", fake)
    np.testing.assert_array_equal(planes(file)[0, :, 0], pixels)
    with open_nd2(file, 0) as image:
        assert (image.info.scenes, image.info.channel_names, image.info.pixel_size_um) == (("",), (), None)


# Refusals


def without_frame(at: int) -> FakeND2:
    return FakeND2(ramp(3, 1, 5, 7), (times(3),), left_out=(at,))


def chunks_of(fake: FakeND2, **changed: bytes) -> bytes:
    """Return a file with other metadata."""
    picture = lite("SLxPictureMetadata", fake.picture(colour=False))
    frame = fake.frame(np.moveaxis(fake.pixels, 0, 2)[..., None])
    attributes = lite("SLxImageAttributes", fake.describe(np.zeros((1, 5, 7, 1, 1), "uint16")))
    chunks = {
        "ImageAttributesLV!": changed.get("attributes", attributes),
        "ImageMetadataSeqLV|0!": changed.get("picture", picture),
        "ImageTextInfoLV!": changed.get("text", lite("SLxImageTextInfo", {"TextInfoItem_0": ""})),
        "ImageDataSeq|0!": changed.get("frame", frame),
    }
    return assemble(chunks)


SMALL = FakeND2(ramp(1, 5, 7))


def nested_bomb() -> bytes:
    """Return levels that all claim to reach to the end, so that each is copied with all that follow."""
    level = b"\x0b\x00" + struct.pack("<IQ", 1, 0)
    return level * 20000 + bytes(100_000)


def bombs() -> list[bytes]:
    return [packed(lite("a", bytes(2**23)))] * 17


BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty.nd2": (b"", "it ends too early"),
    "short.nd2": (SMALL.content()[:30], "it ends too early"),
    "text.nd2": (b"hello, world" * 9, "the map of its parts is missing"),
    "old.nd2": (
        b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99),
        r"of the kind before 2009 \(JPEG 2000\).*save it again",
    ),
    "cut.nd2": (SMALL.content()[:-5], "the map of its parts is missing"),
    "bits.nd2": (FakeND2(ramp(1, 5, 7), attributes={"uiBpcInMemory": 64}).content(), "64 bits a value"),
    "flat.nd2": (FakeND2(ramp(1, 5, 7), attributes={"uiHeight": 0}).content(), "0 × 7 pixels, expected 1 to"),
    "huge.nd2": (
        FakeND2(ramp(1, 5, 7), attributes={"uiHeight": 2**30, "uiWidth": 2**30}).content(),
        "1073741824 × 1073741824 pixels, expected 1 to",
    ),
    "narrow.nd2": (FakeND2(ramp(1, 5, 7), attributes={"uiWidth": 8}).content(), "rows are shorter than"),
    "lossy.nd2": (FakeND2(ramp(1, 5, 7), attributes={"eCompression": 1}).content(), "compressed with losses"),
    "many.nd2": (
        FakeND2(ramp(2, 1, 5, 7), (times(2**31 - 1),)).content(),
        "says it has 2147483647 frames but holds 2",
    ),
    "more.nd2": (
        FakeND2(ramp(6, 1, 5, 7), (times(2),)).content(),
        "says it has 2 frames but holds 6, expected as many",
    ),
    "nested.nd2": (chunks_of(SMALL, text=nested_bomb()), "take more than 128 MiB"),
    "packed.nd2": (chunks_of(SMALL, text=packed(lite("a", bytes(99)))[:-9]), "metadata end too early"),
    "noise.nd2": (chunks_of(SMALL, text=b"L\0" + bytes(30)), "metadata cannot be unpacked"),
    "endless.nd2": (
        chunks_of(SMALL, text=b"\x08\x00" + b"a\0" * 2**18),
        "a text of its metadata does not end",
    ),
    "entity.nd2": (
        chunks_of(SMALL, text=b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
        "declare a document type",
    ),
    "twice.nd2": (chunks_of(SMALL, text=b"<a><b/><b/></a>"), "metadata repeat a value of a"),
    "missing.nd2": (assemble({"ImageDataSeq|0!": b""}), "damaged or unsupported ND2 file"),
}


def test_bombs(tmp_path: Path) -> None:
    file = write(tmp_path / "a.nd2", chunks_of(SMALL, text=lite("SLxImageTextInfo", bombs())))
    assert file.stat().st_size < 300_000
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match="take more than 128 MiB"):
            open_nd2(file, 0)
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(tmp_path: Path, name: str) -> None:
    content, message = BAD_FILES[name]
    file = write(tmp_path / name, content)
    with pytest.raises(FileFormatError, match=message) as caught:
        open_nd2(file, 0)
    assert str(caught.value).startswith(f"{file} ")
    assert "\n" not in str(caught.value)


def test_a_frame_that_is_missing(tmp_path: Path) -> None:
    with open_nd2(write(tmp_path / "a.nd2", without_frame(1)), 0) as image:
        assert image.read_plane(2).max() == 104
        with pytest.raises(FileFormatError, match=r"ImageDataSeq\|1! is missing"):
            image.read_plane(1)


@pytest.mark.parametrize(
    ("frame", "lossless", "message"),
    [
        (bytes(8 + 69), False, "part of frame 0 is missing"),
        (bytes(8) + zlib.compress(bytes(69)), True, "part of frame 0 is missing"),
        (bytes(99), True, "frame 0 cannot be unpacked"),
    ],
    ids=["cut", "cut and packed", "noise"],
)
def test_a_frame_that_is_damaged(tmp_path: Path, frame: bytes, lossless: bool, message: str) -> None:
    fake = FakeND2(ramp(1, 5, 7), lossless=lossless)
    with (
        open_nd2(write(tmp_path / "a.nd2", chunks_of(fake, frame=frame)), 0) as image,
        pytest.raises(FileFormatError, match=message),
    ):
        image.read_plane()


def test_a_frame_is_unpacked_only_as_far_as_it_is_needed(tmp_path: Path) -> None:
    fake = FakeND2(ramp(1, 5, 7), lossless=True)
    content = chunks_of(fake, frame=bytes(8) + zlib.compress(bytes(2 * 10**7)))
    with open_nd2(write(tmp_path / "a.nd2", content), 0) as image:
        tracemalloc.start()
        assert not image.read_plane().any()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1e6


def test_channels_without_a_probe(tmp_path: Path) -> None:
    picture = SMALL.picture(colour=False)
    del picture["sPicturePlanes"]["sPlaneNew"]["a0"]["pFluorescentProbe"]
    content = chunks_of(SMALL, picture=lite("SLxPictureMetadata", picture))
    with open_nd2(write(tmp_path / "a.nd2", content), 0) as image:
        np.testing.assert_array_equal(image.read_plane(), ramp(5, 7))


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nd2", None)
    with pytest.raises(
        MissingExtraError, match=r'reading ND2 files needs nd2 .*pip install "dinocell\[io\]"'
    ):
        open_nd2(write(tmp_path / "a.nd2", SMALL), 0)


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut the file, or change bytes where they are not padding or pixels."""
    if rng.random() < 0.1:
        return data[: rng.integers(len(data))]
    changed = np.frombuffer(data, np.uint8).copy()
    places = np.flatnonzero(changed)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.choice(places) + rng.integers(-1, 2)
        changed[at % len(data)] = rng.choice([0, 255, 11, 9, 76, rng.integers(256)])
    return changed.tobytes()


@pytest.mark.parametrize("options", [{}, {"version": 2}, {"lossless": True}], ids=["lite", "xml", "lossless"])
def test_damage_gives_an_image_or_our_error(
    tmp_path: Path, options: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    loops = (times(2), positions(["a", "b"]))
    data = FakeND2(ramp(2, 2, 1, 4, 3), loops, **options).content()
    rng, read = np.random.default_rng(6), 0
    for _ in range(200):
        file = write(tmp_path / "a.nd2", mutate(data, rng))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                with open_nd2(file, 1) as image:
                    for t in range(min(image.info.shape[0], 3)):
                        image.read_plane(t)
            except DINOCellError as error:
                assert "a.nd2" in str(error)  # noqa: PT017
            else:
                read += 1
    assert 20 < read < 180
    assert capfd.readouterr() == ("", "")
