"""Named label images that every algorithm and metric is run on.

Each is int32 ``(Y, X)``, 0 background, 1…N. ``CASES`` maps names to images; ``CONVEX`` names those whose
cells are all convex with an inner radius of at least 3 px.
"""

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int32]


def disk(shape: tuple[int, int], centre: tuple[float, float], radius: float) -> NDArray[np.bool_]:
    """Return the pixels whose centre lies within `radius` of `centre` (row, column)."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    inside: NDArray[np.bool_] = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
    return inside


def _draw(shape: tuple[int, int], *masks: NDArray[np.bool_]) -> Labels:
    labels = np.zeros(shape, np.int32)
    for number, mask in enumerate(masks, start=1):
        labels[mask] = number
    return labels


def _empty() -> Labels:
    return np.zeros((40, 50), np.int32)


def _one() -> Labels:
    return _draw((40, 50), disk((40, 50), (20, 24), 9))


def _full() -> Labels:
    return np.ones((24, 31), np.int32)


def _touching() -> Labels:
    labels = np.zeros((40, 60), np.int32)
    labels[8:30, 8:30] = 1
    labels[8:30, 30:52] = 2
    return labels


def _nested() -> Labels:
    shape = (60, 60)
    return _draw(shape, disk(shape, (30, 30), 25), disk(shape, (30, 30), 9))


def _split() -> Labels:
    """Draw two disks that overlap into a dumbbell and are two cells."""
    shape = (48, 80)
    left, right = disk(shape, (24, 26), 15), disk(shape, (24, 52), 15)
    return _draw(shape, left, right & ~left)


def _merged() -> Labels:
    """Draw the same dumbbell as one cell."""
    return (_split() > 0).astype(np.int32)


def _concave() -> Labels:
    """Draw a horseshoe whose centroid is background."""
    shape = (64, 64)
    ring = disk(shape, (32, 32), 26) & ~disk(shape, (32, 32), 14)
    ring[40:, 20:44] = False
    return _draw(shape, ring)


def _elongated() -> Labels:
    shape = (50, 120)
    y, x = np.ogrid[: shape[0], : shape[1]]
    return _draw(shape, ((y - 24) / 8) ** 2 + ((x - 60) / 48) ** 2 <= 1)


def _border() -> Labels:
    shape = (50, 50)
    return _draw(shape, disk(shape, (0, 25), 12), disk(shape, (49, 0), 14), disk(shape, (25, 49), 8))


def _specks() -> Labels:
    labels = np.zeros((20, 20), np.int32)
    labels[2, 2] = 1
    labels[5:7, 5] = 2
    labels[10:12, 10:12] = 3
    labels[19, 19] = 4
    return labels


def _many() -> Labels:
    """Draw 324 disks of radius 4 to 7 on a grid."""
    shape = (18 * 18, 18 * 18)
    rng = np.random.default_rng(0)
    return _draw(
        shape,
        *(
            disk(shape, (18 * row + 8.5, 18 * column + 8.5), rng.uniform(4, 7))
            for row in range(18)
            for column in range(18)
        ),
    )


CASES: dict[str, Labels] = {
    "empty": _empty(),
    "one": _one(),
    "full": _full(),
    "touching": _touching(),
    "nested": _nested(),
    "split": _split(),
    "merged": _merged(),
    "concave": _concave(),
    "elongated": _elongated(),
    "border": _border(),
    "specks": _specks(),
    "many": _many(),
}

CONVEX = ("one", "touching", "elongated", "border", "many")
