"""The group that holds labels in an OME-Zarr: made whole, listed where viewers look, and what it says."""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dinocell.errors import OutputError
from dinocell.extras import import_extra
from dinocell.io.readers.ngff import Multiscale, read_json, read_multiscales
from dinocell.io.readers.ome_zarr import open_array
from dinocell.io.saving import atomic_path

_CHUNK = 1024
_AXES = {"t": {"name": "t", "type": "time"}} | {axis: {"name": axis, "type": "space"} for axis in "zyx"}


def level_shapes(multiscale: Multiscale, *, projected: bool) -> list[dict[str, int]]:
    """Give the lengths of the labels' axes, the image's without channels, level by level."""
    shapes = []
    for level in range(len(multiscale.levels)):
        sizes = dict(zip(multiscale.axes, open_array(multiscale, level).shape, strict=True))
        sizes.pop("c", None)
        shapes.append(sizes | ({"z": 1} if projected and "z" in sizes else {}))
    return shapes


def _metadata_file(multiscale: Multiscale, group: Path) -> Path:
    return group / ("zarr.json" if multiscale.version == "0.5" else ".zattrs")


def _read_group(multiscale: Multiscale, group: Path) -> dict[str, Any]:
    """Read the attributes of a group, for version 0.5 with ``ome`` among them; empty where there are none."""
    stored = read_json(multiscale.root, _metadata_file(multiscale, group)) or {}
    return dict(stored.get("attributes", {})) if multiscale.version == "0.5" else stored


def _write_group(multiscale: Multiscale, group: Path, attributes: Mapping[str, Any]) -> None:
    file = _metadata_file(multiscale, group)
    if multiscale.version == "0.5":
        stored = read_json(multiscale.root, file) or {"zarr_format": 3, "node_type": "group"}
        _write_json(file, {**stored, "attributes": attributes})
        return
    if not (group / ".zgroup").exists():
        _write_json(group / ".zgroup", {"zarr_format": 2})
    _write_json(file, attributes)


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
    """Tell whether the group is there to be filled; one that is not made for this is refused or replaced."""
    if not group.exists():
        return False
    made = _read_group(multiscale, group).get("dinocell")
    if isinstance(made, dict) and all(made.get(key) == value for key, value in mark.items()):
        levels = read_multiscales(multiscale.root, group)[0]
        if level_shapes(levels, projected=False) == shapes:
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
    """Make the whole group under another name, then give it its own."""
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
    if multiscale.version == "0.5":
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
        zarr_format=3 if multiscale.version == "0.5" else 2,
        **options,
    )


def _describe(
    multiscale: Multiscale, shapes: list[dict[str, int]], made: Mapping[str, Any]
) -> dict[str, Any]:
    """Give the group's attributes: the image's multiscale without channels, and where the image is."""
    described, kept = multiscale.described, [at for at, axis in enumerate(multiscale.axes) if axis != "c"]
    axes = [described.get("axes", multiscale.axes)[at] for at in kept]  # before version 0.4 they are names
    ratios = [{axis: shapes[0][axis] / sizes[axis] for axis in sizes} for sizes in shapes]
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": _transforms(place, kept)
            or [{"type": "scale", "scale": list(ratio.values())}],
        }
        for level, (place, ratio) in enumerate(zip(described["datasets"], ratios, strict=True))
    ]
    entry = {
        "name": "labels",
        "type": "nearest",
        "axes": [axis if isinstance(axis, dict) else _AXES[axis] for axis in axes],
        "datasets": datasets,
    }
    if common := _transforms(described, kept):
        entry["coordinateTransformations"] = common
    label: dict[str, Any] = {"source": {"image": "../../"}}
    if multiscale.version == "0.5":
        ome = {"version": multiscale.version, "multiscales": [entry], "image-label": label}
        return {"ome": ome, "dinocell": made}
    entry["version"] = label["version"] = multiscale.version
    return {"multiscales": [entry], "image-label": label, "dinocell": made}


def _transforms(place: Mapping[str, Any], kept: list[int]) -> list[dict[str, Any]]:
    """Give the coordinate transformations of the axes that are kept."""
    return [
        {
            key: [value[at] for at in kept] if key in ("scale", "translation") else value
            for key, value in transform.items()
        }
        for transform in place.get("coordinateTransformations") or ()
    ]


def register_group(multiscale: Multiscale, name: str) -> None:
    """List labels among those of the image, where viewers look for them."""
    group = multiscale.group / "labels"
    attributes = _read_group(multiscale, group)
    ome = attributes.get("ome", {}) if multiscale.version == "0.5" else attributes
    if name in ome.get("labels", ()):
        return
    ome = {**ome, "labels": [*ome.get("labels", ()), name]}
    if multiscale.version == "0.5":
        ome = {**attributes, "ome": {"version": multiscale.version, **ome}}
    _write_group(multiscale, group, ome)


def note_plane(multiscale: Multiscale, group: Path, plane: str, how: object) -> None:
    """Keep the provenance of a plane that was made in another way than the first."""
    attributes = _read_group(multiscale, group)
    made = attributes["dinocell"]
    if made["planes"].get(plane, made["provenance"]) != how:
        planes = {**made["planes"], plane: how}
        _write_group(multiscale, group, {**attributes, "dinocell": {**made, "planes": planes}})
