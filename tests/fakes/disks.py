"""Label images of equal disks."""

import math

import numpy as np

from dinocell.labels import Labels


def disks(diameter: float, count: int) -> Labels:
    """Return disks in rows, apart by half a diameter."""
    columns = math.ceil(math.sqrt(count))
    step = 1.5 * diameter
    side = math.ceil(columns * step)
    y, x = np.mgrid[:side, :side] + 0.5
    row, column = (y // step).astype(int), (x // step).astype(int)
    away = np.hypot(y - (row + 0.5) * step, x - (column + 0.5) * step)
    number = row * columns + column + 1
    return np.where((away <= diameter / 2) & (number <= count), number, 0).astype(np.int32)
