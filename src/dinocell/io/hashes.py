"""SHA-256 of the content of a file, and of several hashes."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from dinocell.io.opening import open_regular


def hash_content(path: Path) -> str:
    """Compute the SHA-256 of a file's content, in hexadecimal digits.

    Raises
    ------
    OSError
        If it cannot be read; what that means, and what helps, the caller knows.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_hashes(hashes: Iterable[str]) -> str:
    """Compute the SHA-256 of hashes in hexadecimal digits, one after the other.

    Examples
    --------
    >>> hash_hashes(["ab", "cd"]) == hashlib.sha256(b"abcd").hexdigest()
    True
    """
    return hashlib.sha256("".join(hashes).encode()).hexdigest()
