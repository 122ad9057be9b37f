"""What a plane of an image file may be: its size, its page, its channel."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dinocell.errors import FileFormatError, InputError

Pixels = NDArray[Any]

MAX_PIXELS = 2**31
"""A plane of more pixels (height × width) is refused from its header, before memory is taken."""


def checked_index(index: int | None, count: int, what: str, file: Path) -> int:
    """Return a page or channel number that exists; None stands for the only one."""
    if index is None and count > 1:
        raise InputError(
            f"{file} is a stack of {count} {what}s, expected a single one: choose with --{what} N, "
            f"N from 0 to {count - 1}"
        )
    if not 0 <= (index or 0) < count:
        raise InputError(
            f"{file} has no {what} {index}, expected --{what} from 0 to {count - 1}: "
            f"it holds {count} {what}{'s' if count > 1 else ''}"
        )
    return index or 0


def check_size(height: int, width: int, file: Path) -> None:
    """Refuse a plane without pixels or with more than `MAX_PIXELS`."""
    if not 0 < height * width <= MAX_PIXELS:
        raise FileFormatError(
            f"{file} says it has {height} × {width} pixels, expected 1 to {MAX_PIXELS} a plane: "
            "export it again, or cut it into tiles"
        )
