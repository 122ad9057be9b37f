"""Where in a TIFF file its directories and pixels are, and whether pixels share bytes with anything else.

Pixels that are stored as they are look sound wherever a damaged offset points to. Bytes that belong to two
things, of which one is such pixels, show the damage.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

_Ints = NDArray[np.int64]
_CHECKED, _UNCHECKED, _RAW = range(3)


class Places:
    """The bytes of a file that directories, tags and strips or tiles take."""

    def __init__(self) -> None:
        self._structure: list[tuple[int, int]] = []
        self._parts: list[tuple[int, _Ints, _Ints, int]] = []  # page, starts, sizes, how they are stored
        self._whole: list[tuple[int, int, int, int]] = []  # the same of pages in one strip
        self.is_exact = True

    def take(self, start: int, size: int) -> None:
        """Note bytes of a directory or of a tag that pixels need."""
        self._structure.append((start, start + size))

    def take_parts(
        self,
        page: int,
        starts: Sequence[int] | _Ints,
        sizes: Sequence[int] | _Ints,
        largest: int | None,
        unchecked: bool,
    ) -> None:
        """Note the strips or tiles of the page whose directory is at a byte.

        Parameters
        ----------
        page : int
        starts, sizes : sequence of int
        largest : int or None
            Bytes that one of them has at most, if they are stored as they are; None for compressed ones.
        unchecked : bool
            Whether their decoder takes any bytes.
        """
        kind = _RAW if largest is not None else _UNCHECKED if unchecked else _CHECKED
        if len(starts) == len(sizes) == 1:  # as in most files of very many pages
            size = sizes[0] if largest is None else min(sizes[0] or largest, largest)  # it may be left out
            self._whole.append((page, starts[0], size, kind))
            return
        count = min(len(starts), len(sizes))
        lengths = np.asarray(sizes[:count], np.int64)
        if largest is not None:
            lengths = np.minimum(lengths, largest)
        self._parts.append((page, np.asarray(starts[:count], np.int64), lengths, kind))

    @cached_property
    def shared(self) -> tuple[set[int], set[int]]:
        """Directories of pages whose pixels share bytes with something else.

        First those that cannot be sound; then those that may be: two strips or tiles are the very same bytes,
        or they are compressed, and only their sizes may be wrong.
        """
        whole = np.array(self._whole, np.int64).reshape(-1, 4).T
        if not self.is_exact or not (whole[3].any() or any(kind for *_, kind in self._parts)):
            return set(), set()
        structure = np.array(self._structure, np.int64).reshape(-1, 2)
        first = np.stack([np.full(len(structure), -1), structure[:, 0], structure[:, 1] - structure[:, 0]])
        rows = [np.concatenate([first, np.full((1, len(structure)), _CHECKED)]), whole]
        for page, begins, lengths, kind in self._parts:
            rows.append(np.stack([np.full_like(begins, page), begins, lengths, np.full_like(begins, kind)]))
        pages, starts, sizes, kinds = np.concatenate(rows, axis=1)
        there = (starts > 0) & (sizes > 0)
        return _sharing(starts[there], (starts + sizes)[there], pages[there], kinds[there])


def _sharing(starts: _Ints, stops: _Ints, pages: _Ints, kinds: _Ints) -> tuple[set[int], set[int]]:
    """Return the pages of spans that share bytes with another one: that cannot be sound, and that may be."""
    order = np.lexsort((-stops, starts))
    starts, stops, pages, kinds = starts[order], stops[order], pages[order], kinds[order]
    furthest = np.maximum.accumulate(stops)
    # which of the spans before reaches furthest
    reaching = np.maximum.accumulate(np.where(stops == furthest, np.arange(len(stops)), 0))
    wrong: set[int] = set()
    odd: set[int] = set()
    for at in (np.flatnonzero(starts[1:] < furthest[:-1]) + 1).tolist():
        before = int(reaching[at - 1])
        is_same = starts[before] == starts[at] and stops[before] == stops[at]
        for one in (before, at):
            if kinds[one] != _CHECKED:
                (wrong if kinds[one] == _RAW and not is_same else odd).add(int(pages[one]))
    return wrong, odd
