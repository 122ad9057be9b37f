"""Limits and checks of planes: their size, numbers and windows, and the errors of damaged files."""

import operator
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
from numpy.typing import NDArray

from dinocell.errors import DINOCellError, FileFormatError, InputError

Pixels = NDArray[Any]

PathLike = str | os.PathLike[str]

Window = tuple[slice, slice]
"""Rows and columns of a part of a plane."""

MAX_PIXELS = 2**31
"""Most pixels (height × width) of a plane or window; larger ones raise an error before memory is taken."""

MAX_WINDOWED_PIXELS = 2**62
"""Most pixels of a plane that is only read in windows."""

METADATA_ERRORS = (ArithmeticError, AttributeError, LookupError, SyntaxError, TypeError, ValueError)
"""Exceptions that reading damaged tags and descriptions raises."""

DECODE_ERRORS = (
    *METADATA_ERRORS, AssertionError, EOFError, MemoryError, OSError, RuntimeError, SystemError, cv2.error,
    struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""Exceptions that decoders raise on damaged files.

Those of imagecodecs are RuntimeErrors, and numpy reads the header of an array as tokens of Python.
"""


@contextmanager
def decoding(file: Path, kind: str) -> Iterator[None]:
    """Convert whatever a decoder raises on a damaged file into one error that names the file.

    Raises
    ------
    FileFormatError
        For any of these exceptions; DINOCell's own errors pass.
    """
    try:
        yield
    except DINOCellError:
        raise
    except DECODE_ERRORS as exc:
        detail = " ".join(f"{exc}".split())[:120] or type(exc).__name__
        if isinstance(exc, struct.error):
            detail = "it ends too early"
        raise FileFormatError(
            f"{file} is a damaged or unsupported {kind} file ({detail}), expected one complete image: "
            "copy it again or save it as a plain TIFF"
        ).of_kind(
            f"are damaged or unsupported {kind} files", "copy them again or save them as plain TIFF"
        ) from exc


def checked_index(index: int | None, count: int, what: str, file: Path) -> int:
    """Return the number of a page, time, channel or slice that exists; None stands for the only one."""
    if index is None and count > 1:
        raise InputError(
            f"{file} is a stack of {count} {what}s, expected a single one: choose with {what}=N, "
            f"N from 0 to {count - 1}"
        ).of_kind(f"are stacks of {what}s", f"choose with {what}=N")
    if not 0 <= (index or 0) < count:
        raise InputError(
            f"{file} has no {what} {index}, expected one from 0 to {count - 1}: "
            f"it holds {count} {what}{'s' if count > 1 else ''}"
        ).of_kind(f"have no {what} {index}", "choose one that all of them have")
    return index or 0


def check_size(
    height: int,
    width: int,
    file: Path,
    *,
    largest: int = MAX_PIXELS,
    remedy: str = "export it again, or cut it into tiles",
) -> None:
    """Raise FileFormatError, with a remedy, for a plane without pixels or with more than `largest`."""
    if not 0 < height * width <= largest:
        raise FileFormatError(
            f"{file} says it has {height} × {width} pixels, expected 1 to {largest} a plane: {remedy}"
        )


def checked_window(rows: slice, columns: slice, height: int, width: int, file: Path) -> Window:
    """Return a window whose bounds are numbers; None stands for those of the plane.

    Raises
    ------
    InputError
        If it is empty, reaches beyond the plane, has a step, or has more than `MAX_PIXELS` pixels.
    """
    window = []
    for bounds, length, what in ((rows, height, "rows"), (columns, width, "columns")):
        start = 0 if bounds.start is None else operator.index(bounds.start)
        stop = length if bounds.stop is None else operator.index(bounds.stop)
        if not 0 <= start < stop <= length or bounds.step not in (None, 1):
            step = "" if bounds.step is None else f":{bounds.step}"
            raise InputError(
                f"{file} has no {what} {start}:{stop}{step}, expected a range within 0:{length} "
                "that is not empty and leaves none out: choose the window again"
            )
        window.append(slice(start, stop))
    pixels = (window[0].stop - window[0].start) * (window[1].stop - window[1].start)
    if pixels > MAX_PIXELS:
        raise InputError(
            f"the window of {file} has {pixels} pixels, expected at most {MAX_PIXELS}: read smaller ones"
        )
    return window[0], window[1]
