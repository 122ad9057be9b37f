"""The application: archive, scheduler, routes and guard put together."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Route

from dinocell.errors import DINOCellError
from dinocell.version import __version__
from dinocell.web.archive.archive import Archive
from dinocell.web.correcting.open_results import OpenResults
from dinocell.web.failures import status_of
from dinocell.web.guard import Guard
from dinocell.web.jobs.scheduler import Scheduler
from dinocell.web.reading.intake import Intake
from dinocell.web.reading.tiles import forget_levels
from dinocell.web.routes import events, folder, images, jobs, models, page, results
from dinocell.web.routes.problems import explain_request
from dinocell.web.services import Services
from dinocell.web.settings import API, ServerSettings

_HOUR = 3600.0

_ROUTERS = tuple(each.router for each in (models, images, events, jobs, results, folder))
"""Addresses below `API`; the stream of events comes before jobs, whose ids it is not."""


def create_app(settings: ServerSettings) -> FastAPI:
    """Return the server as an ASGI application.

    Parameters
    ----------
    settings : ServerSettings

    Returns
    -------
    FastAPI
        Its workers start with it, and end with it.

    Raises
    ------
    OutputError, FileFormatError
        If the folder of data cannot be used.
    """
    archive = Archive(settings.data)
    archive.begin()
    services = Services(
        settings,
        archive,
        Scheduler(archive, settings),
        Intake(archive, settings.limits),
        OpenResults(archive, settings.limits.open_bytes),
    )
    app = FastAPI(
        title="DINOCell",
        version=__version__,
        description="Segment, correct and measure cells. See docs/api_http.md.",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(services),
    )
    app.state.services = services
    for router in _ROUTERS:
        app.include_router(router, prefix=API)
    app.include_router(page.router)
    _handle_errors(app)
    app.add_middleware(Guard, settings=settings)
    return app


def _lifespan(services: Services) -> Any:
    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[None]:
        services.scheduler.start()
        ended = threading.Event()
        keeper = threading.Thread(target=_remove_old, args=(services, ended), daemon=True)
        keeper.start()
        try:
            yield
        finally:
            ended.set()
            keeper.join()
            services.scheduler.stop()
            services.archive.close()

    return run


def _remove_old(services: Services, ended: threading.Event) -> None:
    """Remove what is too old, now and every hour."""
    days = services.settings.keep_days
    while days is not None:
        services.archive.remove_old(days)
        forget_levels()
        if ended.wait(_HOUR):
            return


def _methods_at(path: str) -> list[str]:
    """Return the methods of the routes that an address belongs to."""
    routes = [each for router in _ROUTERS for each in router.routes if isinstance(each, Route)]
    here = [each for each in routes if each.path_regex.match(path.removeprefix(API))]
    return sorted({method for each in here if each.path == here[0].path for method in each.methods or ()})


def _handle_errors(app: FastAPI) -> None:
    """Send every error as its sentence."""

    def explain(_: Request, error: Exception) -> JSONResponse:
        status = status_of(error) if isinstance(error, DINOCellError) else 500
        return JSONResponse({"message": " ".join(str(error).split())}, status_code=status)

    def refuse(_: Request, error: Exception) -> JSONResponse:
        words = explain_request(error) if isinstance(error, RequestValidationError) else str(error)
        return JSONResponse({"message": words}, status_code=400)

    def miss(request: Request, error: Exception) -> JSONResponse:
        status = error.status_code if isinstance(error, HTTPException) else 404
        words = f"{request.method} {request.url.path!r:.200} cannot be answered, expected an address of {API}"
        words = "the request is not JSON, expected a JSON object" if status == 400 else words
        headers = {"Allow": ", ".join(_methods_at(request.url.path))} if status == 405 else None
        return JSONResponse({"message": words}, status_code=status, headers=headers)

    app.add_exception_handler(DINOCellError, explain)
    app.add_exception_handler(RequestValidationError, refuse)
    app.add_exception_handler(HTTPException, miss)
