"""Jobs: started, listed, cancelled, continued."""

from fastapi import APIRouter

from dinocell.web.archive.ids import new_id, now
from dinocell.web.jobs.kinds import KINDS, AnyRequest
from dinocell.web.messages import Job, Jobs
from dinocell.web.routes.problems import PROBLEMS
from dinocell.web.services import Server

router = APIRouter(tags=["jobs"], responses=PROBLEMS)


@router.get("/jobs")
def list_jobs(server: Server) -> Jobs:
    """List the jobs, the newest first."""
    return Jobs(jobs=server.archive.jobs.all())


@router.post("/jobs", status_code=202)
def start_job(request: AnyRequest, server: Server) -> Job:
    """Start a job; its settings have the names of the command line and of YAML."""
    kind, limits = KINDS[request.kind], server.settings.limits
    kind.prepare(request, server.archive, limits)
    server.archive.check_room(0, limits.disk_bytes, limits.free_bytes)
    job = Job(
        id=new_id(),
        kind=kind.name,
        state="queued",
        image=kind.image_of(request),
        settings=request.settings,
        created=now(),
    )
    server.archive.jobs.add(job, request.model_dump_json(), limits.queued_jobs)
    server.scheduler.wake()
    return job


@router.get("/jobs/{job}")
def show_job(job: str, server: Server) -> Job:
    """Describe a job."""
    return server.archive.jobs.find(job)


@router.delete("/jobs/{job}", status_code=202)
def cancel_job(job: str, server: Server) -> Job:
    """Cancel a job that waits, at once, or one that runs, soon."""
    return server.scheduler.cancel(job)


@router.post("/jobs/{job}/continue", status_code=202)
def continue_job(job: str, server: Server) -> Job:
    """Continue a job that was interrupted, has failed or was cancelled."""
    changed = server.archive.jobs.change(
        job,
        only_in=("interrupted", "failed", "cancelled"),
        state="queued",
        problem=None,
        ended=None,
        curve=[],
    )
    server.scheduler.wake()
    return changed
