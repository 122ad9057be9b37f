"""Events: one stream of the jobs that change, as server-sent events."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Request
from starlette.responses import StreamingResponse

from dinocell.web.archive.archive import Archive
from dinocell.web.routes.problems import PROBLEMS, Responses
from dinocell.web.services import Server

router = APIRouter(tags=["jobs"], responses=PROBLEMS)

PING_SECONDS = 15.0
_LOOK_SECONDS = 0.1
_STREAM: Responses = {200: {"content": {"text/event-stream": {}}, "description": "Jobs that change."}}


@router.get("/jobs/events", responses=_STREAM, response_class=StreamingResponse)
def stream_jobs(
    request: Request,
    server: Server,
    last_event_id: Annotated[str | None, Header(max_length=40)] = None,
) -> StreamingResponse:
    """Send every job that changes, as event ``job``; goes on after ``Last-Event-ID``, else from now."""
    known = last_event_id is not None and last_event_id.isascii() and last_event_id.isdecimal()
    since = int(last_event_id or 0) if known else server.archive.jobs.sequence
    return StreamingResponse(
        _events(request, server.archive, since),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(request: Request, archive: Archive, since: int) -> AsyncIterator[str]:
    """Yield the changes after one; a number that is not reached yet is of another archive: then all."""
    since = 0 if since > archive.jobs.sequence else since
    sent = time.monotonic()
    yield ": hello\n\n"
    while not await request.is_disconnected():
        if archive.jobs.sequence > since:
            for number, job in archive.jobs.changed(since):
                yield f"event: job\nid: {number}\ndata: {job.model_dump_json()}\n\n"
                since = number
            sent = time.monotonic()
        elif time.monotonic() - sent > PING_SECONDS:
            yield ": ping\n\n"
            sent = time.monotonic()
        await asyncio.sleep(_LOOK_SECONDS)
