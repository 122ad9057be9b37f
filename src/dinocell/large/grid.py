"""Blocks that cover an image, and windows on it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from dinocell.io.planes import Window
from dinocell.preprocess.resampling import window_shape


@dataclass(frozen=True)
class Block:
    """One block of a grid.

    Attributes
    ----------
    index : int
        Its number in row-major order.
    row, column : int
        Where it is in the grid.
    window : (slice, slice)
        Its pixels.
    """

    index: int
    row: int
    column: int
    window: Window

    @property
    def name(self) -> str:
        """Row and column as a file can be named."""
        return f"{self.row:06d}-{self.column:06d}"

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels; less than the grid's side at the image's lower and right edge."""
        return window_shape(self.window)


@dataclass(frozen=True)
class BlockGrid:
    """The blocks of an image.

    Attributes
    ----------
    shape : (int, int)
        The image's (Y, X).
    side : int
        Of a block, in pixels.
    """

    shape: tuple[int, int]
    side: int

    @property
    def rows(self) -> int:
        """Blocks from top to bottom."""
        return math.ceil(self.shape[0] / self.side)

    @property
    def columns(self) -> int:
        """Blocks from left to right."""
        return math.ceil(self.shape[1] / self.side)

    def __len__(self) -> int:
        return self.rows * self.columns

    def __iter__(self) -> Iterator[Block]:
        """Iterate over all blocks in row-major order."""
        return (self.block(row, column) for row in range(self.rows) for column in range(self.columns))

    def block(self, row: int, column: int) -> Block:
        """Return the block at a place of the grid."""
        starts = (row * self.side, column * self.side)
        ends = (min(start + self.side, length) for start, length in zip(starts, self.shape, strict=True))
        rows, columns = (slice(start, end) for start, end in zip(starts, ends, strict=True))
        return Block(row * self.columns + column, row, column, (rows, columns))

    def touching(self, window: Window) -> Iterator[Block]:
        """Yield the blocks that share pixels with a window, in row-major order."""
        rows, columns = (range(span.start // self.side, -(-span.stop // self.side)) for span in window)
        return (self.block(row, column) for row in rows for column in columns)


def widen(window: Window, margin: int, shape: tuple[int, int]) -> Window:
    """Return a window with a margin on all sides, clipped to the image."""
    rows, columns = (
        slice(max(0, span.start - margin), min(length, span.stop + margin))
        for span, length in zip(window, shape, strict=True)
    )
    return rows, columns


def within(window: Window, outer: Window) -> Window:
    """Return the part of `outer` that a window shares, counted from the start of `outer`; it may be empty."""
    rows, columns = (
        slice(max(span.start - frame.start, 0), max(0, min(span.stop, frame.stop) - frame.start))
        for span, frame in zip(window, outer, strict=True)
    )
    return rows, columns
