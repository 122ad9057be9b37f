"""The plan of a run: all that decides about its results, by which existing ones are recognised."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dinocell.errors import FileFormatError, InputError
from dinocell.io.identity import hash_stamps
from dinocell.io.images import open_image, stem_of
from dinocell.io.pixel_size import fill_pixel_size
from dinocell.io.readers.lazy import LazyImage
from dinocell.io.saving import printable
from dinocell.io.selected_planes import find_channel
from dinocell.labels import Target
from dinocell.large.grid import BlockGrid
from dinocell.large.settings import LargeJob, LargeSettings, SourcePlane, TileModelLoader
from dinocell.large.workspace import Workspace
from dinocell.results.formats import BLOCK_FORMATS
from dinocell.version import __version__

_MAX_BLOCKS = 2**20

MADE = "_made.json"
"""File in folders of tables with the hash of their plan. Readers of Parquet skip names that begin with _."""

_COUNTS = {
    "cells": "cells", "removed": "removed", "min_size": "min_size",
    "large": "large", "cut": "cut", "torn": "truncated", "nonfinite": "nonfinite",
}  # fmt: skip


@dataclass(frozen=True)
class LargeResult:
    """Result of a large image.

    Attributes
    ----------
    labels : Path
        The OME-Zarr of the labels.
    beside : tuple of Path
        Folders of tables and polygons, in the order of the formats.
    target : str
        What was outlined.
    scale : float
        Factor on both sides of the image before the network saw it.
    cells : int
    removed : int
        Cells that were removed as too small.
    min_size : int
        Pixels below which they were.
    large : int
        Components that were too large for a block and were flooded whole, each in a task of its own.
    cut : int
        Components that did not fit and were flooded in windows with a halo: their cells may differ from
        those of the image in memory.
    truncated : int
        Cells of those that reach beyond the halo, and so lack a part.
    nonfinite : int
        NaN or infinite pixels of the field that were treated as its lowest finite value.
    diameter : float or None
        Median equivalent diameter of the cells in pixels; None without cells.
    confidence : float or None
        Mean over the cells, if a table or polygons were written that hold it for each; see
        `dinocell.measure.confidence`.
    skipped : bool
        Whether all results existed before.
    """

    labels: Path
    beside: tuple[Path, ...]
    target: Target
    scale: float
    cells: int
    removed: int
    min_size: int
    large: int
    cut: int
    truncated: int
    nonfinite: int
    diameter: float | None = None
    confidence: float | None = None
    skipped: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """Counts by the names that metadata have for them."""
        return {key: getattr(self, name) for key, name in _COUNTS.items()}


def plan_job(
    source: SourcePlane, output: Path, network: TileModelLoader, settings: LargeSettings
) -> tuple[LargeJob, dict[str, Any]]:
    """Read the header of the image, and list all that decides about the result.

    Parameters
    ----------
    source, network, settings
        As given to `dinocell.large.run.segment_large`.
    output : Path
        The OME-Zarr to be made; the work folder lies beside it.

    Returns
    -------
    LargeJob
    dict
        Plan, ready for JSON: ``map`` decides about the distance map, ``labels`` in addition about labels.

    Raises
    ------
    FileMissingError, FileFormatError, InputError
        If the image cannot be read, or has no such scene.
    """
    with open_image(source.path, scene=source.scene, windows=True) as image:
        fill_pixel_size(image, source.pixel_size_yx_um)
        info, state = image.info, image_state(image)
        number, name = find_channel(image, source.channel) or (None, None)
    _check_blocks(info.shape[3:], settings.block, source.path)
    source = replace(source, path=source.path.absolute(), channel=number)
    asked = asdict(replace(settings, targets={}))
    del asked["targets"]
    map_plan = {
        "block": asked.pop("block"),
        "scales": {name: target.scale for name, target in settings.targets.items()},
        "version": __version__,
        "image": printable(str(source.path)),
        "state": state,
        "scene": source.scene,
        "place": asdict(source.place),
        "channel": name,
        "channel_number": number,
        "shape": list(info.shape[3:]),
        "network": network.described(),
    }
    asked["thresholds"] = {name: found.thresholds.model_dump() for name, found in settings.targets.items()}
    asked["formats"] = list(settings.formats)
    if source.pixel_size_yx_um is not None:
        asked["pixel_size_yx_um"] = list(source.pixel_size_yx_um)
    plan = {"map": map_plan, "labels": asked}
    folder = output.with_name(f"{output.name}.work").absolute()
    places = Workspace(folder / f"map-{plan_hash(map_plan)}"), Workspace(folder / f"labels-{plan_hash(plan)}")
    first = next(iter(settings.targets))
    return LargeJob(source, network, settings, first, info.shape[3:], info.pixel_size_um, *places), plan


def _check_blocks(shape: tuple[int, int], side: int, path: Path) -> None:
    """Raise for an image that would take months: the shape of an OME-Zarr may promise more than it holds."""
    count = len(BlockGrid(shape, side))
    if count > _MAX_BLOCKS:
        raise InputError(
            f"{path} has {shape[0]} × {shape[1]} pixels, which are {count} blocks of {side}, expected at "
            f"most {_MAX_BLOCKS}: cut it into parts, or give a larger --block"
        )


def image_state(image: LazyImage) -> str:
    """Return a hash of size and time of change of all files that an image is read from.

    The content of a slide takes too long to be hashed before and after.
    """
    return hash_stamps(image.files, image.path.parent)


def plan_hash(plan: Mapping[str, Any]) -> str:
    """Return a short hash of a plan, or of a part of it."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]


def paths_beside(output: Path, settings: LargeSettings) -> tuple[Path, ...]:
    """Return where the tables and polygons of an output go, in the order of the formats."""
    stem = stem_of(output)
    return tuple(output.with_name(f"{stem}_{BLOCK_FORMATS[name].folder_ending}") for name in settings.formats)


def find_finished(job: LargeJob, output: Path, plan: Mapping[str, Any]) -> LargeResult | None:
    """Return the result if it exists already, complete and made by the same plan."""
    made = read_provenance(output)
    beside = paths_beside(output, job.settings)
    if any(made.get(key) != plan[key] for key in plan) or any(
        read_plan_hash(path) != plan_hash(plan) for path in beside
    ):
        return None
    with suppress(KeyError, TypeError):
        sure = _number(made.get("confidence")) if beside else None
        diameter = _number(made["median_diameter"])
        counts = {name: made["counts"][key] for key, name in _COUNTS.items()}
        choices = made["target"], made["scale"]
        return LargeResult(
            output, beside, *choices, **counts, diameter=diameter, confidence=sure, skipped=True
        )
    return None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def read_provenance(output: Path) -> dict[str, Any]:
    """Read from labels how they were made; empty where they are not ours, or missing."""
    with suppress(FileFormatError, AttributeError):
        made = Workspace(output).read_json("zarr.json").get("attributes", {}).get("dinocell")
        if isinstance(made, dict) and "counts" in made:
            return made
    return {}


def read_plan_hash(folder: Path) -> str | None:
    """Read the hash of the plan of tables; None where they are not ours, or missing."""
    with suppress(FileFormatError):
        found = Workspace(folder).read_json(MADE).get("plan")
        return found if isinstance(found, str) else None
    return None
