"""Outlines of cells, drawn over an image or as polygons along pixel edges."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.labels import Labels, number_pieces, validate_labels

PALETTE = np.array(
    [
        (255, 220, 0), (0, 230, 255), (255, 90, 200), (120, 255, 80),
        (255, 140, 40), (120, 160, 255), (255, 80, 80), (0, 255, 180),
    ],
    np.uint8,
)  # fmt: skip
"""Colours (R, G, B) that stand out on gray; neighbours in number get different ones."""

Ring = NDArray[Any]

_PIXELS_A_WIDTH = 900  # as many pixels of an image as a screen shows make an outline one pixel wider


def draw_outlines(
    image: NDArray[np.uint8], labels: NDArray[Any], *, width: int | None = None
) -> NDArray[np.uint8]:
    """Draw the outline of every cell over an image.

    Parameters
    ----------
    image : uint8 array, shape (Y, X) or (Y, X, 3)
        Gray or RGB.
    labels : integer array, shape (Y, X)
    width : int, optional
        Of the outlines in pixels; it grows with the image by default, so that they are seen when the whole of
        it is on a screen. Of a small cell it is at most a third of the radius, and one pixel at least.

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
    if image.shape[:2] != cells.shape or image.shape[2:] not in ((), (3,)):
        raise InputError(
            f"image has shape {image.shape}, expected {cells.shape} as labels, or {(*cells.shape, 3)} in RGB"
        )
    picture = np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image.copy()
    edge = outermost_pixels(cells, _width_for(cells.shape) if width is None else width)
    picture[edge] = PALETTE[cells[edge] % len(PALETTE)]
    return picture


def _width_for(shape: tuple[int, ...]) -> int:
    return max(1, round(max(shape) / _PIXELS_A_WIDTH))


def outermost_pixels(cells: Labels, width: int = 1) -> NDArray[np.bool_]:
    """Find the pixels of cells that are at most so far from the next pixel that is outside of the cell.

    Parameters
    ----------
    cells : int32 array, shape (Y, X)
        0 is background; there are no negative values. What lies beyond the image counts as the same cell.
    width : int
        In pixels; of a small cell it is at most a third of the radius, and one pixel at least.

    Returns
    -------
    bool array, shape (Y, X)

    Examples
    --------
    >>> outermost_pixels(np.array([[1, 1, 1, 2, 0]], np.int32)).astype(int)
    array([[0, 0, 1, 1, 0]])
    """
    away = edt.edt(cells)  # infinite where a cell is all of the image
    inside = cells > 0
    if width <= 1:
        return np.asarray(inside & (away <= 1))
    ids, number = np.unique(cells, return_inverse=True)
    number, radius = number.reshape(cells.shape), np.zeros(ids.size, np.float32)
    np.maximum.at(radius, number, away)
    return np.asarray(inside & (away <= np.clip(radius / 3, 1, width)[number]))


@dataclass(frozen=True, eq=False)
class Polygon:
    """Outline of one piece of a cell.

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
        """Exterior, then the holes."""
        return (self.exterior, *self.holes)


def cell_polygons(labels: NDArray[Any]) -> dict[int, list[Polygon]]:
    """Trace every cell along the edges of its pixels.

    A piece is what hangs together by sides of pixels; what touches at corners alone is several pieces. Each
    polygon is valid: its rings do not cross or touch themselves, and touch one another in single corners.

    Parameters
    ----------
    labels : integer array, shape (Y, X)
        0 and −1 are not cells.

    Returns
    -------
    dict of int to list of Polygon
        Ids in rising order, each with its pieces in the order of their first pixels. Corners are int64; none
        lies on a straight line between its neighbours. Exteriors run clockwise as displayed (Y down), which
        is counterclockwise by the sign of their area; holes the other way round.

    Raises
    ------
    InputError
        If `labels` is not a label image.

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
    for piece, ring in _trace(np.pad(number_pieces(cells, corners=False), 1)):
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

    An edge is a pixel and a direction: 0 right along its upper side, 1 down its right side, 2 left along its
    lower side, 3 up its left side. From each edge one of three follows::

        a) the pixel ahead is of another piece:   turn right, along the next side of the same pixel
        b) only the pixel ahead is of the piece:  go straight on, along the same side of the pixel ahead
        c) the pixel to its left is, too:         turn left, along a side of that pixel

            . .         . .         . #
            # .         # #         # #
            -->         -->         -->     direction 0, along the upper side of the lower left pixel
            (a)         (b)         (c)

    Where two pixels of a piece touch by a corner only (the one to the left is, the one ahead is not), rule a)
    holds: the edge stays with its own pixel. The edges that follow one another form rings, whose corners are
    where the direction changes.
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
    """Find the pixels of pieces whose neighbour at a distance of `step` is not of their piece."""
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
