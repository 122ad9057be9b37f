"""The range of an image's grays without the image in memory: exact percentiles, by counting blocks.

Grays become unsigned keys of the same order, see `dinocell.large.counting`. The keys at the wanted ranks are
found 16 bits a pass: the first pass counts all pixels by their upper bits, the next ones only pixels that
begin like a wanted key. Example: rank 5, keys of two hexadecimal digits, one a pass::

    keys, sorted     03 07 12 19 30 31 38 90           ranks 0…7
    pass 1, digit 1  0: 2   1: 2   3: 3   9: 1         4 keys lie below 3…, 7 below 9…: rank 5 begins with 3,
                                                       and is rank 5 − 4 = 1 among the keys that do
    pass 2, of 3…    30: 1  31: 1  38: 1               rank 1 among them is 31
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.large.counting import (
    DIGIT_BITS,
    DIGITS,
    NO_MAXIMUM,
    NO_MINIMUM,
    CountRequest,
    counted_dtype,
    grays_of_keys,
)
from dinocell.preprocess.intensity_range import IntensityRange, check_finite_share, computed_dtype
from dinocell.preprocess.preprocessing import Preprocessing


@dataclass(frozen=True)
class StreamedStatistics:
    """Result of a search.

    Attributes
    ----------
    found : IntensityRange
        Equal to that of `dinocell.preprocess.intensity_range.find_range` for all that was counted: the whole
        image, or its field.
    pixels : int
        Pixels that were counted.
    nonfinite : int
        Pixels that are NaN or infinite.
    """

    found: IntensityRange
    pixels: int
    nonfinite: int


class RangeSearch:
    """Search for the `IntensityRange` of an image: one pass for up to 16 bits, two for 32, four for 64.

    ::

        search = RangeSearch(dtype, low=0.1, high=99.9)
        while not search.done:
            for gray in blocks:
                search.add(count_block(gray, search.request))
            search.finish_pass()
        found = search.result().found

    Parameters
    ----------
    dtype : dtype
        Of the gray pixels, as `to_grayscale` returns them.
    low, high : float
        Percentiles, 0 ≤ low < high ≤ 100.

    Raises
    ------
    InputError
        If the dtype is not of integers or floats, or the percentiles are out of order.
    """

    def __init__(self, dtype: np.dtype[Any], *, low: float, high: float) -> None:
        if dtype.kind not in "uif":
            raise InputError(f"gray pixels have dtype {dtype}, expected integers or floats")
        Preprocessing(low_percentile=low, high_percentile=high)  # checks them
        self._percentiles = (low, high)
        self._dtype = dtype.newbyteorder("=")
        self._counted = counted_dtype(dtype)
        self._shift = max(0, 8 * self._counted.itemsize - DIGIT_BITS)
        self._first = True
        self._finite = self._nonfinite = 0
        self._lowest, self._highest = NO_MINIMUM, NO_MAXIMUM
        self._sought: dict[int, tuple[int, int]] = {}  # rank → prefix of its key, rank among those
        self._start_pass((0,))

    def _start_pass(self, prefixes: tuple[int, ...]) -> None:
        self._prefixes = prefixes
        self._counts = np.zeros((len(prefixes), DIGITS), np.int64)
        self._pass_finite = self._pass_nonfinite = 0

    @property
    def request(self) -> CountRequest:
        """Request to `count_block` in the current pass."""
        return CountRequest(self._dtype.str, self._shift, self._prefixes)

    @property
    def done(self) -> bool:
        """True when all passes are finished."""
        return self._shift < 0

    def add(self, counts: Mapping[str, NDArray[Any]]) -> None:
        """Add the counts of one block in this pass; blocks come in any order, each once.

        Raises
        ------
        InputError
            If it was counted for another pass.
        """
        keys = np.asarray(counts["keys"], np.uint64)
        prefixes = np.asarray(self._prefixes, np.uint64)
        heads = keys >> np.uint64(DIGIT_BITS)
        slots = np.searchsorted(prefixes, heads)
        if not np.array_equal(prefixes[np.minimum(slots, len(prefixes) - 1)], heads):
            raise InputError(
                "counts of a block are of another pass, expected those of the request at hand: count it again"
            )
        self._counts[slots, (keys & np.uint64(DIGITS - 1)).astype(np.intp)] += counts["counts"]
        self._pass_finite += int(counts["finite"])
        self._pass_nonfinite += int(counts["nonfinite"])
        if self._first:
            self._lowest = min(self._lowest, int(counts["min"]))
            self._highest = max(self._highest, int(counts["max"]))

    def finish_pass(self) -> None:
        """Start the next pass, once all blocks are added.

        Raises
        ------
        InputError
            If there were no pixels, more than half of them are NaN or infinite, blocks are missing or were
            added twice, or the search is done.
        """
        if self.done:
            raise InputError("the search is done, expected no further pass: call result()")
        if self._first:
            self._begin()
        elif (self._pass_finite, self._pass_nonfinite) != (self._finite, self._nonfinite):
            raise InputError(
                f"blocks of this pass hold {self._pass_finite + self._pass_nonfinite} pixels, expected "
                f"{self._finite + self._nonfinite} as in the first: add every block once"
            )
        self._sought = {rank: self._narrow(*place) for rank, place in self._sought.items()}
        self._first = False
        self._shift -= DIGIT_BITS
        self._start_pass(tuple(sorted({prefix for prefix, _ in self._sought.values()})))

    def _begin(self) -> None:
        """Store the totals, and choose the ranks to find."""
        self._finite, self._nonfinite = self._pass_finite, self._pass_nonfinite
        if self._finite + self._nonfinite == 0:
            raise InputError("the blocks hold no pixels, expected at least one")
        check_finite_share(self._finite, self._finite + self._nonfinite)
        for percentile in self._percentiles:
            below, above, _ = _neighbours(self._finite, percentile)
            self._sought |= {below: (0, below), above: (0, above)}

    def _narrow(self, prefix: int, rank: int) -> tuple[int, int]:
        """Lengthen a prefix by the digit at the rank; return it, and the rank among keys that begin so."""
        below = np.cumsum(self._counts[self._prefixes.index(prefix)])
        digit = int(np.searchsorted(below, rank, side="right"))
        return (prefix << DIGIT_BITS) | digit, rank - (int(below[digit - 1]) if digit else 0)

    def result(self) -> StreamedStatistics:
        """Return what was found.

        Raises
        ------
        InputError
            If the search is not done.
        """
        if not self.done:
            raise InputError("the search is not done, expected all passes: add blocks and call finish_pass()")
        bottom, top = (self._percentile(percentile) for percentile in self._percentiles)
        found = IntensityRange.choose(bottom, top, self._value(self._lowest), self._value(self._highest))
        return StreamedStatistics(found, self._finite + self._nonfinite, self._nonfinite)

    def _percentile(self, percentile: float) -> float:
        """Interpolate as `numpy.percentile` does: differences in the pixels' precision, weights in double."""
        below, above, weight = _neighbours(self._finite, percentile)
        first, second = (self._value(self._sought[rank][0]) for rank in (below, above))
        difference = second - first
        if weight >= 0.5:
            return float(second - difference * np.float64(1 - weight))
        return float(first + difference * np.float64(weight))

    def _value(self, key: int) -> Any:
        """Return the gray value of a key, as the float that grays of this dtype are computed with."""
        return grays_of_keys(np.array([key], np.uint64), self._counted).astype(computed_dtype(self._dtype))[0]


def _neighbours(count: int, percentile: float) -> tuple[int, int, float]:
    """Return the ranks between which a percentile of `count` values lies, and the weight of the upper one."""
    position = (count - 1) * (percentile / 100)
    below = min(math.floor(position), count - 1)
    return below, min(below + 1, count - 1), position - below
