"""An operation on labels: data that a line of a file holds, and a pure function of the scene."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from dinocell.editing.change import Change, Window
from dinocell.errors import InputError, name_few
from dinocell.inference.clicks import Clicked
from dinocell.labels import Labels
from dinocell.models.clicks import Pixel
from dinocell.settings import Section

Point = tuple[float, float]
"""Row and column in pixels; whole numbers are the centres of pixels."""

CellId = Annotated[int, Field(ge=1, le=2**31 - 1)]

DistanceMap = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Scene:
    """Labels and map that operations work on; they change nothing of it.

    Attributes
    ----------
    labels : int32 array, shape (Y, X)
        Ids may have gaps; −1 is ignored.
    next_id : int
        The id of the next new cell, above all that were ever there.
    distance_map : callable
        Returns the distance map, float ``(Y, X)``, or None where there is neither a map nor an image. It may
        have to predict it first.
    clicked : callable
        Returns for clicks in and outside of a cell what the decoder of clicks finds; None without one.
    """

    labels: Labels
    next_id: int
    distance_map: Callable[[], DistanceMap | None]
    clicked: Callable[[Sequence[Pixel], Sequence[Pixel]], Clicked | None]

    def pixel(self, point: Point, name: str) -> tuple[int, int]:
        """Return the pixel that a point lies in.

        Raises
        ------
        InputError
            If it lies outside the image.
        """
        height, width = self.labels.shape
        row, column = math.floor(point[0] + 0.5), math.floor(point[1] + 0.5)
        if not (0 <= row < height and 0 <= column < width):
            raise InputError(
                f"{name} is ({point[0]:g}, {point[1]:g}), expected row and column of a pixel of an image of "
                f"{height}×{width}"
            )
        return row, column

    def check_cells(self, ids: Iterable[int], name: str = "ids") -> None:
        """Raise InputError if one of the ids is not a cell of the image."""
        wanted = list(ids)
        there = set(np.unique(self.labels[np.isin(self.labels, wanted)]).tolist())
        if unknown := [each for each in wanted if each not in there]:
            raise InputError(
                f"{name} has {name_few([str(each) for each in unknown])}, expected ids of cells of the image"
            )

    def window_of(self, ids: Iterable[int], margin: int = 0) -> Window:
        """Return the rows and columns that hold cells, with a margin in pixels where the image has one."""
        rows, columns = np.nonzero(np.isin(self.labels, list(ids)))
        return (
            slice(max(0, int(rows.min()) - margin), min(self.labels.shape[0], int(rows.max()) + 1 + margin)),
            slice(
                max(0, int(columns.min()) - margin),
                min(self.labels.shape[1], int(columns.max()) + 1 + margin),
            ),
        )


@dataclass(frozen=True, eq=False)
class Outcome:
    """Result of an operation on a scene.

    Attributes
    ----------
    change : Change
    ids : tuple of int
        Cells that it made or changed, and that are still there.
    notes : tuple of str
    """

    change: Change
    ids: tuple[int, ...]
    notes: tuple[str, ...] = ()


class Operation(Section):
    """An operation as data.

    Attributes
    ----------
    edit : str
        Name by which a line of a file tells it from others: a subclass narrows it to a ``Literal``.
    """

    edit: str

    @model_validator(mode="before")
    @classmethod
    def _check_numbers(cls, values: Any) -> Any:
        """Raise for true and false, which would pass for 1 and 0."""
        if _holds_flag(values):
            raise ValueError("true and false are not numbers, expected numbers")
        return values

    @abstractmethod
    def apply(self, scene: Scene) -> Outcome:
        """Return what becomes of a scene.

        Raises
        ------
        InputError
            If it cannot be done there.
        """


def _holds_flag(values: Any) -> bool:
    """Return whether true or false is among values, or in lists of them, however deep."""
    left = [values]
    while left:
        value = left.pop()
        if isinstance(value, bool):
            return True
        if isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list | tuple):
            left.extend(value)
    return False
