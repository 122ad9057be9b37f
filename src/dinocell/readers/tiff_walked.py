"""What is known of the directories of all files of a TIFF image, by tifffile's pages."""

from pathlib import Path
from typing import Any

from dinocell.readers.tiff_directories import Directories, Storage


class Walked:
    """What a walk over the directories of each file of an image has found, by the file's name."""

    def __init__(self, own: Path, found: Directories) -> None:
        self.files: dict[str, Directories] = {own.resolve().name: found}

    def storage(self, page: Any) -> Storage | None:
        """Return how a page is stored, None for one without a directory of its own."""
        found = self.files.get(page.parent.filehandle.name)
        return None if found is None else found.storage.get(page.offset)

    def shares_bytes(self, page: Any) -> tuple[bool, bool]:
        """Whether the raw pixels of a page share bytes: with something else, among each other."""
        found = self.files.get(page.parent.filehandle.name)
        if found is None:
            return False, False
        some, every = found.places.shared
        return page.offset in some, page.offset in every
