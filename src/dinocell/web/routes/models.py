"""Models and the state of the server."""

from fastapi import APIRouter

from dinocell.version import __version__
from dinocell.web.messages import Health, Models
from dinocell.web.models import known_models
from dinocell.web.routes.problems import PROBLEMS
from dinocell.web.services import Server

router = APIRouter(tags=["models"], responses=PROBLEMS)


@router.get("/health")
def health() -> Health:
    """Return the version, as a sign that the server runs; needs no token."""
    return Health(dinocell=__version__)


@router.get("/models")
def models(server: Server) -> Models:
    """List the trained models."""
    return Models(models=known_models(server.archive))
