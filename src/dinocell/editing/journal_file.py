"""The file of edits while a person works: a line more for every edit, whole or not at all."""

from pathlib import Path

from dinocell.editing.journal import Journal, read_journal, start_line
from dinocell.errors import OutputError
from dinocell.labels import Labels


class JournalFile:
    """File to which lines are added.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, labels: Labels) -> Journal | None:
        """Return what the file holds, or begin it with labels where it is missing or empty.

        Raises
        ------
        FileFormatError
            If it is not a file of edits.
        OutputError
            If it cannot be written.
        """
        if not self._path.exists() or (self._path.is_file() and not self._path.stat().st_size):
            self.add(start_line(labels))
            return None
        journal = read_journal(self._path)
        self._cut_after_last_line()
        return journal

    def add(self, line: str) -> None:
        """Add a line, before what it says is done.

        Raises
        ------
        OutputError
            If it cannot be written; the file is as it was then.
        """
        try:
            with self._path.open("ab") as file:
                end = file.tell()
                try:
                    file.write(f"{line}\n".encode())
                    file.flush()
                except OSError:
                    file.truncate(end)
                    raise
        except OSError as error:
            raise OutputError(
                f"{self._path} cannot be written ({error.strerror or error}), so the edit is not made: "
                "free some space, or make the folder writable"
            ) from error

    def _cut_after_last_line(self) -> None:
        """Cut off a last line that has no end, of a program that was stopped while it wrote."""
        content = self._path.read_bytes()
        if not content.endswith(b"\n"):
            with self._path.open("r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)
