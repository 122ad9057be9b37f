"""Read and write image and label files: the one place that knows file formats.

The format is told by a file's content, not by its name. Values are never rescaled; colours are R, G, B.
"""

import itertools
import logging
import math
import os
import re
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from dinocell.errors import DINOCellError, FileFormatError, FileMissingError, InputError, OutputError
from dinocell.labels import Labels, validate_labels

IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")
"""Names of the files that a folder is searched for."""

MAX_PIXELS = 2**31
"""A plane of more pixels (height × width) is refused from its header, before memory is taken."""

PathLike = str | os.PathLike[str]
Pixels = NDArray[Any]

_MAGIC = {
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
}
# What the libraries were seen to raise on damaged files: imagecodecs' own errors are RuntimeErrors, those of
# an XML parser SyntaxErrors.
_DATA_ERRORS = (ArithmeticError, LookupError, TypeError, ValueError)
_DECODE_ERRORS = (*_DATA_ERRORS, AssertionError, MemoryError, OSError, RuntimeError, cv2.error, struct.error)
_METADATA_ERRORS = (*_DATA_ERRORS, AttributeError, SyntaxError)
# tifffile logs the damage that it works around as errors. These leave the pixels alone: broken OME-XML,
# superfluous strips, private tags.
_HARMLESS = re.compile(r"OME series raised|incorrect Strip|TiffTag \d{5} ")
_OTHER_COLOURS = (5, 6, 8, 9, 10, 32845)  # TIFF's CMYK, YCbCr, Lab (three of them) and LogLuv
_JPEG = (6, 7)  # compressions that tifffile decodes from YCbCr to RGB
_MICROMETRES = dict.fromkeys(("µm", "μm", "\\u00B5m", "um", "micron", "microns"), 1.0) | {
    "nm": 1e-3,
    "mm": 1e3,
}
_COARSEST_UM = 10.0  # resolution tags that give larger pixels speak of paper: 72 or 300 dots per inch


@dataclass(frozen=True, eq=False)
class Image:
    """One plane of an image file.

    Attributes
    ----------
    pixels : array, shape (Y, X) or (Y, X, C)
        Booleans, integers or floats in the file's own dtype, native byte order.
    axes : str
        ``"YX"`` or ``"YXC"``.
    pixel_size_um : float or None
        Edge of the square pixels in micrometres; None where the file does not say it of the specimen.
    channel_names : tuple of str
        One a channel where the file names them, else empty.
    """

    pixels: Pixels
    axes: str
    pixel_size_um: float | None = None
    channel_names: tuple[str, ...] = ()


def read_image(path: PathLike, *, channel: int | None = None, page: int | None = None) -> Image:
    """Read one plane of a TIFF, PNG, JPEG or BMP file.

    Palette PNG and BMP become RGB; a palette TIFF, where it is a lookup table, stays as stored. Alpha is kept
    beside RGB and dropped beside gray. Orientation tags are not applied, so that images and masks agree.

    Parameters
    ----------
    path : path
        The file.
    channel : int, optional
        Keep this channel only, counted from 0.
    page : int, optional
        Plane of a stack, counted from 0 over all axes but Y, X and channels, the last one fastest.

    Returns
    -------
    Image
        Pixels (Y, X), or (Y, X, C) where the file has several channels and none was chosen.

    Raises
    ------
    FileMissingError
        If there is no such file.
    FileFormatError
        If it is a folder, empty, damaged, incomplete, too large, of another format, or not of real numbers.
    InputError
        If it is a stack and `page` is not given, or `page` or `channel` is out of range.
    """
    file = Path(path)
    kind = _detect_format(file)
    try:
        if kind == "TIFF":
            pixels, pixel_size_um, names = _read_tiff(file, page, channel)
        else:
            pixels, pixel_size_um, names = _read_flat(file, kind, page, channel), None, ()
    except DINOCellError:
        raise
    except _DECODE_ERRORS as exc:
        detail = " ".join(f"{exc}".split())[:120] or type(exc).__name__
        raise FileFormatError(
            f"{file} is a damaged or unsupported {kind} file ({detail}), expected one complete image: "
            "copy it again or save it as a plain TIFF"
        ) from exc
    if pixels.dtype.kind not in "buif":
        raise FileFormatError(
            f"{file} has {pixels.dtype} pixels, expected booleans, integers or floats: save their magnitude"
        )
    return Image(np.ascontiguousarray(pixels), "YXC"[: pixels.ndim], pixel_size_um, names)


def read_labels(path: PathLike, *, page: int | None = None) -> Labels:
    """Read a label image from a TIFF or PNG file, every id as stored.

    Parameters
    ----------
    path : path
        A file of integers, booleans (one cell), or floats that are whole numbers.
    page : int, optional
        Plane of a stack, as in `read_image`.

    Returns
    -------
    int32 array, shape (Y, X)

    Raises
    ------
    FileMissingError
        If there is no such file.
    FileFormatError
        If it cannot be read, is a JPEG or BMP, or holds colours or fractions instead of ids.
    InputError
        If `page` is missing or out of range, or ids do not fit int32.
    """
    file = Path(path)
    remedy = "expected one plane of ids: save labels as a 16-bit gray TIFF or PNG"
    kind = _detect_format(file)
    if kind not in ("TIFF", "PNG"):
        raise FileFormatError(f"{file} is a {kind} file, which does not keep ids as they are, {remedy}")
    pixels = read_image(file, page=page).pixels
    if pixels.ndim == 3:
        raise FileFormatError(f"{file} has {pixels.shape[2]} channels (colours are no ids), {remedy}")
    if pixels.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            ids = pixels.astype(np.int64)
        if not np.array_equal(ids, pixels):
            raise FileFormatError(f"{file} holds {pixels.dtype} values that are not whole, {remedy}")
        pixels = ids
    return validate_labels(pixels, name=str(file))


def write_labels(path: PathLike, labels: NDArray[Any]) -> None:
    """Write a label image as a zlib-compressed TIFF that `read_labels` gives back bit by bit.

    Parameters
    ----------
    path : path
        Name ending in .tif or .tiff; an existing file is replaced in one step.
    labels : integer array, shape (Y, X)
        Stored as uint16, as uint32 where an id is above 65535, as int32 where pixels are −1 (ignore).

    Raises
    ------
    InputError
        If `labels` is no label image or empty, or the name ends otherwise.
    OutputError
        If the file cannot be written.
    """
    array, file = validate_labels(labels), Path(path)
    _check_writable(array, file, (".tif", ".tiff"))
    dtype = np.uint16 if array.max() <= np.iinfo(np.uint16).max else np.uint32
    stored = array.astype(np.int32 if array.min() < 0 else dtype)
    with atomic_path(file) as temporary:
        tifffile.imwrite(temporary, stored, photometric="minisblack", compression="zlib", metadata=None)


def write_image(path: PathLike, pixels: Pixels) -> None:
    """Write an image as PNG or zlib-compressed TIFF that `read_image` gives back bit by bit.

    Parameters
    ----------
    path : path
        Name ending in .png, .tif or .tiff; an existing file is replaced in one step.
    pixels : array, shape (Y, X) or (Y, X, C)
        PNG: uint8 or uint16, C is 3 (RGB) or 4 (RGBA). TIFF: integers or floats, any C; booleans (Y, X).

    Raises
    ------
    InputError
        If the name ends otherwise or the format cannot hold such an array.
    OutputError
        If the file cannot be written.
    """
    array, file = np.ascontiguousarray(pixels), Path(path)
    _check_writable(array, file, (".png", ".tif", ".tiff"))
    colour = array.shape[2:] in ((3,), (4,)) and array.dtype in (np.uint8, np.uint16)
    if file.suffix.lower() == ".png":
        if not colour and (array.ndim == 3 or array.dtype not in (np.uint8, np.uint16)):
            raise InputError(
                f"{file} cannot hold {array.dtype} of shape {array.shape}, expected uint8 or uint16, gray, "
                "RGB or RGBA: name it .tif"
            )
        with atomic_path(file) as temporary:
            temporary.write_bytes(imagecodecs.png_encode(array))
        return
    with atomic_path(file) as temporary:
        tifffile.imwrite(
            temporary,
            array,
            photometric="rgb" if colour else "minisblack",
            planarconfig="contig" if math.prod(array.shape[2:]) > 1 else None,
            compression="zlib",
            metadata={"axes": "YXC"[: array.ndim]},
        )


@contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to, and rename it when the block ends well.

    Parameters
    ----------
    path : path
        Final name of the file.

    Yields
    ------
    Path
        ``.NAME.tmp-PID`` in the same folder; removed if the block fails.

    Raises
    ------
    OutputError
        For any OSError of the block or of the renaming.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    try:
        yield temporary
        temporary.replace(target)
    except DINOCellError:
        raise
    except OSError as exc:
        raise OutputError(
            f"{target} cannot be written ({exc.strerror or exc}), expected an existing, writable folder: "
            "choose another one or free some space"
        ) from exc
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _check_writable(array: Pixels, file: Path, suffixes: tuple[str, ...]) -> None:
    if file.suffix.lower() not in suffixes:
        raise InputError(f"{file} has the wrong ending, expected {' or '.join(suffixes)}: rename it")
    # tifffile packs several boolean samples wrongly
    shape_fits = array.size and (array.ndim == 2 or (array.ndim == 3 and array.dtype != bool))
    if not shape_fits or array.dtype.kind not in "buif":
        raise InputError(
            f"{file} cannot hold {array.dtype} of shape {array.shape}, expected real numbers as (Y, X) "
            "or (Y, X, C), not empty: convert them first"
        )


def _detect_format(file: Path) -> str:
    """Tell the format from the first bytes."""
    if file.is_dir():
        raise FileFormatError(f"{file} is a folder, expected an image file: name one of the files in it")
    try:
        with file.open("rb") as stream:
            head = stream.read(8)
    except (FileNotFoundError, NotADirectoryError, ValueError) as exc:
        raise FileMissingError(f"{file} does not exist, expected an image file: check the path") from exc
    except OSError as exc:
        raise FileFormatError(
            f"{file} cannot be opened ({exc.strerror}), expected a readable file: check its permissions"
        ) from exc
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    what = "is not an image that can be read" if head else "is empty (0 bytes)"
    raise FileFormatError(
        f"{file} {what}, expected the content of a TIFF, PNG, JPEG or BMP file: export the image again"
    )


def _checked_index(index: int | None, count: int, what: str, file: Path) -> int:
    """Return a page or channel number that exists; None stands for the only one."""
    if index is None and count > 1:
        raise InputError(
            f"{file} is a stack of {count} {what}s, expected a single one: choose with --{what} N, "
            f"N from 0 to {count - 1}"
        )
    if not 0 <= (index or 0) < count:
        raise InputError(
            f"{file} has no {what} {index}, expected --{what} from 0 to {count - 1}: "
            f"it holds {count} {what}{'s' if count > 1 else ''}"
        )
    return index or 0


def _check_size(height: int, width: int, file: Path) -> None:
    if not 0 < height * width <= MAX_PIXELS:
        raise FileFormatError(
            f"{file} says it has {height} × {width} pixels, expected 1 to {MAX_PIXELS} a plane: "
            "export it again, or cut it into tiles"
        )


def _read_flat(file: Path, kind: str, page: int | None, channel: int | None) -> Pixels:
    """Read a format that holds one plane."""
    _checked_index(page, 1, "page", file)
    decode = {"PNG": _decode_png, "JPEG": _decode_jpeg, "BMP": _decode_bmp}[kind]
    pixels = decode(file.read_bytes(), file)
    _checked_index(channel or 0, math.prod(pixels.shape[2:]), "channel", file)
    return pixels if channel is None or pixels.ndim == 2 else pixels[..., channel]


def _decode_png(data: bytes, file: Path) -> Pixels:
    width, height, depth = struct.unpack(">IIB", data[16:25])
    _check_size(height, width, file)
    position, name, kept = 8, b"", [data[:8]]
    while name != b"IEND":  # libpng lets some damage pass, and prints about chunks that pixels do not need
        length, name = struct.unpack(">I4s", data[position : position + 8])
        end = position + 8 + length
        if struct.unpack(">I", data[end : end + 4]) != (zlib.crc32(data[position + 4 : end]),):
            raise ValueError("a checksum is wrong")
        if name in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            kept.append(data[position : end + 4])
        position = end + 4
    pixels: Pixels = imagecodecs.png_decode(b"".join(kept))
    if pixels.shape[2:] == (2,):
        pixels = pixels[..., 0]
    if pixels.ndim == 2 and depth < 8:  # the decoder spreads 1, 2 and 4 bits over 0–255
        pixels = pixels // (255 // (2**depth - 1))
        return pixels.astype(bool) if depth == 1 else pixels
    return pixels


def _decode_jpeg(data: bytes, file: Path) -> Pixels:
    position, marker = 2, 0
    while marker != 0xDA:  # the segments before the scan have a length
        prefix, marker, length = struct.unpack(">BBH", data[position : position + 4])
        if prefix != 0xFF:
            raise ValueError("segment marker expected")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width, samples = struct.unpack(">HHB", data[position + 5 : position + 10])
            _check_size(height, width, file)
            if samples not in (1, 3):
                raise FileFormatError(f"{file} is a CMYK JPEG, expected gray or RGB: convert it to RGB")
        position += 2 + length
    if data.find(b"\xff\xd9", position) < 0:  # libjpeg would fill the rest with gray
        raise ValueError("the end of the image is missing")
    pixels: Pixels = imagecodecs.jpeg8_decode(data)
    return pixels


def _decode_bmp(data: bytes, file: Path) -> Pixels:
    start, header, width, height, bits, compression = struct.unpack("<IIii2xHI", data[10:34])
    if not 40 <= header <= 124:
        raise ValueError("unknown header")
    _check_size(abs(height), abs(width), file)
    if compression == 0 and start + (width * bits + 31) // 32 * 4 * abs(height) > len(data):
        raise ValueError("the end of the image is missing")
    # imagecodecs crashes on damaged BMP files
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("OpenCV cannot decode it")
    return pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]


class _TifffileErrors(logging.Filter):
    """Keeps tifffile's messages from the screen; `check` raises the first that speaks of damage."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()
        self.messages: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self.thread:
            return True
        if record.levelno >= logging.ERROR and not _HARMLESS.search(record.getMessage()):
            self.messages.append(record.getMessage())
        return False

    def check(self) -> None:
        if self.messages:
            raise ValueError(self.messages[0])


def _read_tiff(
    file: Path, page: int | None, channel: int | None
) -> tuple[Pixels, float | None, tuple[str, ...]]:
    """Read one plane, its pixel size in micrometres and the names of its channels."""
    errors, logger = _TifffileErrors(), logging.getLogger("tifffile")
    logger.addFilter(errors)
    try:
        with tifffile.TiffFile(file) as tif:
            stacks = [_Stack(series, file) for series in tif.series]
            errors.check()
            if not stacks:
                raise ValueError("no page in it")
            number = _checked_index(page, sum(stack.n_pages for stack in stacks), "page", file)
            at = 0
            while number >= stacks[at].n_pages:
                number, at = number - stacks[at].n_pages, at + 1
            stack = stacks[at]
            _checked_index(channel or 0, stack.n_channels, "channel", file)
            pixels = stack.read(number, channel)
            errors.check()
            size, names = _describe(tif, at)
    finally:
        logger.removeFilter(errors)
    names = names if len(names) == stack.n_channels else ()
    return pixels, size, names if channel is None else names[channel : channel + 1]


class _Stack:
    """A tifffile series as numbered planes: samples (R, G, B), else the axis C, are a plane's channels."""

    def __init__(self, series: tifffile.TiffPageSeries, file: Path) -> None:
        self.series, self.keyframe = series, series.keyframe
        self.axes, self.shape = series.get_axes(squeeze=True), series.get_shape(squeeze=True)
        sizes = dict(zip(self.axes, self.shape, strict=True))
        if not {"Y", "X"} <= set(sizes):
            raise FileFormatError(f"{file} has axes {self.axes}, expected Y and X: save it as a plain TIFF")
        _check_size(sizes["Y"], sizes["X"], file)
        if self.keyframe.photometric in _OTHER_COLOURS and self.keyframe.compression not in _JPEG:
            raise FileFormatError(
                f"{file} has colours of TIFF kind {int(self.keyframe.photometric)}, expected gray or RGB: "
                "convert it to RGB"
            )
        self.channel = "S" if "S" in sizes else "C"
        self.page_dims = [d for d, axis in enumerate(self.axes) if axis not in {"Y", "X", self.channel}]
        self.n_pages = math.prod(self.shape[d] for d in self.page_dims)
        gray_alpha = sizes.get("S") == 2 and {1, 2} & set(self.keyframe.extrasamples)
        self.n_channels = 1 if gray_alpha else sizes.get(self.channel, 1)

    def read(self, number: int, channel: int | None) -> Pixels:
        """Read plane `number`, one channel or all, as (Y, X) or (Y, X, C)."""
        index = np.unravel_index(number, [1, *(self.shape[d] for d in self.page_dims)])[1:]
        chosen = {d: int(at) for d, at in zip(self.page_dims, index, strict=True)}
        if self.channel in self.axes and (channel is not None or self.n_channels == 1):
            chosen[self.axes.index(self.channel)] = channel or 0
        lead = len(self.shape) - self.keyframe.ndim
        if self.shape[lead:] != self.keyframe.shape:
            raise ValueError(f"stored pages do not fit the axes {self.axes}")
        outer = itertools.product(
            *([chosen[d]] if d in chosen else range(self.shape[d]) for d in range(lead))
        )
        stored = [
            self._stored_page(int(np.ravel_multi_index((0, *at), (1, *self.shape[:lead])))) for at in outer
        ]
        inner = tuple(chosen.get(d, slice(None)) for d in range(lead, len(self.shape)))
        block = stored[0][inner] if len(stored) == 1 else np.stack([array[inner] for array in stored])
        left = [axis for d, axis in enumerate(self.axes) if d not in chosen]
        return block.transpose([left.index(axis) for axis in ("Y", "X", self.channel) if axis in left])

    def _stored_page(self, number: int) -> Pixels:
        """Read one stored page, checking first that all of it is there."""
        series, keyframe = self.series, self.keyframe
        if series.dataoffset is not None and not series.is_multifile:  # ImageJ describes stacks by one page
            offset = series.dataoffset + number * keyframe.nbytes
            dtype = f"{keyframe.parent.byteorder}{series.dtype.char}"
            data = keyframe.parent.filehandle.read_array(dtype, keyframe.size, offset)
            return data.reshape(keyframe.shape)
        page = series[number]
        if page is None:
            raise ValueError(f"plane {number} is not in the file")
        if page.parent.filehandle.closed:  # OME planes may lie in neighbouring files
            page.parent.filehandle.open()
        ends = [start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
        if len(ends) < math.prod(page.chunked) or max(ends) > page.parent.filehandle.size:
            raise ValueError(f"part of plane {number} is missing")
        return page.asarray()


def _describe(tif: tifffile.TiffFile, at: int) -> tuple[float | None, tuple[str, ...]]:
    """Give pixel size and channel names of series `at`, as far as its metadata are sound."""
    try:
        if tif.ome_metadata is not None:
            return _describe_ome(tif.ome_metadata, at)
        keyframe, imagej = tif.series[at].keyframe, tif.imagej_metadata
        if imagej is None:
            unit, coarsest = {2: 25400.0, 3: 1e4}.get(keyframe.resolutionunit, math.nan), _COARSEST_UM
        else:
            unit, coarsest = _MICROMETRES.get(imagej.get("unit", ""), math.nan), math.inf
        x, y = (unit / per_unit for per_unit in keyframe.resolution)
        names = tuple((imagej or {}).get("Labels", ()))
        return _square_edge(x, y, coarsest) if "XResolution" in keyframe.tags else None, names
    except _METADATA_ERRORS:
        return None, ()


def _describe_ome(xml: str, at: int) -> tuple[float | None, tuple[str, ...]]:
    images = tifffile.xml2dict(xml, sep="")["OME"]["Image"]
    pixels = (images if isinstance(images, list) else [images])[at]["Pixels"]
    channels = pixels.get("Channel", [])
    channels = channels if isinstance(channels, list) else [channels]
    x, y = (
        float(pixels.get(f"PhysicalSize{axis}", "nan"))
        * _MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"), math.nan)
        for axis in "XY"
    )
    return _square_edge(x, y), tuple(str(channel["Name"]) for channel in channels if "Name" in channel)


def _square_edge(x: float, y: float, coarsest: float = math.inf) -> float | None:
    return x if 0 < x <= coarsest and abs(x - y) <= 0.01 * x else None
