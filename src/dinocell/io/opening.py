"""Open files that a user named: only regular ones, and whole ones only up to a size.

Reading a pipe waits for its other end, and a device may never end. Both are recognised by their kind before
they are opened.
"""

import errno
import io
import json
import os
import stat
from pathlib import Path
from typing import Any

MAX_WHOLE_BYTES = 2**26
"""Most bytes of a file that is read whole: settings, tables, descriptions."""


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a folder; False if the system cannot look, as with too long a name."""
    return os.path.isdir(path)  # noqa: PTH112 (Path.is_dir raises)


def open_regular(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a regular file to read its bytes.

    Raises
    ------
    OSError
        If it is a pipe, socket, device or folder, as ``strerror`` explains; or as `open`.
    """
    check_regular(path)
    return Path(path).open("rb")


def check_regular(path: str | os.PathLike[str]) -> os.stat_result:
    """Return the status of a regular file; raise as `open_regular` for any other kind."""
    try:
        status = os.stat(path)  # noqa: PTH116 (takes any path)
    except ValueError as error:
        raise OSError(errno.EINVAL, "a name cannot hold a NUL", str(path)) from error
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder, expected a file", str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe or device, expected a regular file", str(path))
    return status


def read_whole(path: str | os.PathLike[str], largest: int = MAX_WHOLE_BYTES) -> bytes:
    """Return the bytes of a regular file.

    Raises
    ------
    OSError
        As `open_regular`; or if it has more than `largest` bytes.
    """
    with open_regular(path) as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise OSError(errno.EFBIG, f"it has more than {largest} bytes", str(path))
    return content


def read_json_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a file of one JSON object; empty if it is missing, damaged, or holds something else."""
    try:
        found = json.loads(read_whole(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
