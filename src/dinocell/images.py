"""Read and write image and label files, the one place that knows file formats.

The format is told by a file's content, not by its name. Pixel values are never rescaled and colours are R, G, B.
"""

import itertools
import logging
import os
import re
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from dinocell.errors import DINOCellError, FileFormatError, FileMissingError, InputError, OutputError
from dinocell.labels import Labels, validate_labels

IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")
"""Names of the files that a folder is searched for."""

MAX_PIXELS = 2**31
"""Planes of more pixels (height × width) are refused from their header, before any memory is taken."""

PathLike = str | os.PathLike[str]
Pixels = NDArray[Any]

_MAGIC = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
}
# What tifffile and imagecodecs let escape on damaged files; imagecodecs' errors are RuntimeErrors.
_DECODE_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
_MICROMETRES = {"µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4}
_COARSEST_UM = 10.0  # resolution tags that give larger pixels speak of paper, such as 72 or 300 dots per inch
# tifffile logs damage that it works around as errors. These leave the pixels alone: broken OME-XML,
# superfluous strips, and private tags (32768 and up).
_HARMLESS = re.compile(r"OME series raised|incorrect Strip|TiffTag (?:3276[89]|327[7-9]\d|32[89]\d\d|3[3-9]\d{3}|[4-6]\d{4})\b")


@dataclass(frozen=True, eq=False)
class Image:
    """One plane of an image file.

    Attributes
    ----------
    pixels : array, shape (Y, X) or (Y, X, C)
        In the file's own dtype (boolean, integer or float), native byte order.
    axes : str
        ``"YX"`` or ``"YXC"``.
    pixel_size_um : float or None
        Edge of a square pixel in micrometres; None where the file does not say, or says it of paper.
    channel_names : tuple of str
        One a channel where the file names them, else empty.
    """

    pixels: Pixels
    axes: str
    pixel_size_um: float | None = None
    channel_names: tuple[str, ...] = ()


def read_image(path: PathLike, *, channel: int | None = None, page: int | None = None) -> Image:
    """Read one plane of a TIFF, PNG, JPEG or BMP file.

    Palette PNG and BMP become RGB, a palette TIFF (a lookup table over intensities) stays as stored. Alpha is kept
    beside R, G, B and dropped beside gray. Orientation tags are not applied, so that images and masks agree.

    Parameters
    ----------
    path : path
        The file.
    channel : int, optional
        Keep this channel only, counted from 0.
    page : int, optional
        Which plane of a stack (all axes but Y, X and channels, the last running fastest), counted from 0.

    Returns
    -------
    Image
        Pixels of shape (Y, X), or (Y, X, C) where the file has channels or samples and none was chosen.

    Raises
    ------
    FileMissingError
        If there is no such file.
    FileFormatError
        If it is a folder, empty, damaged, incomplete, of another format, or its pixels are not real numbers.
    InputError
        If it is a stack and `page` is not given, or if `page` or `channel` is out of range.
    """
    file = Path(path)
    kind = _detect_format(file)
    try:
        if kind == "TIFF":
            return _read_tiff(file, page, channel)
        pixels = _DECODERS[kind](file.read_bytes(), file)
    except DINOCellError:
        raise
    except _DECODE_ERRORS as exc:
        detail = " ".join(f"{exc}".split())[:120] or type(exc).__name__
        raise FileFormatError(
            f"{file} is a damaged or unsupported {kind} file ({detail}): copy it again or save it as a plain TIFF"
        ) from exc
    _checked_index(page, 1, "page", file)
    if channel is not None:
        number = _checked_index(channel, 1 if pixels.ndim == 2 else pixels.shape[2], "channel", file)
        pixels = pixels if pixels.ndim == 2 else pixels[..., number]
    return _as_image(pixels, file)


def read_labels(path: PathLike, *, page: int | None = None) -> Labels:
    """Read a label image from a TIFF, PNG or BMP file, every id as stored.

    Parameters
    ----------
    path : path
        The file; integers, booleans, or floats that are whole numbers.
    page : int, optional
        Which plane of a stack, as in `read_image`.

    Returns
    -------
    int32 array, shape (Y, X)

    Raises
    ------
    FileMissingError
        If there is no such file.
    FileFormatError
        If it cannot be read, is a JPEG, or holds colours or fractions instead of ids.
    InputError
        If `page` is missing or out of range, or ids do not fit int32.
    """
    file = Path(path)
    if _detect_format(file) == "JPEG":
        raise FileFormatError(f"{file} is a JPEG, whose compression changes ids: save labels as 16-bit TIFF or PNG")
    pixels = read_image(file, page=page).pixels
    if pixels.ndim == 3:
        raise FileFormatError(
            f"{file} has {pixels.shape[2]} channels, expected one plane of ids: save labels as 16-bit gray TIFF or PNG"
        )
    if pixels.dtype.kind == "f":
        if not (np.isfinite(pixels).all() and (pixels == np.rint(pixels)).all() and np.abs(pixels).max() < 2**31):
            raise FileFormatError(
                f"{file} holds {pixels.dtype} values that are no ids, expected whole numbers: save labels as integers"
            )
        pixels = pixels.astype(np.int64)
    return validate_labels(pixels, name=str(file))


def write_labels(path: PathLike, labels: NDArray[Any]) -> None:
    """Write a label image as a zlib-compressed TIFF that `read_labels` gives back bit by bit.

    Parameters
    ----------
    path : path
        Name ending in .tif or .tiff; an existing file is replaced in one step.
    labels : integer array, shape (Y, X)
        Stored as uint16, as uint32 where an id is above 65535, as int32 where pixels are marked −1 (ignore).

    Raises
    ------
    InputError
        If `labels` is no label image or empty, or the name ends otherwise.
    OutputError
        If the file cannot be written.
    """
    array = validate_labels(labels)
    _check_writable(array, Path(path), (".tif", ".tiff"))
    low, high = int(array.min()), int(array.max())
    dtype = np.int32 if low < 0 else np.uint16 if high <= np.iinfo(np.uint16).max else np.uint32
    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, array.astype(dtype), photometric="minisblack", compression="zlib", metadata=None)


def write_image(path: PathLike, pixels: Pixels) -> None:
    """Write an image as PNG or zlib-compressed TIFF that `read_image` gives back bit by bit.

    Parameters
    ----------
    path : path
        Name ending in .png, .tif or .tiff; an existing file is replaced in one step.
    pixels : array, shape (Y, X) or (Y, X, C)
        PNG: uint8 or uint16, C is 3 (RGB) or 4 (RGBA). TIFF: booleans, integers or floats, any C.

    Raises
    ------
    InputError
        If the name ends otherwise or the format cannot hold such an array.
    OutputError
        If the file cannot be written.
    """
    array, file = np.ascontiguousarray(pixels), Path(path)
    _check_writable(array, file, (".png", ".tif", ".tiff"))
    colour = array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype in (np.uint8, np.uint16)
    if file.suffix.lower() != ".png":
        with atomic_path(file) as temporary:
            tifffile.imwrite(
                temporary,
                array,
                photometric="rgb" if colour else "minisblack",
                planarconfig="contig" if array.ndim == 3 and array.shape[2] > 1 else None,
                compression="zlib",
                metadata={"axes": "YXC"[: array.ndim]},
            )
        return
    if not (colour or (array.ndim == 2 and array.dtype in (np.uint8, np.uint16))):
        raise InputError(
            f"{file}: a PNG cannot hold {array.dtype} of shape {array.shape}, expected uint8 or uint16 gray, RGB or "
            "RGBA: name it .tif"
        )
    with atomic_path(file) as temporary:
        temporary.write_bytes(imagecodecs.png_encode(array))


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
        For every OSError of the block or of the renaming.
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
            f"{target} cannot be written ({exc.strerror or exc}): name a file in an existing, writable folder with "
            "space left"
        ) from exc
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _check_writable(array: Pixels, file: Path, suffixes: tuple[str, ...]) -> None:
    if file.suffix.lower() not in suffixes:
        raise InputError(f"{file} should end in {' or '.join(suffixes)}: rename it")
    if array.ndim not in (2, 3) or not array.size or array.dtype.kind not in "buif":
        raise InputError(
            f"{file}: cannot write {array.dtype} of shape {array.shape}, expected real numbers, (Y, X) or (Y, X, C), "
            "at least one pixel: convert or select first"
        )


def _detect_format(file: Path) -> str:
    """Tell the format from the first bytes."""
    try:
        if file.is_dir():
            raise FileFormatError(f"{file} is a folder, expected an image file: name one of the files in it")
        with file.open("rb") as stream:
            head = stream.read(8)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise FileMissingError(f"{file} does not exist, expected an image file: check the path") from exc
    except OSError as exc:
        raise FileFormatError(f"{file} cannot be opened ({exc.strerror}): check its permissions") from exc
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if not head:
        raise FileFormatError(f"{file} is empty (0 bytes), expected an image: copy or export it again")
    raise FileFormatError(
        f"{file} is not an image that can be read, expected the content of a TIFF, PNG, JPEG or BMP file: "
        "convert it to TIFF or PNG"
    )


def _checked_index(index: int | None, count: int, what: str, file: Path) -> int:
    """Return a page or channel number that exists; None stands for the only one."""
    if index is None and count > 1:
        raise InputError(
            f"{file} is a stack of {count} {what}s, expected one: choose with --{what} N ({what}=N), N from 0 to {count - 1}"
        )
    if not 0 <= (index or 0) < count:
        one = f"1 {what}, number 0" if count == 1 else f"{count} {what}s, numbers 0 to {count - 1}"
        raise InputError(f"{file} has {one}, asked for --{what} {index}: choose one that exists")
    return index or 0


def _check_size(height: int, width: int, file: Path) -> None:
    if not height * width:
        raise FileFormatError(f"{file} has no pixels ({height} × {width}), expected at least one: export it again")
    if height * width > MAX_PIXELS:
        raise FileFormatError(
            f"{file} says it has {height} × {width} pixels, expected at most {MAX_PIXELS} a plane: crop it or cut it into tiles"
        )


def _as_image(pixels: Pixels, file: Path, size: float | None = None, names: tuple[str, ...] = ()) -> Image:
    if pixels.dtype.kind not in "buif":
        raise FileFormatError(
            f"{file} has {pixels.dtype} pixels, expected booleans, integers or floats: save a real part or magnitude"
        )
    return Image(np.ascontiguousarray(pixels), "YXC"[: pixels.ndim], size, names)


def _decode_png(data: bytes, file: Path) -> Pixels:
    width, height, depth = struct.unpack(">IIB", data[16:25])
    _check_size(height, width, file)
    pixels: Pixels = imagecodecs.png_decode(data)
    if pixels.ndim == 3 and pixels.shape[2] == 2:
        pixels = pixels[..., 0]
    if pixels.ndim == 2 and depth < 8:  # the decoder spreads 1, 2 and 4 bits over 0–255
        pixels = pixels // (255 // (2**depth - 1))
        pixels = pixels.astype(bool) if depth == 1 else pixels
    return pixels


def _decode_jpeg(data: bytes, file: Path) -> Pixels:
    position, marker = 2, 0
    while marker != 0xDA:  # start of scan; the segments before it have a length
        marker, length = struct.unpack(">xBH", data[position : position + 4])
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
    width, height = struct.unpack("<ii", data[18:26])
    _check_size(abs(height), abs(width), file)
    pixels: Pixels = imagecodecs.bmp_decode(data)
    return pixels


_DECODERS = {"PNG": _decode_png, "JPEG": _decode_jpeg, "BMP": _decode_bmp}


class _TifffileErrors(logging.Filter):
    """Keeps tifffile's messages of this thread off the user's screen and remembers the serious ones."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()
        self.messages: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self.thread:
            return True
        message = record.getMessage()
        if record.levelno >= logging.ERROR and not _HARMLESS.search(message):
            self.messages.append(message)
        return False


def _read_tiff(file: Path, page: int | None, channel: int | None) -> Image:
    errors, logger = _TifffileErrors(), logging.getLogger("tifffile")
    logger.addFilter(errors)
    try:
        with tifffile.TiffFile(file) as tif:
            stacks = [_Stack(series, file) for series in tif.series]
            number = _checked_index(page, sum(stack.n_pages for stack in stacks), "page", file)
            at = 0
            while number >= stacks[at].n_pages:
                number, at = number - stacks[at].n_pages, at + 1
            if channel is not None:
                _checked_index(channel, stacks[at].n_channels, "channel", file)
            pixels = stacks[at].read(number, channel)
            size, names = _describe(tif, at)
    finally:
        logger.removeFilter(errors)
    if errors.messages:
        raise ValueError(errors.messages[0])
    names = names if len(names) == stacks[at].n_channels else ()
    return _as_image(pixels, file, size, names if channel is None else names[channel : channel + 1])


class _Stack:
    """A tifffile series seen as numbered planes, with at most one channel axis.

    Samples (R, G, B) are the channels where there are any; a channel axis beside them counts as pages.
    """

    def __init__(self, series: tifffile.TiffPageSeries, file: Path) -> None:
        self.series = series
        self.axes = series.get_axes(squeeze=True)
        self.shape = series.get_shape(squeeze=True)
        if not {"Y", "X"} <= set(self.axes):
            raise FileFormatError(f"{file} has axes {self.axes}, expected Y and X among them: save it as a plain TIFF")
        sizes = dict(zip(self.axes, self.shape, strict=True))
        _check_size(sizes["Y"], sizes["X"], file)
        self.channel = "S" if "S" in sizes else "C"
        self.page_dims = [dim for dim, axis in enumerate(self.axes) if axis not in {"Y", "X", self.channel}]
        self.n_pages = math.prod(self.shape[dim] for dim in self.page_dims)
        keyframe = series.keyframe
        if keyframe.photometric in _OTHER_COLOURS and keyframe.compression not in _JPEG:
            raise FileFormatError(
                f"{file} has {keyframe.photometric.name} colours, expected gray or RGB: convert it to RGB"
            )
        gray_alpha = sizes.get("S") == 2 and set(keyframe.extrasamples) & {1, 2}
        self.n_channels = 1 if gray_alpha else sizes.get(self.channel, 1)

    def read(self, number: int, channel: int | None) -> Pixels:
        """Read plane `number`, all its channels or one, as (Y, X) or (Y, X, C)."""
        index = np.unravel_index(number, [1, *(self.shape[dim] for dim in self.page_dims)])[1:]
        chosen = {dim: int(at) for dim, at in zip(self.page_dims, index, strict=True)}
        if self.channel in self.axes and (channel is not None or self.n_channels == 1):
            chosen[self.axes.index(self.channel)] = channel or 0
        lead = len(self.shape) - self.series.keyframe.ndim
        if self.shape[lead:] != self.series.keyframe.shape:
            raise ValueError(f"stored pages do not fit the axes {self.axes}")
        outer = itertools.product(*([chosen[d]] if d in chosen else range(self.shape[d]) for d in range(lead)))
        pages = [self._stored_page(int(np.ravel_multi_index((0, *at), (1, *self.shape[:lead])))) for at in outer]
        inner = tuple(chosen.get(dim, slice(None)) for dim in range(lead, len(self.shape)))
        axes = "".join(axis for dim, axis in enumerate(self.axes) if dim not in chosen)
        block = pages[0][inner] if len(pages) == 1 else np.stack([page[inner] for page in pages])
        return block.reshape([self.shape[d] for d in range(len(self.shape)) if d not in chosen]).transpose([axes.index(axis) for axis in f"YX{self.channel}" if axis in axes])

    def _stored_page(self, number: int) -> Pixels:
        """Read one stored page of the series, checking first that it is all there."""
        series, keyframe = self.series, self.series.keyframe
        if series.dataoffset is not None and not series.is_multifile:  # ImageJ describes a whole stack by one page
            dtype = f"{keyframe.parent.byteorder}{series.dtype.char}"
            offset = series.dataoffset + number * keyframe.nbytes
            stored = keyframe.parent.filehandle.read_array(dtype, keyframe.size, offset)
            return stored.reshape(keyframe.shape)
        page = series[number]
        if page is None:
            raise ValueError(f"plane {number} is not in the file")
        if page.parent.filehandle.closed:  # OME planes may lie in neighbouring files
            page.parent.filehandle.open()
        ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
        if len(ends) < math.prod(page.chunked) or max(ends) > page.parent.filehandle.size:
            raise ValueError(f"part of plane {number} is missing")
        return page.asarray()


def _describe(tif: tifffile.TiffFile, at: int) -> tuple[float | None, tuple[str, ...]]:
    """Pixel size in micrometres and channel names of series `at`, as far as its metadata are sound."""
    keyframe = tif.series[at].keyframe
    try:
        if tif.ome_metadata is not None:
            images = tifffile.xml2dict(tif.ome_metadata, sep="")["OME"]["Image"]
            pixels = (images if isinstance(images, list) else [images])[at]["Pixels"]
            channels = pixels.get("Channel", [])
            channels = channels if isinstance(channels, list) else [channels]
            names = tuple(str(channel["Name"]) for channel in channels if "Name" in channel)
            edges = [
                float(pixels.get(f"PhysicalSize{axis}", "nan")) * _MICROMETRES[pixels.get(f"PhysicalSize{axis}Unit", "µm")] for axis in "XY"
            ]
            return _square(*edges), names
        if tif.imagej_metadata is not None:
            ...
    except _METADATA_ERRORS:
        return None, ()
