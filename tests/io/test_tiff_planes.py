"""Planes that a TIFF file describes are its pages: none is left out unnoticed, none is of another file."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from dinocell.errors import FileFormatError
from dinocell.io.images import open_image, read_image
from tests.fakes.tiff import tiff

Array = NDArray[Any]
GRAY: dict[str, Any] = {"photometric": "minisblack", "metadata": None}


def noise(*shape: int) -> Array:
    return np.random.default_rng(0).integers(0, 255, shape, np.uint8)


def xml(inside: str, sizes: str = 'SizeC="1" SizeZ="1" SizeT="1"', uuid: str = "") -> str:
    pixels = f'<Pixels DimensionOrder="XYCZT" Type="uint8" SizeX="14" SizeY="9" {sizes}>{inside}</Pixels>'
    attribute = f' UUID="{uuid}"' if uuid else ""
    return f"<OME{attribute}><Image>{pixels}</Image></OME>"


def place(file: str, uuid: str, first: str = 'FirstC="0"') -> str:
    name = file and f' FileName="{file}"'
    return f'<TiffData {first} IFD="0" PlaneCount="1"><UUID{name}>{uuid}</UUID></TiffData>'


def write(file: Path, pixels: Array, description: str, **options: Any) -> Path:
    file.write_bytes(tiff(pixels, description=description, **(GRAY | options)))
    return file


def pages_of(file: Path) -> Array:
    """Read all planes of a file, in its order, as planes and as windows."""
    with open_image(file) as image:
        places = list(np.ndindex(*image.info.shape[:3]))
        planes = [image.read_plane(*at) for at in places]
        windows = [image.read_window(slice(None), slice(None), *at) for at in places]
    np.testing.assert_array_equal(planes, windows)
    for (t, c, z), plane in zip(places, planes, strict=True):
        page = t * image.info.shape[2] + z
        np.testing.assert_array_equal(read_image(file, page=page, channel=c).pixels, plane)
    return np.stack(planes)


def logged(caplog: pytest.LogCaptureFixture) -> str:
    assert all(record.name.startswith("dinocell.") for record in caplog.records)
    return "\n".join(record.getMessage() for record in caplog.records)


# All pages are planes


@pytest.mark.parametrize(
    "description",
    [
        xml("<TiffData/>"),
        xml('<TiffData IFD="0" PlaneCount="1"/>'),
        xml('<TiffData IFD="1" PlaneCount="1"/>'),
        xml('<TiffData IFD="0"/><TiffData FirstC="1" IFD="0"/>', 'SizeC="2" SizeZ="1" SizeT="1"'),
        "ImageJ=1.54\nimages=2\nslices=2\n",
        '{"shape": [9, 14]}',
        '{"shape": [2, 9, 14]}',
    ],
)
def test_no_page_is_left_out(tmp_path: Path, description: str, caplog: pytest.LogCaptureFixture) -> None:
    pixels = noise(3, 9, 14)
    file = write(tmp_path / "a.tif", pixels, description, compression="zlib")
    np.testing.assert_array_equal(pages_of(file), pixels)
    assert ": check their order" in logged(caplog)


def test_one_page_is_not_two_planes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    twice = '<TiffData IFD="0"/><TiffData FirstC="1" IFD="0"/>'
    file = write(tmp_path / "a.tif", noise(9, 14), xml(twice, 'SizeC="2" SizeZ="1" SizeT="1"'))
    np.testing.assert_array_equal(pages_of(file), noise(1, 9, 14))
    assert "its OME-XML takes one page for several planes, it is left out" in logged(caplog)


def test_several_series_written_by_tifffile(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for plane in noise(3, 9, 14):
            writer.write(plane)
    with open_image(tmp_path / "a.tif", scene=2) as image:
        assert len(image.info.scenes) == 3
        np.testing.assert_array_equal(image.read_plane(), noise(3, 9, 14)[2])
    assert not logged(caplog)


@pytest.mark.parametrize("extra", [noise(4, 7), noise(9, 14).astype(np.uint16), noise(9, 14, 3)])
def test_labels_and_previews_of_scanners_are_no_planes(
    tmp_path: Path, extra: Array, caplog: pytest.LogCaptureFixture
) -> None:
    text = xml("<TiffData/>", 'SizeC="2" SizeZ="1" SizeT="1"').replace(
        "<TiffData/>", '<TiffData PlaneCount="2"/>'
    )
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=False) as writer:
        writer.write(noise(2, 9, 14), description=text, **GRAY)
        writer.write(extra, metadata=None, photometric="rgb" if extra.ndim == 3 else "minisblack")
        writer.write(noise(9, 14), subfiletype=1, **GRAY)  # a smaller copy, so it says
    with open_image(tmp_path / "a.ome.tif") as image:
        assert image.info.shape == (1, 2, 1, 9, 14)
        np.testing.assert_array_equal(image.read_plane(0, 1, 0), noise(2, 9, 14)[1])
    assert not logged(caplog)


def test_colours_are_samples_of_one_plane(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pixels = noise(2, 9, 14, 3)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, photometric="rgb", metadata={"axes": "ZYXS"})
    np.testing.assert_array_equal(read_image(tmp_path / "a.ome.tif", page=1).pixels, pixels[1])
    assert not logged(caplog)


def test_broken_xml_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pixels = noise(3, 9, 14)
    np.testing.assert_array_equal(pages_of(write(tmp_path / "a.tif", pixels, "<OME><Image></OME>")), pixels)
    assert "its OME-XML is broken, its pages are taken as they are" in logged(caplog)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"ImageJ=", b"InageJ=", "looks like ImageJ's but cannot be read as that"),
        (b"images=6", b"ima\x01es=6", "has characters that are not text"),
        (b"images=6", b"ima\0es=6", "has characters that are not text"),
        (b"slices=3", b"sli\x81\xd5s=3", "is not a text"),
        (b"images=6\nslices=3", b"imbges=6\nslices=2", "has bytes for 2 planes more"),
    ],
)
def test_a_damaged_description_is_named(
    tmp_path: Path, old: bytes, new: bytes, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    axes = {"axes": "TZYX"}
    tifffile.imwrite(tmp_path / "a.tif", noise(2, 3, 9, 14), imagej=True, truncate=True, metadata=axes)
    data = (tmp_path / "a.tif").read_bytes()
    assert data.count(old) == 1
    (tmp_path / "a.tif").write_bytes(data.replace(old, new))
    with open_image(tmp_path / "a.tif") as image:
        np.testing.assert_array_equal(image.read_plane(), noise(2, 3, 9, 14)[0, 0])
    assert message in logged(caplog)


def test_ome_xml_without_its_end_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(tmp_path / "a.tif", noise(3, 9, 14), xml("<TiffData/>").replace("</OME>", "</OOE>"))
    np.testing.assert_array_equal(pages_of(file), noise(3, 9, 14))
    assert "looks like OME-XML but cannot be read as that" in logged(caplog)


# Planes that are not there


def test_planes_that_are_not_in_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(tmp_path / "a.ome.tif", noise(9, 14), xml("<TiffData/>", 'SizeC="3" SizeZ="1" SizeT="1"'))
    with open_image(file) as image:
        assert image.info.shape[:3] == (1, 3, 1)
        assert image.info.missing_planes == 2
        assert [image.has_plane(c=c) for c in range(3)] == [True, False, False]
        np.testing.assert_array_equal(image.read_plane(), noise(9, 14))
        for read in (image.read_plane, lambda **at: image.read_window(slice(None), slice(None), **at)):
            with pytest.raises(
                FileFormatError, match=r"the plane of time 0, channel 2, slice 0 \(2 of 3 planes"
            ):
                read(c=2)
    np.testing.assert_array_equal(read_image(file, channel=0).pixels, noise(9, 14))
    with pytest.raises(FileFormatError, match="is not in the file"):
        read_image(file, channel=1)
    assert "2 of the 3 planes that its OME-XML speaks of are not there" in logged(caplog)


# Which file is meant


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("uuid", ["", "urn:uuid:1", "urn:uuid:2"])
def test_a_copy_that_names_its_original_has_its_own_pixels(
    tmp_path: Path, compression: str, uuid: str, caplog: pytest.LogCaptureFixture
) -> None:
    pixels, description = noise(9, 14), xml(place("a.ome.tif", "urn:uuid:1"), uuid=uuid)
    for name, content in (("a.ome.tif", pixels), ("b.ome.tif", 255 - pixels)):
        write(tmp_path / name, content, description, compression=compression)
    np.testing.assert_array_equal(pages_of(tmp_path / "a.ome.tif")[0], pixels)
    np.testing.assert_array_equal(pages_of(tmp_path / "b.ome.tif")[0], 255 - pixels)
    (tmp_path / "a.ome.tif").unlink()
    np.testing.assert_array_equal(pages_of(tmp_path / "b.ome.tif")[0], 255 - pixels)
    assert not logged(caplog)


def test_a_renamed_file_keeps_its_metadata(tmp_path: Path) -> None:
    places = "".join(
        place("old.ome.tif", "urn:uuid:1", f'FirstC="{c}"').replace('"0" P', f'"{c}" P') for c in (0, 1)
    )
    sizes = 'SizeC="2" SizeZ="1" SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.5"'
    file = write(tmp_path / "new.ome.tif", noise(2, 9, 14), xml(places, sizes))
    with open_image(file) as image:
        assert image.info.shape[:3] == (1, 2, 1)
        assert image.info.pixel_size_um == 0.5
        np.testing.assert_array_equal(image.read_plane(c=1), noise(2, 9, 14)[1])


@pytest.mark.parametrize("uuid", ["", "urn:uuid:0"])
@pytest.mark.parametrize("identifiers", [("urn:uuid:0", "urn:uuid:1"), ("urn:uuid:0", "urn:uuid:0")])
def test_every_file_of_a_set_gives_the_whole_set(
    tmp_path: Path, uuid: str, identifiers: tuple[str, str]
) -> None:
    names = ("a.ome.tif", "b.ome.tif")
    places = "".join(
        place(name, one, f'FirstC="{c}"')
        for c, (name, one) in enumerate(zip(names, identifiers, strict=True))
    )
    description = xml(places, 'SizeC="2" SizeZ="1" SizeT="1"', uuid)  # the same in both files
    for name, pixels in zip(names, noise(2, 9, 14), strict=True):
        write(tmp_path / name, pixels, description)
    for name in names:
        np.testing.assert_array_equal(pages_of(tmp_path / name), noise(2, 9, 14))


def test_a_file_that_is_not_of_the_set_it_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    places = place("a.ome.tif", "urn:uuid:0") + place("b.ome.tif", "urn:uuid:1", 'FirstC="1"')
    description = xml(places, 'SizeC="2" SizeZ="1" SizeT="1"')
    for name, pixels in zip(("a.ome.tif", "b.ome.tif", "c.ome.tif"), noise(3, 9, 14), strict=True):
        write(tmp_path / name, pixels, description)
    np.testing.assert_array_equal(pages_of(tmp_path / "c.ome.tif"), noise(3, 9, 14)[2:])
    assert "speaks of other files (a.ome.tif, b.ome.tif) and not of this one" in logged(caplog)


def test_a_page_of_another_file_is_not_left_out(tmp_path: Path) -> None:
    places = place("a.ome.tif", "urn:uuid:0") + place("b.ome.tif", "urn:uuid:1", 'FirstC="1"')
    description = xml(places, 'SizeC="2" SizeZ="1" SizeT="1"')
    write(tmp_path / "a.ome.tif", noise(9, 14), description)
    write(tmp_path / "b.ome.tif", noise(2, 9, 14), description)
    for name in ("a.ome.tif", "b.ome.tif"):
        with pytest.raises(FileFormatError, match="its OME-XML names 2 of 3 pages of one size"):
            open_image(tmp_path / name)


def test_an_identifier_without_a_name_means_the_file(tmp_path: Path) -> None:
    file = write(tmp_path / "a.ome.tif", noise(9, 14), xml(place("", "urn:uuid:1")))
    np.testing.assert_array_equal(pages_of(file)[0], noise(9, 14))


# Pages that are stored otherwise than the first


def test_a_page_of_another_type_in_one_stack(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        first = noise(9, 14)
        text = xml("<TiffData/>", 'SizeC="1" SizeZ="2" SizeT="1"')
        writer.write(first, description=text, **GRAY)
        writer.write(first.astype(np.int8), **GRAY)
    with open_image(tmp_path / "a.ome.tif") as image:
        np.testing.assert_array_equal(image.read_plane(z=0), first)
        with pytest.raises(FileFormatError, match="plane 1 is not stored like the first one"):
            image.read_plane(z=1)


def test_strips_of_a_later_page_need_not_follow_on(tmp_path: Path) -> None:
    pixels = noise(2, 8, 14)
    text = xml("<TiffData/>", 'SizeC="1" SizeZ="2" SizeT="1"').replace('SizeY="9"', 'SizeY="8"')
    file = write(tmp_path / "a.ome.tif", pixels, text, rowsperstrip=4)
    data = bytearray(file.read_bytes())
    with tifffile.TiffFile(file) as tif:
        tag = tif.pages[1].tags["StripOffsets"]
        upper, lower = (slice(start, start + 4 * 14) for start in tag.value)
    data[upper], data[lower] = data[lower], data[upper]
    struct.pack_into({3: "<HH", 4: "<II"}[tag.dtype], data, tag.valueoffset, lower.start, upper.start)
    file.write_bytes(data)
    np.testing.assert_array_equal(pages_of(file), pixels)


def test_each_of_many_series_has_its_own_pages(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    with tifffile.TiffWriter(file, ome=True) as tif:
        for number in range(40):
            pages = np.full((2, 4, 4), number, np.uint8) + np.array([0, 100], np.uint8)[:, None, None]
            tif.write(pages, photometric="minisblack", metadata={"axes": "ZYX"})
    for number in (0, 1, 38, 39):
        with open_image(file, scene=number) as image:
            assert len(image.info.scenes) == 40
            assert [int(image.read_plane(z=z).max()) for z in (0, 1)] == [number, number + 100]
