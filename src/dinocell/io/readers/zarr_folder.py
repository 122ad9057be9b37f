"""Files inside the folder of an OME-Zarr: nothing outside of it is read, whatever metadata or links say."""

import json
import stat
from pathlib import Path, PurePosixPath
from typing import Any

_MAX_JSON_BYTES = 2**26


def inside(root: Path, group: Path, path: object) -> Path:
    """Join a path of the metadata to its group; it and what it links to must be within `root`."""
    if not isinstance(path, str) or "\\" in path or "\0" in path:
        raise ValueError(f"the path {path!r} in its metadata is not a path")
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"the path {path!r} in its metadata leads outside")
    target = group / parts
    check_inside(root, target)
    return target


def check_inside(root: Path, target: Path) -> None:
    """Raise ValueError for a path below `root` that is, or goes through, a link that leads outside."""
    if not target.resolve().is_relative_to(root):
        raise ValueError(f"{target.relative_to(root)} is a link that leads outside")


def regular_size(file: Path) -> int:
    """Return the size of a regular file in bytes; raise ValueError for any other kind."""
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would never end
        raise ValueError(f"{file.name} is not a regular file")
    return status.st_size


def read_json(root: Path, file: Path) -> dict[str, Any] | None:
    """Read an object of JSON within `root`; None if the file does not exist."""
    check_inside(root, file)
    if not file.exists():
        return None
    if regular_size(file) > _MAX_JSON_BYTES:
        raise ValueError(f"{file.name} has more than {_MAX_JSON_BYTES} bytes")
    found = json.loads(file.read_bytes())
    if not isinstance(found, dict):
        raise TypeError(f"{file.name} is not an object")
    return found
