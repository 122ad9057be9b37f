"""The archive: a folder with the files of images, results and models, and a database of them and of jobs."""

import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dinocell.errors import OutputError
from dinocell.web.archive.database import Database, hold_folder
from dinocell.web.archive.job_queue import JobQueue
from dinocell.web.archive.records import ImageRecord, ResultRecord
from dinocell.web.failures import BusyError, DiskFullError, GoneError

ORIGINAL = "original"
"""Name of an uploaded file in the folder of its image, before its suffix."""


class Archive:
    """All that a server keeps; threads may share it.

    Parameters
    ----------
    folder : Path
        Made where it is not there.

    Attributes
    ----------
    jobs : JobQueue

    Raises
    ------
    OutputError
        If it cannot be written.
    FileFormatError
        If its database is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("images", "results", "models", "uploads", "work"):
            try:
                (folder / name).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(
                    f"{folder} cannot be used ({error.strerror}), expected a writable folder: choose another "
                    "--data"
                ) from error
        self._database = Database(folder / "archive.sqlite")
        self.jobs = JobQueue(self._database)
        self._hold: sqlite3.Connection | None = None

    def begin(self) -> None:
        """Begin to serve: mark jobs that ended with an earlier server, and remove what uploads have left.

        Raises
        ------
        OutputError
            If another process serves the folder.
        """
        self._hold = hold_folder(self.folder)
        self.jobs.interrupt()
        for path in (self.folder / "uploads").iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def image_folder(self, image: str) -> Path:
        """Return the folder of an image's pixels."""
        return self.folder / "images" / image

    def result_folder(self, result: str) -> Path:
        """Return the folder of a result's labels, map and edits."""
        return self.folder / "results" / result

    def models_folder(self) -> Path:
        """Return the folder of models that were adapted here."""
        return self.folder / "models"

    def work_folder(self, job: str) -> Path:
        """Return the folder of a job's unfinished work."""
        return self.folder / "work" / job

    def add_image(self, record: ImageRecord, kept_bytes: int) -> None:
        """Add an image whose files are in their folder."""
        self._database.rows(
            "INSERT INTO images VALUES (?, ?, ?, ?)",
            (record.id, record.created, kept_bytes, record.model_dump_json()),
        )

    def image(self, image: str) -> ImageRecord:
        """Return an image; raise GoneError where there is none."""
        rows = self._database.rows("SELECT document FROM images WHERE id = ?", (image,))
        if not rows:
            raise GoneError(f"image {image!r:.60} is not here, expected the id of one: upload it")
        return ImageRecord.model_validate_json(rows[0][0])

    def images(self) -> list[ImageRecord]:
        """List all images, the newest first."""
        rows = self._database.rows("SELECT document FROM images ORDER BY created DESC, id")
        return [ImageRecord.model_validate_json(document) for (document,) in rows]

    def remove_image(self, image: str) -> None:
        """Remove an image with its results and jobs; raise BusyError while a job works on it."""
        record = self.image(image)
        busy = self._database.rows("SELECT 1 FROM jobs WHERE image = ? AND state = 'running'", (image,))
        if busy:
            raise BusyError(f"image {image} is worked on, expected none that is: cancel its job first")
        for (result,) in self._database.rows("SELECT id FROM results WHERE image = ?", (image,)):
            self.remove_result(result)
        with self._database.transaction():
            self._database.rows("DELETE FROM jobs WHERE image = ?", (image,))
            self._database.rows("DELETE FROM images WHERE id = ?", (image,))
        for path in self.image_folder(image).iterdir():
            if not path.name.startswith(ORIGINAL):
                path.unlink()
        if all(each.file != record.file for each in self.images()):  # no other plane needs the file
            shutil.rmtree(self.image_folder(record.file), ignore_errors=True)
        if image != record.file:
            shutil.rmtree(self.image_folder(image), ignore_errors=True)

    def original(self, record: ImageRecord) -> Path:
        """Return the file that an image was read from; raise GoneError if it is not there any more."""
        if record.path is not None:
            return Path(record.path)
        found = sorted(self.image_folder(record.file).glob(f"{ORIGINAL}*"))
        if not found:
            raise GoneError(f"the file of image {record.id} is not here any more: upload it again")
        return found[0]

    def add_result(self, record: ResultRecord, kept_bytes: int) -> None:
        """Add a result whose files are in their folder."""
        self._database.rows(
            "INSERT INTO results VALUES (?, ?, ?, ?, ?)",
            (record.id, record.created, record.image, kept_bytes, record.model_dump_json()),
        )

    def result(self, result: str) -> ResultRecord:
        """Return a result; raise GoneError where there is none."""
        rows = self._database.rows("SELECT document FROM results WHERE id = ?", (result,))
        if not rows:
            raise GoneError(f"result {result!r:.60} is not here, expected the id of one: segment again")
        return ResultRecord.model_validate_json(rows[0][0])

    def results(self, image: str | None = None) -> list[ResultRecord]:
        """List the results of an image, or all, the newest first."""
        where, values = ("", ()) if image is None else ("WHERE image = ?", (image,))
        rows = self._database.rows(
            f"SELECT document FROM results {where} ORDER BY created DESC, id",  # noqa: S608 (constants)
            values,
        )
        return [ResultRecord.model_validate_json(document) for (document,) in rows]

    def replace_result(self, record: ResultRecord) -> None:
        """Keep a changed record of a result."""
        self._database.rows(
            "UPDATE results SET document = ? WHERE id = ?", (record.model_dump_json(), record.id)
        )

    def remove_result(self, result: str) -> None:
        """Remove a result and its files."""
        self.result(result)
        self._database.rows("DELETE FROM results WHERE id = ?", (result,))
        shutil.rmtree(self.result_folder(result), ignore_errors=True)

    def check_room(self, needed: int, most: int, free: int) -> None:
        """Raise DiskFullError if so many bytes more are above what may be kept, or are not free."""
        ((images,),) = self._database.rows("SELECT COALESCE(SUM(bytes), 0) FROM images")
        ((results,),) = self._database.rows("SELECT COALESCE(SUM(bytes), 0) FROM results")
        room = min(most - images - results, shutil.disk_usage(self.folder).free - free)
        if needed > room:
            raise DiskFullError(
                f"{needed} bytes more are too many, {max(room, 0)} are left: remove images that are done"
            )

    def remove_old(self, days: float) -> list[str]:
        """Remove images of that age, but for those that are worked on; return their ids."""
        before = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        removed = []
        for (image,) in self._database.rows("SELECT id FROM images WHERE created < ?", (before,)):
            try:
                self.remove_image(image)
            except BusyError:
                continue
            removed.append(str(image))
        return removed

    def close(self) -> None:
        """Close the database, and let others serve the folder."""
        self._database.close()
        if self._hold is not None:
            self._hold.close()


def bytes_in(folder: Path) -> int:
    """Count the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
