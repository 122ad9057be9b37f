"""What a run is to make of an image: its plan, what earlier runs left of it, and its results in place."""

import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dinocell.errors import FileFormatError, OutputError
from dinocell.images import open_image
from dinocell.large import stages
from dinocell.large.settings import FORMATS, Job, LargeSettings, Network, Source
from dinocell.large.workspace import Workspace

logger = logging.getLogger(__name__)

_PLAN = "plan.json"
_OF_MAP = (stages.MAP, "statistics")
"""What of the work folder the thresholds do not change."""


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
    skipped : bool
        Whether all of it was there before.
    """

    labels: Path
    beside: tuple[Path, ...]
    cells: int
    large: int
    cut: int
    skipped: bool = False


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
    workspace = Workspace(output.with_name(f"{output.name}.work").absolute())
    source = Source(source.path.absolute(), source.scene, source.place, source.channel)
    job = Job(source, network, settings, info.shape[3:], info.pixel_size_um, workspace)
    status = _newest(source.path)
    asked = asdict(settings) | {"thresholds": settings.thresholds.model_dump()}
    of_map = {name: asked.pop(name) for name in ("scale", "block")}
    of_map |= {
        "image": str(source.path),
        "changed_ns": status,
        "scene": source.scene,
        "place": asdict(source.place),
        "channel": source.channel,
        "shape": list(job.shape),
        "network": network.described(),
    }
    asked["formats"] = list(asked["formats"])
    return job, {"map": of_map, "labels": asked}


def _newest(path: Path) -> int:
    """Give when a file, or the description of an OME-Zarr, was last changed, in nanoseconds."""
    names = ("zarr.json", ".zattrs", ".zgroup", "0/zarr.json", "0/.zarray")
    files = [path / name for name in names] if path.is_dir() else [path]
    return max((file.stat().st_mtime_ns for file in files if file.exists()), default=0)


def paths_beside(output: Path, settings: LargeSettings) -> tuple[Path, ...]:
    """Return where the tables and polygons of an output go, in the order of the formats."""
    stem = output.name.removesuffix(".zarr").removesuffix(".ome")
    return tuple(output.with_name(f"{stem}_{FORMATS[name]}") for name in settings.formats)


def made_before(output: Path, plan: Mapping[str, Any]) -> LargeResult | None:
    """Return the result if it is there already, with all that belongs to it and made by the same plan."""
    made = _said_of(output)
    if any(made.get(key) != plan[key] for key in plan):
        return None
    formats = made["labels"]["formats"]
    beside = tuple(output.with_name(name) for name in made["beside"])
    if len(formats) != len(beside) or not all(folder.is_dir() for folder in beside):
        return None
    return LargeResult(output, beside, made["cells"], made["large"], made["cut"], skipped=True)


def _said_of(output: Path) -> dict[str, Any]:
    """Read what labels say of how they were made; empty where they are not ours, or not there."""
    with suppress(FileFormatError):
        made = Workspace(output).read_json("zarr.json").get("attributes", {}).get("dinocell")
        if isinstance(made, dict) and "beside" in made:
            return made
    return {}


def _refuse_replacing(output: Path, beside: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse to replace results unasked, and what is no result of this kind at all."""
    ours = bool(_said_of(output))
    for path in (output, *beside):
        if not os.path.lexists(path):
            continue
        parts = path.is_dir() and all(part.name.startswith("part-") for part in path.iterdir())
        if not (ours if path == output else parts):
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
    known = {_PLAN, "records", stages.MAP, stages.CELLS, stages.GROWN, stages.LABELS, *FORMATS.values()}
    if not folder.exists():
        return
    foreign = [
        path.name
        for path in (folder.iterdir() if folder.is_dir() else [folder])
        if path.name not in known and not path.name.startswith(f".{_PLAN}.")
    ]
    if foreign or folder.is_symlink():
        raise OutputError(
            f"{folder} exists and is no work folder ({foreign[0] if foreign else 'a link'}), expected none "
            "of that name: choose another -o, or move it away"
        )


def prepare(job: Job, output: Path, plan: Mapping[str, Any], *, overwrite: bool) -> None:
    """Make the work folder, or keep of it what still counts: all of the same plan, the map of the same image.

    Raises
    ------
    OutputError
        If, without `overwrite`, there is an output, or work on another map; if something else is there; if
        the output would be within the image.
    """
    workspace, source = job.workspace, job.source.path
    if output.resolve().is_relative_to(source.resolve()):
        raise OutputError(f"{output} is within the image {source}, expected it elsewhere: choose another -o")
    _refuse_replacing(output, paths_beside(output, job.settings), overwrite=overwrite)
    _refuse_foreign(workspace.folder)
    before = workspace.read_json(_PLAN)
    if before and before["map"] != plan["map"]:
        if not overwrite:
            raise OutputError(
                f"{workspace.folder} holds work on another image or with another model, expected the same: "
                "choose another -o, or begin anew with --overwrite"
            )
        workspace.remove()
    elif before and before != plan:
        logger.info("%s: keeps the distance map, and makes the labels anew", workspace.folder)
        # Whoever is killed while this is cleared leaves a folder of which nobody takes more than the map.
        workspace.write_json(_PLAN, {"map": plan["map"]})
        workspace.clear(*_OF_MAP)
    elif not before:
        workspace.remove()  # what an interrupted removal left
    workspace.write_json(_PLAN, plan)


def publish(job: Job, output: Path, *, keep_map: bool) -> None:
    """Give the results their names: labels last, as their being there says that all is done.

    Parameters
    ----------
    job : Job
        Whose work folder holds the results.
    output : Path
        Where the labels go; what is there is replaced.
    keep_map : bool
        Leave the distance map in the work folder, which is removed otherwise.

    Raises
    ------
    OutputError
        If a result cannot be put into its place.
    """
    workspace = job.workspace
    listed = _said_of(output).get("beside", ())
    every = replace(job.settings, formats=tuple(FORMATS))
    earlier = {path for path in paths_beside(output, every) if path.name in listed}
    moves = [
        (workspace.folder / FORMATS[name], beside)
        for name, beside in zip(job.settings.formats, paths_beside(output, job.settings), strict=True)
    ]
    # Whoever is killed from here on has moved what records say is done: only the map can be gone on with.
    workspace.write_json(_PLAN, {"map": workspace.read_json(_PLAN)["map"]})
    for made, target in [*moves, (workspace.folder / stages.LABELS, output)]:
        _replace(made, target)
    for folder in earlier - {target for _, target in moves}:  # tables of the labels that were replaced
        shutil.rmtree(folder, ignore_errors=True)
    if keep_map:
        workspace.clear(*_OF_MAP)
    else:
        workspace.remove()


def _replace(made: Path, target: Path) -> None:
    old = target.with_name(f".{target.name}.old-{os.getpid()}")
    try:
        if target.exists():
            target.rename(old)
        made.rename(target)
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written ({error.strerror}), expected a writable folder"
        ) from error
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        with suppress(OSError):
            shutil.rmtree(old, ignore_errors=True)
