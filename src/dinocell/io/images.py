"""Read image and label files of all formats.

The format is recognised by a file's content, not by its name. Values are never rescaled; colours are R, G, B.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dinocell.errors import FileFormatError, FileMissingError
from dinocell.io.opening import is_folder
from dinocell.io.planes import MAX_PIXELS, MAX_WINDOWED_PIXELS, PathLike, Pixels, decoding
from dinocell.io.readers.formats import OME_SUFFIXES, find_reader, is_in_folder
from dinocell.io.readers.lazy import LazyImage
from dinocell.io.readers.ome_zarr import OmeZarrReader
from dinocell.io.readers.units import square_edge
from dinocell.labels import Labels, validate_labels

_REMEDY = "expected one plane of ids: save labels as a 16-bit gray TIFF or PNG"


@dataclass(frozen=True, eq=False)
class Image:
    """One plane of an image file.

    Attributes
    ----------
    pixels : array, shape (Y, X) or (Y, X, C)
        Booleans, integers or floats in the file's own dtype, native byte order.
    axes : str
        ``"YX"``; ``"YXS"`` with the samples S of a colour, RGB or RGBA; ``"YXC"`` with channels C.
    pixel_size_yx_um : (float, float) or None
        Height and width of a pixel in micrometres; None if the file does not give them for the specimen.
    channel_names : tuple of str
        One for each channel, ``""`` for a channel without a name; empty if the file names none.
    """

    pixels: Pixels
    axes: str
    pixel_size_yx_um: tuple[float, float] | None = None
    channel_names: tuple[str, ...] = ()

    @property
    def pixel_size_um(self) -> float | None:
        """Edge of the pixels in micrometres if they are square; None if they are not, or not known."""
        return square_edge(self.pixel_size_yx_um)


def open_image(path: PathLike, *, scene: int | str = 0, windows: bool = False) -> LazyImage:
    """Open an image without reading its pixels, in any format that `dinocell.io.readers.formats` lists.

    Parameters
    ----------
    path : path
        The file, or the folder of an OME-Zarr.
    scene : int or str
        Which of the file's scenes (series, positions). A number is counted from 0; a text is a name or, if no
        scene has that name, a number. ``"name:1"`` and ``"number:1"`` tell the two apart.
    windows : bool
        Whether only windows are going to be read. Planes may then have up to `MAX_WINDOWED_PIXELS` pixels
        instead of `MAX_PIXELS`, in formats that can be read so: OME-Zarr, and TIFF that is uncompressed or in
        tiles or strips of at most 2²⁸ values each.

    Returns
    -------
    LazyImage
        Use it in a ``with`` block, or close it. `LazyImage.info` describes it, `LazyImage.read_plane` and
        `LazyImage.read_window` read it.

    Raises
    ------
    FileMissingError
        If the file does not exist.
    FileFormatError
        If it is empty, damaged, too large, of another format, or not of real numbers.
    InputError
        If the scene does not exist, or two could be meant.
    MissingExtraError
        If its format needs a package that is not installed.
    """
    file = Path(path)
    reader = find_reader(file)
    largest = MAX_WINDOWED_PIXELS if windows and reader.reads_windows else MAX_PIXELS
    with decoding(file, reader.name):
        return reader.open(file, scene, largest)


def read_image(path: PathLike, *, channel: int | str | None = None, page: int | None = None) -> Image:
    """Read one plane of an image file of any format that `open_image` knows.

    PNG and BMP with a palette become RGB; the palette of a TIFF is a lookup table, so its values stay as
    stored. Alpha is kept beside RGB and dropped beside gray. Orientation tags are not applied, so that images
    and masks agree.

    Parameters
    ----------
    path : path
        The file.
    channel : int or str, optional
        Keep this channel only. A number is counted from 0; a text is a name (of colours R, G, B, A) or, if no
        channel has that name, a number. ``"name:1"`` and ``"number:1"`` tell the two apart.
    page : int, optional
        Plane of a stack, counted from 0. In a TIFF it is counted over all series and, within each, over all
        axes but Y, X and channels, the last axis fastest; in other formats over the times of the first scene
        and, within each, the z slices.

    Returns
    -------
    Image
        Pixels (Y, X), or (Y, X, C) if the file has colours or several channels and none was chosen.

    Raises
    ------
    FileMissingError
        If the file does not exist.
    FileFormatError
        If it is a folder, empty, damaged, incomplete, too large, of another format, or not of real numbers.
    InputError
        If it is a stack and `page` is not given, if `page` is out of range, or if `channel` does not exist or
        could mean two.
    """
    file = Path(path)
    return Image(*find_reader(file).read_page(file, page, channel))


def read_labels(path: PathLike, *, page: int | None = None) -> Labels:
    """Read a label image from a file of any format but JPEG and BMP, every id as stored.

    Parameters
    ----------
    path : path
        A file of integers, booleans (one cell), or floats that are whole numbers; or the folder of an
        OME-Zarr that is labels itself, as `dinocell segment-large` writes them, or has labels beside its
        image.
    page : int, optional
        Plane of a stack, as in `read_image`.

    Returns
    -------
    int32 array, shape (Y, X)

    Raises
    ------
    FileMissingError
        If the file does not exist.
    FileFormatError
        If it cannot be read, is a JPEG or BMP, holds colours or fractions instead of ids, or several labels.
    InputError
        If `page` is missing or out of range, or ids do not fit int32.
    """
    file = _find_labels(Path(path))
    return _as_labels(read_image(file, page=page).pixels, file)


def open_labels(path: PathLike) -> LazyImage:
    """Open a label image without reading its pixels, of the formats that `read_labels` reads.

    Parameters
    ----------
    path : path

    Returns
    -------
    LazyImage
        Use it in a ``with`` block, or close it. `read_label_plane` reads it.

    Raises
    ------
    FileMissingError, FileFormatError
        As `read_labels`.
    """
    return open_image(_find_labels(Path(path)))


def read_label_plane(image: LazyImage, t: int = 0, z: int = 0) -> Labels:
    """Read one plane of an opened label image: int32 ``(Y, X)``; errors as `read_labels`."""
    channels = image.info.shape[1]
    if channels > 1:
        raise FileFormatError(f"{image.path} has {channels} channels (colours are not ids), {_REMEDY}")
    return _as_labels(image.read_plane(t, 0, z), image.path)


def _find_labels(file: Path) -> Path:
    reader = find_reader(file)
    if not reader.keeps_ids:
        raise FileFormatError(
            f"{file} is a {reader.name} file, which does not keep ids as they are, {_REMEDY}"
        )
    return reader.find_labels(file)


def _as_labels(pixels: Pixels, file: Path) -> Labels:
    if pixels.ndim == 3:
        raise FileFormatError(f"{file} has {pixels.shape[2]} channels (colours are not ids), {_REMEDY}")
    if pixels.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            ids = pixels.astype(np.int64)
        if not np.array_equal(ids, pixels):
            raise FileFormatError(f"{file} holds {pixels.dtype} values that are not whole, {_REMEDY}")
        pixels = ids
    return validate_labels(pixels, name=str(file))


def is_ome_zarr(path: Path) -> bool:
    """Return whether a folder is a Zarr group, and so one image rather than a folder of images."""
    return is_in_folder(OmeZarrReader(), path)


def stem_of(path: Path) -> str:
    """Return a file's name without its ending, of which ``.ome.tif`` and ``.ome.zarr`` are one.

    Examples
    --------
    >>> [stem_of(Path(name)) for name in ("a.tif", "a.ome.tif", "a.ome.zarr", "a.b.png")]
    ['a', 'a', 'a', 'a.b']
    """
    stem = path.stem
    is_ome = stem.lower().endswith(".ome") and path.suffix.lower() in OME_SUFFIXES
    return stem[: -len(".ome")] if is_ome and len(stem) > len(".ome") else stem


def is_readable(path: Path) -> bool:
    """Return whether a file begins as one of a format that `open_image` knows."""
    try:
        return not is_folder(path) and bool(find_reader(path))
    except (FileMissingError, FileFormatError):
        return False
