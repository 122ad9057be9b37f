"""Tiles of labels as PNG: the id of a cell in red, green and blue."""

import numpy as np
from numpy.typing import NDArray

from dinocell.web.archive.records import ImageRecord
from dinocell.web.correcting.large_result import LargeResult
from dinocell.web.correcting.open_result import OpenResult
from dinocell.web.reading.tiles import encode_png, level_of


def label_tile(found: OpenResult | LargeResult, image: ImageRecord, zoom: int, x: int, y: int) -> bytes:
    """Return a tile as PNG: 65536 R + 256 G + B is the id; level k shows every 2^k-th pixel."""
    level, rows, columns = level_of(zoom, x, y, image.level_shapes)
    if isinstance(found, LargeResult):
        ids = found.read(level, rows, columns)
    else:
        step = 2**level
        with found.lock:
            ids = found.labels[
                rows.start * step : rows.stop * step : step, columns.start * step : columns.stop * step : step
            ].copy()
    return encode_png(as_colours(np.maximum(ids, 0)))


def as_colours(ids: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return ids below 2^24 as red, green and blue.

    Examples
    --------
    >>> as_colours(np.array([[0, 7, 65536 + 512 + 3]])).tolist()
    [[[0, 0, 0], [0, 0, 7], [1, 2, 3]]]
    """
    return np.stack([(ids >> 16) & 255, (ids >> 8) & 255, ids & 255], axis=-1).astype(np.uint8)
