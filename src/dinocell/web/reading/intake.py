"""Intake: files become images of the archive."""

import shutil
from pathlib import Path
from typing import Any

from dinocell.errors import InputError
from dinocell.io.hashes import hash_content
from dinocell.web.archive.archive import ORIGINAL, Archive, bytes_in
from dinocell.web.archive.ids import new_id, now
from dinocell.web.archive.records import ImageRecord, PlaneRecord
from dinocell.web.messages import PlaneRequest
from dinocell.web.reading.conversion import Order, convert
from dinocell.web.reading.process import ReaderProcesses
from dinocell.web.reading.upload import Upload
from dinocell.web.settings import Limits


class Intake:
    """Place where files are read, each in a process of its own, and kept.

    Its methods raise DINOCellError for a file that cannot be read, or is too large, and then keep nothing.

    Parameters
    ----------
    archive : Archive
    limits : Limits
    """

    def __init__(self, archive: Archive, limits: Limits) -> None:
        self._archive, self._limits = archive, limits
        self._readers = ReaderProcesses(limits.readers, limits.reader_bytes, limits.reader_seconds)

    def take_upload(self, upload: Upload) -> ImageRecord:
        """Take an uploaded file, which is moved."""
        numbers = {name: _parse_number(name, upload.fields.get(name)) for name in ("scene", "time", "z")}
        image, folder = self._begin(upload.bytes)
        original = folder / f"{ORIGINAL}{_suffix(upload.name)}"
        upload.path.replace(original)
        known = {"name": upload.name, "bytes": upload.bytes, "sha256": upload.sha256, "file": image}
        return self._take(image, original, PlaneRequest(**numbers), known)

    def take_file(self, path: Path, plane: PlaneRequest) -> ImageRecord:
        """Take a file of this computer, which stays where it is."""
        size = path.stat().st_size
        image, _ = self._begin(size)
        known = {
            "name": path.name,
            "bytes": size,
            "sha256": hash_content(path),
            "file": image,
            "path": str(path),
        }
        return self._take(image, path, plane, known)

    def take_plane(self, first: ImageRecord, plane: PlaneRequest) -> ImageRecord:
        """Take another plane of an image's file."""
        source = self._archive.original(first)
        same = plane.scene in (None, first.place["scene"])  # another scene may have fewer times and slices
        chosen = PlaneRequest(
            scene=first.place["scene"] if plane.scene is None else plane.scene,
            time=first.place["time"] if plane.time is None and same else plane.time,
            z=first.place["z"] if plane.z is None and same else plane.z,
        )
        image, _ = self._begin(0)
        known = {name: getattr(first, name) for name in ("name", "bytes", "sha256", "file", "path")}
        return self._take(image, source, chosen, known)

    def _begin(self, size: int) -> tuple[str, Path]:
        """Return the id and the folder of a new image."""
        self._archive.check_room(size, self._limits.disk_bytes, self._limits.free_bytes)
        image = new_id()
        folder = self._archive.image_folder(image)
        folder.mkdir()
        return image, folder

    def _take(self, image: str, source: Path, plane: PlaneRequest, known: dict[str, Any]) -> ImageRecord:
        folder, limits, name = self._archive.image_folder(image), self._limits, str(known["name"])
        place = (plane.scene, plane.time, plane.z)
        order = Order(source, name, folder, *place, most_pixels=limits.pixels, most_channels=limits.channels)
        try:
            plane_record: PlaneRecord = self._readers.run(convert, order, name)
            taken = bytes_in(folder)
            self._archive.check_room(taken, limits.disk_bytes, limits.free_bytes)
            record = ImageRecord(**vars(plane_record), **known, id=image, created=now())
            self._archive.add_image(record, taken)
        except BaseException:  # whatever ended it, no half of an image stays
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return record


def _parse_number(name: str, text: str | None) -> int | None:
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise InputError(f"{name} is {text!r:.40}, expected a number from 0")
    return int(text)


def _suffix(name: str) -> str:
    """Return the ending of a file's name, which some readers look at; none that is not a plain one."""
    ending = "".join(Path(name).suffixes[-2:])
    return ending if len(ending) < 20 and ending.replace(".", "").isalnum() and ending.isascii() else ""
