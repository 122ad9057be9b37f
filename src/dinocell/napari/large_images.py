"""Planes larger than memory allows at once: block by block, as by `dinocell segment-large`, onto the disk."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from dinocell.errors import DINOCellError, InputError
from dinocell.inference.remote_model import RemoteModel
from dinocell.inference.settings import RunOptions
from dinocell.io.images import open_image, stem_of
from dinocell.io.saving import atomic_path, create_folder
from dinocell.io.selection import SelectedPlane
from dinocell.large.plan import LargeResult
from dinocell.large.run import segment_large
from dinocell.large.settings import LargeSettings, LargeTarget, SourcePlane
from dinocell.large.stage_done import StageDone
from dinocell.napari.sources import Index, LayerImage
from dinocell.napari.working import Report
from dinocell.workers.executor import HereExecutor

_BLOCK = 1024  # smaller than on the command line, so that Cancel and the bar need not wait
_TILE = 512


@dataclass(frozen=True, eq=False)
class LargePlane:
    """Large plane, and how it is segmented.

    Attributes
    ----------
    image : LayerImage
    index : tuple of int
        The plane.
    output : Path
        The OME-Zarr of the labels.
    model : str
    options : RunOptions
        Target and diameter.
    """

    image: LayerImage
    index: Index
    output: Path
    model: str
    options: RunOptions


def default_output(image: LayerImage) -> Path:
    """Return where the labels of a large image go: beside its file, or into the home folder."""
    origin = image.origin
    folder = Path.home() if origin is None else origin.path.parent
    return folder / f"{stem_of(image.path)}_labels.zarr"


def segment_plane(plane: LargePlane, report: Report) -> LargeResult:
    """Segment a large plane in the worker, and report its stages.

    Raises
    ------
    DINOCellError
        If the image, an option or the output cannot be used.
    """
    if plane.output.suffix != ".zarr":
        raise InputError(f"{plane.output} is not an OME-Zarr, expected a name that ends in .zarr: rename it")
    create_folder(plane.output.parent)
    remote = RemoteModel.named(plane.model, **plane.options)
    formats = ("parquet",) if importlib.util.find_spec("pyarrow") else ()
    settings = LargeSettings(
        LargeTarget.of_model(remote), min_size=remote.settings.min_size, block=_BLOCK, formats=formats
    )
    with _as_file(plane, report) as source:
        for event in segment_large(source, plane.output, remote, settings, HereExecutor()):
            if isinstance(event, LargeResult):
                return event
            report(event)
    raise InputError(f"{plane.output}: the run ended without labels: try it again")


@contextmanager
def _as_file(plane: LargePlane, report: Report) -> Iterator[SourcePlane]:
    """Yield the plane as one of a file: its own, or one that is written for the time of the work."""
    own = _own_file(plane)
    if own is not None:
        yield own
        return
    copy = plane.output.with_name(f"{plane.output.name}.image.tif")
    try:
        with atomic_path(copy) as temporary:
            _write_tiles(temporary, plane, report)
        yield SourcePlane(copy, 0, SelectedPlane(0, 0, None, ""), None, plane.image.pixel_size_yx_um)
    finally:
        copy.unlink(missing_ok=True)


def _own_file(plane: LargePlane) -> SourcePlane | None:
    """Return the plane in the file that the layer was read from, where windows of it can be read."""
    origin = plane.image.origin
    if origin is None:
        return None
    try:
        with open_image(origin.path, scene=origin.scene, windows=True) as image:
            if image.info.shape[3:] != plane.image.plane_shape:
                return None
    except DINOCellError:
        return None
    t, z = origin.place_of(plane.index)
    place = SelectedPlane(t, z, None, "")
    return SourcePlane(origin.path, origin.scene, place, origin.channel, plane.image.pixel_size_yx_um)


def _write_tiles(path: Path, plane: LargePlane, report: Report) -> None:
    """Write a plane tile by tile as TIFF."""
    data = plane.image.levels[0][(*plane.index, ...)]
    height, width = plane.image.plane_shape
    rows, total = range(0, height, _TILE), -(-height // _TILE)

    def tiles() -> Iterator[NDArray[Any]]:
        for number, top in enumerate(rows):
            report(StageDone("copy", number, total))
            strip = np.asarray(data[top : top + _TILE])
            for left in range(0, width, _TILE):
                yield np.ascontiguousarray(strip[:, left : left + _TILE])

    tifffile.imwrite(
        path,
        tiles(),
        shape=data.shape,
        dtype=data.dtype,
        tile=(_TILE, _TILE),
        photometric="rgb" if plane.image.colour else "minisblack",
        planarconfig="contig" if plane.image.colour else None,
        bigtiff=True,
        metadata=None,
    )
