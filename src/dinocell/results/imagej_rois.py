"""Cells as ROI sets of ImageJ and Fiji."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.extras import import_extra
from dinocell.io.planes import PathLike
from dinocell.io.saving import atomic_path, encode_provenance
from dinocell.measure.outlines import Polygon, cell_polygons
from dinocell.results.result_format import PlaneFormat, PlaneResult, Stack, StackPart

_MAX_COMMENT = 2**16 - 1  # bytes, of a zip
_MAX_CORNER = 60535  # ImageJ's 16 bits mean −5000…60535
_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip can hold: the same cells give the same bytes
_MOVE, _LINE, _CLOSE = 0, 1, 4  # java.awt.geom.PathIterator's segments


def write_imagej_rois(
    path: PathLike,
    labels: NDArray[Any],
    *,
    position: int = 0,
    channel: int = 0,
    z: int = 0,
    t: int = 0,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write cells as a ROI set for ImageJ's ROI Manager, exact along pixel edges.

    A cell is a traced polygon, as ImageJ's wand makes it; with holes or of several pieces, a composite. Its
    name is its id. The same input gives the same bytes.

    Parameters
    ----------
    path : path
        Name ending in .zip; an existing file is replaced in one step.
    labels : integer array, shape (Y, X)
        Ignored pixels (−1) are not cells.
    position : int
        Where in a stack the cells are, counted from 1 as ImageJ does; 0 is everywhere. See `stack_place`.
    channel, z, t : int
        The same in a hyperstack; ImageJ takes no notice of `position` then.
    provenance : mapping, optional
        How the cells were made, of what JSON can hold; stored as the comment of the zip.

    Raises
    ------
    InputError
        If `labels` is not a label image, or the provenance cannot be stored or takes more than 65535 bytes.
    MissingExtraError
        If roifile is not installed.
    OutputError
        If the file cannot be written.
    """
    roifile = import_extra("roifile", extra="io", purpose="writing ImageJ ROIs")
    comment = _as_comment(path, provenance)
    polygons = cell_polygons(labels)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
        file.comment = comment
        for cell, pieces in polygons.items():
            roi = _as_roi(roifile, pieces)
            roi.name = str(cell)
            roi.position, roi.c_position, roi.z_position, roi.t_position = position, channel, z, t
            file.writestr(_entry(f"{cell}.roi"), roi.tobytes())


def _as_comment(path: PathLike, provenance: Mapping[str, Any] | None) -> bytes:
    """Encode how the cells were made; raise InputError if that is too long for a zip."""
    comment = encode_provenance(provenance).encode("ascii") if provenance else b""
    if len(comment) > _MAX_COMMENT:
        raise InputError(
            f"{path} cannot hold a provenance of {len(comment)} bytes, expected at most {_MAX_COMMENT}: "
            "shorten it"
        )
    return comment


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _TIME)
    entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
    return entry


def stack_place(
    counts: tuple[int, int, int], t: int, z: int | None, *, plain: bool = False
) -> dict[str, int]:
    """Return the position of a plane's cells in a stack, as `write_imagej_rois` takes it.

    ImageJ keeps a ROI on its plane by one of two ways: in a hyperstack, where two of channels, slices and
    times are several, by `z` and `t`; in a plain stack by `position`, and one with a place in a hyperstack
    would be shown on all slices there.

    Parameters
    ----------
    counts : (int, int, int)
        Times, channels and slices of the file.
    t : int
        Counted from 0.
    z : int or None
        Counted from 0; None where slices were projected.
    plain : bool
        Whether ImageJ opens the file as a plain stack, page by page, whatever its axes.

    Examples
    --------
    >>> stack_place((1, 1, 5), 0, 2), stack_place((4, 1, 5), 0, 2), stack_place((1, 3, 1), 0, 0)
    ({'position': 3}, {'z': 3, 't': 1}, {})
    """
    times, channels, slices = counts
    if times * slices == 1:
        return {}  # all there is, in every channel
    if sum(count > 1 for count in counts) > 1 and not plain:
        return {"z": 0 if z is None else z + 1, "t": t + 1}
    everywhere = channels > 1 or (z is None and slices > 1)
    return {} if everywhere else {"position": t * slices + (z or 0) + 1}


def _as_roi(roifile: Any, pieces: list[Polygon]) -> Any:
    corners = np.concatenate([piece.exterior for piece in pieces])
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    roi = roifile.ImagejRoi(left=left, top=top, right=right, bottom=bottom)
    if len(pieces) == 1 and not pieces[0].holes and max(right, bottom) <= _MAX_CORNER:
        roi.roitype = roifile.ROI_TYPE.TRACED
        roi.n_coordinates = len(corners)
        roi.integer_coordinates = (corners - (left, top)).astype(np.int32)
        return roi
    roi.roitype = roifile.ROI_TYPE.RECT  # that of composites
    path: list[float] = []
    for ring in (ring for piece in pieces for ring in piece.rings):
        steps = np.insert(ring, 0, _LINE, axis=1)
        steps[0, 0] = _MOVE
        path += [*steps.ravel().tolist(), _CLOSE]
    roi.multi_coordinates = np.array(path, np.float32)
    roi.shape_roi_size = len(path)
    return roi


class RoisFormat(PlaneFormat):
    """ROI set for ImageJ and Fiji."""

    name = "rois"
    ending = "_rois.zip"
    meaning = "ROI set for ImageJ and Fiji"

    def write(self, path: Path, result: PlaneResult) -> None:
        """Write the cells, each on its slice or time."""
        place = stack_place(result.counts, result.t, result.z, plain=result.kind == "TIFF")
        write_imagej_rois(path, result.labels, provenance=result.provenance, **place)

    def join(self, path: Path, parts: Sequence[StackPart], stack: Stack) -> None:
        """Write the cells of all planes, each on its slice or time, and its file named by both."""
        comment = _as_comment(path, stack.provenance)
        with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
            file.comment = comment
            for part in parts:
                place = f"t{part.t:04d}_z{part.z or 0:03d}"
                with zipfile.ZipFile(part.path) as cells:
                    for name in cells.namelist():
                        file.writestr(_entry(f"{place}_{name}"), cells.read(name))
