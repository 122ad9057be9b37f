"""Settings of the server, and its limits."""

from ipaddress import ip_address
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from dinocell.settings import Section

API = "/api/v1"
"""Beginning of all addresses but that of the page."""

TOKEN_LETTERS = 16
"""Letters of a token, at least."""

_GIB = 2**30


class Limits(Section):
    """Bounds of what clients may ask for.

    Attributes
    ----------
    upload_bytes : int
        Of an uploaded file.
    body_bytes : int
        Of any other request.
    pixels : int
        Of a plane, over all its channels.
    channels : int
    memory_pixels : int
        Pixels of a plane up to which it is segmented and corrected in memory; larger ones block by block.
    queued_jobs : int
        Jobs that wait or run.
    disk_bytes : int
        Of all that the server keeps.
    free_bytes : int
        Bytes of the disk that it leaves free.
    readers : int
        Files that are read at the same time.
    reader_bytes : int
        Memory of the process that reads a file.
    reader_seconds : float
        Time that it may take.
    open_bytes : int
        Memory of results that are open for correction.
    """

    upload_bytes: int = Field(default=16 * _GIB, gt=0)
    body_bytes: int = Field(default=16 * 2**20, gt=0)
    pixels: int = Field(default=2**33, gt=0)
    channels: int = Field(default=64, gt=0)
    memory_pixels: int = Field(default=2**26, gt=0)
    queued_jobs: int = Field(default=200, gt=0)
    disk_bytes: int = Field(default=200 * _GIB, gt=0)
    free_bytes: int = Field(default=_GIB, ge=0)
    readers: int = Field(default=2, gt=0)
    reader_bytes: int = Field(default=4 * _GIB, gt=0)
    reader_seconds: float = Field(default=600.0, gt=0)
    open_bytes: int = Field(default=2 * _GIB, gt=0)


class ServerSettings(Section):
    """Settings of the server.

    Attributes
    ----------
    data : Path
        Folder in which it keeps images, results, models and jobs.
    host : str
        Address that it listens on.
    port : int
        0 takes a free one.
    token : str or None
        What clients must show; never None where others than this computer reach it.
    names : tuple of str
        Further names that clients may call the server by, such as that of a proxy before it.
    folder : Path or None
        Folder of which clients may name files.
    keep_days : float or None
        Age in days at which images go, with their results; None keeps them.
    scheduler : str or None
        Address of a dask scheduler, on whose workers large images are segmented.
    devices : tuple of str
        Each gets a worker process of its own.
    limits : Limits
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65535)
    token: str | None = Field(default=None, min_length=TOKEN_LETTERS)
    names: tuple[str, ...] = ()
    folder: Path | None = None
    keep_days: float | None = Field(default=None, gt=0)
    scheduler: str | None = None
    devices: tuple[str, ...] = Field(default=("auto",), min_length=1)
    limits: Limits = Limits()

    @property
    def is_local(self) -> bool:
        """True where only programs of this computer reach the server."""
        return is_loopback(self.host)

    @model_validator(mode="after")
    def _check_token(self) -> Self:
        if self.token is None and not self.is_local:
            raise ValueError(f"host {self.host!r} is reached by others, expected a token: give one")
        return self


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this computer, seen from itself."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
