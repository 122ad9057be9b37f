"""Records in the text files of a store: ``dataset.json`` on the whole, ``index.jsonl`` on every item."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, ValidationError

from dinocell.errors import FileFormatError, FileMissingError
from dinocell.io.hashes import hash_hashes
from dinocell.io.opening import read_whole
from dinocell.io.saving import printable
from dinocell.labels import Target
from dinocell.preprocess.preprocessing import Preprocessing
from dinocell.settings import Section, first_problem

IMAGES_FILE, MAPS_FILE, LABELS_FILE = "imgs.npy", "dist_maps.npy", "anns.npy"
INDEX_FILE, INFO_FILE = "index.jsonl", "dataset.json"

MAX_INDEX_BYTES = 2**32

Arrays = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int32]]
"""Image ``(Y, X, 3)``, distance map ``(Y, X)`` and labels ``(Y, X)`` of an item."""


Text = Annotated[str, AfterValidator(printable)]
"""Text that may come from the name of a file."""


class Failure(Section):
    """An image that could not be processed, and why."""

    name: str
    reason: Text


class StoreInfo(Section):
    """Content of ``dataset.json``.

    Attributes
    ----------
    format : str
        Format that it was made from.
    annotates : {"cells", "nuclei"}, optional
        Target that the labels are of; None in a store of an earlier version, which did not record it.
    purpose : {"train", "evaluate"}
        Overlapping crops to train on, or whole images to evaluate on.
    size : (int, int)
        Height and width of every item in pixels, padding included.
    items, images, cells : int
        Cells are counted in the images, before they are cut into crops.
    overlapped_pixels : int
        Pixels that the annotation gave to several cells.
    failed : tuple of Failure
    notes : tuple of str
        Notes on the label images.
    diameter : float, optional
        Median cell diameter in pixels that every image was brought to.
    overlap : int
        Of neighbouring crops, in pixels.
    preprocessing : Preprocessing
        Preprocessing of the images, which must not be applied again.
    dinocell : str
        Version that wrote it.
    content_sha256 : str
        Hash of all items: equal content, equal hash.
    """

    format: str
    annotates: Target | None = None
    purpose: Literal["train", "evaluate"]
    size: tuple[int, int]
    items: int
    images: int
    cells: int
    overlapped_pixels: int
    failed: tuple[Failure, ...] = ()
    notes: tuple[Text, ...] = ()
    diameter: float | None = None
    overlap: int = 0
    preprocessing: Preprocessing
    dinocell: str
    content_sha256: str


class IndexEntry(Section):
    """Content of a line of ``index.jsonl``, on one item.

    Attributes
    ----------
    item : int
        Its place in the arrays.
    name : str
        Name of the image that the item was cut from.
    files : tuple of str
        Names of the files that the image was read from.
    image_shape : (int, int)
        Height and width of the whole image in pixels, after scaling.
    y, x : int
        First row and column of the item in it.
    scale : float
        Factor on both sides of the original image.
    crops : int
        Items that the image was cut into.
    cells : int
        In the whole image.
    overlapped_pixels : int
        In the whole image.
    sha256 : str
        Hash of the item's image, distance map and labels.
    notes : tuple of str
        Notes on the image's labels; with its first item.
    """

    item: int
    name: str
    files: tuple[Text, ...]
    image_shape: tuple[int, int]
    y: int
    x: int
    scale: float
    crops: int
    cells: int
    overlapped_pixels: int
    sha256: str
    notes: tuple[Text, ...] = ()


def item_arrays(size: tuple[int, int]) -> dict[str, tuple[tuple[int, ...], type[np.generic]]]:
    """Return shape and dtype of an item in each of the arrays."""
    return {IMAGES_FILE: ((*size, 3), np.uint8), MAPS_FILE: (size, np.float32), LABELS_FILE: (size, np.int32)}


def hash_entries(entries: Iterable[IndexEntry]) -> str:
    """Compute the SHA-256 over the hashes of all items."""
    return hash_hashes(entry.sha256 for entry in entries)


def read_info(folder: Path) -> StoreInfo | None:
    """Read ``dataset.json``; None where the file is missing, as in SAMCell's stores.

    Raises
    ------
    FileFormatError
        If it is damaged.
    """
    path = folder / INFO_FILE
    if not path.exists():
        return None
    try:
        return StoreInfo.model_validate_json(read_whole(path))
    except ValidationError as error:
        raise FileFormatError(f"{path}: {first_problem(error)}. Process the data again") from error
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror}") from error


def read_index(folder: Path) -> list[IndexEntry]:
    """Read the entries of a store's items.

    Raises
    ------
    FileMissingError
        If ``index.jsonl`` is missing.
    FileFormatError
        If it is damaged.
    """
    path = folder / INDEX_FILE
    try:
        # Not `splitlines`: a name may hold what Unicode calls the end of a line.
        lines = read_whole(path, MAX_INDEX_BYTES).removesuffix(b"\n").split(b"\n")
        return [IndexEntry.model_validate_json(line) for line in lines]
    except FileNotFoundError as error:
        raise FileMissingError(f"{path} is missing: copy the whole folder") from error
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise FileFormatError(f"{path} is damaged. Process the data again") from error
