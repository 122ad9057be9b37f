"""The work folder of a run, and its results in their place.

Beside the output lies a work folder. Its subfolders are named by a hash of all that decides about their
content: files that another run, or a worker of it, still writes are never taken for those of this run.
"""

import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from dinocell.errors import OutputError
from dinocell.extras import import_extra
from dinocell.large import stages
from dinocell.large.plan import MADE, paths_beside, plan_hash, read_plan_hash, read_provenance
from dinocell.large.settings import LargeJob
from dinocell.large.workspace import Workspace
from dinocell.results.formats import BLOCK_FORMATS

logger = logging.getLogger(__name__)

_PLAN, _LOCK, _OLD = "plan.json", "lock", "old"

_WORK_NAMES = re.compile(
    rf"(gone-)?(map|labels|done)-[0-9a-f]{{16}}|{_OLD}|{_LOCK}|\.?{re.escape(_PLAN)}(\.tmp-\d+)?"
)


@contextmanager
def locked_work_folder(
    job: LargeJob, output: Path, plan: Mapping[str, Any], *, overwrite: bool
) -> Iterator[None]:
    """Lock the work folder, and keep what can be used: all of the same plan, or the map of the same image.

    Raises
    ------
    OutputError
        If another run holds it; if there is an output, or work on another map, without `overwrite`; if
        something is there that is not ours; if image and output overlap.
    """
    folder = job.map_workspace.folder.parent
    targets = (output, *paths_beside(output, job.settings))
    _check_overlap(job.source.path, (*targets, folder))
    _check_replacing(targets, plan_hash(plan), overwrite=overwrite)
    _check_foreign(folder)
    with _locked(folder):
        work = Workspace(folder)
        others = [path for path in folder.glob("map-*") if path != job.map_workspace.folder]
        if others and not overwrite:
            raise OutputError(
                f"{folder} holds work that differs in {_differing_settings(work.read_json(_PLAN), plan)}, "
                "expected the same: choose another -o, or begin anew with --overwrite"
            )
        passed = [path for name in ("labels-*", "done-*", "gone-*", _OLD) for path in folder.glob(name)]
        for path in (*others, *passed):
            if path != job.label_workspace.folder:
                logger.info("%s is removed: it is of another run", path)
                _remove(path)
        work.write_json(_PLAN, plan)
        yield


def _check_overlap(source: Path, targets: tuple[Path, ...]) -> None:
    image = source.resolve()
    for path in targets:
        target = path.resolve()
        if target.is_relative_to(image) or image.is_relative_to(target):
            raise OutputError(
                f"{path} and the image {source} overlap, expected two places: choose another -o"
            )


def _check_replacing(targets: tuple[Path, ...], plan: str, *, overwrite: bool) -> None:
    """Raise rather than replace results without `overwrite`, or anything that is not such a result."""
    output, *beside = targets
    found = read_provenance(output)
    made = {output: plan_hash({key: found.get(key) for key in ("map", "labels")}) if found else None}
    for path, how in (made | {path: read_plan_hash(path) for path in beside}).items():
        if not os.path.lexists(path) or how == plan:  # left by a run that was stopped while it ended
            continue
        if not how or path.is_symlink():
            raise OutputError(
                f"{path} exists and was not made by segment-large, expected a new name: choose another -o, "
                "or move it away"
            )
        if not overwrite:
            raise OutputError(
                f"{path} exists and was made in another way, expected a new name: choose another -o, or "
                "replace it with --overwrite"
            )


def _check_foreign(folder: Path) -> None:
    """Raise if a work folder holds anything but work, as it is removed in the end."""
    if not os.path.lexists(folder):
        return
    is_folder = folder.is_dir() and not folder.is_symlink()
    foreign = (
        [path.name for path in folder.iterdir() if not _WORK_NAMES.fullmatch(path.name)] if is_folder else []
    )
    if foreign or not is_folder:
        raise OutputError(
            f"{folder} exists and is not a work folder{f' (it holds {foreign[0]})' if foreign else ''}, "
            "expected none of that name: choose another -o, or move it away"
        )


def _differing_settings(before: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """List the settings of the map that are not the same."""
    old, new = before.get("map"), plan["map"]
    names = [name for name in new if old.get(name) != new[name]] if isinstance(old, dict) else []
    return ", ".join(names) or "what was asked for"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a work folder against other runs; remove it afterwards if nothing else is in it."""
    filelock = import_extra("filelock", extra="large", purpose="segmenting large images")
    lock = filelock.FileLock(folder / _LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise OutputError(
            f"{folder} is held by another run that goes on, expected one at a time: wait for it, or choose "
            "another -o"
        ) from error
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({error.strerror or error}), expected a writable folder: choose "
            "another -o, or free some space"
        ) from error
    try:
        yield
    finally:
        lock.release()
        with suppress(OSError):
            if {path.name for path in folder.iterdir()} <= {_LOCK}:
                shutil.rmtree(folder)


def publish(job: LargeJob, output: Path, plan: Mapping[str, Any], *, keep_map: bool) -> None:
    """Move the results to their final names: labels last, as their presence says that all is done.

    If the process is killed meanwhile, at most the labels are lost; the same call makes them from the map.

    Parameters
    ----------
    job : LargeJob
        Job whose work folders hold the results.
    output : Path
        Path of the labels; existing ones are replaced.
    plan : mapping
        From `plan_job`.
    keep_map : bool
        Whether the distance map stays in the work folder, which is removed otherwise.

    Raises
    ------
    OutputError
        If a result cannot be put into its place.
    """
    folder, beside = job.map_workspace.folder.parent, paths_beside(output, job.settings)
    done, old = folder / f"done-{plan_hash(plan)}", folder / _OLD
    for name in job.settings.formats:
        Workspace(job.label_workspace.folder / BLOCK_FORMATS[name].folder_ending).write_json(
            MADE, {"plan": plan_hash(plan)}
        )
    every = paths_beside(output, replace(job.settings, formats=tuple(BLOCK_FORMATS)))
    try:
        old.mkdir(exist_ok=True)
        job.label_workspace.folder.rename(done)
        for path in (output, *(path for path in every if read_plan_hash(path))):
            if path.exists():
                path.rename(old / path.name)
        for name, target in zip(job.settings.formats, beside, strict=True):
            (done / BLOCK_FORMATS[name].folder_ending).rename(target)
        (done / stages.LABELS).rename(output)
    except OSError as error:
        raise OutputError(
            f"{output} cannot be written ({error.strerror or error}), expected a writable folder: the same "
            "command goes on where it stopped"
        ) from error
    for path in (done, old) if keep_map else tuple(path for path in folder.iterdir() if path.name != _LOCK):
        _remove(path)


def _remove(path: Path) -> None:
    """Remove a file or folder of ours; files that a forgotten worker still writes there may stay.

    A folder is renamed first: if it were removed in part, its records would say that all is done.
    """
    if path.is_dir() and path.name != _OLD and not path.name.startswith("gone-"):
        path = path.rename(path.with_name(f"gone-{path.name}"))
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
