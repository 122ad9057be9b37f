"""Label images as PNG and NumPy files; `dinocell.io.saving.write_labels` writes them as TIFF."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.io.images import open_labels, read_labels
from dinocell.io.planes import PathLike, Pixels
from dinocell.io.saving import atomic_path, encode_provenance, write_labels
from dinocell.io.stacks import write_stack
from dinocell.labels import IGNORE, validate_labels
from dinocell.results.result_format import PlaneFormat, PlaneResult, Stack, StackPart
from dinocell.results.table import PROVENANCE_KEY

_HEADER_END = 33  # of a PNG: 8 bytes of signature, then the chunk IHDR


def write_label_png(
    path: PathLike, labels: NDArray[Any], *, provenance: Mapping[str, Any] | None = None
) -> None:
    """Write a label image as gray PNG that `read_labels`, Pillow and OpenCV give back bit by bit.

    Parameters
    ----------
    path : path
        An existing file is replaced in one step.
    labels : integer array, shape (Y, X)
        Stored as uint8, as uint16 where an id is above 255.
    provenance : mapping, optional
        How the labels were made, of what JSON can hold; stored as the text ``dinocell``.

    Raises
    ------
    InputError
        If `labels` is not a label image or is empty, has ids above 65535 or ignored pixels, or the provenance
        cannot be stored.
    OutputError
        If the file cannot be written.
    """
    array = validate_labels(labels)
    if not array.size:
        raise InputError(f"{path} cannot hold labels of shape {array.shape}, expected at least one pixel")
    if array.min() == IGNORE or array.max() > np.iinfo(np.uint16).max:
        raise InputError(
            f"{path} cannot hold values from {array.min()} to {array.max()}, expected ids from 0 to 65535 "
            "in a PNG: write a TIFF"
        )
    stored = array.astype(np.uint8 if array.max() <= np.iinfo(np.uint8).max else np.uint16)
    data = encode_png(stored, provenance)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_label_npy(path: PathLike, labels: NDArray[Any]) -> None:
    """Write a label image as int32 array that `numpy.load` reads; it has no place for a provenance.

    Parameters
    ----------
    path : path
        An existing file is replaced in one step.
    labels : integer array, shape (Y, X)
        Ignored pixels stay −1.

    Raises
    ------
    InputError
        If `labels` is not a label image.
    OutputError
        If the file cannot be written.
    """
    array = np.ascontiguousarray(validate_labels(labels), "<i4")
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def encode_png(pixels: Pixels, provenance: Mapping[str, Any] | None, *, level: int | None = None) -> bytes:
    """Encode a picture as PNG with its provenance as the text ``dinocell``.

    Parameters
    ----------
    pixels : uint8 or uint16 array, shape (Y, X) or (Y, X, 3)
    provenance : mapping or None
        Of what JSON can hold.
    level : int, optional
        Compression, from 1, the fastest, to 9.

    Returns
    -------
    bytes

    Raises
    ------
    InputError
        If the provenance cannot be stored.
    """
    data = bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), level))
    if not provenance:
        return data
    content = b"tEXt" + PROVENANCE_KEY.encode() + b"\0" + encode_provenance(provenance).encode("ascii")
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return data[:_HEADER_END] + chunk + data[_HEADER_END:]


class NpyFormat(PlaneFormat):
    """Label image as NumPy array."""

    name = "npy"
    ending = "_labels.npy"
    meaning = "label image for NumPy"

    def write(self, path: Path, result: PlaneResult) -> None:
        """Write the labels."""
        write_label_npy(path, result.labels)

    def join(self, path: Path, parts: Sequence[StackPart], stack: Stack) -> None:
        """Write the labels of all planes: ``(T, Y, X)``, ``(Z, Y, X)`` or ``(T, Z, Y, X)``."""
        shape = (*stack.axes.shape, *stack.plane_shape)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.lib.format.write_array_header_2_0(
                file, {"descr": "<i4", "fortran_order": False, "shape": shape}
            )
            for part in parts:
                np.load(part.path, allow_pickle=False).tofile(file)


class PngFormat(PlaneFormat):
    """Label image as PNG."""

    name = "png"
    ending = "_labels.png"
    meaning = "label image, up to 65,535 cells"

    def write(self, path: Path, result: PlaneResult) -> None:
        """Write the labels."""
        write_label_png(path, result.labels, provenance=result.provenance)


class TifFormat(PlaneFormat):
    """Label image as OME-TIFF."""

    name = "tif"
    ending = "_labels.tif"
    meaning = "label image as OME-TIFF, with pixel size"
    by_default = True

    def write(self, path: Path, result: PlaneResult) -> None:
        """Write the labels."""
        write_labels(path, result.labels, pixel_size_um=result.pixel_size_yx_um, provenance=result.provenance)

    def join(self, path: Path, parts: Sequence[StackPart], stack: Stack) -> None:
        """Write the labels of all planes; ids count from 1 in each."""
        dtype = np.result_type(*{_dtype_of(part.path) for part in parts})
        write_stack(
            path,
            (read_labels(part.path).astype(dtype) for part in parts),
            stack.axes,
            plane_shape=stack.plane_shape,
            dtype=dtype,
            name="labels",
            provenance=stack.provenance,
        )


def _dtype_of(path: Path) -> np.dtype[Any]:
    with open_labels(path) as labels:
        return labels.info.dtype
