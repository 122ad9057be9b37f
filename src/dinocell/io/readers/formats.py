"""All formats of image files that are read. To add one, write its `Reader` and list it here."""

import stat
from pathlib import Path

from dinocell.errors import FileFormatError, FileMissingError
from dinocell.io.opening import is_folder
from dinocell.io.readers.czi import CziReader
from dinocell.io.readers.lif import LifReader
from dinocell.io.readers.nd2 import Nd2Reader
from dinocell.io.readers.npy import NpyReader
from dinocell.io.readers.ome_zarr import OmeZarrReader
from dinocell.io.readers.raster import BmpReader, JpegReader, PngReader
from dinocell.io.readers.reader import Reader
from dinocell.io.readers.tiff import TiffReader

READERS: tuple[Reader, ...] = (
    TiffReader(),
    PngReader(),
    JpegReader(),
    BmpReader(),
    NpyReader(),
    Nd2Reader(),
    CziReader(),
    LifReader(),
    OmeZarrReader(),
)
"""One reader for each format."""

IMAGE_SUFFIXES = tuple(s for reader in READERS if not reader.is_of_microscopes for s in reader.suffixes)
"""Endings of the files that a folder of images and annotations is searched for."""

MICROSCOPE_SUFFIXES = tuple(s for reader in READERS if reader.is_of_microscopes for s in reader.suffixes)
"""Endings of the formats of microscopes, which a folder to be segmented is searched for as well."""

FOLDER_SUFFIXES = tuple(s for reader in READERS if reader.folder_files for s in reader.suffixes)
"""Endings of the formats whose images are folders."""

OME_SUFFIXES = tuple(s for reader in READERS if reader.has_ome_names for s in reader.suffixes)
"""Endings that ``.ome`` may stand before."""

_HEAD_BYTES = max(len(magic) for reader in READERS for magic in reader.magic)


def find_reader(path: Path) -> Reader:
    """Find the reader of a file by its first bytes, or of a folder by the files in it.

    Raises
    ------
    FileMissingError
        If the file does not exist.
    FileFormatError
        If it cannot be opened, or no reader knows it.
    """
    if is_folder(path):
        for reader in READERS:
            if is_in_folder(reader, path):
                return reader
        raise FileFormatError(
            f"{path} is a folder, expected an image file or an OME-Zarr: name one of the files in it"
        )
    head = _first_bytes(path)
    for reader in READERS:
        if head.startswith(reader.magic):
            return reader
    names = [reader.name for reader in READERS if reader.magic]
    what = "is not an image that can be read" if head else "is empty (0 bytes)"
    kind = "are not images that can be read" if head else "are empty (0 bytes)"
    raise FileFormatError(
        f"{path} {what}, expected the content of a {', '.join(names[:-1])} or {names[-1]} file: "
        "export the image again"
    ).of_kind(kind, "export them again")


def is_in_folder(reader: Reader, folder: Path) -> bool:
    """Return whether a folder is an image of a format, rather than a folder of images."""
    try:
        return any((folder / name).is_file() for name in reader.folder_files)
    except OSError:  # a folder that may not be looked into
        return False


def _first_bytes(file: Path) -> bytes:
    try:
        if stat.S_ISREG(file.stat().st_mode):  # opening a pipe would wait for its other end
            with file.open("rb") as stream:
                return stream.read(_HEAD_BYTES)
    except (FileNotFoundError, NotADirectoryError, ValueError) as exc:
        raise FileMissingError(f"{file} does not exist, expected an image file: check the path") from exc
    except OSError as exc:
        raise FileFormatError(
            f"{file} cannot be opened ({exc.strerror}), expected a readable file: check its permissions"
        ) from exc
    raise FileFormatError(f"{file} is a pipe or device, expected an image file: save it to a file")
