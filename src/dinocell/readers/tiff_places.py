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
        self.is_exact = True

    def take(self, start: int, size: int) -> None:
        """Note bytes of a directory or of a tag that pixels need."""
        self._structure.append((start, start + size))

    def take_parts(
        self,
        page: int,
        starts: Sequence[int],
        sizes: Sequence[int],
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
        count = min(len(starts), len(sizes))
        sizes_there = np.asarray(sizes[:count], np.int64)
        if largest is not None:
            if count == 1 and not sizes_there[0]:  # of a single strip the count may be left out
                sizes_there = np.array([largest], np.int64)
            sizes_there = np.minimum(sizes_there, largest)
        kind = _RAW if largest is not None else _UNCHECKED if unchecked else _CHECKED
        self._parts.append((page, np.asarray(starts[:count], np.int64), sizes_there, kind))

    @cached_property
    def shared(self) -> tuple[set[int], set[int]]:
        """Directories of pages whose pixels share bytes with something else.

        First those that cannot be sound; then those that may be: two strips or tiles are the very same bytes,
        or they are compressed, and only their sizes may be wrong.
        """
        if not self.is_exact or not any(kind for *_, kind in self._parts):
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
        kinds = np.concatenate(
            [np.full(len(structure), _CHECKED), np.repeat([kind for *_, kind in self._parts], lengths)]
        )
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
