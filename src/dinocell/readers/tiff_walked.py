"""What is known of the directories of all files of a TIFF image, by tifffile's pages."""

from pathlib import Path
from typing import Any

from dinocell.readers.tiff_directories import Directories, Storage


class Walked:
    """What a walk over the directories of each file of an image has found, by the file's name."""

    def __init__(self, own: Path, found: Directories) -> None:
        self.files: dict[str, Directories] = {own.resolve().name: found}
        self._doubtful: dict[str, set[int]] = {}

    def storage(self, page: Any) -> Storage | None:
        """Return how a page is stored, None for one without a directory of its own."""
        found = self.files.get(page.parent.filehandle.name)
        return None if found is None else found.storage.get(page.offset)

    def is_doubtful(self, page: Any) -> bool:
        """Whether the pixels of a page, stored as they are, share bytes with something else in the file."""
        name = page.parent.filehandle.name
        if name not in self._doubtful and name in self.files:
            self._doubtful[name] = self.files[name].places.doubtful()
        return page.offset in self._doubtful.get(name, ())
