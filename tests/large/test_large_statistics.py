import io
import pickle
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.large.counting import CountRequest, count_block
from dinocell.large.statistics import RangeSearch, StreamedStatistics
from dinocell.preprocess.intensity_range import IntensityRange, find_range, scale_to_uint8, to_uint8
from dinocell.preprocess.preprocessing import to_grayscale
from tests.examples import examples

DTYPES = (
    np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64,
    np.float16, np.float32, np.float64, np.longdouble,
)  # fmt: skip

Blocks = list[NDArray[Any]]


def streamed(blocks: Blocks, low: float = 0.1, high: float = 99.9) -> StreamedStatistics:
    """Search in passes, the blocks in another order each; what they count is stored in between."""
    search = RangeSearch(blocks[0].dtype, low=low, high=high)
    passes = 0
    while not search.done:
        for block in blocks[passes % len(blocks) :] + blocks[: passes % len(blocks)]:
            search.add(stored(block, search.request))
        search.finish_pass()
        search = pickle.loads(pickle.dumps(search))  # noqa: S301 (our own)
        passes += 1
    assert passes == {1: 1, 2: 1, 4: 2}.get(blocks[0].dtype.itemsize, 4)
    return search.result()


def stored(block: NDArray[Any], request: CountRequest) -> dict[str, NDArray[Any]]:
    """Count a block as in another process: the request pickled, the counts in a file and back."""
    file = io.BytesIO()
    np.savez(file, **count_block(block, pickle.loads(pickle.dumps(request))))  # noqa: S301 (our own)
    file.seek(0)
    with np.load(file) as counts:
        return dict(counts)


def split(gray: NDArray[Any], cuts: Iterable[float]) -> list[NDArray[Any]]:
    """Cut an image into blocks at parts of its height, and those at parts of its width."""
    parts = sorted(cuts)
    rows = np.split(gray, [round(part * gray.shape[0]) for part in parts], axis=0)
    blocks = [
        block
        for at, row in enumerate(rows)
        for block in np.split(row, [round(p * gray.shape[1]) for p in parts[:at]], axis=1)
    ]
    return [block for block in blocks if block.size] or [gray]


@st.composite
def grays(draw: st.DrawFn, dtype: type) -> NDArray[Any]:
    """Draw pixels from all over the dtype, or of few values; some floats are not finite, but not most."""
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=24))
    kind, plain = np.dtype(dtype).kind, np.dtype(dtype)
    if kind == "f":
        width = min(8 * plain.itemsize, 64)
        # Where the difference of two pixels is infinite, numpy.percentile itself is at its end.
        bound = float(np.finfo(f"f{width // 8}").max) / 4
        anything = st.floats(-bound, bound, width=width, allow_nan=False)  # type: ignore[arg-type]
        few = st.sampled_from([-0.0, 0.0, 1.0, -1.5, float(np.finfo(f"f{width // 8}").smallest_subnormal)])
        holes = st.sampled_from([np.nan, np.inf, -np.inf])
        elements = draw(st.sampled_from([anything, few, anything | few | holes]))
        plain = np.dtype(f"f{width // 8}")
    else:
        info = np.iinfo(plain)
        few = st.sampled_from([info.min, info.min + 1, 0, 1, info.max])
        elements = draw(st.sampled_from([st.integers(info.min, info.max), few, st.integers(0, 3)]))
    return draw(arrays(plain, shape, elements=elements)).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data(), cuts=st.lists(st.floats(0, 1), max_size=4))
@examples(15, search=60)
def test_what_is_found_in_a_stream_is_what_is_found_in_the_whole(
    data: st.DataObject, cuts: list[float], dtype: type
) -> None:
    gray = data.draw(grays(dtype))
    low = data.draw(st.sampled_from([0, 0.1, 1, 12.5, 50]) | st.floats(0, 90))
    high = data.draw(st.sampled_from([99.9, 100, 75]) | st.floats(90.5, 100)) if low < 75 else 100
    blocks = split(gray, cuts)
    nonfinite = int(gray.size - np.isfinite(gray).sum())
    if nonfinite > gray.size / 2:
        with pytest.raises(InputError) as whole:
            find_range(gray, low=low, high=high)
        with pytest.raises(InputError, match="NaN or infinite") as stream:
            streamed(blocks, low, high)
        assert str(stream.value) == str(whole.value)
        return
    result = streamed(blocks, low, high)
    assert result == StreamedStatistics(find_range(gray, low=low, high=high), gray.size, nonfinite)


@given(
    st.sampled_from(DTYPES[:-1]),
    st.integers(0, 99),
    st.integers(1, 30_000),
    st.sampled_from([1.0, 1e-3, 1e4]),
    st.lists(st.floats(0, 1), max_size=3),
)
@example(np.float32, 0, 1001, 1.0, [0.5])
@examples(25, search=150)
def test_smooth_images_with_interpolated_percentiles(
    dtype: type, seed: int, pixels: int, spread: float, cuts: list[float]
) -> None:
    """Draw many different values, so that percentiles lie between two."""
    values = np.random.default_rng(seed).gamma(2, spread, (1, pixels))
    top = np.iinfo(dtype).max if np.dtype(dtype).kind in "ui" else np.finfo(dtype).max
    gray = np.minimum(values * (50 if np.dtype(dtype).kind in "ui" else 1), float(top) / 4).astype(dtype)
    blocks = split(gray, cuts)
    found = streamed(blocks).found
    assert found == find_range(gray)
    assert np.array_equal(to_uint8(gray, found), scale_to_uint8(gray))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_luminance_of_colour(dtype: type) -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 70, 3)).astype(dtype)
    blocks = [to_grayscale(image[:20]), to_grayscale(image[20:, :30]), to_grayscale(image[20:, 30:])]
    assert streamed(blocks).found == find_range(to_grayscale(image))


def test_ranges_by_hand() -> None:
    ramp = np.arange(1001, dtype=np.uint16).reshape(7, 143)
    expected = StreamedStatistics(IntensityRange(250, 750, 0), 1001, 0)
    assert streamed([ramp[:3], ramp[3:]], 25, 75) == expected
    # Of the ranks 0 to 4, these are 0.25 and 2.5: a quarter of the way from 1 to 2, half of it from 4 to 8.
    powers = np.array([[4, 16, 1, 8, 2]])
    for dtype in DTYPES:
        assert streamed([powers.astype(dtype)], 6.25, 62.5).found == IntensityRange(1.25, 6, 1)
    assert streamed([np.array([[-3.5]])]).found == IntensityRange(-3.5, -3.5, -3.5, extremes=True)
    lone = np.zeros((50, 50), np.float32)
    lone[3, 4] = 7
    assert streamed([lone[:2], lone[2:]]).found == IntensityRange(0, 7, 0, extremes=True)


def test_a_block_of_holes_beside_others() -> None:
    gray = np.arange(40, dtype=np.float32).reshape(4, 10)
    gray[3] = np.nan, *[np.inf] * 4, *[-np.inf] * 5
    result = streamed([gray[3:], gray[:3]])
    assert result == StreamedStatistics(find_range(gray), 40, 10)
    assert result.found.lowest == 0


def test_values_beyond_the_precision_of_doubles() -> None:
    gray = np.array([[2**63 - 1, 2**63 - 2, -(2**63), -(2**63) + 1, 2**53 + 1, 5]])
    assert streamed([gray[:, :2], gray[:, 2:]], 10, 70).found == find_range(gray, low=10, high=70)


def test_counts_by_hand() -> None:
    request = RangeSearch(np.dtype(np.int16), low=0.1, high=99.9).request
    assert request == CountRequest("<i2", 0, (0,))
    counts = count_block(np.array([[-1, 0, 5], [0, 0, -32768]], np.int16), request)
    assert counts["keys"].tolist() == [0, 32767, 32768, 32773]
    assert counts["keys"].dtype == np.uint64
    assert counts["counts"].tolist() == [1, 1, 3, 1]
    numbers = {name: int(counts[name]) for name in ("finite", "nonfinite", "min", "max")}
    assert numbers == {"finite": 6, "nonfinite": 0, "min": 0, "max": 32773}
    # 1.0 is 0x3F800000, −2.0 is 0xC0000000: the sign turned, and all bits of negative ones.
    halves = count_block(np.array([[1, -2, np.nan, 1]], np.float32), CountRequest("<f4", 16, (0,)))
    assert halves["keys"].tolist() == [0x3FFF, 0xBF80]
    assert halves["counts"].tolist() == [1, 2]
    assert int(halves["max"]) == 0xBF800000


def test_later_passes_count_only_what_is_sought() -> None:
    gray = np.random.default_rng(0).random((200, 300))
    search = RangeSearch(gray.dtype, low=1, high=99)
    sizes = []
    while not search.done:
        counts = count_block(gray, search.request)
        sizes.append(int(counts["counts"].sum()))
        search.add(counts)
        search.finish_pass()
    assert sizes[0] == gray.size
    assert sizes[1] < gray.size / 5
    assert sizes[3] <= 4


def test_parts_that_are_not_contiguous_or_native() -> None:
    whole = np.random.default_rng(0).integers(0, 60_000, (40, 50)).astype(">u2")
    blocks = [whole[::2, ::-1], whole[1::2].T]
    assert streamed(blocks).found == find_range(whole)
    assert streamed([whole.astype(">f4")]).found == find_range(whole)


def test_what_cannot_be_counted_is_refused() -> None:
    for dtype in (complex, bool, "U3"):
        with pytest.raises(InputError, match="gray pixels have dtype"):
            RangeSearch(np.dtype(dtype), low=0.1, high=99.9)
    with pytest.raises(InputError, match="percentiles are 70 and 30"):
        RangeSearch(np.dtype(np.uint8), low=70, high=30)
    search = RangeSearch(np.dtype(np.uint8), low=0.1, high=99.9)
    with pytest.raises(InputError, match="dtype uint16, expected uint8"):
        count_block(np.zeros((2, 2), np.uint16), search.request)
    with pytest.raises(InputError, match="search is not done"):
        search.result()
    with pytest.raises(InputError, match="no pixels"):
        search.finish_pass()


def test_mixed_up_passes_are_refused() -> None:
    gray = np.arange(100, dtype=np.float32).reshape(10, 10)
    search = RangeSearch(gray.dtype, low=10, high=90)
    first = count_block(gray, search.request)
    search.add(first)
    search.finish_pass()
    with pytest.raises(InputError, match="another pass"):
        search.add(first)
    search.add(count_block(gray[:5], search.request))
    with pytest.raises(InputError, match="hold 50 pixels, expected 100"):
        search.finish_pass()
    search.add(count_block(gray[5:], search.request))
    search.finish_pass()
    assert search.result().found == find_range(gray, low=10, high=90)
    with pytest.raises(InputError, match="search is done"):
        search.finish_pass()
