"""The range of an image's grays without the image in memory: exact percentiles, by counting blocks.

Grays are turned into unsigned keys of the same order, and the wanted ones are found 16 bits a pass: the first
pass counts by the upper bits of all pixels, the next ones go on among pixels that begin like a wanted one.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.preprocessing import IntensityRange, Preprocessing, check_finite_share, computed_dtype

Counts = dict[str, NDArray[Any]]
"""What `count_block` found, ready for `numpy.savez`: keys, counts, finite, nonfinite, min and max."""

_DIGIT_BITS = 16
_DIGITS = 1 << _DIGIT_BITS
_PIECE = 1 << 19
"""Pixels that are counted at a time, so that copies of them stay in the processor's cache."""


@dataclass(frozen=True)
class CountRequest:
    """What each block has to count in the pass at hand.

    Attributes
    ----------
    dtype : str
        Of the gray pixels, in native byte order.
    shift : int
        Lower bits of the keys that are not looked at yet.
    prefixes : tuple of int
        Sorted: what the bits above the counted 16 may be; (0,) in the first pass, where there are none.
    """

    dtype: str
    shift: int
    prefixes: tuple[int, ...]


@dataclass(frozen=True)
class StreamedStatistics:
    """What a search has found out about an image.

    Attributes
    ----------
    found : IntensityRange
        Equal to that of `dinocell.preprocessing.find_range` for the whole image.
    pixels : int
        Of the image.
    nonfinite : int
        How many of them are NaN or infinite.
    """

    found: IntensityRange
    pixels: int
    nonfinite: int


class RangeSearch:
    """The search for an image's `IntensityRange`: one pass over blocks up to 16 bits, two of 32, four of 64.

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
        self._counted = _counted_dtype(dtype)
        self._shift = max(0, 8 * self._counted.itemsize - _DIGIT_BITS)
        self._first = True
        self._finite = self._nonfinite = 0
        self._lowest, self._highest = _NO_MINIMUM, _NO_MAXIMUM
        self._sought: dict[int, tuple[int, int]] = {}  # rank → prefix of its key, rank among those
        self._start_pass((0,))

    def _start_pass(self, prefixes: tuple[int, ...]) -> None:
        self._prefixes = prefixes
        self._counts = np.zeros((len(prefixes), _DIGITS), np.int64)
        self._pass_finite = self._pass_nonfinite = 0

    @property
    def request(self) -> CountRequest:
        """What `count_block` has to count in the pass at hand."""
        return CountRequest(self._dtype.str, self._shift, self._prefixes)

    @property
    def done(self) -> bool:
        """Whether all passes are finished."""
        return self._shift < 0

    def add(self, counts: Mapping[str, NDArray[Any]]) -> None:
        """Add what one block counted in this pass, in any order, each block once.

        Raises
        ------
        InputError
            If it was counted for another pass.
        """
        keys = np.asarray(counts["keys"], np.uint64)
        prefixes = np.asarray(self._prefixes, np.uint64)
        heads = keys >> np.uint64(_DIGIT_BITS)
        slots = np.searchsorted(prefixes, heads)
        if not np.array_equal(prefixes[np.minimum(slots, len(prefixes) - 1)], heads):
            raise InputError(
                "counts of a block are of another pass, expected those of the request at hand: count it again"
            )
        self._counts[slots, (keys & np.uint64(_DIGITS - 1)).astype(np.intp)] += counts["counts"]
        self._pass_finite += int(counts["finite"])
        self._pass_nonfinite += int(counts["nonfinite"])
        if self._first:
            self._lowest = min(self._lowest, int(counts["min"]))
            self._highest = max(self._highest, int(counts["max"]))

    def finish_pass(self) -> None:
        """Go on to the next pass, once all blocks are added.

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
        self._shift -= _DIGIT_BITS
        self._start_pass(tuple(sorted({prefix for prefix, _ in self._sought.values()})))

    def _begin(self) -> None:
        """Take the totals, and say which ranks are sought."""
        self._finite, self._nonfinite = self._pass_finite, self._pass_nonfinite
        if self._finite + self._nonfinite == 0:
            raise InputError("the blocks hold no pixels, expected at least one")
        check_finite_share(self._finite, self._finite + self._nonfinite)
        for percentile in self._percentiles:
            below, above, _ = _neighbours(self._finite, percentile)
            self._sought |= {below: (0, below), above: (0, above)}

    def _narrow(self, prefix: int, rank: int) -> tuple[int, int]:
        """Lengthen a prefix by the digit that holds the rank; return it and the rank among keys with both."""
        below = np.cumsum(self._counts[self._prefixes.index(prefix)])
        digit = int(np.searchsorted(below, rank, side="right"))
        return (prefix << _DIGIT_BITS) | digit, rank - (int(below[digit - 1]) if digit else 0)

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
        return _grays(np.array([key], np.uint64), self._counted).astype(computed_dtype(self._dtype))[0]


def _neighbours(count: int, percentile: float) -> tuple[int, int, float]:
    """Return the ranks between which a percentile of `count` values lies, and the weight of the upper one."""
    position = (count - 1) * (percentile / 100)
    below = min(math.floor(position), count - 1)
    return below, min(below + 1, count - 1), position - below


_NO_MINIMUM, _NO_MAXIMUM = (1 << 64) - 1, 0
"""Least and greatest key of a block without finite pixels: neither changes those of others."""


def count_block(gray: NDArray[Any], request: CountRequest) -> Counts:
    """Count the keys of a block that a pass asks for.

    Parameters
    ----------
    gray : array, shape (Y, X)
        A block of the image, as `to_grayscale` returns it.
    request : CountRequest
        `RangeSearch.request` of the pass.

    Returns
    -------
    dict of arrays
        ``keys``, uint64, sorted: keys without their lower ``request.shift`` bits; ``counts``, int64: pixels
        of each; ``finite`` and ``nonfinite``, int64: pixels of the block; ``min`` and ``max``, uint64: least
        and greatest whole key.

    Raises
    ------
    InputError
        If the block has another dtype than the search.
    """
    dtype = np.dtype(request.dtype)
    if gray.dtype.newbyteorder("=") != dtype:
        raise InputError(f"a block has dtype {gray.dtype}, expected {dtype} as in the rest of the image")
    table = np.zeros((len(request.prefixes), _DIGITS), np.int64)
    lowest, highest, finite = _NO_MINIMUM, _NO_MAXIMUM, 0
    for piece in _pieces(gray):
        keys = _keys(piece.astype(_counted_dtype(dtype), copy=False))
        if keys.size:
            finite += keys.size
            lowest, highest = min(lowest, int(keys.min())), max(highest, int(keys.max()))
            _count(keys, request, table)
    slots, digits = table.nonzero()
    prefixes = np.asarray(request.prefixes, np.uint64) << np.uint64(_DIGIT_BITS)
    return {
        "keys": prefixes[slots] | digits.astype(np.uint64),
        "counts": table[slots, digits],
        "finite": np.array(finite, np.int64),
        "nonfinite": np.array(gray.size - finite, np.int64),
        "min": np.array(lowest, np.uint64),
        "max": np.array(highest, np.uint64),
    }


def _pieces(gray: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Cut a block into flat pieces of some rows."""
    rows = max(1, _PIECE // max(1, gray.shape[1]))
    for start in range(0, gray.shape[0], rows):
        yield gray[start : start + rows].ravel()


def _count(keys: NDArray[Any], request: CountRequest, table: NDArray[np.int64]) -> None:
    """Add the numbers of keys to a table of prefixes × digits."""
    unsigned = keys.dtype.type
    heads = keys >> unsigned(request.shift) if request.shift else keys
    if 8 * keys.dtype.itemsize <= request.shift + _DIGIT_BITS:  # nothing is above the digit
        table[0] += np.bincount(heads.astype(np.intp), minlength=_DIGITS)
        return
    prefixes = heads >> unsigned(_DIGIT_BITS)
    for slot, prefix in enumerate(request.prefixes):
        digits = heads[prefixes == unsigned(prefix)] & unsigned(_DIGITS - 1)
        table[slot] += np.bincount(digits.astype(np.intp), minlength=_DIGITS)


def _counted_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype whose bits are counted: native, and of floats at most the double that they become."""
    return np.dtype(np.float64) if dtype.kind == "f" and dtype.itemsize > 8 else dtype.newbyteorder("=")


def _keys(values: NDArray[Any]) -> NDArray[Any]:
    """Return unsigned integers in the order of the finite values: one a value, both zeros of floats apart.

    Floats are ordered by their bits as integers are, but for the sign: negative ones are turned round.
    """
    size = values.dtype.itemsize
    unsigned = np.dtype(f"u{size}")
    sign = unsigned.type(1 << (8 * size - 1))
    if values.dtype.kind == "u":
        return values
    if values.dtype.kind == "i":
        return np.asarray(values.view(unsigned) ^ sign)
    finite = np.isfinite(values)
    known = values if finite.all() else values[finite]
    negative = (known.view(f"i{size}") >> (8 * size - 1)).view(unsigned)  # all bits, or none
    return np.asarray(known.view(unsigned) ^ (negative | sign))


def _grays(keys: NDArray[np.uint64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the values of keys: the inverse of `_keys`."""
    size = dtype.itemsize
    unsigned = np.dtype(f"u{size}")
    sign = unsigned.type(1 << (8 * size - 1))
    bits = keys.astype(unsigned)
    if dtype.kind == "u":
        return bits
    if dtype.kind == "i":
        return np.asarray((bits ^ sign).view(dtype))
    return np.where(bits & sign, bits ^ sign, ~bits).view(dtype)
