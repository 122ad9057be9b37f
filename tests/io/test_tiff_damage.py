"""Damaged TIFF files: refused, or read with what is missing named; planes, windows and pages agree."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from dinocell.errors import FileFormatError
from dinocell.io.images import open_image, read_image
from tests.fakes.tiff import chain, tiff

Array = NDArray[Any]
GRAY: dict[str, Any] = {"photometric": "minisblack", "metadata": None}
RGB: dict[str, Any] = {"photometric": "rgb", "metadata": None}


def noise(*shape: int) -> Array:
    return np.random.default_rng(0).integers(1, 255, shape, np.uint8)


def patched(data: bytes, code: int, values: Any, at: int = 0) -> bytes:
    """Return a copy with other values of a tag of the first page, from number `at` on."""
    changed = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        tag = tif.pages.first.tags[code]
        kind = {1: "B", 3: "H", 4: "I"}[int(tag.dtype)]
        numbers = np.atleast_1d(values)
        place = tag.valueoffset + at * struct.calcsize(kind)
        struct.pack_into(f"{tif.byteorder}{len(numbers)}{kind}", changed, place, *numbers.tolist())
    return bytes(changed)


def entry(data: bytes, code: int, **others: int) -> bytes:
    """Return a copy whose directory has another kind, count or place of a tag."""
    changed = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        start = tif.pages.first.tags[code].offset
    for name, number in others.items():
        offset, layout = {"kind": (2, "<H"), "count": (4, "<I"), "value": (8, "<I")}[name]
        struct.pack_into(layout, changed, start + offset, number)
    return bytes(changed)


def read_all(file: Path) -> Array:
    """Read the first plane as a plane, in windows and as a page, which must be equal."""
    with open_image(file) as image:
        plane = image.read_plane()
        height, width = plane.shape[:2]
        lower = (slice(height // 2, None), slice(width // 2, width))
        for rows, columns in ((slice(0, 1), slice(None)), lower, (slice(None), slice(None))):
            np.testing.assert_array_equal(image.read_window(rows, columns), plane[rows, columns])
    pixels = read_image(file, page=0).pixels
    np.testing.assert_array_equal(pixels[..., 0] if pixels.ndim > plane.ndim else pixels, plane)
    return plane


def logged(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("dinocell."))


# The arrangement of samples

COLOURED: dict[str, dict[str, Any]] = {
    "strips": {"rowsperstrip": 16},
    "strip": {},
    "zlib": {"compression": "zlib", "rowsperstrip": 16},
    "tiles": {"compression": "zlib", "tile": (32, 32)},
    "jpeg": {"compression": "jpeg", "tile": (32, 32)},
    "planar": {"compression": "zlib", "planarconfig": "separate", "rowsperstrip": 16},
}


@pytest.mark.parametrize("kind", COLOURED)
@pytest.mark.parametrize("value", [0, 3, 127, 65535])
def test_colours_arranged_in_an_unknown_way_are_refused(tmp_path: Path, kind: str, value: int) -> None:
    pixels = noise(3, 48, 64) if kind == "planar" else noise(48, 64, 3)
    (tmp_path / "a.tif").write_bytes(patched(tiff(pixels, **RGB, **COLOURED[kind]), 284, value))
    for read in (open_image, read_image):
        with pytest.raises(FileFormatError, match=f"its PlanarConfiguration is {value}, expected 1 or 2"):
            read(tmp_path / "a.tif")


@pytest.mark.parametrize("value", [0, 65535])
def test_gray_needs_no_arrangement(tmp_path: Path, value: int) -> None:
    extra = [(284, 3, 1, value, True)]
    (tmp_path / "a.tif").write_bytes(tiff(noise(48, 64), **GRAY, extratags=extra, compression="zlib"))
    np.testing.assert_array_equal(read_all(tmp_path / "a.tif"), noise(48, 64))


# Strips and tiles without data

PARTS: dict[str, tuple[dict[str, Any], int, int]] = {  # options, the tags of places and of byte counts
    "raw strips": ({"rowsperstrip": 8}, 273, 279),
    "zlib strips": ({"rowsperstrip": 8, "compression": "zlib"}, 273, 279),
    "LZW strips": ({"rowsperstrip": 8, "compression": "lzw"}, 273, 279),
    "raw tiles": ({"tile": (16, 64)}, 324, 325),
    "zlib tiles": ({"tile": (16, 32), "compression": "zlib"}, 324, 325),
}


def blank(pixels: Array, options: dict[str, Any], part: int) -> Array:
    """Return the pixels with those of a strip or tile set to 0."""
    height, width = options.get("tile", (8, 64))
    across = 64 // width
    row, column = part // across * height, part % across * width
    without = pixels.copy()
    without[row : row + height, column : column + width] = 0
    return without


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("part", [0, 1, -1])
def test_a_part_of_no_bytes_is_zero_and_named(
    tmp_path: Path, kind: str, part: int, caplog: pytest.LogCaptureFixture
) -> None:
    options, places, counts = PARTS[kind]
    pixels, data = noise(48, 64), tiff(noise(48, 64), **GRAY, **options)
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        part %= len(tif.pages.first.dataoffsets)
    expected = blank(pixels, options, part)
    (tmp_path / "a.tif").write_bytes(patched(data, counts, 0, part))
    np.testing.assert_array_equal(read_all(tmp_path / "a.tif"), expected)
    what = "tiles" if "tile" in options else "strips"
    assert f"{what} of plane 0 have 0 bytes and are filled with 0" in logged(caplog)
    caplog.clear()  # as of a sparse file, in which that is meant
    (tmp_path / "a.tif").write_bytes(patched(patched(data, counts, 0, part), places, 0, part))
    np.testing.assert_array_equal(read_all(tmp_path / "a.tif"), expected)
    assert not logged(caplog)


@pytest.mark.parametrize("kind", PARTS)
def test_a_part_with_bytes_and_no_place_is_refused(tmp_path: Path, kind: str) -> None:
    options, places, _ = PARTS[kind]
    (tmp_path / "a.tif").write_bytes(patched(tiff(noise(48, 64), **GRAY, **options), places, 0, 1))
    with (
        open_image(tmp_path / "a.tif") as image,
        pytest.raises(FileFormatError, match="has no place in the file"),
    ):
        image.read_plane()
    with pytest.raises(FileFormatError, match="has no place in the file"):
        read_image(tmp_path / "a.tif")


def test_the_only_strip_ends_where_its_pixels_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.tif").write_bytes(patched(tiff(noise(48, 64), **GRAY), 279, 0))
    np.testing.assert_array_equal(read_all(tmp_path / "a.tif"), noise(48, 64))
    assert not logged(caplog)


@pytest.mark.parametrize("kind", ["raw strips", "raw tiles"])
@pytest.mark.parametrize("shift", [1, -3, 100, -5000])
def test_pixels_that_share_bytes_with_others_are_refused(tmp_path: Path, kind: str, shift: int) -> None:
    options, places, _ = PARTS[kind]
    data = tiff(noise(48, 64), **GRAY, **options)
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        offset = tif.pages.first.dataoffsets[1]
    (tmp_path / "a.tif").write_bytes(patched(data, places, max(offset + shift, 12), 1))
    for read in (read_all, read_image):
        with pytest.raises(FileFormatError, match="has bytes in common with other parts of the file"):
            read(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["raw strips", "raw tiles"])
def test_parts_that_are_the_same_bytes_are_named(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    options, places, _ = PARTS[kind]
    data = tiff(np.zeros((48, 64), np.uint8), **GRAY, **options)
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        offset = tif.pages.first.dataoffsets[0]
    (tmp_path / "a.tif").write_bytes(patched(data, places, offset, 1))
    np.testing.assert_array_equal(read_all(tmp_path / "a.tif"), np.zeros((48, 64)))
    assert "parts of plane 0 share bytes" in logged(caplog)


@pytest.mark.parametrize("compression", ["lzw", "packbits"])
def test_a_compressed_strip_that_reaches_into_the_next_is_named(
    tmp_path: Path, compression: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = tiff(noise(48, 64), **GRAY, compression=compression, rowsperstrip=8)
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        count = tif.pages.first.databytecounts[1]
    (tmp_path / "a.tif").write_bytes(patched(data, 279, count + 9, 1))
    try:
        np.testing.assert_array_equal(read_all(tmp_path / "a.tif"), noise(48, 64))
    except FileFormatError:  # what is beyond may end the decoding
        return
    assert "parts of plane 0 share bytes" in logged(caplog)


def test_a_list_of_pages_that_leads_to_none_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.tif").write_bytes(chain(3, last=len(chain(3))) + bytes(64))  # a directory of no tag
    with open_image(tmp_path / "a.tif") as image:
        assert image.info.shape[:3] == (1, 1, 3)
    assert "its list of pages goes on where there is none" in logged(caplog)


def test_a_page_within_another_page_is_refused(tmp_path: Path) -> None:
    data = bytearray(tiff(noise(3, 48, 64), **GRAY))
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        tag = tif.pages[1].tags["StripOffsets"]
        struct.pack_into({3: "<H", 4: "<I"}[tag.dtype], data, tag.valueoffset, tag.value[0] - 16)
    (tmp_path / "a.tif").write_bytes(data)
    with open_image(tmp_path / "a.tif") as image:
        np.testing.assert_array_equal(image.read_plane(z=2), noise(3, 48, 64)[2])
        with pytest.raises(FileFormatError, match="plane 1 has bytes in common"):
            image.read_plane(z=1)


@pytest.mark.parametrize("compression", ["lzw", "lzma"])
@pytest.mark.parametrize("before", [(), (0,), (0, 2)])
def test_a_page_with_more_than_its_pixels_is_refused_whichever_is_read_before(
    tmp_path: Path, compression: str, before: tuple[int, ...]
) -> None:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as tif:
        for height in (48, 96, 48):
            tif.write(noise(height, 64), **GRAY, compression=compression)
    data = bytearray(stream.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        for code in (257, 278):  # ImageLength and RowsPerStrip of the long page say 48
            tag = tif.pages[1].tags[code]
            struct.pack_into({3: "<H", 4: "<I"}[tag.dtype], data, tag.valueoffset, 48)
    (tmp_path / "a.tif").write_bytes(data)
    with open_image(tmp_path / "a.tif") as image:
        for z in before:
            np.testing.assert_array_equal(image.read_plane(z=z), noise(48, 64))
        with pytest.raises(FileFormatError, match="has more than the 3072 bytes of its pixels"):
            image.read_plane(z=1)


def test_a_jpeg_strip_without_its_end_is_refused(tmp_path: Path) -> None:
    data = tiff(noise(48, 64), **GRAY, compression="jpeg", rowsperstrip=16)
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        count = tif.pages.first.databytecounts[1]
    (tmp_path / "a.tif").write_bytes(patched(data, 279, count - 40, 1))
    with pytest.raises(FileFormatError, match="the end of part 1 is missing"):
        read_all(tmp_path / "a.tif")


def test_a_raw_tile_that_may_be_cut_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = tiff(noise(32, 40), **GRAY, tile=(16, 32))  # the tiles on the right have 8 columns in the page
    (tmp_path / "a.tif").write_bytes(patched(data, 325, 16 * 8, 1))
    np.testing.assert_array_equal(read_all(tmp_path / "a.tif")[:, :32], noise(32, 40)[:, :32])
    assert "tiles at its edges end with the page" in logged(caplog)


def test_pixels_of_16_bits_in_a_jpeg_of_8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(patched(tiff(noise(48, 64), **GRAY, compression="jpeg"), 258, 16))
    with pytest.raises(FileFormatError, match="is a JPEG of 8 bits, its pixels are uint16"):
        read_all(tmp_path / "a.tif")


# Tags that say how pixels are stored

LAYOUTS: dict[str, tuple[Array, dict[str, Any]]] = {
    "raw": (noise(48, 64), GRAY),
    "raw strips": (noise(48, 64), GRAY | {"rowsperstrip": 16}),
    "raw tiles": (noise(48, 64), GRAY | {"tile": (16, 32)}),
    "zlib": (noise(48, 64), GRAY | {"compression": "zlib", "rowsperstrip": 16}),
    "LZW": (noise(48, 64), GRAY | {"compression": "lzw", "rowsperstrip": 16}),
    "LZMA": (noise(48, 64), GRAY | {"compression": "lzma"}),
    "packbits": (noise(48, 64), GRAY | {"compression": "packbits", "rowsperstrip": 16}),
    "bits": (noise(48, 64) > 99, GRAY | {"compression": "zlib"}),
    "JPEG": (noise(48, 64), GRAY | {"compression": "jpeg", "rowsperstrip": 16}),
    "RGB": (noise(48, 64, 3), RGB | {"rowsperstrip": 16}),
    "RGB LZW": (noise(48, 64, 3), RGB | {"compression": "lzw", "rowsperstrip": 16}),
    "RGB JPEG": (noise(48, 64, 3), RGB | {"compression": "jpeg", "rowsperstrip": 16}),
    "RGB JPEG 2000": (noise(48, 64, 3), RGB | {"compression": "jpeg2000", "rowsperstrip": 48}),
    "stack": (noise(3, 48, 64), {"photometric": "minisblack"}),
    "ImageJ": (noise(3, 48, 64), {"imagej": True}),
}
OTHERS: dict[int, tuple[str, tuple[int, ...]]] = {
    256: ("ImageWidth", (1, 32, 60, 63, 65, 128)),
    257: ("ImageLength", (1, 16, 47, 49, 96, 480)),
    258: ("BitsPerSample", (1, 4, 8, 16, 32)),
    277: ("SamplesPerPixel", (1, 2, 3, 4)),
    278: ("RowsPerStrip", (1, 8, 15, 17, 47)),
    317: ("Predictor", (0, 3, 5)),
    322: ("TileWidth", (16, 48, 64)),
    323: ("TileLength", (32, 48)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_another_size_than_is_stored_is_refused_or_said(
    tmp_path: Path, layout: str, caplog: pytest.LogCaptureFixture
) -> None:
    pixels, options = LAYOUTS[layout]
    data, file = tiff(pixels, **options), tmp_path / "a.tif"
    file.write_bytes(data)
    sound = read_all(file)
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        tags = {tag.code: tag.count for tag in tif.pages.first.tags}
    for code, (name, values) in OTHERS.items():
        for value in values if code in tags else ():
            caplog.clear()
            file.write_bytes(patched(data, code, [value] * tags[code]))
            try:
                found = read_all(file)
            except FileFormatError:
                continue
            assert logged(caplog) or np.array_equal(found, sound) or fits(layout, found.shape), (
                f"{name} {value}"
            )


def fits(layout: str, shape: tuple[int, ...]) -> bool:
    """Return whether a page of another shape has as many tiles or bytes a row, so that no reader can know."""
    if layout == "raw tiles":
        return (-(-shape[0] // 16), -(-shape[1] // 32)) == (3, 2)
    return layout == "bits" and (shape[0], -(-shape[1] // 8)) == (48, 8)


# Tags that pixels do not need


DESCRIBED: dict[str, Any] = {
    "software": "microscope software v3",
    "datetime": "2020:01:01 00:00:00",
    "description": "cells in a dish, and more text",
    "resolution": (1000, 1000),
    "metadata": None,
    "extratags": [(315, 2, 0, "somebody with a long name", True), (40000, 2, 0, "a tag of a vendor", True)],
}
DAMAGE: dict[str, dict[str, int]] = {
    "place": {"value": 0x7FFFFFF0},
    "place 0": {"value": 0},
    "kind": {"kind": 99},
    "count": {"count": 0x7FFFFFFF},
    "no count": {"count": 0},
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("code", [270, 282, 305, 306, 315, 40000])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_damaged_descriptive_tag_leaves_the_pixels_alone(
    tmp_path: Path, code: int, damage: str, compression: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = tiff(noise(48, 64), compression=compression, **DESCRIBED)
    (tmp_path / "a.tif").write_bytes(entry(data, code, **DAMAGE[damage]))
    np.testing.assert_array_equal(read_all(tmp_path / "a.tif"), noise(48, 64))
    if damage in ("place", "kind", "count") and code < 32768:
        assert f"its tag {code} " in logged(caplog)


@pytest.mark.parametrize("code", [256, 258, 259, 273, 277, 279])
def test_a_damaged_tag_that_pixels_need_is_refused(tmp_path: Path, code: int) -> None:
    data = tiff(noise(48, 64, 3), rowsperstrip=8, compression="zlib", **RGB)
    (tmp_path / "a.tif").write_bytes(entry(data, code, kind=99))
    with pytest.raises(FileFormatError, match=r"a\.tif"):
        read_all(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("other", "message"), [(400, "not in order"), (313, "tag 313, which TIFF does not know")]
)
def test_a_tag_that_became_another_is_named(
    tmp_path: Path, other: int, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = bytearray(tiff(noise(48, 64).astype(np.float32), **GRAY, compression="zlib", predictor=True))
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        struct.pack_into("<H", data, tif.pages.first.tags["Predictor"].offset, other)
    (tmp_path / "a.tif").write_bytes(data)
    read_all(tmp_path / "a.tif")
    assert message in logged(caplog)


def test_a_colour_that_is_not_said_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = bytearray(tiff(noise(48, 64, 3), **RGB))
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        struct.pack_into("<H", data, tif.pages.first.tags["PhotometricInterpretation"].offset, 263)
    (tmp_path / "a.tif").write_bytes(data)
    with open_image(tmp_path / "a.tif") as image:
        assert image.info.shape[:3] == (1, 3, 1)
    assert "does not say its PhotometricInterpretation" in logged(caplog)


@pytest.mark.parametrize("code", [257, 258, 273, 278, 279])
@pytest.mark.parametrize("kind", [1, 6, 8])
def test_a_tag_of_an_unusual_kind_is_named(
    tmp_path: Path, code: int, kind: int, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.tif").write_bytes(entry(tiff(noise(48, 64), **GRAY), code, kind=kind))
    try:
        assert np.array_equal(read_all(tmp_path / "a.tif"), noise(48, 64)) or code == 273
    except FileFormatError:
        return
    assert f"its tag {code} is of an unusual kind" in logged(caplog)


@pytest.mark.parametrize("count", [2**31 - 1, 5000, 48])
def test_one_strip_of_another_byte_count_ends_where_its_pixels_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    pixels = np.arange(96, dtype=np.uint16).reshape(8, 12)
    file = tmp_path / "a.tif"
    file.write_bytes(tiff(pixels, metadata=None) + bytes(5000))
    with tifffile.TiffFile(file, mode="r+b") as tif:
        tif.pages.first.tags[279].overwrite(count, dtype="I")
    np.testing.assert_array_equal(read_image(file).pixels, pixels)
    assert "bytes than their pixels" in caplog.text or "strip" in caplog.text
