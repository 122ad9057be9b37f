"""Findings about the directories of all files of a TIFF image, looked up by tifffile's pages."""

from pathlib import Path
from typing import Any

import tifffile

from dinocell.io.readers.tiff_directories import Directories
from dinocell.io.readers.tiff_storage import PRIVATE, Storage


class FileSet:
    """Findings of a walk over the directories of each file of an image, by the file's name."""

    def __init__(self, own: Path, found: Directories) -> None:
        self.files: dict[str, Directories] = {own.resolve().name: found}

    def storage(self, page: Any) -> Storage | None:
        """Return how a page is stored; None for a page without a directory of its own."""
        found = self.files.get(page.parent.filehandle.name)
        return None if found is None else found.storage.get(page.offset)

    def shares_bytes(self, page: Any) -> tuple[bool, bool]:
        """Return whether pixels of a page share bytes and are wrong, or odd, as `ByteSpans.shared` has it."""
        found = self.files.get(page.parent.filehandle.name)
        if found is None:
            return False, False
        wrong, odd = found.spans.shared
        return page.offset in wrong, page.offset in odd

    def oddities(self) -> list[str]:
        """List warnings about tags, or a list of pages, that look damaged, so that pages may be missing."""
        found = []
        if any(one.is_cut for one in self.files.values()):
            found.append("its list of pages goes on where there is none, pages may be missing: copy it again")
        if not all(one.is_sorted for one in self.files.values()):
            found.append(
                "its tags are not in order, one may be damaged: compare what is read with the original"
            )
        codes = set().union(*(one.codes for one in self.files.values()))
        unknown = [code for code in sorted(codes) if code < PRIVATE and code not in tifffile.TIFF.TAGS]
        if unknown:
            found.append(
                f"it has a tag {unknown[0]}, which TIFF does not know, it may be a damaged one: compare "
                "what is read with the original"
            )
        unusual = sorted(set().union(*(one.unusual for one in self.files.values())))
        if unusual:
            found.append(
                f"its tag {unusual[0]} is of an unusual kind and may be damaged: compare what is read with "
                "the original"
            )
        return found
