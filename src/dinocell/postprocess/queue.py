"""Flood by a queue, for pixels of which only the order of arrival tells which marker they go to.

Of the pixels reached, the highest goes on first; of equal ones, the one that was reached first. A pixel that
rises above the flood counts as level with it. So the flood only sinks, and what waits is a row a height::

    flood at   .5 │ a b c      go on from left to right; what they reach at .5 or above is the next wave,
               .4 │ d e        and what they reach below is appended to the row of its height
               .2 │ f g h

A *wave* is what waits at the height of the flood. On a map of real numbers it is a pixel or two, which go on
in a loop; on a plateau it is a front, which goes on by array operations, with the same result.
"""

from heapq import heappop, heappush
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dinocell.labels import Labels

_FEW = 24
"""Pixels of a wave up to which a loop is faster than array operations."""

_MANY = 2**15
"""Pixels of a wave that go on at once at most, which bounds the memory."""


class QueueFlood:
    """Flood from seeds, pixel by pixel.

    Parameters
    ----------
    heights : float array, shape (Y, X)
    seeds : int32 array, shape (Y, X)
        Ids of marker pixels, which are higher than all other pixels; 0 elsewhere.
    allowed : bool array, shape (Y, X)
        What may be flooded; not the outermost pixels of the array. Seeds outside it are left out.
    """

    def __init__(self, heights: NDArray[np.floating], seeds: Labels, allowed: NDArray[np.bool_]) -> None:
        width = heights.shape[1]
        # Up, left, right, down, then the diagonals in row-major order.
        self._steps = (-width, -1, 1, width, -width - 1, 1 - width, width - 1, width + 1)
        self._shape = heights.shape
        self._heights = heights.ravel()
        self._labels = np.where(allowed, seeds, 0).ravel()
        self._free = allowed.ravel() & (self._labels == 0)
        self._rows: dict[float, list[int]] = {}
        self._depths: list[float] = []  # a heap of the rows' heights, upside down

    def run(self) -> Labels:
        """Flood to the end.

        Returns
        -------
        int32 array, shape (Y, X)
            The id of the seed that reached each pixel, 0 where none did.
        """
        seeds = np.flatnonzero(self._labels)
        order = np.argsort(-self._heights[seeds], kind="stable")
        self._go_on(seeds[order].tolist(), np.inf)
        while self._depths:
            height = -heappop(self._depths)
            wave = self._rows.pop(height)
            while wave:
                wave = self._go_on(wave, height)
        return self._labels.reshape(self._shape)

    def _go_on(self, wave: list[int], height: float) -> list[int]:
        """Label what a wave reaches, and return the next wave at its height."""
        if len(wave) <= _FEW:
            return self._go_on_in_turn(wave, height)
        following: list[int] = []
        for begin in range(0, len(wave), _MANY):
            following += self._go_on_at_once(np.array(wave[begin : begin + _MANY]), height)
        return following

    def _go_on_in_turn(self, wave: list[int], height: float) -> list[int]:
        free, labels, steps = self._free.data, self._labels.data, self._steps  # faster in a loop
        following = []
        for pixel in wave:
            for step in steps:
                reached = pixel + step
                if free[reached]:
                    free[reached] = False
                    labels[reached] = labels[pixel]
                    own = self._heights.item(reached)
                    if own >= height:
                        following.append(reached)
                    else:
                        self._row(own).append(reached)
        return following

    def _go_on_at_once(self, wave: NDArray[np.intp], height: float) -> list[int]:
        reached = (wave[:, None] + self._steps).ravel()  # in order of arrival
        arrivals = np.flatnonzero(self._free[reached])
        first = np.sort(np.unique(reached[arrivals], return_index=True)[1])
        arrivals = arrivals[first]
        reached = reached[arrivals]
        self._labels[reached] = self._labels[wave[arrivals // len(self._steps)]]
        self._free[reached] = False
        own = self._heights[reached]
        self._append(reached[own < height], own[own < height])
        following: list[int] = reached[own >= height].tolist()
        return following

    def _append(self, pixels: NDArray[np.intp], heights: NDArray[np.floating]) -> None:
        """Append pixels to the rows of their heights, in the order given."""
        order = np.argsort(heights, kind="stable")
        heights, sorted_pixels = heights[order], pixels[order].tolist()
        begins = np.flatnonzero(np.diff(heights, prepend=-np.inf)).tolist()
        for begin, end in pairwise([*begins, len(sorted_pixels)]):
            self._row(heights.item(begin)).extend(sorted_pixels[begin:end])

    def _row(self, height: float) -> list[int]:
        row = self._rows.get(height)
        if row is None:
            row = self._rows[height] = []
            heappush(self._depths, -height)
        return row
