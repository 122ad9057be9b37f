"""Cut an image into overlapping tiles and blend their predictions: plan first, then act.

The plan is pure geometry. `blend` weighs every tile by a cosine window over its overlaps and divides by the
sum of the weights, so a network that returned its input would give the image back exactly.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError

MIN_WEIGHT = 1e-3
"""No pixel of a tile weighs less, so no sum of weights is near 0."""


MAX_TILE = 4096
"""Side in pixels of the largest tile that a network is given: its memory grows with the square."""


@dataclass(frozen=True)
class Tile:
    """A square window on the image.

    Attributes
    ----------
    y, x : int
        Its first row and column in the image.
    size : int
        Its side in pixels; it reaches beyond the image where that is smaller than a tile.
    """

    y: int
    x: int
    size: int


def plan_tiles(shape: tuple[int, int], tile: int = 256, overlap: int = 32) -> tuple[Tile, ...]:
    """Cover an image with tiles that overlap by at least `overlap` pixels.

    Tiles start every ``tile − overlap`` pixels; the last of a row or column is moved back to end with the
    image, so it overlaps its neighbour by more. An axis shorter than a tile gets one tile that starts at 0.

    Parameters
    ----------
    shape : (int, int)
        The image's (Y, X), each at least 1.
    tile : int
        Side of a tile in pixels.
    overlap : int
        From 0 to half a tile.

    Returns
    -------
    tuple of Tile
        In row-major order.

    Raises
    ------
    InputError
        If a size is out of bounds.

    Examples
    --------
    >>> [tile.x for tile in plan_tiles((100, 600), tile=256, overlap=32)]
    [0, 224, 344]
    """
    if len(shape) != 2 or min(shape) < 1:
        raise InputError(f"shape is {shape}, expected (Y, X) of at least 1 pixel each")
    if tile < 1:
        raise InputError(f"tile is {tile}, expected at least 1 pixel")
    if not 0 <= overlap <= tile // 2:
        raise InputError(f"overlap is {overlap}, expected 0 to {tile // 2}, half of the tile of {tile}")
    return tuple(
        Tile(y, x, tile) for y in _starts(shape[0], tile, overlap) for x in _starts(shape[1], tile, overlap)
    )


def tiles_touching(
    window: tuple[slice, slice], shape: tuple[int, int], tile: int = 256, overlap: int = 32
) -> tuple[Tile, ...]:
    """Plan only those tiles of an image that share pixels with a window.

    Parameters
    ----------
    window : (slice, slice)
        Rows and columns within the image, at least one pixel.
    shape, tile, overlap
        As for `plan_tiles`, whose errors this has too.

    Returns
    -------
    tuple of Tile
        In row-major order.

    Examples
    --------
    >>> [tile.x for tile in tiles_touching((slice(0, 9), slice(240, 250)), (100, 10**6))]
    [0, 224]
    """
    plan_tiles((1, 1), tile, overlap)  # refuses what is out of bounds
    rows, columns = (
        _starts_touching(span, length, tile, overlap) for span, length in zip(window, shape, strict=True)
    )
    return tuple(Tile(y, x, tile) for y in rows for x in columns)


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    return _starts_touching(slice(0, length), length, tile, overlap)


def _starts_touching(span: slice, length: int, tile: int, overlap: int) -> list[int]:
    if length <= tile:
        return [0]
    stride, last = tile - overlap, length - tile
    first = max(0, (span.start - tile) // stride + 1) * stride
    starts = [*range(first, min(last, span.stop), stride)]
    return [*starts, last] if last < span.stop else starts


def cut_tile(image: NDArray[Any], tile: Tile) -> NDArray[Any]:
    """Cut a tile out of an image, mirrored where it reaches beyond the edge.

    Parameters
    ----------
    image : array, shape (Y, X)
    tile : Tile

    Returns
    -------
    array, shape (tile.size, tile.size)
    """
    part = image[tile.y : tile.y + tile.size, tile.x : tile.x + tile.size]
    missing = [(0, tile.size - length) for length in part.shape]
    return np.pad(part, missing, mode="symmetric") if part.shape != (tile.size,) * 2 else part


def blend(
    tiles: Sequence[Tile],
    predictions: Iterable[NDArray[Any]],
    shape: tuple[int, int],
    window: tuple[slice, slice] | None = None,
) -> NDArray[np.float32]:
    """Join the predictions of tiles into one map.

    Parameters
    ----------
    tiles : sequence of Tile
        From `plan_tiles` with the same `shape`; for a window from `tiles_touching`.
    predictions : iterable of float array, shape (size, size)
        One a tile, in the same order; may be a generator.
    shape : (int, int)
        The image's (Y, X).
    window : (slice, slice), optional
        Rows and columns of the image that are wanted. They come out as they would of the whole: a tile that
        is left out has no pixels in the window, and so no overlap with another tile there.

    Returns
    -------
    float32 array, shape (Y, X)
        Of the image or the window.

    Raises
    ------
    InputError
        If there are fewer or more predictions than tiles, or one has another shape.
    """
    canvas = Canvas(tiles, shape, window)
    for prediction in predictions:
        canvas.add(prediction)
    return canvas.finish()


@dataclass(frozen=True)
class Placement:
    """Position of a tile in a map, and the weights of its pixels there.

    Attributes
    ----------
    in_tile, in_window : (slice, slice)
        The pixels that both share: rows and columns within the tile, and within the window.
    rows, columns : float32 array
        Weights of these rows and columns; a pixel weighs their product, and `MIN_WEIGHT` at least.
    """

    in_tile: tuple[slice, slice]
    in_window: tuple[slice, slice]
    rows: NDArray[np.float32]
    columns: NDArray[np.float32]

    def weight(self) -> NDArray[np.float32]:
        """Return the weights of the shared pixels, (Y, X)."""
        return np.maximum(np.outer(self.rows, self.columns), np.float32(MIN_WEIGHT))


def place_tiles(
    tiles: Sequence[Tile], shape: tuple[int, int], window: tuple[slice, slice]
) -> Iterator[Placement]:
    """Yield the position of each tile in a window of the map, and its weights; arguments as for `blend`."""
    rows = _windows({(t.y, t.size) for t in tiles}, shape[0])
    columns = _windows({(t.x, t.size) for t in tiles}, shape[1])
    for tile in tiles:
        in_tile, in_window = _shared(tile, rows[tile.y].size, columns[tile.x].size, window)
        yield Placement(in_tile, in_window, rows[tile.y][in_tile[0]], columns[tile.x][in_tile[1]])


class Canvas:
    """A map that is put together tile by tile, in the order of the tiles; arguments as for `blend`.

    Attributes
    ----------
    added : int
        Predictions so far.
    """

    def __init__(
        self, tiles: Sequence[Tile], shape: tuple[int, int], window: tuple[slice, slice] | None = None
    ) -> None:
        window = window or (slice(0, shape[0]), slice(0, shape[1]))
        self.added = 0
        self._tiles = tiles
        self._placements = place_tiles(tiles, shape, window)
        self._total = np.zeros([span.stop - span.start for span in window], np.float32)
        self._weights = np.zeros_like(self._total)

    def add(self, prediction: NDArray[Any]) -> None:
        """Add the prediction of the next tile: float array, shape (size, size); an InputError for another."""
        self.added += 1
        if self.added > len(self._tiles):
            raise self._miscounted()
        tile = self._tiles[self.added - 1]
        if prediction.shape != (tile.size, tile.size):
            raise InputError(
                f"prediction {self.added} has shape {prediction.shape}, expected {(tile.size, tile.size)}"
            )
        place = next(self._placements)
        weight = place.weight()
        self._total[place.in_window] += weight * prediction[place.in_tile]
        self._weights[place.in_window] += weight

    def finish(self) -> NDArray[np.float32]:
        """Return the map: float32 array, shape (Y, X); an InputError unless each tile had its prediction."""
        if self.added != len(self._tiles):
            raise self._miscounted()
        return self._total / self._weights

    def _miscounted(self) -> InputError:
        return InputError(
            f"there are {self.added} predictions for {len(self._tiles)} tiles, expected one each"
        )


def _shared(
    tile: Tile, height: int, width: int, window: tuple[slice, slice]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the pixels that a tile, cut at the image's edge, shares with a window: within either of them."""
    in_tile, in_window = [], []
    for start, length, span in ((tile.y, height, window[0]), (tile.x, width, window[1])):
        low, high = max(start, span.start), min(start + length, span.stop)
        in_tile.append(slice(low - start, high - start))
        in_window.append(slice(low - span.start, high - span.start))
    return (in_tile[0], in_tile[1]), (in_window[0], in_window[1])


def _windows(spans: set[tuple[int, int]], length: int) -> dict[int, NDArray[np.float32]]:
    """Compute weights along one axis for every tile start: they fall only where a neighbour overlaps.

    Two neighbours' ramps over their common pixels are mirror images, ``sin²`` and ``cos²``, which sum to 1::

        weight 1 ────────╮   ╭────────        tiles of 256 px that start at 0 and 224:
                          ╲ ╱                 both cover 224 … 255
                           ╳
                          ╱ ╲
               0         ╯   ╰
                 tile 0  224 256  tile 1

    The last tile of an axis is moved back to end with the image, so its ramp is as long as its overlap. At
    the image's edge a weight stays 1.
    """
    ordered = sorted(spans)
    windows = {}
    for i, (start, size) in enumerate(ordered):
        stop = min(start + size, length)
        window = np.ones(stop - start, np.float32)
        if i > 0:
            ramp = _ramp(sum(ordered[i - 1]) - start)
            window[: ramp.size] *= ramp
        if i + 1 < len(ordered):
            ramp = _ramp(start + size - ordered[i + 1][0])
            window[window.size - ramp.size :] *= ramp[::-1]
        windows[start] = window
    return windows


def _ramp(overlap: int) -> NDArray[np.float32]:
    steps = (np.arange(overlap) + 0.5) / max(overlap, 1)
    return (np.sin(steps * np.pi / 2) ** 2).astype(np.float32)
