"""Database of the server: SQLite, with documents of JSON."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dinocell.errors import FileFormatError, OutputError
from dinocell.web.failures import DiskFullError

_VERSION = 1

_SCHEMA = """
CREATE TABLE images (
  id TEXT PRIMARY KEY, created TEXT NOT NULL, bytes INTEGER NOT NULL, document TEXT NOT NULL
);
CREATE TABLE jobs (
  id TEXT PRIMARY KEY, place INTEGER NOT NULL, sequence INTEGER NOT NULL UNIQUE, state TEXT NOT NULL,
  image TEXT, request TEXT NOT NULL, document TEXT NOT NULL
);
CREATE INDEX jobs_by_state ON jobs (state, place);
CREATE TABLE results (
  id TEXT PRIMARY KEY, created TEXT NOT NULL, image TEXT NOT NULL, bytes INTEGER NOT NULL,
  document TEXT NOT NULL
);
CREATE INDEX results_by_image ON results (image);
"""


class Database:
    """A connection that threads share, one statement or transaction after the other.

    Parameters
    ----------
    path : Path
        The file; made where it is not there.

    Raises
    ------
    FileFormatError
        If the file is not such a database, or of a newer version.
    OutputError
        If it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._begin(path)
        except sqlite3.OperationalError as error:
            raise OutputError(
                f"{path} cannot be used ({error}), expected a writable folder: choose another --data"
            ) from error
        except sqlite3.DatabaseError as error:
            raise FileFormatError(
                f"{path} is damaged ({error}), expected a database of dinocell serve: move it away, or "
                "choose another --data"
            ) from error

    def _begin(self, path: Path) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise FileFormatError(
                f"{path} was written by a newer version of DINOCell, expected one of this version: update "
                "DINOCell, or choose another --data"
            )
        if version == 0:
            self._connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={_VERSION}; COMMIT;")

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement, and return all rows.

        Raises
        ------
        DiskFullError
            If the database cannot be read or written.
        """
        with self._lock:
            try:
                return self._connection.execute(statement, values).fetchall()
            except sqlite3.OperationalError as error:
                raise DiskFullError(
                    f"the list of jobs and images cannot be kept ({error}), expected room on the disk: free "
                    "some"
                ) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all statements of a block, or none."""
        with self._lock:
            self.rows("BEGIN IMMEDIATE")
            try:
                yield
                self.rows("COMMIT")
            except BaseException:  # also of Ctrl-C: what is half done is not kept
                if self._connection.in_transaction:  # a full disk may have ended it
                    self.rows("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()


def hold_folder(folder: Path) -> sqlite3.Connection:
    """Hold a folder for this process, until the connection is closed or the process ends in any way.

    Raises
    ------
    OutputError
        If another process holds it.
    """
    connection = sqlite3.connect(
        folder / "held.sqlite", timeout=0, check_same_thread=False, isolation_level=None
    )
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        connection.close()
        raise OutputError(
            f"{folder} is served by another process, expected a folder for each: stop that one, or choose "
            "another --data"
        ) from error
    return connection
