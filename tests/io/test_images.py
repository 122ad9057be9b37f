"""Image and label files: exact round trips, exact refusals, nothing half-written."""

import io
import logging
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image as PillowImage

from dinocell.errors import (
    DINOCellError,
    FileFormatError,
    FileMissingError,
    InputError,
    OutputError,
)
from dinocell.io.images import read_image, read_labels
from dinocell.io.planes import MAX_PIXELS
from dinocell.io.saving import atomic_path, write_image, write_labels

Array = NDArray[Any]
DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
QUICK = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def noise(*shape: int, dtype: str = "uint8") -> Array:
    values = np.random.default_rng(0).random(shape)
    if dtype == "bool":
        return values > 0.5
    return (values * (np.iinfo(dtype).max if dtype[0] in "ui" else 1)).astype(dtype)


def pillow(image: Array | PillowImage.Image, kind: str, **options: Any) -> bytes:
    picture = image if isinstance(image, PillowImage.Image) else PillowImage.fromarray(image)
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def save(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def assert_exact(got: Array, expected: Array) -> None:
    assert got.dtype == expected.dtype.newbyteorder("=")
    assert got.dtype.isnative
    assert got.flags.writeable
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, expected)


# Reading TIFF

DTYPES = ["bool", "uint8", "uint16", "uint32", "int16", "int32", "float16", "float32", "float64"]
LAYOUTS = [{}, {"tile": (16, 16)}, {"bigtiff": True}, {"byteorder": ">"}]


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "zstd", "packbits", "lzma"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tiff_of_every_dtype_and_compression_is_exact(tmp_path: Path, dtype: str, compression: str) -> None:
    pixels = noise(19, 33, dtype=dtype)
    for layout in LAYOUTS:
        tifffile.imwrite(tmp_path / "a.tif", pixels, compression=compression, **layout)
        image = read_image(tmp_path / "a.tif")
        assert image.axes == "YX"
        assert_exact(image.pixels, pixels)


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("samples", [3, 4])
def test_tiff_rgb_is_channels_last(tmp_path: Path, planarconfig: str, compression: str, samples: int) -> None:
    pixels = noise(9, 14, samples)
    stored = pixels if planarconfig == "contig" else np.ascontiguousarray(pixels.transpose(2, 0, 1))
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planarconfig, compression=compression
    )
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "YXS"
    assert_exact(image.pixels, pixels)
    assert_exact(read_image(tmp_path / "a.tif", channel=2).pixels, pixels[..., 2])


def test_jpeg_in_tiff_is_converted_to_rgb(tmp_path: Path) -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200
    stored = np.asarray(PillowImage.fromarray(red).convert("YCbCr"))
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, stored, compression="jpeg", photometric="ycbcr", subsampling=(1, 1))
    np.testing.assert_allclose(read_image(file).pixels, red, atol=8)


@pytest.mark.parametrize(("photometric", "samples"), [("separated", 4), ("ycbcr", 3), ("cielab", 3)])
def test_other_colours_are_refused(tmp_path: Path, photometric: str, samples: int) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(9, 14, samples), photometric=photometric)
    with pytest.raises(FileFormatError, match=r"a\.tif has colours of TIFF kind \d.*convert it to RGB"):
        read_image(tmp_path / "a.tif")


def test_alpha_beside_gray_is_dropped(tmp_path: Path) -> None:
    pixels = noise(9, 14, 2)
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels,
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    assert_exact(read_image(tmp_path / "a.tif").pixels, pixels[..., 0])
    gray, alpha = (PillowImage.fromarray(np.ascontiguousarray(pixels[..., c])) for c in (0, 1))
    picture = PillowImage.merge("LA", [gray, alpha])
    assert_exact(read_image(save(tmp_path / "a.png", pillow(picture, "PNG"))).pixels, pixels[..., 0])


STACKS: dict[str, dict[str, Any]] = {
    "pages": {"photometric": "minisblack", "metadata": None},
    "compressed": {"photometric": "minisblack", "compression": "zlib"},
    "one header": {"photometric": "minisblack", "truncate": True},
    "imagej": {"imagej": True, "metadata": {"axes": "TYX"}},
    "imagej, one header": {"imagej": True, "truncate": True, "metadata": {"axes": "ZYX"}},
    "ome": {"ome": True, "metadata": {"axes": "ZYX"}},
    "big-endian": {"photometric": "minisblack", "byteorder": ">"},
}


@pytest.mark.parametrize("kind", STACKS)
def test_a_stack_needs_a_page(tmp_path: Path, kind: str) -> None:
    pixels = noise(3, 20, 30, dtype="uint16")  # three pages are not RGB
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, pixels, **STACKS[kind])
    with pytest.raises(
        InputError, match=r"a\.tif is a stack of 3 pages, .*: choose with page=N, N from 0 to 2$"
    ):
        read_image(file)
    for page in range(3):
        assert_exact(read_image(file, page=page).pixels, pixels[page])
    for page in (3, -1):
        with pytest.raises(InputError, match=rf"has no page {page}, expected one from 0 to 2: it holds 3"):
            read_image(file, page=page)


@pytest.mark.parametrize("options", [{"imagej": True}, {"ome": True}, {"ome": True, "compression": "zstd"}])
def test_channels_of_a_hyperstack(tmp_path: Path, options: dict[str, Any]) -> None:
    pixels = noise(2, 4, 3, 10, 12, dtype="uint16")
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, pixels, metadata={"axes": "TZCYX"}, **options)
    assert_exact(read_image(file, page=6).pixels, pixels[1, 2].transpose(1, 2, 0))
    assert_exact(read_image(file, page=6, channel=1).pixels, pixels[1, 2, 1])
    with pytest.raises(InputError, match="stack of 8 pages"):
        read_image(file)


def test_channels_need_no_page_and_keep_their_names_and_scale(tmp_path: Path) -> None:
    pixels = noise(3, 10, 12, dtype="uint16")
    ome, imagej = tmp_path / "a.ome.tif", tmp_path / "b.tif"
    names = ["DAPI", "488,5", "3"]
    sizes = {"PhysicalSizeX": 500, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.5}
    tifffile.imwrite(ome, pixels, metadata={"axes": "CYX", "Channel": {"Name": names}, **sizes})
    tifffile.imwrite(
        imagej,
        pixels,
        imagej=True,
        resolution=(2, 2),
        metadata={"axes": "CYX", "unit": "\\u00B5m", "Labels": names},
    )
    for file in (ome, imagej):
        image = read_image(file)
        assert_exact(image.pixels, pixels.transpose(1, 2, 0))
        assert image.axes == "YXC"
        assert image.pixel_size_um == pytest.approx(0.5)
        assert image.channel_names == tuple(names)
        assert read_image(file, channel=1).channel_names == ("488,5",)
        with pytest.raises(
            InputError,
            match=r"has no channel 3, expected a number from 0 to 2 or a name: it holds 0 'DAPI', 1 '488,5'",
        ):
            read_image(file, channel=3)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"resolution": (72, 72), "resolutionunit": "inch"}, None),
        ({"resolution": (20000, 20000), "resolutionunit": "centimeter"}, 0.5),
        ({"resolution": (20000, 10000), "resolutionunit": "centimeter"}, None),
        ({"resolution": (2, 2), "imagej": True}, None),
        ({"resolution": (2, 2), "imagej": True, "metadata": {"unit": "micron"}}, 0.5),
        ({"resolution": (2, 2), "imagej": True, "metadata": {"unit": "pixel"}}, None),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.7}}, None),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.5}}, None),
        ({"description": "<OME><Image></OME>"}, None),
    ],
)
def test_pixel_size_only_where_it_is_unambiguous(
    tmp_path: Path, options: dict[str, Any], expected: float | None
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(9, 14), **options)
    assert read_image(tmp_path / "a.tif").pixel_size_um == expected


def test_series_of_several_shapes_are_numbered_through(tmp_path: Path) -> None:
    large, small = noise(20, 30), noise(5, 7)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(large)
        writer.write(small)
    with pytest.raises(InputError, match="stack of 2 pages"):
        read_image(tmp_path / "a.tif")
    assert_exact(read_image(tmp_path / "a.tif", page=1).pixels, small)


def test_a_pyramid_is_one_image(tmp_path: Path) -> None:
    pixels = noise(64, 64)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(pixels, subifds=1, tile=(16, 16))
        writer.write(pixels[::2, ::2], subfiletype=1, tile=(16, 16))
    assert_exact(read_image(tmp_path / "a.tif").pixels, pixels)


def test_a_volume_of_tiles_is_a_stack(tmp_path: Path) -> None:
    pixels = noise(16, 32, 32)
    tifffile.imwrite(tmp_path / "a.tif", pixels, volumetric=True, tile=(16, 16, 16), photometric="minisblack")
    assert_exact(read_image(tmp_path / "a.tif", page=5).pixels, pixels[5])


def test_ome_planes_in_neighbouring_files(tmp_path: Path) -> None:
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="14" SizeY="9" '
        'SizeC="2" SizeZ="1" SizeT="1"><TiffData FirstC="0" IFD="0" PlaneCount="1">'
        '<UUID FileName="a.ome.tif">urn:uuid:0</UUID></TiffData><TiffData FirstC="1" IFD="0" PlaneCount="1">'
        '<UUID FileName="b.ome.tif">'
        "urn:uuid:1</UUID></TiffData></Pixels></Image></OME>"
    )
    first, second = noise(9, 14), noise(9, 14) // 2
    for name, pixels in (("a.ome.tif", first), ("b.ome.tif", second)):
        tifffile.imwrite(tmp_path / name, pixels, description=xml, metadata=None, compression="zlib")
    assert_exact(read_image(tmp_path / "a.ome.tif").pixels, np.stack([first, second], axis=-1))
    (tmp_path / "b.ome.tif").unlink()
    with pytest.raises(FileFormatError, match="plane 1 is not in the file"):
        read_image(tmp_path / "a.ome.tif")


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_tiny_images(tmp_path: Path, shape: tuple[int, int], suffix: str) -> None:
    write_image(tmp_path / f"a{suffix}", noise(*shape))
    assert_exact(read_image(tmp_path / f"a{suffix}").pixels, noise(*shape))


# Reading PNG, JPEG, BMP


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("samples", [(), (3,), (4,)])
def test_png_round_trip(tmp_path: Path, dtype: str, samples: tuple[int, ...]) -> None:
    pixels = noise(9, 14, *samples, dtype=dtype)
    write_image(tmp_path / "a.png", pixels)
    assert_exact(read_image(tmp_path / "a.png").pixels, pixels)


def png_of(height: int, width: int, *data: bytes, extra: bytes = b"") -> bytes:
    """Return a gray PNG of 8 bits with the given data in it, and chunks before them."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = b"".join(png_chunk(b"IDAT", part) for part in data)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + extra + body + png_chunk(b"IEND", b"")


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def deflated_zeros(count: int) -> bytes:
    packing = zlib.compressobj(9)
    return b"".join(packing.compress(bytes(2**20)) for _ in range(count >> 20)) + packing.flush()


def test_a_png_inflates_to_no_more_than_its_pixels(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # libpng would inflate all of it, and print that it is too much
    bomb = deflated_zeros(2**27)
    assert len(bomb) < 2**18
    for data in ([bomb], [bomb[:500], bomb[500:]]):
        with pytest.raises(FileFormatError, match="inflates to more than its pixels"):
            read_image(save(tmp_path / "a.png", png_of(64, 64, *data)))
    for name in (b"zTXt", b"iCCP"):  # what is not read is not inflated
        extra = png_chunk(name, b"x\0\0" + bomb)
        data = zlib.compress(bytes(65 * 64))
        assert read_image(save(tmp_path / "b.png", png_of(64, 64, data, extra=extra))).pixels.shape == (
            64,
            64,
        )
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.png", png_of(40_000, 50_000, zlib.compress(bytes(10**5))), "bytes cannot hold 40000 × 50000"),
        ("b.png", png_of(30_000, 30_000, bytes(10**6)), "858 MiB of pixels in 976 KiB, which are blank"),
    ],
    ids=["claimed", "blank"],
)
def test_a_small_file_of_very_many_pixels_is_refused_before_they_are_decoded(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    with pytest.raises(FileFormatError, match=message):
        read_image(save(tmp_path / name, data))


def test_jpeg_and_bmp_headers_are_held_against_the_size_of_the_file(tmp_path: Path) -> None:
    claimed = bytearray(pillow(noise(9, 14), "JPEG"))
    at = claimed.index(b"\xff\xc0") + 5
    claimed[at : at + 4] = struct.pack(">HH", 40_000, 50_000)
    with pytest.raises(FileFormatError, match="bytes cannot hold 40000 × 50000 pixels"):
        read_image(save(tmp_path / "a.jpg", bytes(claimed)))
    claimed[at : at + 4] = struct.pack(">HH", 9000, 9000)
    scan = claimed.index(b"\xff\xda")
    scans = bytes(claimed[:scan]) + bytes(claimed[scan:-2]) * 101 + b"\xff\xd9"
    with pytest.raises(FileFormatError, match="more than 100 scans"):
        read_image(save(tmp_path / "b.jpg", scans))
    for compression in (1, 3):  # runs, and values by masks
        data = bytearray(pillow(noise(9, 14), "BMP"))
        struct.pack_into("<ii", data, 18, 40_000, 40_000)
        struct.pack_into("<I", data, 30, compression)
        with pytest.raises(FileFormatError, match="bytes cannot hold 40000 × 40000 pixels"):
            read_image(save(tmp_path / "a.bmp", bytes(data)))


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
@pytest.mark.parametrize("samples", [(), (3,)])
def test_files_of_another_writer(tmp_path: Path, kind: str, samples: tuple[int, ...]) -> None:
    pixels = noise(9, 14, *samples)
    image = read_image(save(tmp_path / "a.bin", pillow(pixels, kind)))
    assert image.axes == "YXS"[: pixels.ndim]
    assert_exact(image.pixels, pixels)


def test_png_written_here_has_its_colours_elsewhere(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", noise(9, 14, 3))
    with PillowImage.open(tmp_path / "a.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), noise(9, 14, 3))


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_palettes_become_rgb(tmp_path: Path, kind: str) -> None:
    picture = PillowImage.fromarray(noise(9, 14, 3)).quantize(9)
    image = read_image(save(tmp_path / "a", pillow(picture, kind)))
    assert_exact(image.pixels, np.asarray(picture.convert("RGB")))


def test_libpng_prints_nothing_about_a_bad_profile(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = pillow(noise(9, 14), "PNG", icc_profile=b"no profile", transparency=3)
    assert_exact(read_image(save(tmp_path / "a.png", data)).pixels, noise(9, 14))
    assert capfd.readouterr() == ("", "")


def packed_png(values: Array, depth: int) -> bytes:
    """Encode a gray PNG of 1, 2 or 4 bits, which Pillow does not write."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    bits = np.unpackbits(values[..., None].astype(np.uint8), axis=-1)[..., 8 - depth :]
    rows = np.packbits(bits.reshape(len(values), values.shape[1] * depth), axis=1)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("depth", "dtype"), [(1, "bool"), (2, "uint8"), (4, "uint8")])
def test_png_under_eight_bits_keeps_its_values(tmp_path: Path, depth: int, dtype: str) -> None:
    values = (noise(9, 14) % 2**depth).astype(dtype)
    file = save(tmp_path / "a.png", packed_png(values, depth))
    assert_exact(read_image(file).pixels, values)
    np.testing.assert_array_equal(read_labels(file), values)


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_jpeg_gray_and_rgb_order(tmp_path: Path, options: dict[str, Any]) -> None:
    red = np.zeros((20, 40, 3), np.uint8)
    red[:, :20, 0] = 220
    image = read_image(save(tmp_path / "a.jpg", pillow(red, "JPEG", subsampling=0, **options)))
    np.testing.assert_allclose(image.pixels, red, atol=12)
    gray = read_image(save(tmp_path / "b.jpg", pillow(red[..., 0], "JPEG", **options)))
    assert gray.axes == "YX"
    np.testing.assert_allclose(gray.pixels, red[..., 0], atol=12)


def test_gray_has_one_channel(tmp_path: Path) -> None:
    for name in ("a.png", "a.tif"):
        write_image(tmp_path / name, noise(9, 14))
        assert_exact(read_image(tmp_path / name, channel=0, page=0).pixels, noise(9, 14))
        with pytest.raises(
            InputError,
            match=rf"{name} has no channel 1, expected one from 0 to 0: it holds 1 channel$",
        ):
            read_image(tmp_path / name, channel=1)
        with pytest.raises(InputError, match=r"has no page 1, expected one from 0 to 0: it holds 1 page$"):
            read_image(tmp_path / name, page=1)


@pytest.mark.parametrize(
    ("at", "value"),
    [(10, 1077), (10, 1076), (14, 96), (18, 12), (18, 17), (22, 1), (22, 8), (22, 10), (46, 8), (46, 300)],
)
def test_a_bmp_whose_header_does_not_fit_its_pixels(tmp_path: Path, at: int, value: int) -> None:
    data = pillow(noise(9, 16), "BMP")
    assert_exact(read_image(save(tmp_path / "a.bmp", data)).pixels, noise(9, 16))
    changed = data[:at] + struct.pack("<I", value) + data[at + 4 :]
    with pytest.raises(FileFormatError, match="damaged or unsupported BMP file"):
        read_image(save(tmp_path / "a.bmp", changed))


@pytest.mark.parametrize("more", [4, 500])
@pytest.mark.parametrize("shape", [(9, 14), (9, 14, 3)])
def test_a_bmp_may_go_on_after_its_pixels(
    tmp_path: Path, shape: tuple[int, ...], more: int, caplog: pytest.LogCaptureFixture
) -> None:
    values = noise(*shape)
    by_opencv = cv2.imencode(".bmp", values[..., ::-1] if len(shape) > 2 else values)[1].tobytes()
    by_pillow = pillow(values, "BMP")  # which says how many bytes are pixels
    longer = struct.pack("<I", len(by_pillow) + more)
    for data in (by_opencv, by_pillow, by_pillow[:2] + longer + by_pillow[6:]):
        assert_exact(read_image(save(tmp_path / "a.bmp", data + bytes(more))).pixels, values)
    assert not caplog.records
    unsaid = by_opencv[:2] + struct.pack("<I", len(by_opencv) + more) + by_opencv[6:] + bytes(more)
    assert_exact(read_image(save(tmp_path / "b.bmp", unsaid)).pixels, values)
    (record,) = caplog.records
    assert f"b.bmp: it has {more} bytes after its pixels" in record.getMessage()


# Refusals


def broken_png(data: bytes) -> bytes:
    return data[:50] + bytes([data[50] ^ 1]) + data[51:]


def huge_png() -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", 2**16, 2**16, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def huge_tiff() -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, noise(8, 8), compression="zlib")
    data = bytearray(stream.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        for name in ("ImageWidth", "ImageLength"):
            offset = tif.pages.first.tags[name].valueoffset
            data[offset : offset + 4] = struct.pack("<I", 2**16)
    return bytes(data)


def tiff(pixels: Array, **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


GRAY = noise(40, 50)
BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty.png": (
        b"",
        r"is empty \(0 bytes\), expected the content of a TIFF, PNG, JPEG, BMP, NPY, ND2, CZI or LIF file",
    ),
    "text.png": (b"hello, world", "is not an image that can be read, expected the content of a TIFF"),
    "text.xyz": (b"hello, world", "is not an image that can be read, expected the content of a TIFF"),
    "bm.bmp": (b"BM is how this text starts, and it goes on", "damaged or unsupported BMP"),
    "cut.png": (pillow(GRAY, "PNG")[:-300], "damaged or unsupported PNG.*copy it again or save it"),
    "broken.png": (broken_png(pillow(GRAY, "PNG")), "PNG file .a checksum is wrong."),
    "cut.jpg": (pillow(GRAY, "JPEG")[:-5], "JPEG file .the end of the image is missing."),
    "cmyk.jpg": (pillow(PillowImage.fromarray(GRAY).convert("CMYK"), "JPEG"), "CMYK.*convert it to RGB"),
    "cut.bmp": (pillow(GRAY, "BMP")[:-5], "BMP file .the end of the image is missing."),
    "cut.tif": (tiff(GRAY)[:-5], "damaged or unsupported TIFF.*copy it again or save it"),
    "cut_lzw.tif": (tiff(GRAY, compression="lzw")[:-5], "TIFF file .part of plane 0 is missing."),
    "cut_stack.tif": (tiff(noise(4, 20, 30), photometric="minisblack", metadata=None)[:-99], "damaged"),
    "cut_imagej.tif": (tiff(noise(9, 20, 30), imagej=True, truncate=True)[:-99], "corrupted file"),
    "head.tif": (tiff(GRAY)[:8], "damaged or unsupported TIFF"),
    "complex.tif": (tiff(GRAY.astype(np.complex64)), "has complex64 pixels, expected booleans, integers"),
    "line.tif": (tiff(GRAY[0]), "has axes X, expected Y and X"),
    "huge.png": (huge_png(), f"65536 × 65536 pixels, expected 1 to {MAX_PIXELS} a plane"),
    "huge.tif": (huge_tiff(), f"65536 × 65536 pixels, expected 1 to {MAX_PIXELS} a plane"),
    "flat.png": (packed_png(np.zeros((0, 5)), 1), "0 × 5 pixels, expected 1 to"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(tmp_path: Path, name: str) -> None:
    content, message = BAD_FILES[name]
    file = save(tmp_path / name, content)
    no_ids = "is a (JPEG|BMP) file, which does not keep ids as they are, expected one plane of ids"
    for read, expected in ((read_image, message), (read_labels, f"{message}|{no_ids}")):
        with pytest.raises(FileFormatError, match=expected) as caught:
            read(file)
        assert str(caught.value).startswith(f"{file} ")
        assert "\n" not in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    file = save(tmp_path / "a.txt", b"text")
    for missing in (tmp_path / "no.tif", file / "below.tif", tmp_path / "nul\0.tif"):
        with pytest.raises(FileMissingError, match=r"does not exist, .*check the path"):
            read_image(missing)
    with pytest.raises(
        FileFormatError, match="is a folder, expected an image file or an OME-Zarr: name one of"
    ):
        read_image(tmp_path)
    (tmp_path / "loop.tif").symlink_to("loop.tif")
    with pytest.raises(DINOCellError, match=r"loop\.tif"):
        read_image(tmp_path / "loop.tif")


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "really_png.tif", pillow(GRAY, "PNG")))
    assert_exact(image.pixels, GRAY)


def test_tifffile_stays_silent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filters = list(logging.getLogger("tifffile").filters)
    with pytest.raises(FileFormatError):
        read_image(save(tmp_path / "a.tif", BAD_FILES["cut_stack.tif"][0]))
    assert not caplog.records
    assert logging.getLogger("tifffile").filters == filters


def seeds() -> dict[str, bytes]:
    gray, deep, colour = noise(12, 17), noise(12, 17, dtype="uint16"), noise(12, 17, 3)
    return {
        "plain.tif": tiff(deep),
        "zlib.tif": tiff(deep, compression="zlib", predictor=True),
        "lzw.tif": tiff(gray, compression="lzw"),
        "tiled.tif": tiff(colour, compression="zstd", tile=(16, 16), photometric="rgb"),
        "bits.tif": tiff(gray > 99, compression="packbits"),
        "imagej.tif": tiff(noise(3, 12, 17), imagej=True, metadata={"axes": "CYX", "unit": "um"}),
        "ome.tif": tiff(noise(3, 12, 17), ome=True, metadata={"axes": "CYX", "PhysicalSizeX": 0.5}),
        "jpeg.tif": tiff(noise(32, 32, 3), compression="jpeg", photometric="ycbcr"),
        "gray.png": pillow(deep, "PNG"),
        "palette.png": pillow(PillowImage.fromarray(colour).quantize(9), "PNG"),
        "gray.jpg": pillow(gray, "JPEG"),
        "rgb.jpg": pillow(colour, "JPEG", progressive=True),
        "gray.bmp": pillow(gray, "BMP"),
        "rgb.bmp": pillow(colour, "BMP"),
    }


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    if rng.random() < 0.25:
        return data[: rng.integers(len(data))]
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        # half of the changes hit the header, which is where they hurt
        position = rng.integers(len(data) if rng.random() < 0.5 else min(len(data), 300))
        changed[position] = rng.choice([0, 255, changed[position] ^ 1, changed[position] ^ 128])
    return bytes(changed)


@pytest.mark.parametrize("name", seeds())
def test_damage_gives_an_image_or_our_error(tmp_path: Path, name: str) -> None:
    data, rng = seeds()[name], np.random.default_rng(zlib.crc32(name.encode()))
    assert read_image(save(tmp_path / name, data)).pixels.size
    for _ in range(25):
        file = save(tmp_path / name, mutate(data, rng))
        try:
            image = read_image(file, page=0)
        except DINOCellError as error:
            assert name in str(error)  # noqa: PT017
        else:
            assert image.pixels.ndim == len(image.axes)


# Labels


@QUICK
@given(
    labels=hnp.arrays(
        np.int32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.one_of(st.integers(-1, 9), st.integers(65530, 65540), st.integers(0, 2**31 - 1)),
    )
)
def test_labels_round_trip(tmp_path: Path, labels: NDArray[np.int32]) -> None:
    before = labels.copy()
    write_labels(tmp_path / "a.tif", labels)
    assert_exact(read_labels(tmp_path / "a.tif"), labels)
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 0, "uint16"),
        (0, 65535, "uint16"),
        (0, 65536, "uint32"),
        (0, 2**31 - 1, "uint32"),
        (-1, 3, "int32"),
    ],
)
def test_labels_take_the_smallest_type_that_holds_them(
    tmp_path: Path, low: int, high: int, dtype: str
) -> None:
    labels = np.array([[low, high, 0]], np.int64)
    write_labels(tmp_path / "a.tiff", labels)
    with tifffile.TiffFile(tmp_path / "a.tiff") as tif:
        assert tif.pages.first.dtype == dtype
        assert tif.pages.first.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tiff"), labels)


def test_labels_of_another_writer(tmp_path: Path) -> None:
    ids = np.array([[0, 7, 70000], [300, 0, 1]])
    for dtype in ("int32", "int64", "uint32", "float32", "float64"):
        tifffile.imwrite(tmp_path / "a.tif", ids.astype(dtype))
        assert_exact(read_labels(tmp_path / "a.tif"), ids.astype(np.int32))
    small = ids.clip(max=65535).astype(np.uint16)
    assert_exact(read_labels(save(tmp_path / "a.png", pillow(small, "PNG"))), small.astype(np.int32))
    for kind in ("JPEG", "BMP"):
        with pytest.raises(FileFormatError, match=f"is a {kind} file, which does not keep ids as they are"):
            read_labels(save(tmp_path / "a", pillow(noise(9, 14), kind)))
    tifffile.imwrite(tmp_path / "b.tif", ids > 0)
    np.testing.assert_array_equal(read_labels(tmp_path / "b.tif"), ids > 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0.5, 1.0]]), "float64 values that are not whole, expected one plane of ids"),
        (np.array([[np.nan, 1.0]], np.float32), "float32 values that are not whole"),
        (np.array([[np.inf, 1.0]], np.float32), "float32 values that are not whole"),
        (noise(5, 6, 3), r"has 3 channels \(colours are not ids\), expected one plane of ids"),
    ],
)
def test_what_is_not_ids(tmp_path: Path, values: Array, message: str) -> None:
    write_image(tmp_path / "a.tif", values)
    with pytest.raises(FileFormatError, match=message):
        read_labels(tmp_path / "a.tif")


def test_ids_out_of_range_and_stacks(tmp_path: Path) -> None:
    for values in (np.array([[2**31, 1]]), np.array([[-2, 1]]), np.array([[1e30, 1.0]])):
        tifffile.imwrite(tmp_path / "a.tif", values)
        with pytest.raises(DINOCellError, match=r"a\.tif holds"):
            read_labels(tmp_path / "a.tif")
    frames = noise(4, 5, 6, dtype="uint16")
    tifffile.imwrite(tmp_path / "b.tif", frames, photometric="minisblack")
    with pytest.raises(InputError, match="stack of 4 pages"):
        read_labels(tmp_path / "b.tif")
    np.testing.assert_array_equal(read_labels(tmp_path / "b.tif", page=2), frames[2])


# Writing


@QUICK
@given(
    pixels=hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int32, np.float32, np.float64]),
        st.one_of(
            hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
            st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(2, 6)),
        ),
    )
)
def test_tiff_round_trip(tmp_path: Path, pixels: Array) -> None:
    write_image(tmp_path / "a.tif", pixels)
    assert_exact(read_image(tmp_path / "a.tif").pixels, pixels)


def test_views_are_written_as_seen(tmp_path: Path) -> None:
    pixels = noise(9, 14, 3)[::-1, ::2, ::-1]
    write_image(tmp_path / "a.png", pixels)
    assert_exact(read_image(tmp_path / "a.png").pixels, np.ascontiguousarray(pixels))


@pytest.mark.parametrize(
    ("name", "pixels", "message"),
    [
        ("a.jpg", noise(5, 6), r"a\.jpg has the wrong ending, expected \.png or \.tif or \.tiff: rename it"),
        (
            "a.png",
            noise(5, 6, dtype="float32"),
            r"a\.png cannot hold float32 of shape \(5, 6\), expected uint8",
        ),
        ("a.png", noise(5, 6, 2), "expected uint8 or uint16, gray, RGB or RGBA: name it"),
        ("a.tif", noise(5), r"cannot hold uint8 of shape \(5,\), expected real numbers"),
        ("a.tif", noise(0, 5), "not empty: convert them first"),
        ("a.tif", noise(5, 6, 3, dtype="bool"), "cannot hold bool"),
        ("a.tif", noise(5, 6).astype(complex), "cannot hold complex128"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, name: str, pixels: Array, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_image(tmp_path / name, pixels)
    assert not list(tmp_path.iterdir())


def test_labels_that_cannot_be_written(tmp_path: Path) -> None:
    for name, labels in (("a.png", noise(5, 6)), ("a.tif", noise(5, 6, 3)), ("a.tif", noise(0, 6))):
        with pytest.raises(InputError):
            write_labels(tmp_path / name, labels)
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_where_writing_fails(tmp_path: Path) -> None:
    (tmp_path / "taken.tif").mkdir()
    (tmp_path / "file").touch()
    for target in (tmp_path / "taken.tif", tmp_path / "missing" / "a.tif", tmp_path / "file" / "a.tif"):
        before = sorted(tmp_path.rglob("*"))
        for write in (write_labels, write_image):
            with pytest.raises(OutputError, match=rf"{target.name} cannot be written \(.*: choose another"):
                write(target, noise(5, 6))
        assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="may write everywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        write_labels(tmp_path / "a.tif", noise(5, 6))


def test_atomic_path_keeps_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("old")
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name == f".a.csv.tmp-{os.getpid()}"
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, InputError, FileMissingError, OSError])
def test_atomic_path_cleans_up_after_any_error(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "a.csv"
    target.write_text("old")
    expected = OutputError if error is OSError else error
    with pytest.raises(expected), atomic_path(target) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error("stopped")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


# Real files


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")
def test_an_original_of_sixteen_bits() -> None:
    for file in sorted((DATA / "originals").rglob("*_raw.tif")):
        image = read_image(file)
        assert image.axes == "YX"
        assert image.pixels.dtype == np.uint16
        np.testing.assert_array_equal(image.pixels, tifffile.imread(file))
        labels = read_labels(file.with_name(file.name.replace("_raw.tif", "_instances_ids.png")))
        assert labels.shape == image.pixels.shape
        assert labels.max() > 0
