"""Labels inside the OME-Zarr that was segmented, where viewers find them."""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import DINOCellError, InputError, OutputError
from dinocell.io.planes import checked_index, decoding
from dinocell.io.readers.ngff import Multiscale, read_multiscales
from dinocell.io.readers.ome_zarr import OWN_LABELS, find_multiscale, open_multiscale
from dinocell.io.readers.zarr_arrays import open_level
from dinocell.io.readers.zarr_folder import inside
from dinocell.labels import Labels, validate_labels
from dinocell.results.result_format import PlaneFormat, PlaneResult
from dinocell.results.zarr_groups import create_group, is_ours, label_shapes, note_plane, register_group
from dinocell.version import __version__

_NAME = re.compile(r"(?![.]|__)[\w.\- ]{1,200}")
_LOCK = threading.Lock()  # threads that write planes of one image share its groups


def write_zarr_labels(
    source: Path,
    labels: NDArray[Any],
    *,
    name: str = OWN_LABELS,
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
        As in `open_image`.
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
        If the labels do not fit the image, the plane does not exist, or name or provenance cannot be stored.
    OutputError
        If there are other labels of that name, or the folder cannot be written.
    FileFormatError, FileMissingError, MissingExtraError
        As `open_image`.
    """
    array = validate_labels(labels)
    if not _NAME.fullmatch(name):
        raise InputError(
            f"labels cannot be named {name!r}, expected letters, digits, - and _: choose another name"
        )
    how = _as_json(provenance)
    multiscale, _, _ = find_multiscale(source, scene)
    with decoding(source, "OME-Zarr"):
        shapes = label_shapes(multiscale, projected=z is None)
        group = inside(multiscale.root, multiscale.group, f"labels/{name}")
    _check_plane(array, shapes[0], t, z, source)
    mark = {"z": "projection" if z is None else "slices", "multiscale": multiscale.number}
    made = {"version": __version__, "provenance": how, "planes": {}} | mark
    with _LOCK, _writing(group):
        if not is_ours(multiscale, group, shapes, mark, overwrite):
            create_group(multiscale, group, shapes, made)
        register_group(multiscale, name)
        _fill(multiscale, group, shapes, array, t, z or 0)
        note_plane(multiscale, group, f"t={t} z={z or 0}", how)
    return group


def read_zarr_labels(
    source: Path, name: str = OWN_LABELS, scene: int | str = 0, t: int = 0, z: int = 0
) -> Labels:
    """Read one plane of labels from an OME-Zarr, whoever wrote them.

    Parameters
    ----------
    source : path
        Outermost folder of the OME-Zarr.
    name : str
        Of the labels.
    scene : int or str
        As in `open_image`.
    t, z : int
        Time and slice, counted from 0; labels of a projection have one slice.

    Returns
    -------
    int32 array, shape (Y, X)

    Raises
    ------
    InputError
        If the plane does not exist, or its values are not labels.
    FileFormatError, FileMissingError, MissingExtraError
        As `open_image`; also if no labels have that name.
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


def _fill(
    multiscale: Multiscale, group: Path, shapes: list[dict[str, int]], array: Labels, t: int, z: int
) -> None:
    target = read_multiscales(multiscale.root, group)[0]
    for level, sizes in enumerate(shapes):
        rows, columns, slices = (
            _stride(shapes[0].get(axis, 1), sizes.get(axis, 1)) for axis in ("y", "x", "z")
        )
        if z % slices or z // slices >= sizes.get("z", 1):
            continue  # the coarser level lacks this slice
        at = {"t": t, "z": z // slices}
        where = tuple(at.get(axis, slice(None)) for axis in sizes)
        y = np.minimum(np.arange(sizes["y"]) * rows, array.shape[0] - 1)
        x = np.minimum(np.arange(sizes["x"]) * columns, array.shape[1] - 1)
        coarse = array[np.ix_(y, x)]
        stored = open_level(target, level, read_only=False)
        stored[where] = coarse if list(sizes).index("y") < list(sizes).index("x") else coarse.T


def _stride(fine: int, coarse: int) -> int:
    return max(1, round(fine / coarse))


class ZarrFormat(PlaneFormat):
    """Labels within the OME-Zarr that was segmented."""

    name = "zarr"
    ending = ""
    meaning = "labels within the source OME-Zarr"

    def write(self, path: Path, result: PlaneResult) -> None:
        """Write the labels of the plane into the source."""
        write_zarr_labels(
            path,
            result.labels,
            scene=result.scene,
            t=result.t,
            z=result.z,
            provenance=result.provenance,
            overwrite=result.overwrite,
        )
