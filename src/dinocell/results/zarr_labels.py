"""Labels inside the OME-Zarr that they were made of, where viewers find them."""

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import DINOCellError, InputError, OutputError
from dinocell.extras import import_extra
from dinocell.labels import Labels, validate_labels
from dinocell.planes import checked_index, decoding
from dinocell.readers.ome_zarr import (
    Multiscale,
    find_multiscale,
    inside,
    open_array,
    open_multiscale,
    read_json,
    read_multiscales,
)
from dinocell.saving import atomic_path
from dinocell.version import __version__

_NAME = re.compile(r"(?![.]|__)[\w.\- ]{1,200}")
_CHUNK = 1024
_LOCK = threading.Lock()  # threads that write planes of one image share its groups
_AXES = {"t": {"name": "t", "type": "time"}} | {axis: {"name": axis, "type": "space"} for axis in "zyx"}


def write_zarr_labels(
    source: Path,
    labels: NDArray[Any],
    *,
    name: str = "dinocell",
    scene: int | str = 0,
    t: int = 0,
    z: int | None = 0,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write one plane of labels into an OME-Zarr, as NGFF labels of the version it has itself.

    The first call makes the group ``labels/NAME`` beside the image's levels, with as many levels, and lists
    it; further ones fill their planes. Planes that were not written are 0. Coarser levels keep every second
    (third, …) pixel.

    Parameters
    ----------
    source : path
        Outermost folder of the OME-Zarr.
    labels : integer array, shape (Y, X)
        As large as the image's finest level; stored as int32.
    name : str
        Of the labels.
    scene : int or str
        As in `open_ome_zarr`.
    t : int
        Time, counted from 0.
    z : int, optional
        Slice, counted from 0. None for labels of a projection: their group then has one slice, and says
        ``"z": "projection"`` under ``dinocell`` in its attributes.
    provenance : mapping, optional
        How the labels were made: anything that JSON holds. Where planes differ, each keeps its own.
    overwrite : bool
        Replace labels of that name that DINOCell did not make, or made for another shape.

    Returns
    -------
    Path
        The group of the labels.

    Raises
    ------
    InputError
        If the labels do not fit the image, there is no such plane, or name or provenance cannot be stored.
    OutputError
        If there are other labels of that name, or the folder cannot be written.
    FileFormatError, FileMissingError, MissingExtraError
        As `open_ome_zarr`.
    """
    array = validate_labels(labels)
    if not _NAME.fullmatch(name):
        raise InputError(
            f"labels cannot be named {name!r}, expected letters, digits, - and _: choose another name"
        )
    how = _as_json(provenance)
    multiscale, _, _ = find_multiscale(source, scene)
    with decoding(source, "OME-Zarr"):
        shapes = _level_shapes(multiscale, projected=z is None)
        group = inside(multiscale.root, multiscale.group, f"labels/{name}")
    _check_plane(array, shapes[0], t, z, source)
    mark = {"z": "projection" if z is None else "slices", "multiscale": multiscale.number}
    made = {"version": __version__, "provenance": how, "planes": {}} | mark
    with _LOCK, _writing(group):
        if not _is_ours(multiscale, group, shapes, mark, overwrite):
            _create(multiscale, group, shapes, made)
        _register(multiscale, name)
        _fill(multiscale, group, shapes, array, t, z or 0)
        _note_plane(multiscale, group, f"t={t} z={z or 0}", how)
    return group


def read_zarr_labels(
    source: Path, name: str = "dinocell", scene: int | str = 0, t: int = 0, z: int = 0
) -> Labels:
    """Read one plane of labels from an OME-Zarr, whoever wrote them.

    Parameters
    ----------
    source : path
        Outermost folder of the OME-Zarr.
    name : str
        Of the labels.
    scene : int or str
        As in `open_ome_zarr`.
    t, z : int
        Time and slice, counted from 0; labels of a projection have one slice.

    Returns
    -------
    int32 array, shape (Y, X)

    Raises
    ------
    InputError
        If there is no such plane, or its values are no labels.
    FileFormatError, FileMissingError, MissingExtraError
        As `open_ome_zarr`; also if there are no such labels.
    """
    multiscale, _, _ = find_multiscale(source, scene)
    with decoding(source, "OME-Zarr"):
        found = read_multiscales(multiscale.root, inside(multiscale.root, multiscale.group, f"labels/{name}"))
        if not found:
            raise ValueError(f"no labels {name!r} in it")
    with open_multiscale(found[0], source) as image:
        return validate_labels(image.read_plane(t, 0, z), name=f"{source} labels {name!r}")


def _as_json(provenance: Mapping[str, Any] | None) -> Any:
    try:
        return json.loads(json.dumps(dict(provenance or {}), allow_nan=False))
    except (TypeError, ValueError) as exc:
        raise InputError(
            f"provenance cannot be stored ({exc}), expected what JSON holds: convert it"
        ) from exc


def _level_shapes(multiscale: Multiscale, *, projected: bool) -> list[dict[str, int]]:
    """Give the lengths of the labels' axes, the image's without channels, level by level."""
    shapes = []
    for level in range(len(multiscale.levels)):
        sizes = dict(zip(multiscale.axes, open_array(multiscale, level).shape, strict=True))
        sizes.pop("c", None)
        shapes.append(sizes | ({"z": 1} if projected and "z" in sizes else {}))
    return shapes


def _check_plane(array: Labels, sizes: Mapping[str, int], t: int, z: int | None, source: Path) -> None:
    if array.shape != (sizes["y"], sizes["x"]):
        raise InputError(
            f"labels have shape {array.shape}, expected {(sizes['y'], sizes['x'])} as the image {source}: "
            "pass the labels of a whole plane"
        )
    checked_index(t, sizes.get("t", 1), "time", source)
    checked_index(z or 0, sizes.get("z", 1), "z", source)


@contextmanager
def _writing(group: Path) -> Iterator[None]:
    try:
        yield
    except DINOCellError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise OutputError(
            f"{group} cannot be written ({getattr(exc, 'strerror', None) or exc}), expected a writable "
            "folder with sound labels or none: write the labels to another format, or free some space"
        ) from exc


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


def _is_ours(
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
        if _level_shapes(levels, projected=False) == shapes:
            return True
    if overwrite:
        return False
    why = "were not made by DINOCell" if made is None else "are of another shape or kind"
    raise OutputError(
        f"{group} cannot be written, the labels there {why}: choose another name, or overwrite them"
    )


def _create(
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


def _register(multiscale: Multiscale, name: str) -> None:
    group = multiscale.group / "labels"
    attributes = _read_group(multiscale, group)
    ome = attributes.get("ome", {}) if multiscale.version == "0.5" else attributes
    if name in ome.get("labels", ()):
        return
    ome = {**ome, "labels": [*ome.get("labels", ()), name]}
    if multiscale.version == "0.5":
        ome = {**attributes, "ome": {"version": multiscale.version, **ome}}
    _write_group(multiscale, group, ome)


def _fill(
    multiscale: Multiscale, group: Path, shapes: list[dict[str, int]], array: Labels, t: int, z: int
) -> None:
    target = read_multiscales(multiscale.root, group)[0]
    for level, sizes in enumerate(shapes):
        rows, columns, slices = (
            _stride(shapes[0].get(axis, 1), sizes.get(axis, 1)) for axis in ("y", "x", "z")
        )
        if z % slices or z // slices >= sizes.get("z", 1):
            continue  # a slice that the coarser level has not
        at = {"t": t, "z": z // slices}
        where = tuple(at.get(axis, slice(None)) for axis in sizes)
        y = np.minimum(np.arange(sizes["y"]) * rows, array.shape[0] - 1)
        x = np.minimum(np.arange(sizes["x"]) * columns, array.shape[1] - 1)
        coarse = array[np.ix_(y, x)]
        stored = open_array(target, level, read_only=False)
        stored[where] = coarse if list(sizes).index("y") < list(sizes).index("x") else coarse.T


def _stride(fine: int, coarse: int) -> int:
    return max(1, round(fine / coarse))


def _note_plane(multiscale: Multiscale, group: Path, plane: str, how: object) -> None:
    """Keep the provenance of a plane that was made in another way than the first."""
    attributes = _read_group(multiscale, group)
    made = attributes["dinocell"]
    if made["planes"].get(plane, made["provenance"]) != how:
        planes = {**made["planes"], plane: how}
        _write_group(multiscale, group, {**attributes, "dinocell": {**made, "planes": planes}})
