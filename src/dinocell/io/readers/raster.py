"""PNG, JPEG and BMP: files that hold one plane."""

import logging
import struct
import zlib
from abc import abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from dinocell.errors import FileFormatError
from dinocell.io.planes import MAX_PIXELS, Pixels, check_size
from dinocell.io.readers.lazy import ImageInfo, LazyImage
from dinocell.io.readers.naming import choose_scene
from dinocell.io.readers.reader import Reader

logger = logging.getLogger(__name__)

_MAX_BYTES = 2**32  # these files are read whole
_SLACK = 2**20  # bytes that a PNG may inflate to beyond its pixels
_SMALL = 2**16  # bytes of a file whose data need not be followed: they inflate to 64 MiB at most
_DEFLATE_RATIO = 1032  # at most, by the format; all values the same
_MUCH, _BLANK_RATIO = 2**29, 500  # bytes of pixels that take seconds, for an image of nothing
_QUICK = 2**26  # pixels that are decoded at once, whatever the file claims
_JPEG_RATIO = 2**13  # pixels a byte at most: one bit a block of 32 × 32, which sampling may spread 8 × 8 over
_JPEG_SCANS = 100  # of a progressive file that is not small; each takes as long as the whole image
_BMP_RATIO = 2**8  # pixels a byte at most, of runs of 255 in two bytes
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by kind of colour


class RasterReader(Reader):
    """Reader of files that are decoded as a whole."""

    @abstractmethod
    def decode(self, data: bytes, file: Path) -> Pixels:
        """Decode the bytes of a file, which the errors name."""

    def open(self, file: Path, scene: int | str, largest: int = MAX_PIXELS) -> LazyImage:
        """Open a PNG, JPEG or BMP file.

        Parameters
        ----------
        file : path
        scene : int or str
            There is one, of the name of the file.
        largest : int
            Not used: the plane is read whole.

        Raises
        ------
        FileFormatError
            If it is too large, or a CMYK JPEG.
        InputError
            If another scene is asked for.
        """
        pixels = self.read(file)
        return RasterImage(
            self, file, single_plane(file, self.name, pixels.shape, pixels.dtype, scene), pixels
        )

    def read(self, file: Path) -> Pixels:
        """Read and decode a file."""
        size = file.stat().st_size
        if size > _MAX_BYTES:
            raise FileFormatError(
                f"{file} has {size} bytes, expected at most {_MAX_BYTES} in a {self.name} file: "
                "save it as a tiled TIFF"
            )
        return self.decode(file.read_bytes(), file)


class RasterImage(LazyImage):
    """One plane of a PNG, JPEG or BMP file. Parameters and errors as in `LazyImage`."""

    def __init__(self, reader: RasterReader, path: Path, info: ImageInfo, pixels: Pixels) -> None:
        super().__init__(path, info)
        self._reader = reader
        self._pixels: Pixels | None = pixels

    def _read(self, t: int, c: int, z: int) -> Pixels:
        # the pixels decoded for the shape are returned once, so that no two callers share them
        pixels, self._pixels = self._pixels, None
        return self._reader.read(self.path) if pixels is None else pixels


def single_plane(
    file: Path, kind: str, shape: tuple[int, ...], dtype: np.dtype[Any], scene: int | str
) -> ImageInfo:
    """Describe a file that holds one plane (Y, X), or (Y, X, S) in colour, without further metadata.

    Raises
    ------
    InputError
        If another scene is asked for than the one there is, which has the name of the file.
    """
    scenes = (file.stem,)
    height, width, *samples = shape
    return ImageInfo(
        format=kind,
        scenes=scenes,
        scene=choose_scene(scenes, scene, file),
        shape=(1, 1, 1, height, width),
        samples=samples[0] if samples else 1,
        dtype=dtype,
    )


class PngReader(RasterReader):
    """Reader of PNG."""

    name = "PNG"
    magic = (b"\x89PNG\r\n\x1a\n",)
    suffixes = (".png",)

    def decode(self, data: bytes, file: Path) -> Pixels:
        """Decode a PNG, once its checksums and the length of its data are known to be right."""
        return _decode_png(data, file)


def _decode_png(data: bytes, file: Path) -> Pixels:
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    check_size(height, width, file)
    needed = height * (1 + width * depth * _PNG_SAMPLES[colour] // 8)
    position, name, kept = 8, b"", [data[:8]]
    inflating, left = zlib.decompressobj(), 2 * needed + _SLACK
    is_long = len(data) > _SMALL
    if needed > _DEFLATE_RATIO * len(data):
        raise ValueError(f"{len(data)} bytes cannot hold {height} × {width} pixels")
    if needed > max(_MUCH, _BLANK_RATIO * len(data)):
        raise FileFormatError(
            f"{file} holds {needed >> 20} MiB of pixels in {len(data) >> 10} KiB, which are blank but for a "
            "few: save it as a tiled TIFF"
        )
    while name != b"IEND":  # libpng lets some damage pass, and prints about chunks that pixels do not need
        length, name = struct.unpack(">I4s", data[position : position + 8])
        end = position + 8 + length
        if struct.unpack(">I", data[end : end + 4]) != (zlib.crc32(data[position + 4 : end]),):
            raise ValueError("a checksum is wrong")
        if name in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            kept.append(data[position : end + 4])
        for start in range(position + 8, end, _SLACK // 16) if is_long and name == b"IDAT" else ():
            # libpng inflates what goes beyond the pixels, for as long as it takes
            left -= len(inflating.decompress(data[start : min(start + _SLACK // 16, end)], left + 1))
            if left < 0:
                raise ValueError("it inflates to more than its pixels")
        position = end + 4
    import imagecodecs

    pixels: Pixels = imagecodecs.png_decode(b"".join(kept))
    if pixels.shape[2:] == (2,):
        pixels = pixels[..., 0]
    if pixels.ndim == 2 and depth < 8:  # the decoder spreads 1, 2 and 4 bits over 0–255
        pixels = pixels // (255 // (2**depth - 1))
        return pixels.astype(bool) if depth == 1 else pixels
    return pixels


def _check_ratio(height: int, width: int, size: int, ratio: int) -> None:
    """Raise ValueError for a large image that the file could not hold, before memory is taken for it."""
    if abs(height * width) > max(_QUICK, ratio * size):
        raise ValueError(f"{size} bytes cannot hold {abs(height)} × {abs(width)} pixels")


class JpegReader(RasterReader):
    """Reader of JPEG."""

    name = "JPEG"
    magic = (b"\xff\xd8\xff",)
    suffixes = (".jpg", ".jpeg")
    keeps_ids = False

    def decode(self, data: bytes, file: Path) -> Pixels:
        """Decode a JPEG whose end is there."""
        return _decode_jpeg(data, file)


def _decode_jpeg(data: bytes, file: Path) -> Pixels:
    height, width, samples, _, scan = jpeg_header(data)
    check_size(height, width, file)
    if samples not in (1, 3):
        raise FileFormatError(f"{file} is a CMYK JPEG, expected gray or RGB: convert it to RGB")
    if data.find(b"\xff\xd9", scan) < 0:  # libjpeg would fill the rest with gray
        raise ValueError("the end of the image is missing")
    _check_ratio(height, width, len(data), _JPEG_RATIO)
    if height * width > _QUICK and data.count(b"\xff\xda") > _JPEG_SCANS:
        raise ValueError(f"it has more than {_JPEG_SCANS} scans")
    import imagecodecs

    pixels: Pixels = imagecodecs.jpeg8_decode(data)
    return pixels


class JpegHeader(NamedTuple):
    """Header of a JPEG stream; `scan` is where its pixels begin, height and width 0 are not known."""

    height: int
    width: int
    samples: int
    precision: int
    scan: int


def jpeg_header(data: bytes) -> JpegHeader:
    """Read the header of a JPEG stream.

    Raises
    ------
    ValueError, struct.error
        If it is damaged.
    """
    height = width = samples = precision = 0
    position, marker = 2, 0
    while marker != 0xDA:  # the segments before the scan have a length
        prefix, marker, length = struct.unpack(">BBH", data[position : position + 4])
        if prefix == marker == 0xFF:  # a fill byte
            position += 1
            continue
        if prefix != 0xFF:
            raise ValueError("segment marker expected")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame = struct.unpack(">HHB", data[position + 5 : position + 10])
            height, width, samples = max(height, frame[0]), max(width, frame[1]), frame[2]
            precision = data[position + 4]
        position += 2 + length
    return JpegHeader(height, width, samples, precision, position)


def _check_bmp_bytes(data: bytes, pixels: int) -> int:
    """Check that the header, palette and pixels of a BMP fit one another and the file.

    Bytes beyond the end that the header gives are ignored. Up to that end the pixels may be followed by
    colour profiles and padding, or by pixels whose rows or columns a damaged header leaves out.

    Parameters
    ----------
    data : bytes
        Content of the file.
    pixels : int
        Bytes of the pixels, computed from width, height and bits.

    Returns
    -------
    int
        Number of bytes after the pixels that may be pixels as well.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    (said_end,) = struct.unpack("<I", data[2:6])
    start, header, bits, said_pixels, colours = struct.unpack("<II10xH4xI8xI", data[10:50])
    palette = 14 + header + (4 * (colours or 2**bits) if bits <= 8 else 0)
    if start + pixels > len(data):
        raise ValueError("the end of the image is missing")
    end = said_end if start + pixels <= said_end < len(data) else len(data)
    left = end - start - pixels
    is_odd = left > 3 and said_pixels - pixels not in range(4)  # both end at a multiple of 4 in some files
    if start < palette or (bits <= 8 and start - palette > 3) or (is_odd and said_pixels):
        raise ValueError("its header does not fit its pixels")
    return left if is_odd else 0


class BmpReader(RasterReader):
    """Reader of BMP."""

    name = "BMP"
    magic = (b"BM",)
    suffixes = (".bmp",)
    keeps_ids = False

    def decode(self, data: bytes, file: Path) -> Pixels:
        """Decode a BMP; warn where its header may be damaged."""
        return _decode_bmp(data, file)


def _decode_bmp(data: bytes, file: Path) -> Pixels:
    header, width, height, bits, compression, colours = struct.unpack("<Iii2xHI12xI", data[14:50])
    # OpenCV would print about the last two
    if not 40 <= header <= 124 or compression > 3 or colours > 256:
        raise ValueError("unknown header")
    check_size(abs(height), abs(width), file)
    _check_ratio(height, width, len(data), _BMP_RATIO)
    if compression in (0, 3) and (
        more := _check_bmp_bytes(data, (width * bits + 31) // 32 * 4 * abs(height))
    ):
        logger.warning(
            "%s: it has %d bytes after its pixels, its height or width may be damaged: compare what is read "
            "with the original",
            file,
            more,
        )
    # imagecodecs crashes on damaged BMP files
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("OpenCV cannot decode it")
    return pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
