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

    def find(self, numbers: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Find pixels in `values`.

        Parameters
        ----------
        numbers : int64 tensor, shape (B,)
            Plane of each window.
        x, y : int64 tensor, shape (B, Y, X)
            Column and row in that plane, or beyond its edge.

        Returns
        -------
        int64 tensor, shape (B, Y, X)
        """
        start, height, width = (part[:, None, None] for part in self._layout[numbers].unbind(1))
        return start + _mirror(y, height) * width + _mirror(x, width)

    def nearest(self, numbers: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Read the pixels nearest to coordinates (B, Y, X): tensor of the same shape."""
        return self.values[self.find(numbers, (x + 0.5).floor().long(), (y + 0.5).floor().long())]

    def bilinear(self, numbers: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Interpolate between pixels: float32 tensor, shape (B, Y, X) or (B, Y, X, C)."""
        channels = self.values.shape[1:]
        total = torch.zeros(*x.shape, *channels, device=x.device)
        for found, weight in self.corners(numbers, x, y):
            total += self.values[found] * weight.view(*x.shape, *[1] * len(channels))
        return total

    def corners(self, numbers: Tensor, x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the four pixels around coordinates, as in `find`, and their weights: (B, Y, X) each."""
        left, top = x.floor(), y.floor()
        right_share, lower_share = x - left, y - top
        column, row = left.long(), top.long()
        for down, across in itertools.product((0, 1), repeat=2):
            weight = (right_share if across else 1 - right_share) * (lower_share if down else 1 - lower_share)
            yield self.find(numbers, column + across, row + down), weight


def _mirror(at: Tensor, length: Tensor) -> Tensor:
    """Map coordinates beyond an edge to their mirror image: … 1 0 | 0 1 2 … n−1 | n−1 n−2 …."""
    inside = torch.remainder(at, 2 * length)
    return torch.minimum(inside, 2 * length - 1 - inside)
