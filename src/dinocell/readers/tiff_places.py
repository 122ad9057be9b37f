"""Where in a TIFF file its directories and pixels are, and whether pixels share bytes with anything else.

Pixels that are stored as they are look sound wherever a damaged offset points to. Bytes that belong to two
things, of which one is such pixels, show the damage.
"""

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

_Ints = NDArray[np.int64]


class Places:
    """The bytes of a file that directories, tags and strips or tiles take."""

    def __init__(self) -> None:
        self._structure: list[tuple[int, int]] = []
        self._parts: list[tuple[int, _Ints, _Ints, bool]] = []  # page, starts, sizes, as they are
        self.is_exact = True

    def take(self, start: int, size: int) -> None:
        """Note bytes of a directory or of a tag that pixels need."""
        self._structure.append((start, start + size))

    def take_parts(self, page: int, starts: Sequence[int], sizes: Sequence[int], largest: int | None) -> None:
        """Note the strips or tiles of the page whose directory is at a byte.

        Parameters
        ----------
        page : int
        starts, sizes : sequence of int
        largest : int or None
            Bytes that one of them has at most, if they are stored as they are; None for compressed ones.
        """
        count = min(len(starts), len(sizes))
        sizes_there = np.asarray(sizes[:count], np.int64)
        if largest is not None:
            if count == 1 and not sizes_there[0]:  # of a single strip the count may be left out
                sizes_there = np.array([largest], np.int64)
            sizes_there = np.minimum(sizes_there, largest)
        self._parts.append((page, np.asarray(starts[:count], np.int64), sizes_there, largest is not None))

    @cached_property
    def shared(self) -> tuple[set[int], set[int]]:
        """Directories of pages whose pixels, stored as they are, share bytes.

        First those that share some with something else, then those of which two strips or tiles are the very
        same bytes, which is allowed.
        """
        if not self.is_exact or not any(is_raw for *_, is_raw in self._parts):
            return set(), set()
        structure = np.array(self._structure, np.int64).reshape(-1, 2)
        starts = np.concatenate([structure[:, 0], *(starts for _, starts, _, _ in self._parts)])
        sizes = np.concatenate(
            [structure[:, 1] - structure[:, 0], *(sizes for _, _, sizes, _ in self._parts)]
        )
        lengths = [len(starts) for _, starts, _, _ in self._parts]
        pages = np.concatenate(
            [np.full(len(structure), -1), np.repeat([page for page, *_ in self._parts], lengths)]
        )
        is_raw = np.concatenate(
            [np.zeros(len(structure), bool), np.repeat([raw for *_, raw in self._parts], lengths)]
        )
        there = (starts > 0) & (sizes > 0)
        return _sharing(starts[there], (starts + sizes)[there], pages[there], is_raw[there])


def _sharing(
    starts: _Ints, stops: _Ints, pages: _Ints, is_raw: NDArray[np.bool_]
) -> tuple[set[int], set[int]]:
    """Return the pages of raw spans that share bytes with another one: some of them, and all."""
    order = np.lexsort((-stops, starts))
    starts, stops, pages, is_raw = starts[order], stops[order], pages[order], is_raw[order]
    furthest = np.maximum.accumulate(stops)
    # which of the spans before reaches furthest
    reaching = np.maximum.accumulate(np.where(stops == furthest, np.arange(len(stops)), 0))
    some: set[int] = set()
    every: set[int] = set()
    for at in (np.flatnonzero(starts[1:] < furthest[:-1]) + 1).tolist():
        before = int(reaching[at - 1])
        is_same = starts[before] == starts[at] and stops[before] == stops[at]
        (every if is_same else some).update(int(pages[one]) for one in (before, at) if is_raw[one])
    return some, every


def raw_part_bytes(storage: Sequence[tuple[int, ...]]) -> int | None:
    """Return the most bytes that a strip or tile has where pixels are stored as they are, else None.

    Parameters
    ----------
    storage : Storage
        Of a page, as of `dinocell.readers.tiff_directories`.
    """
    width, length, bits, coded, _, samples, rows, planar, *_ = storage
    tile_width, tile_length = storage[9:11]
    if coded != (1,) or not (width and length and bits and samples and rows):
        return None
    in_pixel = sum(bits) if len(bits) > 1 else bits[0] * (samples[0] if planar == (1,) else 1)
    across, down = (tile_width[0], tile_length[0]) if tile_width and tile_length else (width[0], rows[0])
    return math.ceil(across * in_pixel / 8) * down
