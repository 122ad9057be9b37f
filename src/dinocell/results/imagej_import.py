"""Labels from ROI sets of ImageJ: what `dinocell.results.imagej_rois` wrote, and what people drew."""

import zipfile
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from dinocell.errors import DINOCellError, FileFormatError, FileMissingError, InputError
from dinocell.extras import import_extra
from dinocell.io.planes import DECODE_ERRORS, PathLike
from dinocell.labels import Labels
from dinocell.measure.filling import choose_ids, fill_polygons
from dinocell.measure.outlines import Polygon, Ring

MAX_ROI_BYTES = 2**28
"""A ROI, or a set of them unpacked, that is larger is not read."""

_POLYGONS = ("POLYGON", "FREEHAND", "TRACED")
_OVAL_CORNERS = 720  # leaves the ellipse by 1e-5 of its radius
_MAX_CURVES = 2**18  # of a composite: each becomes many corners
_CURVE_CORNERS = 32  # of a Bézier curve of a composite
_MOVE, _LINE, _QUADRATIC, _CUBIC, _CLOSE = range(5)  # java.awt.geom.PathIterator's segments
_SEGMENT_POINTS = {_MOVE: 1, _LINE: 1, _QUADRATIC: 2, _CUBIC: 3, _CLOSE: 0}
_EXPECTED = "expected a ROI set (.zip) or a ROI (.roi) of ImageJ"


def read_imagej_rois(path: PathLike, shape: tuple[int, int]) -> Labels:
    """Read a ROI set or a ROI as a label image: what `write_imagej_rois` wrote, or people drew in ImageJ.

    Parameters
    ----------
    path : path
        A .zip of ROIs, or one .roi: rectangles (rotated ones too), ovals, ellipses, polygons, freehand and
        traced outlines, and composites of them. Round corners of rectangles and spline fits are left out.
    shape : (int, int)
        Height and width of the image in pixels; what lies outside is cut off.

    Returns
    -------
    int32 array, shape (Y, X)
        A cell's id is its ROI's name, where all names are distinct whole numbers; else cells are 1…N in the
        order of the file. Where cells overlap, the later one wins.

    Raises
    ------
    FileMissingError
        If the file does not exist.
    FileFormatError
        If it is damaged, too large, or has ROIs that enclose no area, such as lines and points.
    InputError
        If ROIs lie on several slices or times, or cover the image too often to be drawn.
    MissingExtraError
        If roifile is not installed.
    """
    roifile = import_extra("roifile", extra="io", purpose="reading ImageJ ROIs")
    file = Path(path)
    rois: list[tuple[str, Any]] = []
    for entry, data in _load(file):
        try:
            rois.append((entry, roifile.ImagejRoi.frombytes(data)))
        except DECODE_ERRORS as exc:
            raise _damaged(file, entry, exc) from exc
    _check_kinds(rois, file)
    if len({_plane(roi) for _, roi in rois}) > 1:
        raise InputError(
            f"{file} has ROIs on several slices or times, expected one plane: save the ROIs of each plane to "
            "a file of its own"
        )
    ids = choose_ids([roi.name or Path(entry).stem for entry, roi in rois])
    pieces = [_pieces(roi, file) for _, roi in rois]
    return fill_polygons(dict(zip(ids, pieces, strict=True)), shape, name=f"{file}")


def _load(file: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the bytes of every ROI of a file, with its name in the zip; a single one has none."""
    try:
        if not file.is_file():
            file.stat()
            raise FileFormatError(f"{file} is not a file, {_EXPECTED}")
        if not zipfile.is_zipfile(file):
            with file.open("rb") as opened:
                yield "", _checked(opened.read(MAX_ROI_BYTES + 1), MAX_ROI_BYTES, file)
            return
        left = MAX_ROI_BYTES
        with zipfile.ZipFile(file) as opened:
            for entry in opened.infolist():
                # Programs that pack folders add entries of their own.
                if entry.filename.lower().endswith(".roi") and not entry.filename.startswith("__MACOSX"):
                    with opened.open(entry) as stream:
                        data = _checked(stream.read(left + 1), left, file)
                    left -= len(data)
                    yield entry.filename, data
    except DINOCellError:
        raise
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise FileMissingError(f"{file} does not exist, {_EXPECTED}: check the path") from exc
    except DECODE_ERRORS as exc:
        raise _damaged(file, "", exc) from exc


def _checked(data: bytes, limit: int, file: Path) -> bytes:
    if len(data) > limit:
        raise FileFormatError(f"{file} holds more than {MAX_ROI_BYTES} bytes, {_EXPECTED}: split it")
    return data


def _damaged(file: Path, entry: str, exc: BaseException) -> FileFormatError:
    detail = " ".join(f"{exc}".split())[:120] or type(exc).__name__
    where = f"{file}, {entry!r:.200}" if entry else f"{file}"
    return FileFormatError(f"{where} cannot be read ({detail}), {_EXPECTED}: save it again")


def _kind(roi: Any) -> str:
    """Name a ROI's type; drawings over an image, such as text, are rectangles with a subtype."""
    subtype = roi.subtype.name
    return str(subtype if subtype in ("TEXT", "IMAGE") else roi.roitype.name)


def _check_kinds(rois: list[tuple[str, Any]], file: Path) -> None:
    """Raise an error if there are ROIs that enclose nothing."""
    others = [(_kind(roi), roi.name) for _, roi in rois if _kind(roi) not in (*_POLYGONS, "RECT", "OVAL")]
    if others:
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(kind for kind, _ in others).items())
        names = ", ".join(repr(name) for _, name in others[:5]) + (", …" if len(others) > 5 else "")
        raise FileFormatError(
            f"{file} has ROIs that enclose no area ({kinds}: {names:.200}), expected outlines: delete them"
        )


def _plane(roi: Any) -> tuple[int, int, int]:
    """Return position, slice and time of a ROI; "everywhere" counts as the first."""
    return max(roi.position, 1), max(roi.z_position, 1), max(roi.t_position, 1)


def _pieces(roi: Any, file: Path) -> list[Polygon]:
    """Convert a ROI to what it encloses: rings by the even-odd rule."""
    try:
        if roi.composite:
            rings = _path_rings(roi.multi_coordinates.tolist())
        elif roi.roitype.name in _POLYGONS:
            rings = [np.asarray(roi.coordinates(), np.float64)]
        else:
            rings = [_box_ring(roi)]
        if not all(np.isfinite(ring).all() for ring in rings):
            raise ValueError("a coordinate is not finite")
    except DECODE_ERRORS as exc:
        raise _damaged(file, roi.name, exc) from exc
    return [Polygon(rings[0], tuple(rings[1:]))] if rings else []


def _box_ring(roi: Any) -> Ring:
    """Return the outline of a rectangle or an oval."""
    x, y, width, height = roi.left, roi.top, roi.right - roi.left, roi.bottom - roi.top
    if roi.subpixelrect:
        x, y, width, height = roi.xd, roi.yd, roi.widthd, roi.heightd
    if roi.roitype.name == "RECT":
        return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], np.float64)
    angle = np.arange(_OVAL_CORNERS) * (2 * np.pi / _OVAL_CORNERS)
    return np.stack([x + width / 2 * (1 + np.cos(angle)), y + height / 2 * (1 + np.sin(angle))], axis=1)


def _path_rings(path: list[float]) -> list[Ring]:
    """Follow a composite's path: numbers of segments, each with its points."""
    rings: list[list[tuple[float, float]]] = []
    at = curves = 0
    while at < len(path):
        segment = int(path[at])
        count = 2 * _SEGMENT_POINTS[segment]
        numbers = path[at + 1 : at + 1 + count]
        if len(numbers) < count:
            raise ValueError("a path ends too early")
        points = list(zip(numbers[::2], numbers[1::2], strict=True))
        at += 1 + count
        curves += segment in (_QUADRATIC, _CUBIC)
        if curves > _MAX_CURVES:
            raise ValueError(f"a path of more than {_MAX_CURVES} curves")
        if segment == _MOVE:
            rings.append(points)
        elif segment != _CLOSE:
            rings[-1] += points if segment == _LINE else _curve([rings[-1][-1], *points])
    return [np.array(ring) for ring in rings]


def _curve(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Compute corners along a Bézier curve by de Casteljau's scheme, without its first point."""
    share = np.arange(1, _CURVE_CORNERS + 1)[:, None] / _CURVE_CORNERS
    levels = [np.broadcast_to(np.array(point), (_CURVE_CORNERS, 2)) for point in points]
    while len(levels) > 1:
        levels = [(1 - share) * a + share * b for a, b in pairwise(levels)]
    return [(x, y) for x, y in levels[0].tolist()]
