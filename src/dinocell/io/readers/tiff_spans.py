"""Bytes of a TIFF file that its directories and pixels take, and pixels that share bytes with anything else.

Pixels that are stored as they are look sound wherever a damaged offset points to. Bytes that belong to two
things, of which one is such pixels, show the damage::

    byte   0    8         60                 200                350
           |head|directory|strip of page 0   |strip of page 1   |
                     |strip of page 2  |                          its offset is damaged

Page 2 shares bytes with the directory and with page 0, so it cannot be sound; nor is it known that page 0 is.
A compressed strip that reaches into another may only have a wrong size, and two pages may share one strip on
purpose: these are odd, not wrong.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from dinocell.io.readers.tiff_tags import Offsets

# How a span of bytes is stored: with structure or a checksum that shows damage, compressed in a way whose
# decoder takes any bytes, or as it is.
_CHECKED, _UNCHECKED, _RAW = range(3)


class ByteSpans:
    """Spans of bytes that directories, tags and strips or tiles take.

    Attributes
    ----------
    is_exact : bool
        False if the file counts bytes in its own way, so that nothing can be concluded.
    """

    def __init__(self) -> None:
        self._structure: list[tuple[int, int]] = []
        self._parts: list[tuple[int, Offsets, Offsets, int]] = []  # page, starts, sizes, how they are stored
        self._whole: list[tuple[int, int, int, int]] = []  # the same of pages in one strip
        self.is_exact = True

    def add(self, start: int, size: int) -> None:
        """Add the bytes of a directory, or of a tag that pixels need."""
        self._structure.append((start, start + size))

    def add_parts(
        self,
        page: int,
        starts: Sequence[int] | Offsets,
        sizes: Sequence[int] | Offsets,
        largest: int | None,
        unchecked: bool,
    ) -> None:
        """Add the strips or tiles of a page.

        Parameters
        ----------
        page : int
            Where its directory is.
        starts, sizes : sequence of int
        largest : int or None
            Most bytes of one of them, if they are stored as they are; None for compressed ones.
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
        return _find_shared(starts[there], (starts + sizes)[there], pages[there], kinds[there])


def _find_shared(
    starts: Offsets, stops: Offsets, pages: Offsets, kinds: Offsets
) -> tuple[set[int], set[int]]:
    """Return the pages of spans that share bytes with another one: that cannot be sound, and that may be.

    Sorted by start, a span shares bytes with an earlier one if it starts before the furthest stop so far. It
    is compared with the span that reaches furthest, which is enough to notice that something is wrong::

        span       A        B      C        D
        start      8        20     40       90
        stop       30       25     60       120
        furthest   30       30     60       120
        shared              B<30                  B starts at 20, before A stops at 30: A and B
    """
    order = np.lexsort((-stops, starts))
    starts, stops, pages, kinds = starts[order], stops[order], pages[order], kinds[order]
    furthest = np.maximum.accumulate(stops)
    # number of the earlier span that reaches furthest
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
