"""Read image and label files: the one door to all formats.

The format is told by a file's content, not by its name. Values are never rescaled; colours are R, G, B.
"""

import stat
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from dinocell.errors import FileFormatError, FileMissingError
from dinocell.io.opening import is_folder
from dinocell.io.planes import MAX_WINDOWED_PIXELS, PathLike, Pixels, checked_index, decoding
from dinocell.io.readers.lazy import LazyImage
from dinocell.io.readers.naming import channel_index, matching_names
from dinocell.io.readers.tiff_directories import TIFF_MAGIC
from dinocell.io.readers.units import square_edge
from dinocell.labels import Labels, validate_labels

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".stk", ".lsm")
"""Endings of TIFF files: plain, BigTIFF, and those of MetaMorph and Zeiss microscopes."""

IMAGE_SUFFIXES = (*TIFF_SUFFIXES, ".png", ".jpg", ".jpeg", ".bmp", ".npy")
"""Endings of the files that a folder of images and annotations is searched for."""

MICROSCOPE_SUFFIXES = (".nd2", ".czi", ".lif", ".zarr")
"""Endings of the formats of microscopes, which a folder to be segmented is searched for as well."""

_MAGIC = {
    **dict.fromkeys(TIFF_MAGIC, "TIFF"),
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"\x93NUMPY": "NPY",
    b"ZISRAWFILE": "CZI",
    b"\xda\xce\xbe\n": "ND2",
    b"\0\0\0\x0cjP  ": "ND2",  # the kind before 2008 is a JPEG 2000
    b"p\0\0\0": "LIF",
}
_ZARR_FILES = ("zarr.json", ".zgroup", ".zattrs")
_READ_WINDOWS = frozenset({"tiff", "ome_zarr"})  # readers whose function takes how large a plane may be
_READERS = {  # module NAME of readers, imported when it is needed, with a function open_NAME
    "TIFF": "tiff",
    **dict.fromkeys(("PNG", "JPEG", "BMP"), "raster"),
    "NPY": "npy",
    "CZI": "czi",
    "ND2": "nd2",
    "LIF": "lif",
    "OME-Zarr": "ome_zarr",
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
    pixel_size_yx_um : (float, float) or None
        Height and width of a pixel in micrometres; None where the file does not say them of the specimen.
    channel_names : tuple of str
        One a channel, ``""`` for a channel without a name; empty where the file names none.
    """

    pixels: Pixels
    axes: str
    pixel_size_yx_um: tuple[float, float] | None = None
    channel_names: tuple[str, ...] = ()

    @property
    def pixel_size_um(self) -> float | None:
        """Edge of the pixels in micrometres where they are square; None where they are not, or unknown."""
        return square_edge(self.pixel_size_yx_um)


def open_image(path: PathLike, *, scene: int | str = 0, windows: bool = False) -> LazyImage:
    """Open a microscopy image without reading its pixels: TIFF, ND2, CZI, LIF, OME-Zarr, NPY, PNG, JPEG, BMP.

    Parameters
    ----------
    path : path
        The file; of an OME-Zarr its folder.
    scene : int or str
        Which of the file's scenes (series, positions). A number is counted from 0; a text is a name or, where
        no scene has it, a number. ``"name:1"`` and ``"number:1"`` say which.
    windows : bool
        Only windows are going to be read: planes may have up to `MAX_WINDOWED_PIXELS` pixels rather than
        `MAX_PIXELS` where the format allows to read them so, which are OME-Zarr, and TIFF that is
        uncompressed or in tiles or strips of at most 2²⁸ values each.

    Returns
    -------
    LazyImage
        For a ``with`` block, or to be closed; `LazyImage.info` says what it is, `LazyImage.read_plane` and
        `LazyImage.read_window` read.

    Raises
    ------
    FileMissingError
        If there is no such file.
    FileFormatError
        If it is empty, damaged, too large, of another format, or not of real numbers.
    InputError
        If there is no such scene, or two could be meant.
    MissingExtraError
        If its format needs a package that is not installed.
    """
    file = Path(path)
    kind = _detect_format(file)
    name = _READERS[kind]
    opener = getattr(import_module(f"dinocell.io.readers.{name}"), f"open_{name}")
    largest = (MAX_WINDOWED_PIXELS,) if windows and name in _READ_WINDOWS else ()
    with decoding(file, kind):
        image: LazyImage = opener(file, scene, *largest)
    return image


def read_image(path: PathLike, *, channel: int | str | None = None, page: int | None = None) -> Image:
    """Read one plane of an image file of any format that `open_image` knows.

    Palette PNG and BMP become RGB; a palette TIFF, where it is a lookup table, stays as stored. Alpha is kept
    beside RGB and dropped beside gray. Orientation tags are not applied, so that images and masks agree.

    Parameters
    ----------
    path : path
        The file.
    channel : int or str, optional
        Keep this channel only. A number is counted from 0; a text is a name (of colours R, G, B, A) or, where
        no channel has it, a number. ``"name:1"`` and ``"number:1"`` say which.
    page : int, optional
        Plane of a stack, counted from 0: in a TIFF over all series and their axes but Y, X and channels, the
        last one fastest; elsewhere over times and, within each, z slices of the first scene.

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
        If it is a stack and `page` is not given, `page` is out of range, or there is no such `channel` or two
        that could be meant.
    """
    file = Path(path)
    kind = _detect_format(file)
    if kind != "TIFF":
        with open_image(file) as opened:
            return _read_page(opened, page, channel)
    from dinocell.io.readers.tiff import read_tiff

    with decoding(file, kind):
        pixels, colour, size, names = read_tiff(file, page, channel)
    if pixels.dtype.kind not in "buif":
        raise FileFormatError(
            f"{file} has {pixels.dtype} pixels, expected booleans, integers or floats: save their magnitude"
        )
    axes = ("YXS" if colour else "YXC")[: pixels.ndim]
    return Image(np.ascontiguousarray(pixels), axes, size, names)


def _read_page(opened: LazyImage, page: int | None, channel: int | str | None) -> Image:
    """Read plane `page`, counted over times and slices, with one channel or all."""
    info = opened.info
    times, channels, slices = info.shape[:3]
    t, z = divmod(checked_index(page, times * slices, "page", opened.path), slices)
    names = info.channel_names
    if channel is not None:
        c, sample = divmod(channel_index(info, channel, opened.path), info.samples)
        pixels = opened.read_plane(t, c, z)
        pixels = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., sample])
        return Image(pixels, "YX", info.pixel_size_yx_um, matching_names(names[c : c + 1], 1))
    planes = [opened.read_plane(t, c, z) for c in range(channels)]
    if channels == 1:
        return Image(planes[0], "YXS"[: planes[0].ndim], info.pixel_size_yx_um, names)
    pixels = np.concatenate([np.atleast_3d(plane) for plane in planes], axis=2)
    return Image(pixels, "YXC", info.pixel_size_yx_um, names if info.samples == 1 else ())


def read_labels(path: PathLike, *, page: int | None = None) -> Labels:
    """Read a label image from a file of any format but JPEG and BMP, every id as stored.

    Parameters
    ----------
    path : path
        A file of integers, booleans (one cell), or floats that are whole numbers. Of an OME-Zarr the folder:
        what it says to be labels, as `dinocell segment-large` writes them, or the labels beside its image.
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
        If it cannot be read, is a JPEG or BMP, holds colours or fractions instead of ids, or several labels.
    InputError
        If `page` is missing or out of range, or ids do not fit int32.
    """
    file = Path(path)
    remedy = "expected one plane of ids: save labels as a 16-bit gray TIFF or PNG"
    kind = _detect_format(file)
    if kind in ("JPEG", "BMP"):
        raise FileFormatError(f"{file} is a {kind} file, which does not keep ids as they are, {remedy}")
    if kind == "OME-Zarr":
        from dinocell.io.readers.ome_zarr import find_labels

        file = find_labels(file)
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


def is_ome_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr group, and so one image rather than a folder of images."""
    try:
        return any((path / name).is_file() for name in _ZARR_FILES)
    except OSError:  # a folder that may not be looked into
        return False


def stem_of(path: Path) -> str:
    """Return a file's name without its ending, of which ``.ome.tif`` and ``.ome.zarr`` are one.

    Examples
    --------
    >>> [stem_of(Path(name)) for name in ("a.tif", "a.ome.tif", "a.ome.zarr", "a.b.png")]
    ['a', 'a', 'a', 'a.b']
    """
    stem = path.stem
    is_ome = stem.lower().endswith(".ome") and path.suffix.lower() in (*TIFF_SUFFIXES, ".zarr")
    return stem[: -len(".ome")] if is_ome and len(stem) > len(".ome") else stem


def is_readable(path: Path) -> bool:
    """Return whether a file begins as one of a format that `open_image` knows."""
    try:
        head = _first_bytes(path)
    except (FileMissingError, FileFormatError):
        return False
    return any(head.startswith(magic) for magic in _MAGIC)


def _detect_format(file: Path) -> str:
    """Tell the format from the first bytes, of a folder from the files in it."""
    if is_folder(file):
        if is_ome_zarr(file):
            return "OME-Zarr"
        raise FileFormatError(
            f"{file} is a folder, expected an image file or an OME-Zarr: name one of the files in it"
        )
    head = _first_bytes(file)
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    names = list(dict.fromkeys(_MAGIC.values()))
    what = "is not an image that can be read" if head else "is empty (0 bytes)"
    raise FileFormatError(
        f"{file} {what}, expected the content of a {', '.join(names[:-1])} or {names[-1]} file: "
        "export the image again"
    )


def _first_bytes(file: Path) -> bytes:
    try:
        if stat.S_ISREG(file.stat().st_mode):  # opening a pipe would wait for its other end
            with file.open("rb") as stream:
                return stream.read(16)
    except (FileNotFoundError, NotADirectoryError, ValueError) as exc:
        raise FileMissingError(f"{file} does not exist, expected an image file: check the path") from exc
    except OSError as exc:
        raise FileFormatError(
            f"{file} cannot be opened ({exc.strerror}), expected a readable file: check its permissions"
        ) from exc
    raise FileFormatError(f"{file} is a pipe or device, expected an image file: save it to a file")
