"""Tiny OME-Zarr folders of both versions, written by zarr and by hand, not by DINOCell."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

Array = NDArray[Any]
TYPES = {"t": "time", "c": "channel"}
UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}


def write_ome_zarr(
    folder: Path,
    pixels: Array,
    axes: str,
    *,
    version: str = "0.4",
    levels: int = 1,
    scale: dict[str, float] | None = None,
    units: dict[str, str] = UNITS,
    channel_names: tuple[str, ...] = (),
    chunks: tuple[int, ...] | None = None,
    **attributes: Any,
) -> Path:
    """Write an image whose level k keeps every 2^k-th pixel of y and x; `scale` holds µm and s a step."""
    for level in range(levels):
        step = 2**level
        index = tuple(slice(None, None, step if axis in "yx" else 1) for axis in axes)
        write_array(folder / str(level), pixels[index], version, axes, chunks)
    described = multiscale(axes, levels, scale or {}, units)
    if channel_names:
        attributes["omero"] = {"channels": [{"label": name} for name in channel_names]}
    write_group(folder, {"multiscales": [described], **attributes}, version)
    return folder


def write_array(
    folder: Path, pixels: Array, version: str, axes: str, chunks: tuple[int, ...] | None = None
) -> None:
    """Write one level, with one chunk for each plane unless `chunks` is given."""
    chunks = chunks or tuple(
        size if axis in "yx" else 1 for axis, size in zip(axes, pixels.shape, strict=True)
    )
    options: dict[str, Any] = {"zarr_format": 3, "dimension_names": list(axes)}
    if version != "0.5":
        options = {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}}
    array = zarr.create_array(folder, shape=pixels.shape, dtype=pixels.dtype, chunks=chunks, **options)
    array[...] = pixels


def multiscale(axes: str, levels: int, scale: dict[str, float], units: dict[str, str]) -> dict[str, Any]:
    """Return an entry of ``multiscales``."""
    described = [{"name": axis, "type": TYPES.get(axis, "space")} for axis in axes]
    for axis in described:
        if axis["name"] in units:
            axis["unit"] = units[axis["name"]]
    datasets = []
    for level in range(levels):
        steps = [scale.get(axis, 1.0) * (2**level if axis in "yx" else 1) for axis in axes]
        transforms = [{"type": "scale", "scale": steps}]
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    return {"version": "0.4", "axes": described, "datasets": datasets}


def write_group(folder: Path, attributes: dict[str, Any], version: str) -> None:
    """Write the attributes of a group."""
    folder.mkdir(parents=True, exist_ok=True)
    if version == "0.5":
        for entry in attributes.get("multiscales", ()):
            entry.pop("version", None)
        ome = {"version": "0.5", **attributes}
        content = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
        (folder / "zarr.json").write_text(json.dumps(content))
    else:
        (folder / ".zgroup").write_text('{"zarr_format": 2}')
        (folder / ".zattrs").write_text(json.dumps(attributes))


def attributes_of(group: Path, version: str) -> dict[str, Any]:
    """Read the attributes of a group; of version 0.5 with ``ome`` in it."""
    if version == "0.5":
        stored: dict[str, Any] = json.loads((group / "zarr.json").read_text())["attributes"]
        return stored
    plain: dict[str, Any] = json.loads((group / ".zattrs").read_text())
    return plain


def noise(*shape: int, dtype: str = "uint16") -> Array:
    """Return values that differ from place to place."""
    values = np.random.default_rng(0).random(shape)
    if dtype == "bool":
        return values > 0.5
    return (values * (np.iinfo(dtype).max if dtype[0] in "ui" else 1)).astype(dtype)
