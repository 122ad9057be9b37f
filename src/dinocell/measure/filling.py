"""Label images from polygons of cells: the way back from `dinocell.measure.outlines`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.io.planes import MAX_PIXELS
from dinocell.labels import Labels
from dinocell.measure.outlines import Polygon, Ring

_MAX_ID = 2**31 - 1
_FAR = 2.0**40  # coordinates beyond are brought back to it: far outside any image, and products stay exact
_AT_ONCE = 2**18  # crossings of edges and rows that are worked out at a time, to stay in a processor's cache
_MAX_WORK = 2**33  # pixels that cells may cost beside 64 times the image
_CROSSING = 8  # pixels that the crossing of an edge and a row costs


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
        Name of the polygons in error messages.

    Returns
    -------
    int32 array, shape (Y, X)

    Raises
    ------
    InputError
        If the shape or an id is out of range, a ring is not an array (N, 2) of finite numbers, or cells cover
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
    """Fill the pixels inside of rings with the number of a cell; return what it cost."""
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
    if top >= bottom or left >= right:
        return len(start)
    edges = _Edges(start, end, first - top, last - top, top, left, right).only(last > first)
    upright = edges.columns(edges.first) == edges.columns(edges.last - 1)
    slanted = edges.only(~upright)
    area = (bottom - top) * (right - left)
    work = _CROSSING * int((slanted.last - slanted.first).sum()) + area + len(start)
    if work > work_left:
        raise InputError(
            f"{where} and those before it cover the image too often to be drawn, expected cells that overlap "
            "little: check them"
        )
    toggles = _toggle_upright(edges.only(upright), (bottom - top, right - left + 1))
    _toggle_slanted(slanted, toggles)
    inside = np.bitwise_xor.accumulate(toggles & 1, axis=1)[:, :-1].astype(bool)
    labels[top:bottom, left:right][inside] = cell
    return work


@dataclass(frozen=True, eq=False)
class _Edges:
    """Edges that cross rows, counted from `top`, in columns, counted from `left`."""

    start: Ring
    end: Ring
    first: NDArray[np.int64]  # row that is crossed
    last: NDArray[np.int64]  # first row below that is not
    top: int
    left: int
    right: int

    def only(self, chosen: NDArray[Any]) -> "_Edges":
        start, end, first, last = (part[chosen] for part in (self.start, self.end, self.first, self.last))
        return replace(self, start=start, end=end, first=first, last=last)

    def columns(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first column whose centre is not left of where each edge crosses a row.

        `rows` is (N,), or (N, K) for K rows of each edge. Along an edge the columns rise or fall throughout:
        so does every step of rounding.
        """
        more = (slice(None), *[None] * (rows.ndim - 1))
        (x0, y0), (x1, y1) = ((of[:, 0][more], of[:, 1][more]) for of in (self.start, self.end))
        x = x0 + (rows + (self.top + 0.5) - y0) / (y1 - y0) * (x1 - x0)
        columns: NDArray[np.int64] = np.clip(np.ceil(x - 0.5), self.left, self.right).astype(np.int64)
        return columns - self.left


def _toggle_upright(edges: _Edges, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Count the crossings of edges that stay in one column, by where they begin and end.

    That is nearly every edge of an outline with millions of corners, or of one far outside the image.
    """
    height, width = shape
    ends = np.zeros((height + 1, width), np.uint8)  # counts may overflow: only whether they are odd matters
    columns = edges.columns(edges.first)
    for rows in (edges.first, edges.last):
        np.add.at(ends.ravel(), rows * width + columns, np.uint8(1))
    return np.add.accumulate(ends, axis=0, dtype=np.uint8)[:-1]


def _toggle_slanted(edges: _Edges, toggles: NDArray[np.uint8]) -> None:
    """Count the crossings of other edges, row by row, for some edges of about equal height at a time."""
    counts = edges.last - edges.first
    order = np.argsort(counts, kind="stable")
    flat, width, begin = toggles.ravel(), toggles.shape[1], 0
    while begin < order.size:
        end = min(begin + max(1, _AT_ONCE // int(counts[order[begin]])), order.size)
        end = begin + max(1, min(end - begin, _AT_ONCE // int(counts[order[end - 1]])))
        some = edges.only(order[begin:end])
        steps = np.arange(int((some.last - some.first).max()))
        rows = some.first[:, None] + steps
        crossed = rows < some.last[:, None]
        np.add.at(flat, (rows * width + some.columns(rows))[crossed], np.uint8(1))
        begin = end


def choose_ids(names: Sequence[object]) -> list[int]:
    """Take names of cells as ids where they are distinct whole numbers from 1 to 2³¹−1, else 1…N.

    Examples
    --------
    >>> choose_ids(["7", 3]), choose_ids(["7", "nucleus"])
    ([7, 3], [1, 2])
    """
    texts = [str(name) for name in names]
    # Longer digits are not an id, and int() refuses very long ones.
    ids = [int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0 for text in texts]
    usable = len(set(ids)) == len(ids) and all(1 <= number <= _MAX_ID for number in ids)
    return ids if usable else list(range(1, len(texts) + 1))
