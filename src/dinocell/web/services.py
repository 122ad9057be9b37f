"""Services of the server: what its routes work with."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from dinocell.web.archive.archive import Archive
from dinocell.web.correcting.open_results import OpenResults
from dinocell.web.jobs.scheduler import Scheduler
from dinocell.web.reading.intake import Intake
from dinocell.web.settings import ServerSettings


@dataclass(frozen=True)
class Services:
    """Parts of the server that routes work with.

    Attributes
    ----------
    settings : ServerSettings
    archive : Archive
    scheduler : Scheduler
    intake : Intake
    open_results : OpenResults
    """

    settings: ServerSettings
    archive: Archive
    scheduler: Scheduler
    intake: Intake
    open_results: OpenResults


def _find(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


Server = Annotated[Services, Depends(_find)]
"""Parameter of a route: the services of the server that it belongs to."""
