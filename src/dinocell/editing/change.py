"""Change of a label image: the pixels of a window before and after."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.labels import Labels

Window = tuple[slice, slice]
"""Rows and columns of a part of an image."""

Run = tuple[int, int, int, int]
"""Row, first column, number of pixels and new id of pixels beside each other."""


@dataclass(frozen=True, eq=False)
class Change:
    """A window of a label image, before and after.

    Attributes
    ----------
    window : tuple of two slices
        Rows and columns; empty where nothing changed.
    before, after : int32 array, shape of the window
    """

    window: Window
    before: Labels
    after: Labels

    @classmethod
    def of(cls, labels: Labels, window: Window, after: Labels) -> Self:
        """Compare a window of a label image with what it shall become, and keep the part that differs.

        Parameters
        ----------
        labels : int32 array, shape (Y, X)
            Never changed.
        window : tuple of two slices
        after : int32 array, shape of the window
        """
        before = labels[window]
        differs = before != after
        rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
        if not rows.size:
            none = np.zeros((0, 0), np.int32)
            return cls((slice(0, 0), slice(0, 0)), none, none)
        part = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
        top, left = window[0].start, window[1].start
        place = (
            slice(top + part[0].start, top + part[0].stop),
            slice(left + part[1].start, left + part[1].stop),
        )
        return cls(place, before[part].copy(), after[part].astype(np.int32))

    @classmethod
    def from_runs(cls, labels: Labels, runs: NDArray[np.int64]) -> Self:
        """Read a change off the runs that a file holds.

        Parameters
        ----------
        labels : int32 array, shape (Y, X)
            The image that the edit was made on.
        runs : int64 array, shape (N, 4)
            As of `runs`.

        Raises
        ------
        InputError
            If a run lies outside the image, or its id is not one.
        """
        if not len(runs):
            return cls.of(labels, (slice(0, 0), slice(0, 0)), np.zeros((0, 0), np.int32))
        rows, first, count, ids = runs.T
        height, width = labels.shape
        inside = (rows >= 0) & (rows < height) & (first >= 0) & (count > 0) & (count <= width - first)
        wrong = ~(inside & (ids >= 0) & (ids <= np.iinfo(np.int32).max))
        if wrong.any():
            raise InputError(
                f"pixels {runs[wrong][0].tolist()} are none of an image of {height}×{width}, expected row, "
                "first column, number and id"
            )
        window = (
            slice(int(rows.min()), int(rows.max()) + 1),
            slice(int(first.min()), int((first + count).max())),
        )
        after = labels[window].copy()
        for row, begin, number, cell in (runs - (window[0].start, window[1].start, 0, 0)).tolist():
            after[row, begin : begin + number] = cell
        return cls.of(labels, window, after)

    @property
    def is_empty(self) -> bool:
        """True where no pixel changed."""
        return not self.before.size

    def runs(self) -> list[Run]:
        """Return the pixels that changed, with their new ids, as runs along rows.

        Examples
        --------
        >>> labels = np.array([[0, 5, 5, 5], [0, 5, 5, 0]], np.int32)
        >>> Change.of(labels, np.s_[0:2, 0:4], np.array([[0, 5, 6, 6], [0, 6, 6, 0]])).runs()
        [(0, 2, 2, 6), (1, 1, 2, 6)]
        """
        rows, columns = np.nonzero(self.before != self.after)
        ids = self.after[rows, columns]
        begins = np.ones(rows.size, bool)
        begins[1:] = (np.diff(rows) != 0) | (np.diff(columns) != 1) | (np.diff(ids) != 0)
        first = np.flatnonzero(begins)
        counts = np.diff(np.append(first, rows.size))
        top, left = self.window[0].start, self.window[1].start
        found = zip(rows[first] + top, columns[first] + left, counts, ids[first], strict=True)
        return [(int(row), int(column), int(count), int(cell)) for row, column, count, cell in found]

    def apply(self, labels: Labels) -> None:
        """Write what comes after into a label image."""
        labels[self.window] = self.after

    def inverse(self) -> "Change":
        """Return the change back."""
        return Change(self.window, self.after, self.before)
