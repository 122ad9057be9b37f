"""Add a cell by clicks, a box or an outline."""

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from dinocell.editing.change import Change, Window
from dinocell.editing.dividing import divide
from dinocell.editing.growing import filled, grow
from dinocell.editing.operations.operation import Operation, Outcome, Point, Scene
from dinocell.errors import InputError
from dinocell.inference.clicks import Clicked
from dinocell.labels import median_diameter, number_pieces
from dinocell.measure.filling import fill_polygons
from dinocell.measure.outlines import Polygon
from dinocell.models.clicks import Pixel

_USUAL_DIAMETER = 30.0
"""Of a cell in pixels, where the image has none to compare with."""

_LIKELY = 0.5
"""Probability from which on a pixel belongs to the clicked cell."""

_REACH = 3.0
"""Pixels beyond the clicks that a new cell may reach, as a multiple of the median diameter."""


class Add(Operation):
    """A new cell on pixels that are free: those of background.

    Attributes
    ----------
    points : tuple of (float, float)
        Clicks in the cell.
    outside : tuple of (float, float)
        Clicks that are not in it, where it would take too much.
    box : ((float, float), (float, float)), optional
        Two opposite corners, instead of clicks: the cell fills the box.
    outline : tuple of (float, float)
        Corners of its outline, instead: the cell is what lies inside.
    level : float, optional
        Height of the map down to which the cell grows, from 0 to 1. By default the decoder of clicks finds
        the cell of points; without one, the cell grows to three tenths of the hill. An outline has none.
    """

    edit: Literal["add"] = "add"
    points: tuple[Point, ...] = ()
    outside: tuple[Point, ...] = ()
    box: tuple[Point, Point] | None = None
    outline: tuple[Point, ...] = ()
    level: Annotated[float, Field(ge=0, le=1)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.points) + (self.box is not None) + bool(self.outline) != 1:
            raise ValueError("add needs points, a box or an outline, expected one of them")
        if self.outside and not self.points:
            raise ValueError("outside goes with points only: leave it out")
        if self.outline and (len(self.outline) < 3 or self.level is not None):
            raise ValueError("outline needs three corners or more, and has no level")
        return self

    def apply(self, scene: Scene) -> Outcome:
        """Return the scene with the new cell."""
        if self.outline:
            window, cell, notes = self._outlined(scene)
        elif self.box is not None:
            window, cell, notes = self._boxed(scene, *self.box)
        else:
            window, cell, notes = self._clicked(scene)
        if not cell.any():
            raise InputError(
                "there is no background where the cell should be: split, merge or paint what is there"
            )
        after = np.where(cell, scene.next_id, scene.labels[window]).astype(np.int32)
        return Outcome(Change.of(scene.labels, window, after), (scene.next_id,), notes)

    def _outlined(self, scene: Scene) -> tuple[Window, NDArray[np.bool_], tuple[str, ...]]:
        corners = np.array([(column + 0.5, row + 0.5) for row, column in self.outline])
        shape = (scene.labels.shape[0], scene.labels.shape[1])
        inside = fill_polygons({1: [Polygon(corners)]}, shape, name="outline") > 0
        whole = (slice(0, shape[0]), slice(0, shape[1]))
        return whole, inside & (scene.labels == 0), ()

    def _boxed(
        self, scene: Scene, one: Point, other: Point
    ) -> tuple[Window, NDArray[np.bool_], tuple[str, ...]]:
        (top, left), (bottom, right) = (
            scene.pixel((pick(one[0], other[0]), pick(one[1], other[1])), "box") for pick in (min, max)
        )
        window = (slice(top, bottom + 1), slice(left, right + 1))
        free, heights = scene.labels[window] == 0, scene.distance_map()
        if not free.any():
            return window, free, ()
        rows, columns = (np.linspace(-1, 1, side) if side > 1 else np.zeros(1) for side in free.shape)
        ellipse = free & (rows[:, None] ** 2 + columns**2 <= 1)
        if heights is None or not ellipse.any():
            return window, ellipse if ellipse.any() else free, ("without a map, the cell is an ellipse",)
        highest = np.unravel_index(np.argmax(np.where(ellipse, heights[window], -1)), free.shape)
        grown = grow(free, heights[window], [(int(highest[0]), int(highest[1]))], self.level)
        if grown is None:
            return window, ellipse, ("the map shows no cell there: the cell is an ellipse",)
        return window, grown, ()

    def _clicked(self, scene: Scene) -> tuple[Window, NDArray[np.bool_], tuple[str, ...]]:
        clicks = [scene.pixel(point, f"points[{number}]") for number, point in enumerate(self.points)]
        others = [scene.pixel(point, f"outside[{number}]") for number, point in enumerate(self.outside)]
        for number, click in enumerate(clicks):
            if (there := int(scene.labels[click])) != 0:
                what = f"cell {there}" if there > 0 else "what is ignored"
                raise InputError(
                    f"points[{number}] lies in {what}, expected background: split the cell, or delete it "
                    "first"
                )
        if self.level is None and (found := scene.clicked(clicks, others)) is not None:
            cell = _likely(found, clicks, scene.labels[found.window] == 0)
            if cell.any():
                return found.window, cell, ()
        return self._flooded(scene, clicks, others)

    def _flooded(
        self, scene: Scene, clicks: list[Pixel], others: list[Pixel]
    ) -> tuple[Window, NDArray[np.bool_], tuple[str, ...]]:
        """Grow a cell over the map, or without one draw a disk."""
        diameter = median_diameter(scene.labels)
        diameter = _USUAL_DIAMETER if np.isnan(diameter) else diameter
        window = _around(clicks, max(_USUAL_DIAMETER, _REACH * diameter), scene.labels.shape)
        free, heights = scene.labels[window] == 0, scene.distance_map()
        inside, outside = (
            [(row - window[0].start, column - window[1].start) for row, column in each]
            for each in (clicks, others)
        )
        grown = None if heights is None else grow(free, heights[window], inside, self.level)
        notes: tuple[str, ...] = ()
        if grown is None:
            grown = free & _disks(free.shape, inside, diameter / 2)
            notes = (f"the map shows no cell there: the cell is a disk of {diameter:.0f} px",)
        outside = [each for each in outside if _is_in(each, grown) and each not in inside]
        if outside:
            grown = divide(grown, None if heights is None else heights[window], [inside, outside]) == 1
        return window, grown, notes


def _likely(found: Clicked, clicks: list[Pixel], free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the likely pixels of a clicked cell that hang together with a click, without holes."""
    likely = free & (found.probability > _LIKELY)
    pieces = number_pieces(likely.astype(np.int32), corners=False)
    top, left = found.window[0].start, found.window[1].start
    inside = [(row - top, column - left) for row, column in clicks]
    own = np.unique([pieces[each] for each in inside if _is_in(each, likely)])
    return filled(likely & np.isin(pieces, own)) & free


def _around(pixels: list[Pixel], reach: float, shape: tuple[int, ...]) -> Window:
    """Return the window that reaches that many pixels beyond some."""
    sides = [
        slice(max(0, int(min(each) - reach)), min(side, int(max(each) + reach) + 1))
        for each, side in zip(zip(*pixels, strict=True), shape, strict=True)
    ]
    return sides[0], sides[1]


def _disks(shape: tuple[int, ...], centres: list[Pixel], radius: float) -> NDArray[np.bool_]:
    rows, columns = np.indices(shape, sparse=True)
    drawn = np.zeros(shape, bool)
    for y, x in centres:
        drawn |= (rows - y) ** 2 + (columns - x) ** 2 <= max(radius, 1.0) ** 2
    return drawn


def _is_in(pixel: Pixel, mask: NDArray[np.bool_]) -> bool:
    return 0 <= pixel[0] < mask.shape[0] and 0 <= pixel[1] < mask.shape[1] and bool(mask[pixel])
