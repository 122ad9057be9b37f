"""Group that holds labels in an OME-Zarr: created whole, with its metadata, and listed where viewers look."""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dinocell.errors import OutputError
from dinocell.extras import import_extra
from dinocell.io.readers.ngff import (
    ON_ZARR_3,
    Multiscale,
    axis_entry,
    group_files,
    label_attributes,
    level_entry,
    list_label,
    read_group,
    read_multiscales,
    scale_entry,
    select_axes,
)
from dinocell.io.readers.zarr_arrays import open_level
from dinocell.io.readers.zarr_folder import read_json
from dinocell.io.saving import atomic_path

_CHUNK = 1024


def label_shapes(multiscale: Multiscale, *, projected: bool) -> list[dict[str, int]]:
    """Return the lengths of the labels' axes, which are the image's without channels, level by level."""
    shapes = []
    for level in range(len(multiscale.levels)):
        sizes = dict(zip(multiscale.axes, open_level(multiscale, level).shape, strict=True))
        sizes.pop("c", None)
        shapes.append(sizes | ({"z": 1} if projected and "z" in sizes else {}))
    return shapes


def _read_group(multiscale: Multiscale, group: Path) -> dict[str, Any]:
    return read_group(multiscale.root, group, multiscale.version)


def _write_group(multiscale: Multiscale, group: Path, attributes: Mapping[str, Any]) -> None:
    """Write the attributes of a group, and create it where it is new."""
    for name, content in group_files(multiscale.version, attributes).items():
        if name == ".zgroup" and (group / name).exists():
            continue
        stored = read_json(multiscale.root, group / name) if name == "zarr.json" else None
        _write_json(group / name, {**(stored or {}), **content})  # what others keep there stays


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    with atomic_path(file) as temporary:
        temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")


def is_ours(
    multiscale: Multiscale,
    group: Path,
    shapes: list[dict[str, int]],
    mark: Mapping[str, Any],
    overwrite: bool,
) -> bool:
    """Return whether the group is there to be filled; another one of its name is an error unless replaced."""
    if not group.exists():
        return False
    made = _read_group(multiscale, group).get("dinocell")
    if isinstance(made, dict) and all(made.get(key) == value for key, value in mark.items()):
        levels = read_multiscales(multiscale.root, group)[0]
        if label_shapes(levels, projected=False) == shapes:
            return True
    if overwrite:
        return False
    why = "were not made by DINOCell" if made is None else "are of another shape or kind"
    raise OutputError(
        f"{group} cannot be written, the labels there {why}: choose another name, or overwrite them"
    )


def create_group(
    multiscale: Multiscale, group: Path, shapes: list[dict[str, int]], made: Mapping[str, Any]
) -> None:
    """Create the whole group under a temporary name, then rename it."""
    group.parent.mkdir(exist_ok=True)
    temporary, old = (group.with_name(f".{group.name}.{what}-{os.getpid()}") for what in ("tmp", "old"))
    try:
        temporary.mkdir()
        _write_group(multiscale, temporary, _describe(multiscale, shapes, made))
        for level, sizes in enumerate(shapes):
            _create_array(multiscale, temporary / str(level), sizes)
        if group.exists():
            group.rename(old)
        temporary.rename(group)
    finally:
        if old.exists() and not group.exists():
            old.rename(group)
        for left in (temporary, old):
            with suppress(OSError):
                shutil.rmtree(left)


def _create_array(multiscale: Multiscale, folder: Path, sizes: Mapping[str, int]) -> None:
    zarr = import_extra("zarr", extra="io", purpose="writing OME-Zarr")
    options: dict[str, Any]
    if multiscale.version == ON_ZARR_3:
        codecs = import_extra("zarr.codecs", extra="io", purpose="writing OME-Zarr")
        options = {"compressors": codecs.BloscCodec(cname="zstd"), "dimension_names": list(sizes)}
    else:
        codecs = import_extra("numcodecs", extra="io", purpose="writing OME-Zarr")
        separator = {"name": "v2", "separator": "/"}
        options = {"compressors": codecs.Blosc(cname="zstd"), "chunk_key_encoding": separator}
    zarr.create_array(
        folder,
        shape=tuple(sizes.values()),
        chunks=tuple(min(_CHUNK, size) if axis in "yx" else 1 for axis, size in sizes.items()),
        dtype="int32",
        fill_value=0,
        zarr_format=3 if multiscale.version == ON_ZARR_3 else 2,
        **options,
    )


def _describe(
    multiscale: Multiscale, shapes: list[dict[str, int]], made: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the group's attributes: the image's multiscale without channels, and where the image is."""
    described, kept = multiscale.described, [at for at, axis in enumerate(multiscale.axes) if axis != "c"]
    axes = [described.get("axes", multiscale.axes)[at] for at in kept]  # before version 0.4 they are names
    ratios = [{axis: shapes[0][axis] / sizes[axis] for axis in sizes} for sizes in shapes]
    levels = [
        level_entry(level, select_axes(stored, kept) or [scale_entry(ratio.values())])
        for level, (stored, ratio) in enumerate(zip(described["datasets"], ratios, strict=True))
    ]
    attributes = label_attributes(
        multiscale.version,
        [axis if isinstance(axis, dict) else axis_entry(axis) for axis in axes],
        levels,
        transforms=select_axes(described, kept),
        source="../../",
    )
    return attributes | {"dinocell": made}


def register_group(multiscale: Multiscale, name: str) -> None:
    """List labels among those of the image, where viewers look for them."""
    group = multiscale.group / "labels"
    attributes = list_label(multiscale.version, _read_group(multiscale, group), name)
    if attributes is not None:
        _write_group(multiscale, group, attributes)


def note_plane(multiscale: Multiscale, group: Path, plane: str, how: object) -> None:
    """Keep the provenance of a plane that was made in another way than the first."""
    attributes = _read_group(multiscale, group)
    made = attributes["dinocell"]
    if made["planes"].get(plane, made["provenance"]) != how:
        planes = {**made["planes"], plane: how}
        _write_group(multiscale, group, {**attributes, "dinocell": {**made, "planes": planes}})
