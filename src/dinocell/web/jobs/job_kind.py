"""Contract of a kind of job: what may be asked for, the order that travels to a worker, and what is kept."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from dinocell.settings import Section
from dinocell.web.archive.archive import Archive
from dinocell.web.archive.records import ImageRecord
from dinocell.web.messages import JobName
from dinocell.web.settings import Limits


@dataclass(frozen=True)
class Reported:
    """Progress of a job; with the loss after a step where it learns."""

    stage: str
    done: int = 0
    total: int = 0
    loss: float | None = None


Report = Callable[[Reported], None]
"""Callback from the work; it raises `StoppedError` once the work is to end."""


class StoppedError(Exception):
    """Raised in a worker when somebody cancelled the job."""


@dataclass(frozen=True)
class Order:
    """Work that travels to a worker process.

    Attributes
    ----------
    job, kind : str
    image : ImageRecord or None
    image_folder : Path or None
        With its plane.
    work : Path
        Folder of its own; what an interrupted job has left there is used again.
    device : str
    settings : dict
        Checked, with the model as `dinocell.models` calls it.
    details : dict
        What the kind needs beside that.
    scheduler : str or None
    """

    job: str
    kind: JobName
    image: ImageRecord | None
    image_folder: Path | None
    work: Path
    device: str
    settings: dict[str, Any]
    details: dict[str, Any]
    scheduler: str | None = None


class JobRequest(Section):
    """Request of a job; a kind narrows ``kind`` to its name, and adds what it works on."""

    kind: JobName
    settings: dict[str, Any] = Field(default={})


class ImageRequest(JobRequest):
    """Request of a job on one image."""

    image: str


class JobKind(ABC):
    """A kind of job. Its `run` works in a process of its own, the others in the server.

    Attributes
    ----------
    name : str
    request : type of JobRequest
    """

    name: ClassVar[JobName]
    request: ClassVar[type[JobRequest]]

    @staticmethod
    def image_of(request: JobRequest) -> str | None:
        """Return the image that a request is about; None where it is about many."""
        return request.image if isinstance(request, ImageRequest) else None

    @abstractmethod
    def prepare(
        self, request: Any, archive: Archive, limits: Limits
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Check a request, and return settings and details of its order.

        Raises
        ------
        DINOCellError
            If it cannot be done.
        """

    @abstractmethod
    def run(self, order: Order, report: Report) -> dict[str, Any]:
        """Do the work, into its work folder; return what `keep` needs.

        Raises
        ------
        DINOCellError
            If it cannot be done.
        """

    @abstractmethod
    def keep(self, order: Order, outcome: dict[str, Any], archive: Archive) -> dict[str, Any]:
        """Move what was made to its place; return the fields of the job that it changes."""
