"""Tiny TIFF, PNG and NPY files put together byte by byte, so that they can hold what no writer writes."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import tifffile


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


def tags_of(width: int, length: int, strip: tuple[int, int], **more: int) -> dict[int, tuple[int, int, int]]:
    """Return the tags of a gray page: code → type, count, value."""
    values = {
        256: width,
        257: length,
        258: 8,
        259: 1,
        262: 1,
        273: strip[0],
        277: 1,
        278: length,
        279: strip[1],
    }
    values |= {int(code[1:]): value for code, value in more.items()}
    return {code: (4, 1, value) for code, value in values.items()}


def directory(tags: dict[int, tuple[int, int, int]], following: int) -> bytes:
    entries = b"".join(struct.pack("<HHII", code, *rest) for code, rest in sorted(tags.items()))
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def chain(count: int, last: int = 0) -> bytes:
    """Return a stack of `count` pages of 2 × 2 pixels, the last of which points to the byte `last`."""
    one = directory(tags_of(2, 2, (8, 4)), 0)
    start = 12 + np.arange(count) * len(one)
    table = np.tile(np.frombuffer(one, np.uint8), (count, 1))
    following = np.append(start[1:], last).astype("<u4")
    table[:, -4:] = following.view(np.uint8).reshape(count, 4)
    return struct.pack("<2sHI", b"II", 42, 12) + b"\1\2\3\4" + table.tobytes()


def compressed(width: int, length: int, scheme: int, data: bytes, **more: int) -> bytes:
    """Return a page of one compressed strip."""
    page = directory(tags_of(width, length, (8, len(data)), _259=scheme, **more), 0)
    return struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + page


def with_tag(code: int, kind: int, count: int, value: int) -> bytes:
    page = directory(tags_of(2, 2, (8, 4)) | {code: (kind, count, value)}, 0)
    return struct.pack("<2sHI", b"II", 42, 12) + b"\1\2\3\4" + page


def described(text: str) -> bytes:
    tags = tags_of(2, 2, (8, 4)) | {270: (2, len(text), 12)}
    place = 12 + len(text)
    page = directory(tags, 0)
    return struct.pack("<2sHI", b"II", 42, place) + b"\1\2\3\4" + text.encode() + page


def ome(inside: str, before: str = "", pages: int = 1) -> bytes:
    description = f"{before}<OME>{inside}</OME>"
    pixels = np.zeros((pages, 8, 8), np.uint8)
    return tiff(pixels, photometric="minisblack", description=description, metadata=None)


def image_of(inside: str, z: str = "1", x: str = "8") -> str:
    sizes = f'SizeX="{x}" SizeY="8" SizeC="1" SizeZ="{z}" SizeT="1"'
    return f'<Image><Pixels DimensionOrder="XYCZT" Type="uint8" {sizes}>{inside}</Pixels></Image>'


def along(stop: str) -> str:
    modulo = f'<ModuloAlongZ Type="angle" Start="0" End="{stop}" Step="1"/>'
    return (
        '<StructuredAnnotations><XMLAnnotation ID="a" Namespace="/modulo"><Value><Modulo>'
        f"{modulo}</Modulo></Value></XMLAnnotation></StructuredAnnotations>"
    )


def named(*names: str) -> str:
    """Return an image of one page for each slice, each in a file of its own."""
    places = "".join(
        f'<TiffData FirstZ="{at}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:{at}</UUID></TiffData>'
        for at, name in enumerate(names)
    )
    return image_of(places, z=str(len(names)))


def write_ome_set(folder: Path, planes: np.ndarray, stem: str = "set", axis: str = "C") -> list[Path]:
    """Write an OME-TIFF of several files, a channel or time (N, Y, X) a file, each of which names all."""
    names = [f"{stem}_{axis}{n}.ome.tif" for n in range(len(planes))]
    data = "".join(
        f'<TiffData First{axis}="{n}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:{n}</UUID></TiffData>'
        for n, name in enumerate(names)
    )
    lengths = {"Z": 1, "C": 1, "T": 1, axis: len(planes), "Y": planes.shape[1], "X": planes.shape[2]}
    sizes = " ".join(f'Size{name}="{length}"' for name, length in lengths.items())
    image = f'<Image><Pixels DimensionOrder="XYCZT" Type="{planes.dtype}" {sizes}>{data}</Pixels></Image>'
    for name, plane in zip(names, planes, strict=True):
        (folder / name).write_bytes(tiff(plane, description=f"<OME>{image}</OME>", metadata=None))
    return [folder / name for name in names]


def png(compressed_rows: bytes) -> bytes:
    """Return a gray PNG of 8 × 8 pixels whose checksums are right, whatever its rows are."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    body = chunk(b"IDAT", compressed_rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def deflated(mebibytes: int) -> bytes:
    """Compress a stream of zeros quickly: after a full flush blocks repeat."""
    squeezed = zlib.compressobj()
    first, block = (squeezed.compress(bytes(2**20)) + squeezed.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + block * (mebibytes - 1) + squeezed.flush()


def jpeg_bomb() -> bytes:
    data = bytearray(tiff(np.zeros((16, 16), np.uint8), compression="jpeg"))
    frame = data.index(b"\xff\xc0") + 5
    data[frame : frame + 4] = struct.pack(">HH", 65500, 65500)
    return bytes(data)


def below_itself(branches: int) -> bytes:
    """Return a page whose directories below are all the page itself."""
    page = tags_of(2, 2, (8, 4)) | {330: (4, branches, 12 if branches == 1 else 200)}
    data = struct.pack("<2sHI", b"II", 42, 12) + b"\1\2\3\4" + directory(page, 0)
    return data.ljust(200, b"\0") + struct.pack("<I", 12) * branches


def saved(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def npy_header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue()
