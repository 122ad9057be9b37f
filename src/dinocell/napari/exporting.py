"""Export: the cells of a labels layer in every result format, and their table."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError, OutputError
from dinocell.io.images import stem_of
from dinocell.io.saving import create_folder
from dinocell.io.stacks import StackAxes
from dinocell.labels import Labels, relabel
from dinocell.napari.origins import axes_of
from dinocell.napari.sessions import Session
from dinocell.napari.sources import Index, LayerImage
from dinocell.results.formats import PLANE_FORMATS
from dinocell.results.result_format import PlaneFormat, PlaneResult, Stack, StackPart
from dinocell.version import __version__


@dataclass(frozen=True, eq=False)
class Cells:
    """Labels of an image, with what is known of them.

    Attributes
    ----------
    image : LayerImage
    labels : integer array, shape (..., Y, X)
        With the axes of the image.
    session : Session or None
        How they were made; None where another tool made them.
    """

    image: LayerImage
    labels: Any
    session: Session | None = None

    def __post_init__(self) -> None:
        expected = (*self.image.counts, *self.image.plane_shape)
        if tuple(self.labels.shape) != expected:
            raise InputError(
                f"the labels have shape {tuple(self.labels.shape)}, but image {self.image.name!r} has "
                f"{expected}: choose the image that they belong to"
            )

    def indices(self) -> list[Index]:
        """List the planes that have results: those that were segmented, else all."""
        made = set() if self.session is None else set(self.session.planes) | self.session.edited
        return [index for index in self.image.indices() if not made or index in made]

    def read_labels(self, index: Index) -> Labels:
        """Read the labels of a plane, int32 ``(Y, X)``, with the ids of the layer."""
        return np.asarray(self.labels[(*index, ...)]).astype(np.int32)

    def plane(self, index: Index) -> PlaneResult:
        """Return all that can be written about a plane; ids are 1…N without gaps."""
        image, source = self.image, self.image.read(index)
        found = None if self.session is None else self.session.planes.get(index)
        labels = relabel(self.read_labels(index))
        edited = self.session is not None and index in self.session.edited
        made = {"dinocell": __version__} if found is None else found.parameters.recorded()
        axes = axes_of(image.counts, image.axis_names, image.origin)
        t, z = _place(axes, index)
        origin = image.origin
        return PlaneResult(
            source=image.path,
            scene=0 if origin is None else origin.scene,
            t=t,
            z=z,
            kind="" if origin is None else origin.kind,
            counts=(axes.times, 1, axes.slices) if origin is None else origin.counts,
            pixels=source.pixels,
            channels=source.channels,
            pixel_size_yx_um=source.pixel_size_yx_um,
            labels=labels,
            distance_map=None if found is None or found.prediction is None else found.prediction.distance_map,
            provenance=made | ({"edited": True} if edited else {}),
        )

    def table(self, index: Index) -> dict[str, NDArray[Any]]:
        """Measure the cells of a plane; labels are the ids of the layer."""
        own = np.unique(self.read_labels(index))
        table = dict(self.plane(index).table)
        return table | {"label": own[own > 0].astype(table["label"].dtype)}


def _place(axes: StackAxes, index: Index) -> tuple[int, int]:
    numbers = dict(zip(axes.names, index, strict=True)) if index else {}
    return numbers.get("T", 0), numbers.get("Z", 0)


def formats_for(cells: Cells | None) -> dict[str, str]:
    """Return the names of the formats that cells can be written in, with their meanings.

    What needs a distance map is left out where there is none, and so is what is written into an OME-Zarr
    where the image is none.
    """
    has_map = cells is not None and cells.session is not None
    origin = None if cells is None else cells.image.origin
    in_zarr = origin is not None and origin.kind == "OME-Zarr"
    return {
        name: found.meaning
        for name, found in PLANE_FORMATS.items()
        if (has_map or not found.needs_map) and (in_zarr or found.ending)
    }


@dataclass(frozen=True, eq=False)
class Export:
    """Order to write cells.

    Attributes
    ----------
    cells : Cells
    folder : Path
    formats : tuple of str
        Names of `PLANE_FORMATS`.
    overwrite : bool
        Whether files that exist are replaced.
    """

    cells: Cells
    folder: Path
    formats: tuple[str, ...]
    overwrite: bool = False


def export_cells(order: Export, report: Callable[[object], None] = lambda event: None) -> list[Path]:
    """Write cells in some formats, named as those of `dinocell segment`.

    Parameters
    ----------
    order : Export
    report : callable, optional
        Called with ``(done, total)`` before each plane; what it raises ends the work.

    Returns
    -------
    list of Path
        Files that were written. All planes of a stack stand in one file of a format that can hold them.

    Raises
    ------
    InputError
        If there is nothing to write, or a format cannot hold it.
    OutputError
        If a file exists, or cannot be written.
    MissingExtraError
        If a format needs a package that is not installed.
    """
    indices = order.cells.indices()
    if not order.formats:
        raise InputError("no format is chosen, expected one at least: tick one")
    axes = axes_of(order.cells.image.counts, order.cells.image.axis_names, order.cells.image.origin)
    suffixes = [plane_suffix(axes, index) for index in indices]
    joined = _joined(order, axes, indices)
    files = [path for name in order.formats for path in _files(order, name, suffixes, joined=name in joined)]
    taken = [path for path in files if path.exists()]
    if taken and not order.overwrite:
        raise OutputError(f"{taken[0]} exists, expected a new name: choose another folder, or tick Replace")
    create_folder(order.folder)
    with tempfile.TemporaryDirectory(prefix=".dinocell-", dir=order.folder) as scratch:
        parts: dict[str, list[StackPart]] = {name: [] for name in joined}
        for done, (index, suffix) in enumerate(zip(indices, suffixes, strict=True)):
            report((done, len(indices)))
            plane = replace(order.cells.plane(index), overwrite=order.overwrite)
            for name in order.formats:
                folder = Path(scratch) if name in joined else order.folder
                path = _path(order, folder, PLANE_FORMATS[name], suffix, plane)
                PLANE_FORMATS[name].write(path, plane)
                if name in joined:
                    parts[name].append(StackPart(path, plane.t, plane.z))
        for name, own in parts.items():
            _join(order, name, own, axes, plane.provenance)
    return files


def _joined(order: Export, axes: StackAxes, indices: list[Index]) -> set[str]:
    """Return the formats in which all planes stand in one file."""
    if len(indices) < 2 or len(indices) != axes.times * axes.slices:
        return set()
    return {name for name in order.formats if PLANE_FORMATS[name].can_join()}


def _files(order: Export, name: str, suffixes: list[str], *, joined: bool) -> list[Path]:
    """Return the files of a format; none where it is written into the source."""
    form = PLANE_FORMATS[name]
    if not form.ending:
        return []
    stem = stem_of(order.cells.image.path)
    if joined:
        return [order.folder / f"{stem}{form.stack_ending or form.ending}"]
    return [order.folder / f"{stem}{suffix}{form.ending}" for suffix in suffixes]


def _path(order: Export, folder: Path, form: PlaneFormat, suffix: str, plane: PlaneResult) -> Path:
    stem = stem_of(order.cells.image.path)
    return folder / f"{stem}{suffix}{form.ending}" if form.ending else plane.source


def plane_suffix(axes: StackAxes, index: Index) -> str:
    """Return what tells the files of a plane apart, as `dinocell segment` does."""
    t, z = _place(axes, index)
    return (f"_t{t:04d}" if axes.times > 1 else "") + (f"_z{z:03d}" if axes.slices > 1 else "")


def _join(
    order: Export, name: str, parts: list[StackPart], axes: StackAxes, provenance: Mapping[str, Any]
) -> None:
    image = order.cells.image
    (path,) = _files(order, name, [], joined=True)
    PLANE_FORMATS[name].join(path, parts, Stack(image.path, image.plane_shape, axes, provenance))
