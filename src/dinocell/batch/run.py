"""A batch of files: the model predicts while threads read, preprocess and write."""

import contextlib
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import cv2

from dinocell.batch.jobs import LoadEvent, PlaneJob, StackRead, load_jobs
from dinocell.batch.outcomes import PlaneOutcome, SourceRead
from dinocell.batch.planes import Plane, Watched, failed_plane
from dinocell.batch.settings import BatchSettings
from dinocell.batch.sources import SourceFile
from dinocell.batch.stacks import join_stack
from dinocell.batch.threads import WriteBehind, read_ahead
from dinocell.datasets.belonging import RECORD_ENDING
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.inference.segmentation import Progress
from dinocell.io.saving import create_folder
from dinocell.machine import thread_count
from dinocell.results.formats import PLANE_FORMATS

READ_AHEAD = 3
"""Planes that wait to be segmented."""

WRITERS = max(2, min(8, (os.cpu_count() or 1) // 2))
"""Threads that turn maps into labels and files."""

WRITE_BEHIND = 2 * WRITERS
"""Planes that wait to be written."""

MANY_FILES = 8
"""Files from which on several planes go through the model at once, if the engine can do that."""

_ENDINGS = "|".join(
    re.escape(ending) for ending in (RECORD_ENDING, *(f.ending for f in PLANE_FORMATS.values())) if ending
)
_TEMPORARY = re.compile(rf"\..+({_ENDINGS})\.tmp-(\d+)", re.DOTALL)


def segment_files(
    sources: list[SourceFile],
    settings: BatchSettings,
    pipeline: DINOCellPipeline,
    *,
    progress: Progress = None,
) -> Iterator[PlaneOutcome | SourceRead]:
    """Segment files; a generator, so that a caller can show progress and stop.

    A plane's record is written before its other files, marked unfinished, and again after them: whenever the
    process is killed, the next call knows what to do again. Memory is bounded by a few planes.

    Parameters
    ----------
    sources : list of SourceFile
    settings : BatchSettings
    pipeline : DINOCellPipeline
    progress : callable, optional
        Called with a `TilesDone` after every batch of tiles; what it raises ends the batch.

    Yields
    ------
    PlaneOutcome
        For every plane, in order; a skipped plane may come before one that is still being written. For every
        stack after its planes.
    SourceRead
        When the last plane of a file has gone through the model.
    """
    create_folder(settings.output)
    watched = Watched(progress)
    failures: Counter[str] = Counter()  # failed planes by the stack that they are part of
    with closing(_segment(sources, settings, pipeline, watched)) as events:
        for event in events:
            if isinstance(event, StackRead):
                joined = join_stack(event.plan, settings, failures[str(event.plan.name)])
                yield joined
                if joined.stops:
                    return
                continue
            if isinstance(event, PlaneOutcome) and event.status == "failed":
                failures[event.part_of] += 1
            yield event


def _segment(
    sources: list[SourceFile], settings: BatchSettings, pipeline: DINOCellPipeline, watched: Watched
) -> Generator[PlaneOutcome | StackRead | SourceRead]:
    """Yield the outcomes of planes; those of a stack before the event of its end.

    Of many files, several planes go through the model at once, each in the thread that writes it::

        few files    this thread   predict 0 | predict 1 | predict 2 …
                     writers                 | finish 0  | finish 1  …
        many files   writer 1      predict 0, finish 0 | predict 2, finish 2 …
                     writer 2      predict 1, finish 1   | predict 3 …
    """
    many = len(sources) >= MANY_FILES
    with pipeline.predictor.engine.side_by_side() if many else nullcontext(1) as passes, _opencv_threads():
        at_once = passes > 1
        threads, waiting = (passes, passes) if at_once else (WRITERS, WRITE_BEHIND)
        planes = read_ahead(
            _prepare(load_jobs(sources, settings), pipeline, settings), max(READ_AHEAD, passes)
        )
        with WriteBehind[PlaneOutcome](threads, waiting) as writer, closing(planes) as jobs, watched:
            for job in jobs:
                if isinstance(job, StackRead):
                    yield from writer.rest()
                if not isinstance(job, PlaneJob):
                    yield job
                    continue
                plane = Plane(job, pipeline, settings, watched)
                if not at_once:
                    plane.predict()
                for outcome in writer.submit(plane.finish):
                    yield outcome
                    if outcome.stops:
                        yield from writer.rest()
                        return
            yield from writer.rest()


@contextmanager
def _opencv_threads() -> Iterator[None]:
    """Let OpenCV have the threads that each of the planes at once has."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(min(before, thread_count()))
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _prepare(
    jobs: Iterator[LoadEvent], pipeline: DINOCellPipeline, settings: BatchSettings
) -> Iterator[LoadEvent]:
    """Preprocess planes as they are read, while the model is busy with others."""
    for job in jobs:
        if not isinstance(job, PlaneJob):
            yield job
            continue
        started = time.monotonic()
        try:
            gray = pipeline.prepare(job.pixels, job.inference)
        except Exception as error:  # noqa: BLE001 (see Plane)
            yield failed_plane(job, error, settings)
            continue
        yield replace(job, gray=gray, seconds=job.seconds + time.monotonic() - started)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed processes left among the results."""
    for parent, _, names in os.walk(folder):
        for name in names:
            found = _TEMPORARY.fullmatch(name)
            if found and not _is_alive(int(found[2])):
                with contextlib.suppress(OSError):
                    Path(parent, name).unlink()


def _is_alive(process: int) -> bool:
    if sys.platform == "win32":  # where signal 0 would end it
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass
    return True
