"""Write image and label files, whole or not at all."""

import hashlib
import json
import math
import os
import re
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from dinocell.errors import DINOCellError, InputError, OutputError
from dinocell.io.planes import PathLike, Pixels
from dinocell.labels import validate_labels
from dinocell.version import __version__

NAME_BYTES = 255
"""Most bytes of a file's name, on nearly all file systems."""


def write_labels(
    path: PathLike,
    labels: NDArray[Any],
    *,
    pixel_size_um: float | tuple[float, float] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a label image as a zlib-compressed TIFF that `read_labels` reads back bit by bit.

    It is an OME-TIFF if there is a pixel size or a provenance to be stored. The same input gives the same
    bytes.

    Parameters
    ----------
    path : path
        Name ending in .tif or .tiff; an existing file is replaced in one step.
    labels : integer array, shape (Y, X)
        Stored as uint16; as uint32 if an id is above 65535; as int32 if pixels are −1 (ignore).
    pixel_size_um : float or (float, float), optional
        Edge of a pixel in micrometres, or its height and width, 1e-5 to 1e5; stored in the OME-XML and in
        TIFF's own tags.
    provenance : mapping, optional
        How the labels were made, in values that JSON can hold; stored in the OME-XML as a comment of
        namespace ``dinocell``.

    Raises
    ------
    InputError
        If `labels` is empty or not a label image, if the name ends otherwise, or if the pixel size or the
        provenance cannot be stored.
    OutputError
        If the file cannot be written.
    """
    array, file = validate_labels(labels), Path(path)
    _check_writable(array, file, (".tif", ".tiff"))
    dtype = np.uint16 if array.max() <= np.iinfo(np.uint16).max else np.uint32
    stored = array.astype(np.int32 if array.min() < 0 else dtype)
    options = _ome_options(stored, pixel_size_um, provenance) or {"metadata": None}
    with atomic_path(file) as temporary:
        tifffile.imwrite(temporary, stored, photometric="minisblack", compression="zlib", **options)


def _ome_options(
    stored: NDArray[Any],
    pixel_size_um: float | tuple[float, float] | None,
    provenance: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the options with which tifffile writes an OME-TIFF; empty if there is nothing to store in it."""
    if pixel_size_um is None and not provenance:
        return {}
    metadata: dict[str, Any] = {"axes": "YX", "Name": "labels", "Creator": f"DINOCell {__version__}"}
    options: dict[str, Any] = {"ome": True, "metadata": metadata}
    if provenance:
        metadata["CommentAnnotation"] = {"Namespace": "dinocell", "Value": encode_provenance(provenance)}
    if pixel_size_um is not None:
        y, x = pixel_size_um if isinstance(pixel_size_um, tuple) else (pixel_size_um, pixel_size_um)
        resolution, sizes = describe_pixels((y, x))
        metadata |= sizes
        options |= resolution
    # OME wants an id of the file; one of its content keeps the bytes the same.
    content = hashlib.sha256(stored.tobytes() + repr((stored.shape, metadata)).encode())
    metadata["UUID"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, content.hexdigest())}"
    return options


def describe_pixels(size_yx_um: tuple[float, float]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what TIFF's own tags (as tifffile takes them) and an OME-XML say of the size of pixels.

    Raises
    ------
    InputError
        If it is not within 1e-5 and 1e5 micrometres.
    """
    y, x = size_yx_um
    if not (1e-5 <= y <= 1e5 and 1e-5 <= x <= 1e5):
        raise InputError(f"pixel_size_um is {size_yx_um}, expected 1e-5 to 1e5 micrometres")
    sizes: dict[str, Any] = {"PhysicalSizeX": float(x), "PhysicalSizeY": float(y)}
    sizes |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
    return {"resolution": (1e4 / x, 1e4 / y), "resolutionunit": "centimeter"}, sizes


def encode_provenance(provenance: Mapping[str, Any]) -> str:
    """Encode how a result was made as one line of JSON in ASCII.

    Raises
    ------
    InputError
        If it holds values that JSON cannot hold, such as NaN.
    """
    try:
        return json.dumps(dict(provenance), allow_nan=False)
    except (RecursionError, TypeError, ValueError) as exc:
        raise InputError(
            f"the provenance cannot be stored ({exc}), expected texts, finite numbers, booleans, None, and "
            "lists and mappings of them"
        ) from exc


def write_image(path: PathLike, pixels: Pixels) -> None:
    """Write an image as PNG or zlib-compressed TIFF that `read_image` reads back bit by bit.

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
            metadata={"axes": ("YXS" if colour else "YXC")[: array.ndim]},
        )


def printable(text: str) -> str:
    """Replace what is not Unicode by U+FFFD: names of files may hold it, JSON may not."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


@contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Yield a temporary name beside `path` to write to, and rename it when the block ends well.

    Parameters
    ----------
    path : path
        Final name of the file.

    Yields
    ------
    Path
        ``.NAME.tmp-PID`` in the same folder, or shorter where that is too long; removed if the block fails.

    Raises
    ------
    OutputError
        For any OSError of the block or of the renaming.
    """
    target = Path(path)
    temporary = target.with_name(_temporary_name(target.name))
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


def _temporary_name(name: str) -> str:
    """Return the name to write a file under: a hash and the end of the name, if that is long."""
    ending = f".tmp-{os.getpid()}"
    if len(os.fsencode(f".{name}{ending}")) > NAME_BYTES:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        name = f"{digest}{name[-40:]}"  # at most 160 bytes
    return f".{name}{ending}"


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


def create_folder(folder: Path) -> None:
    """Create a folder for results, and check that it can be written to, before any work is done.

    Raises
    ------
    OutputError
        If it cannot be created or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"cannot write to output folder {folder}: {error.strerror or error}. Choose another with -o"
        ) from error
