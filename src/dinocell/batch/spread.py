"""A batch over many processes: each segments a few files at a time with a model of its own."""

import os
import re
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

from dinocell.batch.outcomes import PlaneOutcome, SourceRead, failed_outcome, record_path
from dinocell.batch.run import segment_files
from dinocell.batch.settings import BatchSettings
from dinocell.batch.sources import SourceFile
from dinocell.errors import OutputError, WorkerError
from dinocell.inference.remote_model import RemoteModel
from dinocell.io.saving import create_folder
from dinocell.io.selection import PLANE_PART
from dinocell.results.record import read_record
from dinocell.workers.executor import Executor

BatchEvent = PlaneOutcome | SourceRead

SourceGroup = tuple[SourceFile, ...]
"""Files whose planes might get the same name, so that one process must see them all; nearly always one."""

MOST_FILES = 8
"""Groups of a task, at most: within it, reading and writing go on while the model predicts."""

TASKS_A_WORKER = 16
"""Tasks are made smaller where there would be fewer, so that all workers end at about the same time."""


def spread_files(
    sources: Sequence[SourceFile], settings: BatchSettings, network: RemoteModel, executor: Executor
) -> Iterator[BatchEvent]:
    """Segment files as `dinocell.batch.run.segment_files` does, by the workers of an executor.

    Relative paths start at the folder of this process, not at those of the workers; events spell them as
    they were given. Files whose workers died again and again are tried once more at the end, one by one:
    only then is it certain which of them is the cause. That one fails, and the others are done.

    Parameters
    ----------
    sources : sequence of SourceFile
        On a disk that all workers see, at the same path.
    settings : BatchSettings
        The output folder is on such a disk too.
    network : RemoteModel
        The model that `settings` names.
    executor : Executor

    Yields
    ------
    PlaneOutcome
        For every plane, in any order. What a worker finished before it was lost is "done", not "skipped".
    SourceRead
        After each file.

    Raises
    ------
    InputError
        If a worker has another version of this package, or other weights.
    OutputError
        If the output folder cannot be written to.
    WorkerError
        If the scheduler is lost.
    """
    with closing(_results(sources, settings, network, executor)) as results:
        for events in results:
            yield from events
            if any(isinstance(event, PlaneOutcome) and event.stops for event in events):
                return


def _results(
    sources: Sequence[SourceFile], settings: BatchSettings, network: RemoteModel, executor: Executor
) -> Generator[list[BatchEvent]]:
    """Yield the events of every task, then of every group whose workers died."""
    arguments = settings, network, Path.cwd(), _time_at(settings.output)
    suspects: list[SourceGroup] = []

    def retry_later(task: tuple[SourceGroup, ...], _: WorkerError) -> list[BatchEvent]:
        suspects.extend(task)
        return []

    size = min(MOST_FILES, max(1, len(sources) // (TASKS_A_WORKER * executor.workers)))
    rest = group_sources(sources)
    tasks = iter(lambda: tuple(islice(rest, size)), ())
    with closing(
        executor.map(segment_task, tasks, *arguments, on_device=True, given_up=retry_later)
    ) as ended:
        for _, events in ended:
            yield events
    for group in suspects:
        alone = executor.map(segment_task, [(group,)], *arguments, on_device=True, given_up=_give_up)
        for _, events in alone:
            yield events


def _give_up(task: tuple[SourceGroup, ...], _: WorkerError) -> list[BatchEvent]:
    events: list[BatchEvent] = []
    for source in _files(task):
        error = WorkerError(
            f"{source.path}: every worker that was at it died, expected it to fit in their memory: give them "
            "more, or segment it on its own with `dinocell segment-large`"
        )
        events += [failed_outcome(source.path, source.name, error), SourceRead(source.path)]
    return events


def _files(task: Iterable[SourceGroup]) -> Iterator[SourceFile]:
    return (source for group in task for source in group)


def group_sources(sources: Sequence[SourceFile]) -> Iterator[SourceGroup]:
    """Group files whose results might get the same name; groups of several files come first.

    `load_jobs` raises when a name comes a second time, which it only sees among the files of one call.
    ``a`` and ``a_z000`` might meet, if ``a`` has slices; ``a_z000`` and ``a_z001`` cannot.

    Parameters
    ----------
    sources : sequence of SourceFile

    Yields
    ------
    tuple of Source
        In the order in which they were given.

    Examples
    --------
    >>> files = [SourceFile(Path(f"{name}.tif"), Path(name)) for name in ("a_z000", "b", "A", "c_z1", "c_z2")]
    >>> [[str(source.name) for source in group] for group in group_sources(files)]
    [['a_z000', 'A'], ['b'], ['c_z1'], ['c_z2']]
    """
    names: set[str] = set()
    heads: set[str] = set()
    for source in sources:
        name = _folded(source)
        (heads if name in names else names).add(name)
    heads = {_head(name, names) for name in heads}
    heads |= {head for name in map(_folded, sources) if (head := _head(name, names)) != name}
    related: dict[str, list[SourceFile]] = {head: [] for head in heads}
    if related:
        for source in sources:
            if (head := _head(_folded(source), names)) in related:
                related[head].append(source)
    yield from map(tuple, related.values())
    yield from ((source,) for source in sources if _head(_folded(source), names) not in related)


def _folded(source: SourceFile) -> str:
    return str(source.name).casefold()  # as file systems that ignore case see it


def _head(name: str, names: set[str]) -> str:
    """Return the shortest known name from which suffixes of planes could make this one."""
    head = name
    while found := PLANE_PART.search(name):
        name = name[: found.start()]
        head = name if name in names else head
    return head


def _time_at(folder: Path) -> int:
    """Return the time of the file system of a folder, in ns: the clocks of machines differ."""
    create_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except OSError as error:
        raise OutputError(
            f"folder {folder} cannot be written to ({error.strerror}), expected a writable place: choose "
            "another -o"
        ) from error


def segment_task(
    task: tuple[SourceGroup, ...], settings: BatchSettings, network: RemoteModel, folder: Path, began: int
) -> list[BatchEvent]:
    """Segment a few files, in a worker; raises as `dinocell.inference.remote_model.RemoteModel.load`.

    Parameters
    ----------
    task : tuple of tuple of SourceFile
    settings : BatchSettings
    network : RemoteModel
    folder : Path
        Folder at which relative paths start.
    began : int
        Time at which the batch began, in ns, by the clock of the output folder.
    """
    there = replace(settings, output=folder / settings.output)
    if not there.output.is_dir():  # segment_files would create it again
        raise OutputError(
            f"{there.output} was removed or moved while results were written to it, or is not on a disk that "
            "this worker sees, expected it to stay and to be shared: start again"
        )
    sources = [SourceFile(folder / source.path, source.name) for source in _files(task)]
    events: list[BatchEvent] = []
    for event in segment_files(sources, there, network.load_pipeline()):
        if isinstance(event, PlaneOutcome):
            events.append(_credit_lost_worker(event, there, began))
        else:
            events.append(event)
    given = {folder / source.path: source.path for source in _files(task)}
    return _restore_paths(events, given, {there.output: settings.output})


def _credit_lost_worker(outcome: PlaneOutcome, settings: BatchSettings, began: int) -> PlaneOutcome:
    """Return "done" for a plane that was skipped as a worker of this batch did it, but died too early."""
    if outcome.status != "skipped":
        return outcome
    path = record_path(settings, Path(outcome.name))
    try:
        if path.stat().st_mtime_ns <= began:
            return outcome
    except OSError:
        return outcome
    record = read_record(path)
    if record is None:
        return outcome
    where = settings.output / outcome.name
    cells = record.result.get("cells", "some")
    message = f"{outcome.source}: {cells} cells, by a worker that was lost → {where}_*"
    details = record.result | {"files": sorted(record.files)}
    return replace(outcome, status="done", message=message, details=details)


def _restore_paths(
    events: list[BatchEvent], sources: dict[Path, Path], folders: dict[Path, Path]
) -> list[BatchEvent]:
    """Replace the paths that were used by those that were given, in messages too."""
    texts = {str(used): str(given) for used, given in (sources | folders).items() if used != given}
    if not texts:
        return events
    longest_first = sorted(map(re.escape, texts), key=len, reverse=True)
    used = re.compile(rf"(?:{'|'.join(longest_first)})(?![\w-])")  # not within the name of another
    spelled: list[BatchEvent] = []
    for event in events:
        if isinstance(event, PlaneOutcome):
            message = used.sub(lambda found: texts[found[0]], event.message)
            spelled.append(replace(event, source=sources[event.source], message=message))
        else:
            spelled.append(SourceRead(sources[event.source]))
    return spelled
