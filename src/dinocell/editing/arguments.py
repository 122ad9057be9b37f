"""Arguments of edits as people give them: checked, and as plain numbers."""

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.editing.operations.operation import DistanceMap
from dinocell.errors import InputError

PlainPoints = tuple[tuple[float, ...], ...]


def check_map(distance_map: DistanceMap | None, shape: tuple[int, ...]) -> None:
    """Raise InputError for a distance map that is none of labels of that shape."""
    if distance_map is None:
        return
    array = np.asarray(distance_map)
    if array.shape != shape or array.dtype.kind != "f":
        raise InputError(
            f"distance_map is {array.dtype} of shape {array.shape}, expected floats of shape {shape} as "
            "labels"
        )
    if not np.isfinite(array).all():
        raise InputError("distance_map holds NaN or infinite values, expected values in [0, 1]")


def check_image(image: NDArray[Any] | None, shape: tuple[int, ...]) -> None:
    """Raise InputError for an image that is none of labels of that shape."""
    found = np.shape(image) if image is not None else shape
    if len(found) not in (2, 3) or found[:2] != shape:
        raise InputError(f"image has shape {found}, expected {shape} as labels, or that with channels")


def as_points(points: Any) -> PlainPoints:
    """Return points as plain numbers, from arrays too; a single one as one of several.

    Raises
    ------
    InputError
        If they are not pairs of finite numbers.
    """
    if points is None or (isinstance(points, Sequence | np.ndarray) and not len(points)):
        return ()
    try:
        array = np.array(points, np.float64)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.shape == (2,):
        array = array[None]
    if array.ndim != 2 or array.shape[1] != 2 or not np.isfinite(array).all():
        raise InputError(f"points are {points!r:.60}, expected pairs of row and column in pixels")
    return tuple((float(row), float(column)) for row, column in array)


def as_groups(points: Any) -> tuple[PlainPoints, ...]:
    """Return points, or groups of points, as groups; errors as `as_points`."""
    if not isinstance(points, Iterable):
        raise InputError(f"points are {points!r:.60}, expected clicks, or groups of clicks")
    return tuple(as_points(group) for group in points)


def as_ids(ids: Any) -> tuple[int, ...]:
    """Return the numbers of cells, each once; raise InputError for what is not whole numbers."""
    try:
        return tuple(operator.index(each) for each in dict.fromkeys(ids))
    except TypeError as error:
        raise InputError(f"ids is {ids!r:.60}, expected the numbers of cells") from error
