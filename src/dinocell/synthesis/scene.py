"""Scene: the cells that a microscope looks at, with what every kind of light needs to know of them."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray

from dinocell.labels import Labels, cell_areas
from dinocell.synthesis import outlines
from dinocell.synthesis.fields import Field, Shape
from dinocell.synthesis.layouts import paint


@dataclass(frozen=True)
class Scene:
    """Cells, how deep inside them a pixel lies, and their nuclei.

    Attributes
    ----------
    labels : int32 array, shape (Y, X)
        Cells 1…N without gaps.
    diameter : float
        Typical diameter of a cell in pixels.
    """

    labels: Labels
    diameter: float

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        height, width = self.labels.shape
        return height, width

    @property
    def number(self) -> int:
        """Number of cells."""
        return int(self.labels.max(initial=0))

    @cached_property
    def inside(self) -> Field:
        """1 in cells, 0 outside."""
        return (self.labels > 0).astype(np.float32)

    @cached_property
    def depth(self) -> Field:
        """Distance in pixels to the nearest pixel that is not of the same cell; 0 outside."""
        return np.asarray(edt.edt(self.labels, black_border=False, parallel=1), np.float32)

    @cached_property
    def deepest(self) -> NDArray[np.int64]:
        """For each id the flat index of its deepest pixel; entry 0 means nothing."""
        pixels = np.flatnonzero(self.labels)
        pixels = pixels[np.argsort(self.depth.ravel()[pixels], kind="stable")]
        index = np.zeros(self.number + 1, np.int64)
        index[self.labels.ravel()[pixels]] = pixels
        return index

    @cached_property
    def relative_depth(self) -> Field:
        """Depth divided by the largest depth in the cell."""
        largest = self.depth.ravel()[self.deepest]
        largest[0] = 1
        return np.asarray(self.depth / np.maximum(largest, 1e-3)[self.labels], np.float32)

    def line(self, width: float) -> Field:
        """Return a line along the boundary of every cell, 1 at its outermost pixels, `width` pixels wide."""
        return np.asarray(np.exp(-((np.maximum(self.depth - 1, 0) / width) ** 2)) * self.inside, np.float32)

    def spread(self, values: NDArray[Any]) -> Field:
        """Return the value of its cell for every pixel; entry 0 is the background's."""
        return values.astype(np.float32)[self.labels]

    def each(self, rng: np.random.Generator, low: float, high: float) -> Field:
        """Draw a number for every cell and return it for every pixel; 0 outside."""
        values = rng.uniform(low, high, self.number + 1)
        values[0] = 0
        return self.spread(values)

    def nuclei(self, rng: np.random.Generator, share: tuple[float, float]) -> Labels:
        """Draw a nucleus into every cell, about its deepest point and along its long axis.

        Parameters
        ----------
        rng : Generator
        share : (float, float)
            Least and most of a cell's area that its nucleus takes.

        Returns
        -------
        int32 array, shape (Y, X)
            A nucleus has the id of its cell.
        """
        if not self.number:
            return np.zeros_like(self.labels)
        deep = self.depth.ravel()[self.deepest][1:]
        areas = cell_areas(self.labels)[1:]
        wanted = np.sqrt(4 / math.pi * areas * rng.uniform(*share, self.number))
        diameters = np.minimum(wanted, 1.9 * deep)
        rows, columns = np.divmod(self.deepest[1:], self.shape[1])
        centres = np.stack([columns, rows], axis=1) + rng.normal(0, 0.12, (self.number, 2)) * deep[:, None]
        shapes = outlines.ellipses(rng, self.number, (1, 1.5), 0.06)
        placed = outlines.place(shapes, centres, diameters, self._angles())
        side = max(self.shape)
        nuclei = paint(placed, side, overlap=1.0)[: self.shape[0], : self.shape[1]]
        return np.where(nuclei == self.labels, nuclei, 0).astype(np.int32)

    def _angles(self) -> NDArray[np.float64]:
        """Return the direction of each cell's long axis."""
        rows, columns = np.nonzero(self.labels)
        ids, areas = self.labels[rows, columns], np.maximum(cell_areas(self.labels), 1)
        sums = [np.bincount(ids, weights=w, minlength=len(areas)) for w in (rows, columns)]
        y, x = (values - (total / areas)[ids] for values, total in zip((rows, columns), sums, strict=True))
        xx, yy, xy = (np.bincount(ids, weights=w, minlength=len(areas)) for w in (x * x, y * y, x * y))
        angles: NDArray[np.float64] = 0.5 * np.arctan2(2 * xy, xx - yy)[1:]
        return angles
