"""Read and write image and label files: the one place that knows file formats.

The format is told by a file's content, not by its name. Values are never rescaled; colours are R, G, B.
"""

import math
import os
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
from dinocell.planes import Pixels, decoding
from dinocell.readers.raster import read_raster
from dinocell.readers.tiff import read_tiff

IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")
"""Names of the files that a folder is searched for."""

PathLike = str | os.PathLike[str]

_MAGIC = {
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
}


@dataclass(frozen=True, eq=False)
class Image:
    """One plane of an image file.

    Attributes
    ----------
    pixels : array, shape (Y, X) or (Y, X, C)
        Booleans, integers or floats in the file's own dtype, native byte order.
    axes : str
        ``"YX"``; ``"YXS"`` with the samples S of a colour, RGB or RGBA; ``"YXC"`` with stains C.
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
        Pixels (Y, X), or (Y, X, C) where the file has colours or several channels and none was chosen.

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
    with decoding(file, kind):
        if kind == "TIFF":
            pixels, colour, pixel_size_um, names = read_tiff(file, page, channel)
        else:
            pixels, colour, pixel_size_um, names = read_raster(file, kind, page, channel), True, None, ()
    if pixels.dtype.kind not in "buif":
        raise FileFormatError(
            f"{file} has {pixels.dtype} pixels, expected booleans, integers or floats: save their magnitude"
        )
    axes = ("YXS" if colour else "YXC")[: pixels.ndim]
    return Image(np.ascontiguousarray(pixels), axes, pixel_size_um, names)


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
