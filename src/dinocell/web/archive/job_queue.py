"""Queue of jobs: in their order, with a number for every change."""

from collections.abc import Iterable
from typing import Any

from dinocell.web.archive.database import Database
from dinocell.web.archive.ids import now
from dinocell.web.failures import BusyError, FullError, GoneError
from dinocell.web.messages import Job, JobState


class JobQueue:
    """Jobs of an archive; threads may share it.

    Parameters
    ----------
    database : Database

    Attributes
    ----------
    sequence : int
        Number of the last change of a job.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        ((found,),) = database.rows("SELECT COALESCE(MAX(sequence), 0) FROM jobs")
        self.sequence: int = found

    def add(self, job: Job, request: str, most: int) -> Job:
        """Add a job at the end of the queue.

        Parameters
        ----------
        job : Job
        request : str
            JSON that was asked for, to begin again.
        most : int
            Jobs that may wait or run.

        Raises
        ------
        FullError
            If there are as many already.
        """
        with self._database.transaction():
            ((waiting,),) = self._database.rows(
                "SELECT COUNT(*) FROM jobs WHERE state IN ('queued', 'running')"
            )
            if waiting >= most:
                raise FullError(
                    f"{waiting} jobs wait or run, expected fewer than {most}: try again when some are done"
                )
            self._database.rows(
                "INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?)",
                (job.id, self._count(), self.sequence, job.state, job.image, request, job.model_dump_json()),
            )
        return job

    def find(self, job: str) -> Job:
        """Return a job; raise GoneError where there is none."""
        rows = self._database.rows("SELECT document FROM jobs WHERE id = ?", (job,))
        if not rows:
            raise GoneError(f"job {job!r:.60} is not here, expected the id of one: see the list of jobs")
        return Job.model_validate_json(rows[0][0])

    def all(self) -> list[Job]:
        """List all jobs, the newest first."""
        return self._jobs("1 = 1 ORDER BY place DESC")

    def in_states(self, states: Iterable[JobState]) -> list[Job]:
        """List the jobs in some states, the oldest first."""
        return self._jobs(f"state IN ({', '.join(repr(str(each)) for each in states)}) ORDER BY place")

    def changed(self, since: int) -> list[tuple[int, Job]]:
        """List the jobs that changed after a change, with the numbers of their last ones."""
        rows = self._database.rows(
            "SELECT sequence, document FROM jobs WHERE sequence > ? ORDER BY sequence", (since,)
        )
        return [(number, Job.model_validate_json(document)) for number, document in rows]

    def request_of(self, job: str) -> str:
        """Return the JSON that a job was asked for with."""
        ((request,),) = self._database.rows("SELECT request FROM jobs WHERE id = ?", (job,))
        return str(request)

    def take(self) -> Job | None:
        """Take the job that has waited longest, as running; None where none waits."""
        with self._database.transaction():
            waiting = self._jobs("state = 'queued' ORDER BY place LIMIT 1")
            return self._replace(waiting[0], state="running", started=now(), ended=None) if waiting else None

    def change(self, job: str, *, only_in: tuple[JobState, ...] = (), **changes: Any) -> Job:
        """Change fields of a job.

        Parameters
        ----------
        job : str
        only_in : tuple of str
            States that the job must be in; any by default.
        **changes
            Fields of `Job`.

        Raises
        ------
        BusyError
            If it is in another state.
        """
        with self._database.transaction():
            found = self.find(job)
            if only_in and found.state not in only_in:
                raise BusyError(f"job {job} is {found.state}, expected {' or '.join(only_in)}")
            return self._replace(found, **changes)

    def interrupt(self) -> None:
        """Mark the jobs that an earlier server left running when it ended."""
        for job in self.in_states(["running"]):
            self.change(job.id, state="interrupted", ended=now())

    def _jobs(self, condition: str) -> list[Job]:
        rows = self._database.rows(f"SELECT document FROM jobs WHERE {condition}")  # noqa: S608 (constants)
        return [Job.model_validate_json(document) for (document,) in rows]

    def _replace(self, job: Job, **changes: Any) -> Job:
        changed = job.model_copy(update=changes)
        number = self._count()
        self._database.rows(
            "UPDATE jobs SET sequence = ?, state = ?, document = ?, "
            "place = CASE WHEN ? = 'queued' THEN ? ELSE place END WHERE id = ?",
            (number, changed.state, changed.model_dump_json(), changes.get("state"), number, job.id),
        )
        return changed

    def _count(self) -> int:
        self.sequence += 1
        return self.sequence
