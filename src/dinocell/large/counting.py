"""Counts of a block for the percentiles of the whole image: pixels by 16 bits of the keys of their grays.

A key is an unsigned integer, and keys have the order of the grays. For int8, and for a float of 4 bits::

    int8     −128   −1    0     1   127        the sign bit is inverted
    bits       80   ff   00    01    7f
    key        00   7f   80    81    ff

    float    −1.5    −1    −0     0     1   1.5    negative ones: all bits are inverted, as their bits
    bits     1011  1010  1000  0000  0010  0011    rise when they fall; others: the sign bit
    key      0100  0101  0111  1000  1010  1011
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError

BlockCounts = dict[str, NDArray[Any]]
"""Result of `count_block`, ready for `numpy.savez`: keys, counts, finite, nonfinite, min and max."""

DIGIT_BITS = 16
"""Bits of the keys that are counted in a pass."""

DIGITS = 1 << DIGIT_BITS
"""Number of values that these bits may have."""

_PIECE = 1 << 19
"""Pixels that are counted at a time, so that copies of them stay in the processor's cache."""

NO_MINIMUM, NO_MAXIMUM = (1 << 64) - 1, 0
"""Least and greatest key of a block without finite pixels: neither changes those of others."""


@dataclass(frozen=True)
class CountRequest:
    """Request for what each block counts in one pass.

    Attributes
    ----------
    dtype : str
        Of the gray pixels, in native byte order.
    shift : int
        Lower bits of the keys that are left for later passes.
    prefixes : tuple of int
        Sorted: what the bits above the counted 16 may be; (0,) in the first pass, where there are none.
    """

    dtype: str
    shift: int
    prefixes: tuple[int, ...]


def count_block(gray: NDArray[Any], request: CountRequest) -> BlockCounts:
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
    table = np.zeros((len(request.prefixes), DIGITS), np.int64)
    lowest, highest, finite = NO_MINIMUM, NO_MAXIMUM, 0
    for piece in _pieces(gray):
        keys = _keys(piece.astype(counted_dtype(dtype), copy=False))
        if keys.size:
            finite += keys.size
            lowest, highest = min(lowest, int(keys.min())), max(highest, int(keys.max()))
            _count(keys, request, table)
    slots, digits = table.nonzero()
    prefixes = np.asarray(request.prefixes, np.uint64) << np.uint64(DIGIT_BITS)
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
    if 8 * keys.dtype.itemsize <= request.shift + DIGIT_BITS:  # nothing is above the digit
        table[0] += np.bincount(heads.astype(np.intp), minlength=DIGITS)
        return
    prefixes = heads >> unsigned(DIGIT_BITS)
    for slot, prefix in enumerate(request.prefixes):
        digits = heads[prefixes == unsigned(prefix)] & unsigned(DIGITS - 1)
        table[slot] += np.bincount(digits.astype(np.intp), minlength=DIGITS)


def counted_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype whose bits are counted: native, and of floats at most the double that they become."""
    return np.dtype(np.float64) if dtype.kind == "f" and dtype.itemsize > 8 else dtype.newbyteorder("=")


def _keys(values: NDArray[Any]) -> NDArray[Any]:
    """Return unsigned integers in the order of the finite values: one a value, both zeros of floats apart.

    The bits of floats have the order of integers, except for the sign: those of negative ones are inverted.
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


def grays_of_keys(keys: NDArray[np.uint64], dtype: np.dtype[Any]) -> NDArray[Any]:
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
