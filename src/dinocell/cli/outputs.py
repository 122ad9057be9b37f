"""The output folder of a command."""

import tempfile
from pathlib import Path

from dinocell.errors import OutputError


def make_folder(folder: Path) -> None:
    """Create the output folder and try to write into it, before any work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"cannot write to output folder {folder}: {error.strerror}. Choose another with -o"
        ) from error
