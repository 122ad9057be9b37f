"""Annotated images → store, in several processes, image by image; resumed after a kill."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from dinocell.datasets.items import Item
from dinocell.datasets.prepare import ProcessSettings, measure, prepare
from dinocell.datasets.records import Failure, IndexEntry, StoreInfo, hash_entries
from dinocell.datasets.writer import StoreWriter, check_vacant, planned_size
from dinocell.errors import DINOCellError, FileFormatError, InputError, Kind, MissingExtraError, kind_of
from dinocell.io.identity import files_read, stamp_of
from dinocell.io.saving import printable
from dinocell.version import __version__
from dinocell.workers.pool import OrderedPool

__all__ = ["ProcessSettings", "StoreProgress", "process"]

MAX_WORKERS = 4
"""Default number at most: one process writes what they prepare, and each takes 120 MB."""


@dataclass(frozen=True)
class StoreProgress:
    """Progress of one image, measured or processed.

    Attributes
    ----------
    name : str
    stage : {"measure", "process"}
        Whole images are measured first, to find the size of the largest.
    done, total : int
        Images of this stage; those of an earlier start are counted.
    failure : str or None
        Which image was left out, and why.
    notes : tuple of str
        Notes on its label images.
    kind : Kind or None
        Of a failure: what it has in common with others.
    """

    name: str
    stage: str
    done: int
    total: int
    failure: str | None = None
    notes: tuple[str, ...] = ()
    kind: Kind | None = None


def process(
    items: Sequence[Item],
    output: Path,
    settings: ProcessSettings,
    *,
    workers: int | None = None,
    strict: bool = False,
) -> Iterator[StoreProgress | StoreInfo]:
    """Build a store, image by image; started again after a kill, it continues where it stopped.

    Parameters
    ----------
    items : sequence of Item
    output : Path
        The store's folder; it appears when it is complete.
    settings : ProcessSettings
    workers : int, optional
        Processes that read and prepare images; the number of cores, at most `MAX_WORKERS`, otherwise. 0 works
        in this process.
    strict : bool
        Stop at the first image that fails, instead of leaving it out.

    Yields
    ------
    StoreProgress
        After every image.
    StoreInfo
        Last.

    Raises
    ------
    OutputError
        If the store cannot be written, `output` is not empty, or an unfinished store of other data or
        settings is there.
    FileFormatError
        If no image could be processed; with `strict`, if one could not.
    InputError
        If two items have the same name, or one's is not Unicode.
    WorkerError
        If a process dies.
    """
    output = Path(output).resolve()
    check_vacant(output)
    _check_names([item.name for item in items])
    plan = {"dinocell": __version__, "settings": asdict(settings), "images": _hash_items(items)}
    count = min(os.cpu_count() or 1, MAX_WORKERS) if workers is None else workers
    with OrderedPool(count) as pool:
        run = _Run(pool, strict)
        size = (settings.size, settings.size)
        if settings.whole:
            size = planned_size(output, plan) or (yield from _largest(run, items, settings))
        with StoreWriter(output, plan, size) as writer:
            known = {entry.name for entry in writer.entries} | run.failures.keys()
            todo = [item for item in items if item.name not in known]
            for event, prepared in run.outcomes("process", todo, len(items), prepare, settings, size):
                if prepared is None:
                    yield event
                    continue
                writer.append(prepared)
                yield replace(event, notes=prepared[0][1].notes)
            failed = [run.failures[item.name] for item in items if item.name in run.failures]
            info = _describe(writer.entries, settings, size, failed)
            writer.finish(info)
    yield info


@dataclass(frozen=True)
class _Run:
    """State that all stages share."""

    pool: OrderedPool
    strict: bool
    failures: dict[str, Failure] = field(default_factory=dict)

    def outcomes(
        self, stage: str, items: Sequence[Item], total: int, function: Callable[..., Any], *arguments: Any
    ) -> Iterator[tuple[StoreProgress, Any]]:
        """Apply a function to every item; yield the progress and the result, None where it failed."""
        results = self.pool.map(_result_or_failure, items, function, *arguments)
        for done, (item, result) in enumerate(results, total - len(items) + 1):
            if not isinstance(result, _Failed):
                yield StoreProgress(item.name, stage, done, total), result
                continue
            if self.strict:
                raise FileFormatError(result.reason)
            self.failures[item.name] = Failure(name=item.name, reason=result.reason)
            yield StoreProgress(item.name, stage, done, total, result.reason, kind=result.kind), None


@dataclass(frozen=True)
class _Failed:
    reason: str
    kind: Kind


def _result_or_failure(item: Item, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result for an item, or a failure for an image that is refused."""
    try:
        return function(item, *arguments)
    except MissingExtraError:
        raise  # the same for every image
    except (DINOCellError, MemoryError) as error:
        known = isinstance(error, DINOCellError)
        reason = f"{item.name}: {error if known else 'the memory is not enough for it'}"
        return _Failed(reason, kind_of(error, reason, *map(str, item.files), item.name))


def _largest(
    run: _Run, items: Sequence[Item], settings: ProcessSettings
) -> Generator[StoreProgress, None, tuple[int, int]]:
    """Find the height and the width that hold every image."""
    height = width = 0
    for event, shape in run.outcomes("measure", items, len(items), measure, settings):
        if shape is not None:
            height, width = max(height, shape[0]), max(width, shape[1])
        yield event
    if not height:
        raise FileFormatError(_no_image_message([*run.failures.values()]))
    return height, width


def _check_names(names: Sequence[str]) -> None:
    """Raise for names that the index cannot hold or tell apart."""
    for name, times in Counter(names).items():
        if times > 1:
            raise InputError(f"{times} images have the name {name!r}: give each its own")
        if name != printable(name):
            raise InputError(f"the name {name!r} of an image is not Unicode text: rename its file")


def _hash_items(items: Sequence[Item]) -> str:
    """Hash what must be the same for an unfinished store to be resumed."""
    digest = hashlib.sha256()
    for item in items:
        files = stamp_of(file.absolute() for file in files_read(item.files))
        # Options of the formats that neither name nor files show.
        options = [getattr(item, "channel", None)]
        plane = getattr(item, "plane", None)
        options += [of for of in (item.split_components, plane) if of is not None]
        digest.update(repr((item.name, files, *options)).encode())
    return digest.hexdigest()


def _describe(
    entries: Sequence[IndexEntry], settings: ProcessSettings, size: tuple[int, int], failed: Sequence[Failure]
) -> StoreInfo:
    if not entries:
        raise FileFormatError(_no_image_message(failed))
    images = {entry.name: entry for entry in entries}.values()
    return StoreInfo(
        format=settings.format,
        annotates=settings.annotates,
        purpose="evaluate" if settings.whole else "train",
        size=size,
        items=len(entries),
        images=len(images),
        cells=sum(entry.cells for entry in images),
        overlapped_pixels=sum(entry.overlapped_pixels for entry in images),
        failed=tuple(failed),
        notes=tuple(note for entry in entries for note in entry.notes),
        diameter=settings.diameter,
        overlap=0 if settings.whole else settings.overlap,
        preprocessing=settings.preprocessing,
        dinocell=__version__,
        content_sha256=hash_entries(entries),
    )


def _no_image_message(failed: Sequence[Failure]) -> str:
    if not failed:
        return "there are no images to process"
    return f"none of {len(failed)} images could be processed; the first: {failed[0].reason}"
