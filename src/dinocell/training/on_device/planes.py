"""Planes of different sizes, end to end in one tensor, from which many windows are read at once."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Planes:
    """Planes by number; beyond their edges they are mirrored.

    Parameters
    ----------
    planes : sequence of array, shape (Y, X) or (Y, X, C)
        All of one dtype.
    device : torch.device
    """

    def __init__(self, planes: Sequence[NDArray[Any]], device: torch.device) -> None:
        channels = planes[0].shape[2:] if planes else ()
        sizes = np.array([plane.shape[0] * plane.shape[1] for plane in planes], np.int64)
        flat = np.concatenate([plane.reshape(-1, *channels) for plane in planes]) if planes else np.zeros(0)
        self.values = torch.from_numpy(flat).to(device)
        shapes = np.array([plane.shape[:2] for plane in planes], np.int64).reshape(-1, 2)
        starts = np.cumsum(sizes) - sizes
        self._layout = torch.from_numpy(np.column_stack([starts, shapes])).to(device)

    def nearest(self, numbers: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Read the pixels nearest to coordinates (B, Y, X) in planes (B,): tensor of the same shape."""
        start, height, width = self._layout_of(numbers)
        rows = _mirror((y + 0.5).floor(), height) * width + start
        return self.values[rows + _mirror((x + 0.5).floor(), width)]

    def bilinear(self, numbers: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Interpolate between pixels: float32 tensor, shape (B, Y, X) or (B, Y, X, C)."""
        channels = self.values.shape[1:]
        total = torch.zeros(*x.shape, *channels, device=x.device)
        for found, weight in self.corners(numbers, x, y):
            total += self.values[found] * weight.view(*x.shape, *[1] * len(channels))
        return total

    def corners(self, numbers: Tensor, x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the four pixels around coordinates, as indices of `values`, and their weights.

        Parameters
        ----------
        numbers : int64 tensor, shape (B,)
            Plane of each window.
        x, y : float32 tensor, shape (B, Y, X)
            Column and row in that plane, or beyond its edge.

        Yields
        ------
        int64 tensor, float32 tensor, shape (B, Y, X)
        """
        start, height, width = self._layout_of(numbers)
        left, top = x.floor(), y.floor()
        shares = x - left, y - top
        columns = [_mirror(left + step, width) for step in (0, 1)]
        rows = [_mirror(top + step, height) * width + start for step in (0, 1)]
        for down, across in itertools.product((0, 1), repeat=2):
            weight = (shares[0] if across else 1 - shares[0]) * (shares[1] if down else 1 - shares[1])
            yield rows[down] + columns[across], weight

    def _layout_of(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the first index (int64), height and width (int32) of planes, (B, 1, 1) each."""
        start, height, width = (part[:, None, None] for part in self._layout[numbers].unbind(1))
        return start, height.int(), width.int()


def _mirror(at: Tensor, length: Tensor) -> Tensor:
    """Map coordinates beyond an edge to their mirror image: … 1 0 | 0 1 2 … n−1 | n−1 n−2 …, as int32."""
    inside = torch.remainder(at.int(), 2 * length)
    return torch.minimum(inside, 2 * length - 1 - inside)
