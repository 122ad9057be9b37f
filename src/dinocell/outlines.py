"""Outlines of cells: to be looked at, as polygons along pixel edges, and filled again."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as number_pieces
from skimage.segmentation import find_boundaries

from dinocell.errors import InputError
from dinocell.labels import Labels, validate_labels
from dinocell.planes import MAX_PIXELS

PALETTE = np.array(
    [
        (255, 220, 0), (0, 230, 255), (255, 90, 200), (120, 255, 80),
        (255, 140, 40), (120, 160, 255), (255, 80, 80), (0, 255, 180),
    ],
    np.uint8,
)  # fmt: skip
"""Colours (R, G, B) that stand out on gray; neighbours in number get different ones."""

Ring = NDArray[Any]

_MAX_ID = 2**31 - 1
_FAR = 2.0**40  # coordinates beyond are brought back to it: far outside any image, and products stay exact
_AT_ONCE = 2**20  # crossings of edges and rows that are worked out at a time
_MAX_WORK = 2**32  # pixels and crossings that cells may cost beside 64 times the image


def draw_outlines(gray: NDArray[np.uint8], labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Draw the outline of every cell over an image.

    Parameters
    ----------
    gray : uint8 array, shape (Y, X)
    labels : integer array, shape (Y, X)

    Returns
    -------
    uint8 array, shape (Y, X, 3)
        RGB; the outermost pixels of each cell are coloured by its id.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    cells = np.maximum(validate_labels(labels), 0)
    if gray.shape != cells.shape:
        raise InputError(f"gray has shape {gray.shape}, expected {cells.shape} as labels")
    picture = np.repeat(gray[:, :, None], 3, axis=2)
    edge = find_boundaries(cells, mode="inner")
    picture[edge] = PALETTE[cells[edge] % len(PALETTE)]
    return picture


@dataclass(frozen=True, eq=False)
class Polygon:
    """One piece of a cell.

    The pixel of row r and column c covers [c, c + 1] × [r, r + 1], so that its centre is at c + 0.5, r + 0.5.

    Attributes
    ----------
    exterior : array, shape (N, 2)
        Corners (x, y) in pixels; the last is joined to the first and does not repeat it.
    holes : tuple of array, shape (M, 2)
    """

    exterior: Ring
    holes: tuple[Ring, ...] = ()

    @property
    def rings(self) -> tuple[Ring, ...]:
        """The exterior, then the holes."""
        return (self.exterior, *self.holes)


def cell_polygons(labels: NDArray[Any]) -> dict[int, list[Polygon]]:
    """Trace every cell along the edges of its pixels.

    A piece is what hangs together by sides of pixels; what touches at corners alone is several pieces. Each
    polygon is valid: its rings do not cross or touch themselves, and touch one another in single corners.

    Parameters
    ----------
    labels : integer array, shape (Y, X)
        0 and −1 are no cells.

    Returns
    -------
    dict of int to list of Polygon
        Ids in rising order, each with its pieces in the order of their first pixels. Corners are int64; none
        lies on a straight line between its neighbours. Exteriors run clockwise as displayed (Y down), which
        is counterclockwise by the sign of their area; holes the other way round.

    Raises
    ------
    InputError
        If `labels` is no label image.

    Examples
    --------
    >>> cell_polygons(np.array([[0, 7, 7]]))[7][0].exterior.tolist()
    [[1, 0], [3, 0], [3, 1], [1, 1]]
    """
    cells = np.maximum(validate_labels(labels), 0)
    polygons: dict[int, list[Polygon]] = {int(cell): [] for cell in np.unique(cells[cells > 0])}
    if not polygons:
        return polygons
    exteriors: dict[int, tuple[int, Ring]] = {}
    holes: dict[int, list[Ring]] = {}
    for piece, ring in _trace(np.pad(number_pieces(cells, background=0, connectivity=1), 1)):
        for loop in _simple_loops(ring):
            if _doubled_area(loop) > 0:
                exteriors[piece] = int(cells[loop[0, 1], loop[0, 0]]), loop
            else:
                holes.setdefault(piece, []).append(loop)
    for piece, (cell, exterior) in exteriors.items():
        polygons[cell].append(Polygon(exterior, tuple(holes.get(piece, ()))))
    return polygons


def _trace(pieces: NDArray[Any]) -> Iterator[tuple[int, Ring]]:
    """Follow the boundaries of all pieces, the piece on the right hand; pieces have a margin of 0.

    An edge is a pixel and a direction: right along its upper side, down its right side, left along its lower
    side, up its left side. Where two pixels of a piece touch by a corner, the edge stays with its own pixel.
    """
    flat, width = pieces.ravel(), pieces.shape[1]
    steps = np.array([1, width, -1, -width])
    edges = np.sort(np.concatenate([4 * _sides(flat, width, int(steps[d - 1])) + d for d in range(4)]))
    pixel, direction = np.divmod(edges, 4)
    piece, ahead, to_left = flat[pixel], pixel + steps[direction], (direction + 3) % 4
    goes_on = flat[ahead] == piece
    beside = np.where(goes_on, ahead + steps[to_left], pixel)
    turns_left = goes_on & (flat[beside] == piece)
    following = np.where(goes_on, 4 * ahead + direction, 4 * pixel + (direction + 1) % 4)
    following = np.searchsorted(edges, np.where(turns_left, 4 * beside + to_left, following))
    is_corner = np.empty(edges.size, bool)
    is_corner[following] = direction[following] != direction
    row, column = np.divmod(pixel, width)
    points = np.stack([column - 1 + np.isin(direction, (1, 2)), row - 1 + (direction >= 2)], axis=1)
    for ring in _cycles(following.tolist()):
        order = np.array(ring)
        yield int(piece[ring[0]]), points[order[is_corner[order]]]


def _sides(flat: NDArray[Any], width: int, step: int) -> NDArray[np.int64]:
    """Give the pixels of pieces whose neighbour at a distance of `step` is not of their piece."""
    here, there = flat[width:-width], flat[width + step : flat.size - width + step]
    return np.flatnonzero((here > 0) & (here != there)) + width


def _cycles(following: list[int]) -> Iterator[list[int]]:
    """Split a permutation into its cycles, each from its lowest number on."""
    seen = bytearray(len(following))
    for first in range(len(following)):
        cycle, at = [], first
        while not seen[at]:
            seen[at] = 1
            cycle.append(at)
            at = following[at]
        if cycle:
            yield cycle


def _simple_loops(ring: Ring) -> Iterator[Ring]:
    """Split a ring where it comes back to a corner, so that no loop touches itself."""
    path: list[tuple[int, int]] = []
    places: dict[tuple[int, int], int] = {}
    for x, y in ring.tolist():
        start = places.get((x, y))
        if start is None:
            places[x, y] = len(path)
            path.append((x, y))
            continue
        yield np.array(path[start:])
        for corner in path[start + 1 :]:
            del places[corner]
        del path[start + 1 :]
    yield np.array(path)


def _doubled_area(ring: Ring) -> int:
    x, y = ring[:, 0], ring[:, 1]
    return int(x @ np.append(y[1:], y[0]) - y @ np.append(x[1:], x[0]))


def fill_polygons(
    polygons: Mapping[int, Iterable[Polygon]], shape: tuple[int, int], *, name: str = "polygons"
) -> Labels:
    """Draw cells as a label image: the inverse of `cell_polygons`.

    A pixel belongs to a polygon if its centre lies inside; of centres on an edge, those on a left or upper
    one do. Inside is by the even-odd rule over exterior and holes, so that the direction of rings does not
    matter. What lies outside the image is cut off.

    Parameters
    ----------
    polygons : mapping of int to iterable of Polygon
        Pieces by id, in any real coordinates. Where cells overlap, the later one wins; one that has no pixel
        left is not in the result.
    shape : (int, int)
        Height and width in pixels.
    name : str
        What an error message calls the polygons.

    Returns
    -------
    int32 array, shape (Y, X)

    Raises
    ------
    InputError
        If the shape or an id is out of range, a ring is no array (N, 2) of finite numbers, or cells cover
        the image so often that drawing them would not end.
    """
    _check_shape(shape)
    labels = np.zeros(shape, np.int32)
    work_left = _MAX_WORK + 64 * labels.size
    for cell, pieces in polygons.items():
        if not 1 <= cell <= _MAX_ID:
            raise InputError(f"{name} have the id {cell}, expected 1 to {_MAX_ID}: renumber them")
        for piece in pieces:
            where = f"{name}, cell {cell},"
            rings = [_as_ring(ring, where) for ring in piece.rings]
            work_left -= _fill(labels, cell, rings, work_left, where)
    return labels


def _check_shape(shape: tuple[int, int]) -> None:
    if len(shape) != 2 or min(shape) < 1 or shape[0] * shape[1] > MAX_PIXELS:
        raise InputError(
            f"shape is {shape}, expected height and width of 1 to {MAX_PIXELS} pixels: "
            "pass the shape of the image"
        )


def _as_ring(ring: Ring, where: str) -> Ring:
    points = np.asarray(ring, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise InputError(
            f"{where} has a ring of shape {points.shape}, expected finite corners (N, 2) as x, y"
        )
    return np.clip(points, -_FAR, _FAR)


def _fill(labels: Labels, cell: int, rings: list[Ring], work_left: int, where: str) -> int:
    """Give the pixels inside of rings the number of a cell; return what it cost."""
    start = np.concatenate(rings)
    if not start.size:
        return 0
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    height, width = labels.shape
    low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    # A row is crossed where its centre lies in [low, high).
    first, last = (np.clip(np.ceil(y - 0.5), 0, height).astype(np.int64) for y in (low, high))
    left = int(np.clip(np.floor(start[:, 0].min()), 0, width))
    right = int(np.clip(np.ceil(start[:, 0].max()), 0, width))
    top, bottom = int(first.min()), int(last.max())
    work = int((last - first).sum()) + (bottom - top) * (right - left)
    if work > work_left:
        raise InputError(
            f"{where} and those before it cover the image too often to be drawn, expected cells that overlap "
            "little: check them"
        )
    if top >= bottom or left >= right:
        return work
    toggles = np.zeros((bottom - top, right - left + 1), np.uint8)
    for rows, x in _crossings(start, end, first, last):
        # The first pixel whose centre is not left of the crossing.
        columns = np.clip(np.ceil(x - 0.5), left, right).astype(np.int64) - left
        np.bitwise_xor.at(toggles, (rows - top, columns), np.uint8(1))
    inside = np.bitwise_xor.accumulate(toggles, axis=1)[:, :-1].astype(bool)
    labels[top:bottom, left:right][inside] = cell
    return work


def _crossings(
    start: Ring, end: Ring, first: NDArray[np.int64], last: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Give the rows that edges cross and the x where they do, a bounded number at a time."""
    crossing = np.flatnonzero(last > first)
    totals = np.cumsum((last - first)[crossing])
    cuts = np.searchsorted(totals, np.arange(_AT_ONCE, totals[-1] if totals.size else 0, _AT_ONCE))
    for edges in np.split(crossing, cuts):
        counts = (last - first)[edges]
        before = np.cumsum(counts) - counts
        rows = np.arange(counts.sum()) + np.repeat(first[edges] - before, counts)
        (x0, y0), (x1, y1) = (np.repeat(corners[edges], counts, axis=0).T for corners in (start, end))
        yield rows, x0 + (rows + 0.5 - y0) / (y1 - y0) * (x1 - x0)


def choose_ids(names: Sequence[object]) -> list[int]:
    """Take names of cells as ids where they are distinct whole numbers from 1 to 2³¹−1, else 1…N.

    Examples
    --------
    >>> choose_ids(["7", 3]), choose_ids(["7", "nucleus"])
    ([7, 3], [1, 2])
    """
    texts = [str(name) for name in names]
    # Longer digits are no id, and int() refuses very long ones.
    ids = [int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0 for text in texts]
    usable = len(set(ids)) == len(ids) and all(1 <= number <= _MAX_ID for number in ids)
    return ids if usable else list(range(1, len(texts) + 1))
