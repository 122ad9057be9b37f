"""Images without labels: found, preprocessed once, and kept in a file that is mapped into memory."""

import contextlib
import hashlib
import logging
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinocell.datasets.belonging import ANNOTATION, PART, Nearby, describe_left_out, split_folder
from dinocell.errors import DINOCellError, FileFormatError, FileMissingError, InputError, OutputError
from dinocell.io.identity import join_sets
from dinocell.io.images import Image, read_image
from dinocell.io.readers.formats import FOLDER_SUFFIXES, IMAGE_SUFFIXES, MICROSCOPE_SUFFIXES
from dinocell.preprocess.preprocessing import Preprocessing, preprocess
from dinocell.training.pretraining.config import PretrainConfig
from dinocell.workers.pool import OrderedPool

logger = logging.getLogger(__name__)

PLANES_FILE = ".planes.tmp"

_SUFFIXES = tuple(s for s in (*IMAGE_SUFFIXES, *MICROSCOPE_SUFFIXES) if s not in FOLDER_SUFFIXES)

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Planes:
    """Preprocessed images in one file, so that neither their number nor that of processes costs memory.

    Attributes
    ----------
    path : Path
        Their pixels as uint8, one image after another.
    shapes : tuple of (int, int, int)
        Channels, height and width of every image.
    offsets : tuple of int
        Bytes of the file before each image.
    sha256 : str
        Hash of the pixels of all images.
    skipped : tuple of str
        A line for every file that could not be read.
    """

    path: Path
    shapes: tuple[Shape, ...]
    offsets: tuple[int, ...]
    sha256: str
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.shapes)

    def read(self, number: int) -> NDArray[np.uint8]:
        """Map an image into memory.

        Returns
        -------
        uint8 array, shape (C, Y, X)
            Read-only.

        Raises
        ------
        OutputError
            If somebody removed the file.
        """
        try:
            return np.memmap(self.path, np.uint8, "r", self.offsets[number], self.shapes[number])
        except (OSError, ValueError) as error:
            raise OutputError(
                f"{self.path} is gone or shorter, removed or moved meanwhile ({error}): start again in "
                "another output"
            ) from error


@contextlib.contextmanager
def open_images(config: PretrainConfig) -> Iterator[Planes]:
    """Find and preprocess the images of a run; their pixels are in the run folder until the block ends.

    Raises
    ------
    FileMissingError
        If a path does not exist, or no images are found.
    FileFormatError
        If no image can be read, or one cannot that was named itself.
    OutputError
        If the run folder cannot be written.
    """
    path = config.output / PLANES_FILE
    files = find_images(config.images, config.exclude)
    try:
        yield _write_planes(path, files, config)
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def find_images(paths: Sequence[Path], exclude: Sequence[str]) -> list[Path]:
    """List image files.

    Parameters
    ----------
    paths : sequence of Path
        Files, which are taken as they are, and folders, which are searched with all folders in them.
    exclude : sequence of str
        Patterns of paths within a folder, compared from their right end, that are left out; hidden files are
        too.

    Returns
    -------
    list of Path
        Each file once; those of a folder are sorted.

    Raises
    ------
    FileMissingError
        If a path does not exist, or no images are found.
    """
    if not paths:
        raise FileMissingError("no images are given: name image files, or folders of them")
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise FileMissingError(f"{path} does not exist, expected an image or a folder of images")
        files = _search(path, exclude) if path.is_dir() else [path]
        if not files:
            raise FileMissingError(
                f"{path} holds no images: expected files ending in {', '.join(_SUFFIXES)} "
                "that the setting exclude does not name"
            )
        for file in files:
            found.setdefault(file.resolve(), file)
    images, parts = join_sets(found.values())
    if line := describe_left_out({PART: parts}):
        logger.warning("%s", line)
    return list(images)


def _search(folder: Path, exclude: Sequence[str]) -> list[Path]:
    """List the images below a folder; files that belong to one of them, by their names, are left out."""
    found: list[Path] = []
    derived: list[Path] = []
    excluded: list[Path] = []
    nearby = Nearby()
    for path, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        shown = [Path(path, name) for name in sorted(names) if not name.startswith(".")]
        files = [file for file in shown if file.suffix.lower() in _SUFFIXES and file.is_file()]
        near = partial(nearby.stems, Path(path)) if Path(path) != folder else tuple
        images, others = split_folder(files, names, nearby=near)
        for file in images:
            is_named = any(file.relative_to(folder).match(pattern) for pattern in exclude)
            (excluded if is_named else found).append(file)
        derived += others
    left_out = {ANNOTATION: derived, "named by the setting exclude": excluded}
    if line := describe_left_out(left_out):
        logger.warning("%s: %s", folder, line)
    return sorted(found)


def _write_planes(path: Path, files: Sequence[Path], config: PretrainConfig) -> Planes:
    shapes: list[Shape] = []
    skipped = []
    digest = hashlib.sha256()
    arguments = (config.preprocessing, config.stains_in_colours)
    try:
        with path.open("wb") as out, OrderedPool(config.workers) as pool:
            for file, result in pool.map(read_planes, files, *arguments):
                if isinstance(result, DINOCellError):
                    if file in config.images:
                        raise result
                    logger.warning("left out: %s", result)
                    skipped.append(str(result))
                    continue
                for planes in result:
                    out.write(planes.tobytes())
                    digest.update(planes.tobytes())
                    shapes.append((planes.shape[0], planes.shape[1], planes.shape[2]))
    except OSError as error:
        if isinstance(error, DINOCellError):
            raise
        raise OutputError(f"cannot write {path}: {error.strerror}. Free some space there") from error
    if not shapes:
        raise FileFormatError(f"none of {len(files)} images can be read, first: {skipped[0]}")
    offsets = np.cumsum([0, *map(math.prod, shapes[:-1])]).tolist()
    return Planes(path, tuple(shapes), tuple(offsets), digest.hexdigest(), tuple(skipped))


def read_planes(
    path: Path, preprocessing: Preprocessing, split_colours: bool
) -> list[NDArray[np.uint8]] | DINOCellError:
    """Read and preprocess the images of a file.

    Parameters
    ----------
    path : Path
    preprocessing : Preprocessing
    split_colours : bool
        Whether the channels of a colour image are kept apart rather than made gray.

    Returns
    -------
    list of uint8 array, shape (C, Y, X); or DINOCellError
        An image a page; several channels where they are kept apart. The error of an unreadable file is
        returned, so that the caller can continue.
    """
    try:
        return [_preprocess_channels(image, preprocessing, split_colours) for image in _pages(path)]
    except InputError as error:  # of the pixels, which does not name the file
        return FileFormatError(f"{path}: {error}")
    except DINOCellError as error:
        return error


def _pages(path: Path) -> Iterator[Image]:
    try:
        only = read_image(path)
    except InputError:  # a stack
        yield read_image(path, page=0)
    else:
        yield only
        return
    for page in range(1, 2**31):
        try:
            yield read_image(path, page=page)
        except InputError:  # beyond its end
            return


def _preprocess_channels(
    image: Image, preprocessing: Preprocessing, split_colours: bool
) -> NDArray[np.uint8]:
    pixels = image.pixels
    if image.axes == "YXS" and split_colours:
        pixels = pixels[:, :, :3]
    elif image.axes != "YXC":
        return preprocess(pixels, preprocessing)[None]
    planes = [preprocess(pixels[:, :, number], preprocessing) for number in range(pixels.shape[2])]
    shown = [plane for plane in planes if plane.any()]  # an empty channel has nothing to learn from
    return np.stack(shown or planes[:1])
