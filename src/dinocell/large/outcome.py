"""What a run is to make of an image: its plan, what earlier runs left of it, and its results in place.

Beside the output lies a work folder. Its subfolders are named by a hash of all that decides about what is in
them, so that what another run, or a worker that it left behind, still writes is never taken for this one's.
"""

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dinocell.errors import FileFormatError, OutputError
from dinocell.extras import import_extra
from dinocell.images import open_image
from dinocell.large import stages
from dinocell.large.settings import FORMATS, Job, LargeSettings, Network, Source
from dinocell.large.workspace import Workspace
from dinocell.version import __version__

logger = logging.getLogger(__name__)

_PLAN, _LOCK, _OLD = "plan.json", "lock", "old"
_MADE = "_made.json"
"""In folders of tables: the hash of their plan. Readers of Parquet leave out what begins with _."""

_OURS = re.compile(
    rf"(gone-)?(map|labels|done)-[0-9a-f]{{16}}|{_OLD}|{_LOCK}|\.?{re.escape(_PLAN)}(\.tmp-\d+)?"
)


@dataclass(frozen=True)
class LargeResult:
    """What came out.

    Attributes
    ----------
    labels : Path
        The OME-Zarr of the labels.
    beside : tuple of Path
        Folders of tables and polygons, in the order of the formats.
    cells : int
    large : int
        Components that were too large for a block and were flooded whole, each in a task of its own.
    cut : int
        Components that did not fit and were flooded in windows with a halo: their cells may differ from
        those of the image in memory.
    torn : int
        Cells of those that reach beyond the halo, and so lack a part.
    nonfinite : int
        NaN or infinite pixels that were treated as the lowest finite value.
    skipped : bool
        Whether all of it was there before.
    """

    labels: Path
    beside: tuple[Path, ...]
    cells: int
    large: int
    cut: int
    torn: int
    nonfinite: int
    skipped: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """What was counted, by name."""
        return {name: getattr(self, name) for name in ("cells", "large", "cut", "torn", "nonfinite")}


def plan_job(
    source: Source, output: Path, network: Network, settings: LargeSettings
) -> tuple[Job, dict[str, Any]]:
    """Look at the image, and write down all that decides about the result.

    Parameters
    ----------
    source, network, settings
        As given to `dinocell.large.run.segment_large`.
    output : Path
        The OME-Zarr to be made; the work folder lies beside it.

    Returns
    -------
    Job
    dict
        Ready for JSON: ``map``, what decides about the distance map, and ``labels``, what else about labels.

    Raises
    ------
    FileMissingError, FileFormatError, InputError
        If the image cannot be read, or has no such scene.
    """
    with open_image(source.path, scene=source.scene, windows=True) as image:
        info = image.info
    source = Source(source.path.absolute(), source.scene, source.place, source.channel)
    asked = asdict(settings) | {"thresholds": settings.thresholds.model_dump()}
    of_map = {name: asked.pop(name) for name in ("scale", "block")} | {
        "version": __version__,
        "image": str(source.path),
        "state": _state(source.path),
        "scene": source.scene,
        "place": asdict(source.place),
        "channel": source.channel,
        "shape": list(info.shape[3:]),
        "network": network.described(),
    }
    plan = {"map": of_map, "labels": asked | {"formats": list(settings.formats)}}
    folder = output.with_name(f"{output.name}.work").absolute()
    places = Workspace(folder / f"map-{plan_hash(of_map)}"), Workspace(folder / f"labels-{plan_hash(plan)}")
    return Job(source, network, settings, info.shape[3:], info.pixel_size_um, *places), plan


def plan_hash(plan: Mapping[str, Any]) -> str:
    """Give a name to all that a plan, or a part of it, decides."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]


def _state(path: Path) -> list[int]:
    """Give time of change, in nanoseconds, and size of a file, or of the description of an OME-Zarr."""
    names = ("zarr.json", ".zattrs", ".zgroup", "0/zarr.json", "0/.zarray")
    files = [path / name for name in names] if path.is_dir() else [path]
    found = [file.stat() for file in files if file.exists()]
    return [max((of.st_mtime_ns for of in found), default=0), sum(of.st_size for of in found)]


def paths_beside(output: Path, settings: LargeSettings) -> tuple[Path, ...]:
    """Return where the tables and polygons of an output go, in the order of the formats."""
    stem = output.name.removesuffix(".zarr")
    return tuple(output.with_name(f"{stem}_{FORMATS[name]}") for name in settings.formats)


def made_before(job: Job, output: Path, plan: Mapping[str, Any]) -> LargeResult | None:
    """Return the result if it is there already, with all that belongs to it and made by the same plan."""
    made = _said_of(output)
    beside = paths_beside(output, job.settings)
    if any(made.get(key) != plan[key] for key in plan) or any(
        _plan_of(path) != plan_hash(plan) for path in beside
    ):
        return None
    with suppress(KeyError, TypeError):
        return LargeResult(output, beside, **made["counts"], skipped=True)
    return None


def _said_of(output: Path) -> dict[str, Any]:
    """Read what labels say of how they were made; empty where they are not ours, or not there."""
    with suppress(FileFormatError, AttributeError):
        made = Workspace(output).read_json("zarr.json").get("attributes", {}).get("dinocell")
        if isinstance(made, dict) and "counts" in made:
            return made
    return {}


def _plan_of(folder: Path) -> str | None:
    """Read by which plan tables were made; None where they are not ours, or not there."""
    with suppress(FileFormatError):
        found = Workspace(folder).read_json(_MADE).get("plan")
        return found if isinstance(found, str) else None
    return None


@contextmanager
def prepared(job: Job, output: Path, plan: Mapping[str, Any], *, overwrite: bool) -> Iterator[None]:
    """Hold the work folder, and keep of it what counts: all of the same plan, the map of the same image.

    Raises
    ------
    OutputError
        If another run holds it; if there is an output, or work on another map, without `overwrite`; if
        something is there that is not ours; if image and output overlap.
    """
    folder = job.of_map.folder.parent
    targets = (output, *paths_beside(output, job.settings))
    _refuse_overlap(job.source.path, (*targets, folder))
    _refuse_replacing(targets, plan_hash(plan), overwrite=overwrite)
    _refuse_foreign(folder)
    with _held(folder):
        work = Workspace(folder)
        others = [path for path in folder.glob("map-*") if path != job.of_map.folder]
        if others and not overwrite:
            raise OutputError(
                f"{folder} holds work that differs in {_differing(work.read_json(_PLAN), plan)}, expected "
                "the same: choose another -o, or begin anew with --overwrite"
            )
        passed = [path for name in ("labels-*", "done-*", "gone-*", _OLD) for path in folder.glob(name)]
        for path in (*others, *passed):
            if path != job.of_labels.folder:
                logger.info("%s is removed: it is of another run", path)
                _remove(path)
        work.write_json(_PLAN, plan)
        yield


def _refuse_overlap(source: Path, targets: tuple[Path, ...]) -> None:
    image = source.resolve()
    for path in targets:
        target = path.resolve()
        if target.is_relative_to(image) or image.is_relative_to(target):
            raise OutputError(
                f"{path} and the image {source} overlap, expected two places: choose another -o"
            )


def _refuse_replacing(targets: tuple[Path, ...], plan: str, *, overwrite: bool) -> None:
    """Refuse to replace results unasked, and what is no result of this kind at all."""
    output, *beside = targets
    said = _said_of(output)
    made = {output: plan_hash({key: said.get(key) for key in ("map", "labels")}) if said else None}
    for path, how in (made | {path: _plan_of(path) for path in beside}).items():
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


def _refuse_foreign(folder: Path) -> None:
    """Refuse a work folder that holds anything but work, as it is removed in the end."""
    if not os.path.lexists(folder):
        return
    is_folder = folder.is_dir() and not folder.is_symlink()
    foreign = [path.name for path in folder.iterdir() if not _OURS.fullmatch(path.name)] if is_folder else []
    if foreign or not is_folder:
        raise OutputError(
            f"{folder} exists and is no work folder{f' (it holds {foreign[0]})' if foreign else ''}, "
            "expected none of that name: choose another -o, or move it away"
        )


def _differing(before: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """Name what decides about the map and is not the same."""
    old, new = before.get("map"), plan["map"]
    names = [name for name in new if old.get(name) != new[name]] if isinstance(old, dict) else []
    return ", ".join(names) or "what was asked for"


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a work folder against other runs; afterwards it goes if nothing else is in it."""
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


def publish(job: Job, output: Path, plan: Mapping[str, Any], *, keep_map: bool) -> None:
    """Give the results their names: labels last, as their being there says that all is done.

    Whoever is killed meanwhile has lost the labels at most, and the same call makes them of the map again.

    Parameters
    ----------
    job : Job
        Whose work folders hold the results.
    output : Path
        Where the labels go; what is there is replaced.
    plan : mapping
        From `plan_job`.
    keep_map : bool
        Leave the distance map in the work folder, which is removed otherwise.

    Raises
    ------
    OutputError
        If a result cannot be put into its place.
    """
    folder, beside = job.of_map.folder.parent, paths_beside(output, job.settings)
    done, old = folder / f"done-{plan_hash(plan)}", folder / _OLD
    for name in job.settings.formats:
        Workspace(job.of_labels.folder / FORMATS[name]).write_json(_MADE, {"plan": plan_hash(plan)})
    every = paths_beside(output, replace(job.settings, formats=tuple(FORMATS)))
    try:
        old.mkdir(exist_ok=True)
        job.of_labels.folder.rename(done)
        for path in (output, *(path for path in every if _plan_of(path))):
            if path.exists():
                path.rename(old / path.name)
        for name, target in zip(job.settings.formats, beside, strict=True):
            (done / FORMATS[name]).rename(target)
        (done / stages.LABELS).rename(output)
    except OSError as error:
        raise OutputError(
            f"{output} cannot be written ({error.strerror or error}), expected a writable folder: the same "
            "command goes on where it stopped"
        ) from error
    for path in (done, old) if keep_map else tuple(path for path in folder.iterdir() if path.name != _LOCK):
        _remove(path)


def _remove(path: Path) -> None:
    """Remove a file or folder of ours; what a worker that was left behind still writes there may stay.

    A folder gets another name first: of one that is half removed, its records would say that all is done.
    """
    if path.is_dir() and path.name != _OLD and not path.name.startswith("gone-"):
        path = path.rename(path.with_name(f"gone-{path.name}"))
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
