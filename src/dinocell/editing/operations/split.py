"""Split a cell by clicks, or cells by a line."""

from collections.abc import Sequence
from typing import Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from dinocell.editing.change import Change
from dinocell.editing.dividing import divide, fill_from_nearest
from dinocell.editing.operations.operation import Operation, Outcome, Point, Scene
from dinocell.errors import InputError
from dinocell.labels import Labels, number_pieces
from dinocell.models.clicks import Pixel

_SPECK = 5
"""Pixels below which a piece that a line cut off is no cell, but goes to the nearest one."""

_FAR = 2**14
"""Pixels beyond the window that a line may reach; farther points are brought back to there."""


class Split(Operation):
    """A cell that becomes several, one a group of clicks; or cells that a line cuts.

    Attributes
    ----------
    points : tuple of tuple of (float, float)
        Groups of clicks, two or more, all in one cell: one new cell a group. The first keeps the id.
    line : tuple of (float, float)
        Corners of a line, instead. Every cell that it crosses from side to side is cut, whatever the map
        says. The largest piece keeps the id.
    """

    edit: Literal["split"] = "split"
    points: tuple[tuple[Point, ...], ...] = ()
    line: tuple[Point, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.points) == bool(self.line):
            raise ValueError("split needs points or a line, expected one of them")
        if self.points and (len(self.points) < 2 or not all(self.points)):
            raise ValueError("points must be two clicks or more, one or more for every new cell")
        if self.line and len(self.line) < 2:
            raise ValueError("line must have two corners or more")
        return self

    def apply(self, scene: Scene) -> Outcome:
        """Return the scene with the cells split."""
        return self._by_points(scene) if self.points else self._by_line(scene)

    def _by_points(self, scene: Scene) -> Outcome:
        groups = [
            [scene.pixel(point, f"points[{number}]") for point in group]
            for number, group in enumerate(self.points)
        ]
        cell = _cell_of(scene, groups)
        window = scene.window_of([cell], margin=1)
        mask, heights = scene.labels[window] == cell, scene.distance_map()
        shifted = [
            [(row - window[0].start, column - window[1].start) for row, column in group] for group in groups
        ]
        pieces = divide(mask, None if heights is None else heights[window], shifted)
        ids = (cell, *range(scene.next_id, scene.next_id + len(groups) - 1))
        after = np.where(mask, np.array((0, *ids), np.int32)[pieces], scene.labels[window])
        return Outcome(Change.of(scene.labels, window, after), ids)

    def _by_line(self, scene: Scene) -> Outcome:
        drawn = _draw(self.line, scene.labels.shape)
        crossed = np.unique(scene.labels[drawn])
        crossed = crossed[crossed > 0]
        if not crossed.size:
            raise InputError("line crosses no cell, expected one to be cut: draw it across a cell")
        window = scene.window_of(crossed.tolist(), margin=1)
        after, new = scene.labels[window].copy(), scene.next_id
        ids: list[int] = []
        for cell in crossed.tolist():
            pieces = _cut(scene.labels[window] == cell, drawn[window])
            count = int(pieces.max())
            if count < 2:
                continue
            names = (cell, *range(new, new + count - 1))
            new += count - 1
            ids += names
            after = np.where(pieces > 0, np.array((0, *names), np.int32)[pieces], after)
        if not ids:
            raise InputError(
                f"line does not cut cell {crossed[0]} in two: draw it from outside the cell to its other side"
            )
        return Outcome(Change.of(scene.labels, window, after), tuple(ids))


def _cell_of(scene: Scene, groups: Sequence[Sequence[Pixel]]) -> int:
    """Return the cell that all clicks lie in."""
    found = {int(scene.labels[pixel]) for group in groups for pixel in group}
    if min(found) <= 0:
        raise InputError("points lie outside of cells, expected all of them in the cell to split")
    if len(found) > 1:
        raise InputError(f"points lie in cells {sorted(found)}, expected all of them in one")
    if len({pixel for group in groups for pixel in group}) < sum(map(len, groups)):
        raise InputError("points name a pixel twice, expected clicks at different places")
    return found.pop()


def _draw(line: Sequence[Point], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Draw a line of one pixel's width, whose pixels touch at corners."""
    corners = np.floor(np.clip(np.array(line, np.float64), -_FAR, max(shape) + _FAR) + 0.5).astype(np.int32)
    drawn = np.zeros(shape, np.uint8)
    cv2.polylines(drawn, [np.ascontiguousarray(corners[:, ::-1])], isClosed=False, color=1)
    return drawn.astype(bool)


def _cut(mask: NDArray[np.bool_], line: NDArray[np.bool_]) -> Labels:
    """Return the numbers of the pieces that a line cuts a mask into, the largest first; 1 if it does not.

    The pixels of the line, and specks beside it, go to the nearest piece.
    """
    pieces = _pieces(mask & ~line)
    if pieces.max() <= _pieces(mask).max():
        return mask.astype(np.int32)
    return fill_from_nearest(pieces, mask)


def _pieces(mask: NDArray[np.bool_]) -> Labels:
    """Return the numbers of the pieces of a mask that touch along edges, the largest first; 0 for specks."""
    pieces = number_pieces(mask.astype(np.int32), corners=False)
    areas = np.bincount(pieces.ravel())
    areas[0] = 0
    names = np.zeros(areas.size, np.int32)
    order = np.argsort(-areas, kind="stable")[: int((areas >= _SPECK).sum())]
    names[order] = np.arange(1, order.size + 1)
    return names[pieces]
