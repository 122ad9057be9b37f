"""Windows of planes: equal to the plane's crop, decoding only the parts that they lie in."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dinocell.errors import FileFormatError, InputError
from dinocell.io.images import open_image
from dinocell.io.planes import MAX_PIXELS
from dinocell.io.readers.lazy import LazyImage
from dinocell.io.saving import write_image
from dinocell.io.selected_planes import read_selected_plane
from dinocell.io.selection import Selection, select_planes
from tests.examples import examples
from tests.fakes.tiff import compressed, directory, tags_of
from tests.fakes.zarr import noise, write_ome_zarr

Array = NDArray[Any]
HEIGHT, WIDTH = 83, 70


def tiff(*shape: int, dtype: str = "uint16", **options: Any) -> Callable[[Path], Path]:
    """Write noise of a shape whose last or first axes are Y and X, as the options say."""

    def write(folder: Path) -> Path:
        tifffile.imwrite(folder / "a.tif", noise(*shape, dtype=dtype), **options)
        return folder / "a.tif"

    return write


def smooth_colours(folder: Path) -> Path:
    """Write what JPEG keeps well enough to differ from place to place."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([2 * y, 3 * x, y + x], axis=-1).astype(np.uint8)
    options: dict[str, Any] = {"tile": (32, 16), "compression": "jpeg", "photometric": "rgb"}
    tifffile.imwrite(folder / "a.tif", pixels, **options)
    return folder / "a.tif"


def pyramid(folder: Path) -> Path:
    """Write an OME-TIFF of 2 times and 3 channels, coarser levels below each page."""
    pixels = noise(2, 3, HEIGHT, WIDTH)
    options: dict[str, Any] = {"tile": (16, 16), "compression": "zlib", "photometric": "minisblack"}
    with tifffile.TiffWriter(folder / "a.ome.tif", ome=True, bigtiff=True) as writer:
        writer.write(pixels, subifds=1, metadata={"axes": "TCYX"}, **options)
        writer.write(pixels[..., ::2, ::2], subfiletype=1, **options)
    return folder / "a.ome.tif"


def several(**options: Any) -> Callable[[Path], Path]:
    """Write an OME-TIFF of which each time is in a file of its own."""

    def write(folder: Path) -> Path:
        data = "".join(
            f'<TiffData FirstT="{at}" IFD="0" PlaneCount="1">'
            f'<UUID FileName="{at}.ome.tif">urn:uuid:{at}</UUID></TiffData>'
            for at in range(2)
        )
        sizes = f'SizeX="{WIDTH}" SizeY="{HEIGHT}" SizeC="1" SizeZ="1" SizeT="2"'
        pixels = f'<Pixels DimensionOrder="XYCZT" Type="uint16" {sizes}>{data}</Pixels>'
        xml = f'<OME UUID="urn:uuid:0"><Image>{pixels}</Image></OME>'
        for at, plane in enumerate(noise(2, HEIGHT, WIDTH)):
            tifffile.imwrite(folder / f"{at}.ome.tif", plane, description=xml, metadata=None, **options)
        return folder / "0.ome.tif"

    return write


def sparse(folder: Path) -> Path:
    """Write tiles of which one of two is left out of the file."""
    tiles = [None if at % 2 else noise(16, 16) for at in range(6 * 5)]
    options: dict[str, Any] = {"tile": (16, 16), "compression": "zlib"}
    tifffile.imwrite(folder / "a.tif", iter(tiles), shape=(HEIGHT, WIDTH), dtype="uint16", **options)
    return folder / "a.tif"


def differences(folder: Path) -> Path:
    """Write a page of one strip, uncompressed, each value less the one on its left."""
    data = noise(HEIGHT, WIDTH, dtype="uint8").tobytes()
    (folder / "a.tif").write_bytes(compressed(WIDTH, HEIGHT, 1, data, _317=2))
    return folder / "a.tif"


def omezarr(axes: str, version: str, dtype: str = "uint16") -> Callable[[Path], Path]:
    """Write noise in chunks that do not divide the plane."""

    def write(folder: Path) -> Path:
        sizes = {"t": 2, "c": 2, "z": 3, "y": HEIGHT, "x": WIDTH}
        chunks = tuple({"y": 17, "x": 31}.get(axis, 2) for axis in axes)
        pixels = noise(*(sizes[axis] for axis in axes), dtype=np.dtype(dtype).name).astype(dtype)
        return write_ome_zarr(folder / "a.zarr", pixels, axes, version=version, chunks=chunks)

    return write


def sharded(folder: Path) -> Path:
    """Write chunks of 8 × 16 pixels in shards of 32 × 32."""
    zarr = pytest.importorskip("zarr")
    pixels = noise(3, HEIGHT, WIDTH)
    write_ome_zarr(folder / "a.zarr", pixels, "zyx", version="0.5")
    shutil.rmtree(folder / "a.zarr" / "0")
    array = zarr.create_array(
        folder / "a.zarr" / "0", shape=pixels.shape, dtype="uint16", chunks=(1, 8, 16), shards=(2, 32, 32)
    )
    array[...] = pixels
    return folder / "a.zarr"


def png(folder: Path) -> Path:
    write_image(folder / "a.png", noise(HEIGHT, WIDTH, 3, dtype="uint8"))
    return folder / "a.png"


def npy(folder: Path) -> Path:
    np.save(folder / "a.npy", noise(WIDTH, HEIGHT).astype(">u2").T)
    return folder / "a.npy"


PLANE, WHOLE = (HEIGHT, WIDTH), (HEIGHT, WIDTH)
COLOURS: dict[str, Any] = {"photometric": "rgb"}
GRAY: dict[str, Any] = {"photometric": "minisblack"}
# writer, and the rows and columns that are decoded at a time
KINDS: dict[str, tuple[Callable[[Path], Path], tuple[int, int]]] = {
    "as it is": (tiff(*PLANE), (1, WIDTH)),
    "as it is, big-endian": (tiff(*PLANE, byteorder=">", bigtiff=True), (1, WIDTH)),
    "as it is, strips": (tiff(*PLANE, rowsperstrip=5), (1, WIDTH)),
    "as it is, colours": (tiff(*PLANE, 3, dtype="uint8", **COLOURS), (1, WIDTH)),
    "as it is, planar": (tiff(3, *PLANE, planarconfig="separate", **COLOURS), (1, WIDTH)),
    "as it is, 5 samples": (tiff(*PLANE, 5, planarconfig="contig", **GRAY), (1, WIDTH)),
    "ImageJ": (tiff(2, 3, 2, *PLANE, imagej=True, metadata={"axes": "TZCYX"}), (1, WIDTH)),
    "ImageJ, one header": (tiff(4, *PLANE, imagej=True, truncate=True), (1, WIDTH)),
    "uncompressed tiles": (tiff(*PLANE, tile=(32, 16)), (32, 16)),
    "uncompressed big-endian tiles": (tiff(*PLANE, tile=(32, 16), byteorder=">"), (32, 16)),
    "tiles larger than the plane": (tiff(*PLANE, tile=(96, 128), compression="zlib"), WHOLE),
    "strips": (tiff(*PLANE, rowsperstrip=7, compression="zlib"), (7, WIDTH)),
    "strip": (tiff(*PLANE, compression="zlib", rowsperstrip=2**30), WHOLE),
    "predictor": (tiff(*PLANE, tile=(16, 32), compression="zlib", predictor=True), (16, 32)),
    "float predictor": (
        tiff(*PLANE, dtype="float32", rowsperstrip=9, compression="zlib", predictor=True),
        (9, WIDTH),
    ),
    "predictor without compression": (differences, WHOLE),
    "LZW": (tiff(*PLANE, 4, dtype="uint8", tile=(16, 16), compression="lzw", **COLOURS), (16, 16)),
    "planar tiles": (
        tiff(3, *PLANE, planarconfig="separate", tile=(16, 32), compression="zlib", **COLOURS),
        (16, 32),
    ),
    "bits": (tiff(*PLANE, dtype="bool", rowsperstrip=7), (7, WIDTH)),
    "JPEG": (smooth_colours, (32, 16)),
    "JPEG 2000": (tiff(*PLANE, tile=(32, 32), compression="jpeg2000"), (32, 32)),
    "left out": (sparse, (16, 16)),
    "pyramid": (pyramid, (16, 16)),
    "OME stack": (
        tiff(2, 3, *PLANE, ome=True, metadata={"axes": "ZTYX"}, tile=(16, 16), **GRAY),
        (16, 16),
    ),
    "several files": (several(), (1, WIDTH)),
    "several files of tiles": (several(tile=(32, 16), compression="lzw"), (32, 16)),
    "turned": (tiff(WIDTH, HEIGHT, rowsperstrip=7, compression="zlib", metadata={"axes": "XY"}), (HEIGHT, 7)),
    "volume tiles": (tiff(6, *PLANE, volumetric=True, tile=(2, 16, 16), compression="zlib"), WHOLE),
    "zarr 0.4": (omezarr("tczyx", "0.4"), (17, 31)),
    "zarr 0.5": (omezarr("tczyx", "0.5", ">f4"), (17, 31)),
    "zarr 0.4, x first": (omezarr("cxy", "0.4"), (17, 31)),
    "zarr 0.5, x first": (omezarr("xzy", "0.5"), (17, 31)),
    "shards": (sharded, (8, 16)),
    "PNG": (png, WHOLE),
    "NPY": (npy, WHOLE),
}  # fmt: skip
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], LazyImage]]:
    """Write and open each kind once."""
    images: dict[str, LazyImage] = {}

    def open_kind(kind: str) -> LazyImage:
        if kind not in images:
            if "zarr" in kind:
                pytest.importorskip("zarr")
            images[kind] = open_image(KINDS[kind][0](tmp_path_factory.mktemp("kind")))
        return images[kind]

    yield open_kind
    for image in images.values():
        image.close()


def ranges(length: int) -> st.SearchStrategy[slice]:
    """Draw ranges within a length that are not empty, often at its ends."""
    bounds = st.lists(
        st.integers(0, length) | st.sampled_from([0, length]), min_size=2, max_size=2, unique=True
    )
    return bounds.map(lambda pair: slice(min(pair), max(pair)))


@EVERY_KIND
@examples(10, search=50)
@given(rows=ranges(HEIGHT), columns=ranges(WIDTH), data=st.data())
def test_a_window_is_the_crop_of_the_plane(
    opened: Callable[[str], LazyImage], kind: str, rows: slice, columns: slice, data: st.DataObject
) -> None:
    image = opened(kind)
    assert image.info.shape[3:] == PLANE
    place = tuple(data.draw(st.integers(0, count - 1)) for count in image.info.shape[:3])
    window, expected = image.read_window(rows, columns, *place), image.read_plane(*place)[rows, columns]
    assert window.dtype == expected.dtype
    assert window.dtype.isnative
    assert window.flags.c_contiguous
    np.testing.assert_array_equal(window, expected)


@EVERY_KIND
def test_what_is_decoded_at_a_time(opened: Callable[[str], LazyImage], kind: str) -> None:
    assert opened(kind).chunk_shape == KINDS[kind][1]


@EVERY_KIND
def test_bounds_left_out_are_those_of_the_plane(opened: Callable[[str], LazyImage], kind: str) -> None:
    image = opened(kind)
    whole = image.read_window(slice(None), slice(0, None, 1))
    np.testing.assert_array_equal(whole, image.read_plane())
    whole[...] = 0  # no other caller shares it
    assert image.read_window(slice(None), slice(None)).any()


@pytest.mark.parametrize("kind", ["PNG", "NPY", "volume tiles"])
def test_a_window_does_not_keep_its_plane(opened: Callable[[str], LazyImage], kind: str) -> None:
    window = opened(kind).read_window(slice(2), slice(None))
    held: Any = window
    while held is not None:
        assert held.nbytes == window.nbytes
        held = held.base


@pytest.mark.parametrize(
    "bounds",
    [slice(0, 0), slice(5, 3), slice(-3, None), slice(0, HEIGHT + 1), slice(0, 9, 2), slice(9, 0, -1)],
)
@pytest.mark.parametrize("kind", ["as it is", "LZW", "zarr 0.4", "PNG"])
def test_windows_that_are_not_there(opened: Callable[[str], LazyImage], kind: str, bounds: slice) -> None:
    image = opened(kind)
    with pytest.raises(InputError, match=rf" has no rows {bounds.start}:.*, expected a range within 0:83 "):
        image.read_window(bounds, slice(None))
    with pytest.raises(InputError, match=r" has no columns .*, expected a range within 0:70 "):
        image.read_window(slice(None), bounds)
    with pytest.raises(InputError, match=r" has no time 7, expected one from 0 to "):
        image.read_window(slice(None), slice(None), t=7)


@pytest.mark.parametrize("kind", ["zarr 0.4", "ImageJ", "pyramid", "LZW"])
@pytest.mark.parametrize("projection", [None, "max", "mean"])
def test_projections_of_windows(opened: Callable[[str], LazyImage], kind: str, projection: Any) -> None:
    image, window = opened(kind), (slice(10, 40), slice(30, WIDTH))
    channel = image.info.shape[1] * image.info.samples - 1
    for plane in select_planes(image, Selection(projection=projection, all_planes=True)):
        whole, part = (
            read_selected_plane(image, plane, channel),
            read_selected_plane(image, plane, channel, window),
        )
        assert part.dtype == whole.dtype
        np.testing.assert_array_equal(part, whole[window])


# Only what is needed


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_damage_of_a_far_chunk_goes_unseen(tmp_path: Path, version: str) -> None:
    pixels = noise(64, 96)
    folder = write_ome_zarr(tmp_path / "a.zarr", pixels, "yx", version=version, chunks=(16, 32))
    (folder / "0" / ("c/3/2" if version == "0.5" else "3/2")).write_bytes(b"damage")
    with open_image(folder) as image:
        np.testing.assert_array_equal(image.read_window(slice(48), slice(None)), pixels[:48])
        np.testing.assert_array_equal(image.read_window(slice(None), slice(64)), pixels[:, :64])
        for read in (image.read_plane, lambda: image.read_window(slice(47, 49), slice(63, 65))):
            with pytest.raises(FileFormatError, match=r"a\.zarr is a damaged or unsupported OME-Zarr"):
                read()


def test_damage_of_a_far_chunk_in_the_same_shard_goes_unseen(tmp_path: Path) -> None:
    folder = sharded(tmp_path)
    shard = folder / "0" / "c" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    # the index of 2 × 4 × 2 chunks: offsets and sizes, then a checksum; the chunk (0, 3, 1) is the eighth
    start, size = np.frombuffer(content[-(16 * 16 + 4) : -4], "<u8").reshape(16, 2)[7].tolist()
    content[start : start + size] = bytes(size)
    shard.write_bytes(content)
    with open_image(folder) as image:
        window = image.read_window(slice(24), slice(32))
        np.testing.assert_array_equal(window, noise(3, HEIGHT, WIDTH)[0, :24, :32])
        with pytest.raises(FileFormatError, match=r"a\.zarr is a damaged"):
            image.read_window(slice(25), slice(32))


def test_a_shard_whose_index_asks_for_too_much(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    folder = write_ome_zarr(tmp_path / "a.zarr", noise(32, 32), "yx", version="0.5")
    shutil.rmtree(folder / "0")
    array = zarr.create_array(
        folder / "0",
        shape=(32, 32),
        dtype="uint16",
        chunks=(16, 16),
        shards={"shape": (32, 32), "index_location": "start"},
        serializer="auto",
    )
    array[...] = noise(32, 32)
    metadata = folder / "0" / "zarr.json"
    described = json.loads(metadata.read_text())
    described["codecs"][0]["configuration"]["index_codecs"] = [
        {"name": "bytes", "configuration": {"endian": "little"}}
    ]
    metadata.write_text(json.dumps(described))
    shard = folder / "0" / "c" / "0" / "0"
    index = np.array([[64, 2**40], [64, 10], [64, 10], [64, 10]], "<u8")
    shard.write_bytes(index.tobytes() + bytes(10))
    with (
        open_image(folder) as image,
        pytest.raises(FileFormatError, match="c/0/0 has more than 2147483648 bytes"),
    ):
        image.read_window(slice(8), slice(8))


@pytest.mark.parametrize("options", [{"tile": (16, 32)}, {"rowsperstrip": 16}])
@pytest.mark.parametrize("damage", ["bytes", "offset"])
def test_damage_of_a_far_tile_goes_unseen(tmp_path: Path, options: dict[str, Any], damage: str) -> None:
    pixels, file = noise(64, 96), tmp_path / "a.tif"
    tifffile.imwrite(file, pixels, compression="zlib", **options)
    with tifffile.TiffFile(file) as tif:
        page = tif.pages.first
        start, size = page.dataoffsets[-1], page.databytecounts[-1]
        tag = page.tags["TileOffsets" if "tile" in options else "StripOffsets"]
    content = bytearray(file.read_bytes())
    if damage == "bytes":
        content[start : start + size] = bytes(size)
    else:
        at = tag.valueoffset + 4 * (tag.count - 1)
        content[at : at + 4] = (2**31).to_bytes(4, "little")
    file.write_bytes(content)
    with open_image(file) as image:
        np.testing.assert_array_equal(image.read_window(slice(48), slice(None)), pixels[:48])
        for read in (image.read_plane, lambda: image.read_window(slice(47, 49), slice(60, 70))):
            with pytest.raises(FileFormatError, match=r"a\.tif is a damaged or unsupported TIFF"):
                read()


def test_a_part_coded_as_a_large_image(tmp_path: Path) -> None:
    file = smooth_colours(tmp_path)
    content = bytearray(file.read_bytes())
    frame = content.rindex(b"\xff\xc0") + 5  # of the last tile
    content[frame : frame + 4] = (65500).to_bytes(2, "big") * 2
    file.write_bytes(content)
    with open_image(file) as image:
        assert image.read_window(slice(64), slice(64)).any()
        with pytest.raises(FileFormatError, match="a part of it is coded as 65500 × 65500 pixels"):
            image.read_window(slice(64, 66), slice(64, 66))


def test_rows_beyond_the_end_of_a_cut_file(tmp_path: Path) -> None:
    file = tiff(*PLANE)(tmp_path)
    with open_image(file) as image, file.open("r+b") as stream:
        image.read_window(slice(2), slice(3))
        stream.truncate(1000)
        with pytest.raises(FileFormatError, match=r"a\.tif is a damaged .*failed to read"):
            image.read_window(slice(80, 82), slice(3))
        with pytest.raises(FileFormatError, match=r"a\.tif is a damaged .*it changed while it was read"):
            image.read_window(slice(2), slice(3))


# Planes that do not fit


def terapixel_zarr(folder: Path, version: str, fill: int) -> Path:
    """Write a plane of 10¹² pixels, no chunk of which is stored."""
    zarr = pytest.importorskip("zarr")
    write_ome_zarr(folder, noise(2, 2), "yx", version=version)
    shutil.rmtree(folder / "0")
    zarr.create_array(
        folder / "0",
        shape=(10**6, 10**6),
        chunks=(512, 512),
        dtype="uint16",
        fill_value=fill,
        zarr_format=3 if version == "0.5" else 2,
    )
    return folder


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_terapixel_zarr_is_read_in_windows(tmp_path: Path, version: str) -> None:
    folder = terapixel_zarr(tmp_path / "a.zarr", version, 7)
    with pytest.raises(FileFormatError, match="1000000 × 1000000 pixels, expected 1 to 2147483648 a plane"):
        open_image(folder)
    with open_image(folder, windows=True) as image:
        assert image.info.shape == (1, 1, 1, 10**6, 10**6)
        window = image.read_window(slice(10**6 - 700, None), slice(10**6 - 300, None))
        np.testing.assert_array_equal(window, np.full((700, 300), 7, np.uint16))
        with pytest.raises(
            FileFormatError, match="expected 1 to 2147483648 a plane: segment it with `dinocell"
        ):
            image.read_plane()
        with pytest.raises(
            InputError, match="has 1000000000000 pixels, expected at most 2147483648: read sm"
        ):
            image.read_window(slice(None), slice(None))


def write_giant_tiff(file: Path, side: int, **more: Any) -> None:
    """Write a square of tiles of 16 × `side`, all left out but the first and last, of the values 5 and 9."""
    rows = side // 16

    def tiles() -> Iterator[Array | None]:
        yield np.full((16, side), 5, np.uint8)
        yield from (None for _ in range(rows - 2))
        yield np.full((16, side), 9, np.uint8)

    options: dict[str, Any] = {"tile": (16, side), "compression": "zlib", "bigtiff": True, **more}
    tifffile.imwrite(file, tiles(), shape=(side, side), dtype="uint8", **options)


def test_a_giant_tiff_is_read_in_windows(tmp_path: Path) -> None:
    write_giant_tiff(tmp_path / "a.tif", 2**16)
    with pytest.raises(
        FileFormatError, match=f"65536 × 65536 pixels, expected 1 to {MAX_PIXELS} a plane: exp"
    ):
        open_image(tmp_path / "a.tif")
    with open_image(tmp_path / "a.tif", windows=True) as image:
        window = image.read_window(slice(2**16 - 17, None), slice(2**16 - 2, None))
        np.testing.assert_array_equal(window, np.repeat([[0, 0], [9, 9]], [1, 16], axis=0))
        assert (image.read_window(slice(15, 17), slice(2)) == [[5], [0]]).all()
        with pytest.raises(FileFormatError, match="a plane: segment it with `dinocell segment-large`"):
            image.read_plane()


def test_a_giant_tiff_stored_as_it_is(tmp_path: Path) -> None:
    side, file = 2**16, tmp_path / "a.tif"
    page = io.BytesIO()
    page.write(b"II*\0" + (8).to_bytes(4, "little"))
    page.write(directory(tags_of(side, side // 2 + 1, (4096, side * (side // 2 + 1))), 0))
    file.write_bytes(page.getvalue())
    with file.open("r+b") as stream:  # a sparse file
        stream.truncate(4096 + side * (side // 2 + 1))
        stream.seek(-3, 2)
        stream.write(b"\1\2\3")
    with open_image(file, windows=True) as image:
        assert image.chunk_shape == (1, side)
        window = image.read_window(slice(-(-side // 2) - 1, None), slice(side - 4, None))
        np.testing.assert_array_equal(window, [[0, 0, 0, 0], [0, 1, 2, 3]])


@pytest.mark.parametrize(
    "more",
    [{"_259": 8}, {"_259": 8, "_32997": 2, "_278": 16}, {"_259": 1, "_317": 2}],
    ids=["one strip", "depth", "predictor"],
)
def test_giant_planes_that_are_only_read_whole_stay_refused(tmp_path: Path, more: dict[str, int]) -> None:
    page = directory(tags_of(2**16, 2**16, (8, 4), **more), 0)
    (tmp_path / "a.tif").write_bytes(b"II*\0" + (8).to_bytes(4, "little") + page)
    with pytest.raises(FileFormatError, match="65536 × 65536 pixels, expected 1 to 2147483648 a plane"):
        open_image(tmp_path / "a.tif", windows=True)


def test_a_terapixel_that_a_tiff_only_claims(tmp_path: Path) -> None:
    page = directory(tags_of(10**6, 10**6, (8, 4)), 0)
    (tmp_path / "a.tif").write_bytes(b"II*\0" + (8).to_bytes(4, "little") + page)
    with pytest.raises(FileFormatError, match="it says it has 1 pages, the last are missing"):
        open_image(tmp_path / "a.tif", windows=True)


def test_other_formats_open_as_without_windows(tmp_path: Path) -> None:
    with open_image(png(tmp_path), windows=True) as image:
        np.testing.assert_array_equal(image.read_plane(), noise(HEIGHT, WIDTH, 3, dtype="uint8"))
