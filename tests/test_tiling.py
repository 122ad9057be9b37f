from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.tiling import MIN_WEIGHT, Tile, blend, cut_tile, plan_tiles, tiles_touching

Plan = tuple[tuple[int, int], int, int]
"""Shape, tile and overlap."""

MOST_TILES = 400
"""Of one plan: an image of 600 × 600 px in tiles of 1 px would take minutes."""


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw shapes from 1 × 1 to 600 × 600 with any legal tile and overlap, but few enough tiles to run."""
    # Hypothesis favours small numbers; counting down as well favours long axes and wide overlaps too.
    tile = draw(st.one_of(st.integers(1, 300), st.integers(2, 40)))
    overlap = draw(
        st.one_of(st.integers(0, tile // 2), st.integers(0, tile // 2).map(lambda i: tile // 2 - i))
    )
    stride = tile - overlap
    first = draw(lengths(min(600, tile + stride * (MOST_TILES - 1))))
    tiles = 1 + max(0, -(-(first - tile) // stride))
    second = draw(lengths(min(600, tile + stride * (MOST_TILES // tiles - 1))))
    return (first, second) if draw(st.booleans()) else (second, first), tile, overlap


def lengths(most: int) -> st.SearchStrategy[int]:
    return st.one_of(st.integers(1, most), st.integers(0, most - 1).map(lambda i: most - i))


def random_image(shape: tuple[int, int]) -> NDArray[np.float32]:
    image = np.random.default_rng(shape).random(shape, np.float32)
    image.flat[0], image.flat[-1] = 1, 0
    return image


def covers(plan: tuple[Tile, ...], shape: tuple[int, int]) -> NDArray[np.int64]:
    """Count the tiles that cover each pixel."""
    count = np.zeros(shape, np.int64)
    for tile in plan:
        count[tile.y : tile.y + tile.size, tile.x : tile.x + tile.size] += 1
    return count


# ---------------------------------------------------------------- the plan


@given(plans())
@settings(deadline=None, max_examples=200)
def test_a_plan_covers_every_pixel_in_steps_of_the_stride(plan: Plan) -> None:
    shape, size, overlap = plan
    tiles = plan_tiles(shape, size, overlap)
    assert covers(tiles, shape).min() >= 1
    assert tiles == tuple(sorted(tiles, key=lambda tile: (tile.y, tile.x)))
    assert len(set(tiles)) == len(tiles)
    assert {tile.size for tile in tiles} == {size}
    for axis, length in zip("yx", shape, strict=True):
        starts = sorted({getattr(tile, axis) for tile in tiles})
        steps = [after - before for before, after in pairwise(starts)]
        assert starts[0] == 0
        assert starts[-1] == max(length - size, 0)
        assert all(step == size - overlap for step in steps[:-1])
        assert all(0 < step <= size - overlap for step in steps[-1:])
    assert len(tiles) == len({tile.y for tile in tiles}) * len({tile.x for tile in tiles})


def test_plans_by_hand() -> None:
    assert plan_tiles((256, 256)) == (Tile(0, 0, 256),)
    assert plan_tiles((257, 10)) == (Tile(0, 0, 256), Tile(1, 0, 256))
    assert [tile.y for tile in plan_tiles((480, 1))] == [0, 224]
    assert [tile.y for tile in plan_tiles((481, 1))] == [0, 224, 225]
    assert [(t.y, t.x) for t in plan_tiles((5, 6), 4, 2)] == [(0, 0), (0, 2), (1, 0), (1, 2)]
    assert [tile.x for tile in plan_tiles((1, 3), 1, 0)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("shape", "tile", "overlap", "message"),
    [
        ((0, 5), 4, 0, r"shape is \(0, 5\)"),
        ((5, 5, 3), 4, 0, r"shape is \(5, 5, 3\)"),
        ((5, 5), 0, 0, "tile is 0"),
        ((5, 5), 4, -1, "overlap is -1, expected 0 to 2"),
        ((5, 5), 4, 3, "overlap is 3, expected 0 to 2"),
        ((5, 5), 5, 3, "overlap is 3, expected 0 to 2"),
    ],
)
def test_impossible_plans_are_refused(shape: Any, tile: int, overlap: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_tiles(shape, tile, overlap)


# ---------------------------------------------------------------- cutting


@given(plans())
@settings(deadline=None, max_examples=30)
def test_a_tile_is_the_image_mirrored_beyond_its_edge(plan: Plan) -> None:
    shape, size, overlap = plan
    image = random_image(shape)
    mirrored = np.pad(image, [(0, size), (0, size)], mode="symmetric")
    for tile in plan_tiles(shape, size, overlap):
        expected = mirrored[tile.y : tile.y + size, tile.x : tile.x + size]
        assert np.array_equal(cut_tile(image, tile), expected)


def test_cutting_by_hand() -> None:
    image = np.array([[1, 2, 3], [4, 5, 6]])
    assert cut_tile(image, Tile(0, 1, 2)).tolist() == [[2, 3], [5, 6]]
    assert cut_tile(image, Tile(0, 0, 4)).tolist() == [[1, 2, 3, 3], [4, 5, 6, 6], [4, 5, 6, 6], [1, 2, 3, 3]]
    assert cut_tile(image[:1, :1], Tile(0, 0, 3)).tolist() == [[1, 1, 1]] * 3


# ---------------------------------------------------------------- blending


@given(plans())
@example(((1, 1), 256, 32))
@example(((600, 600), 256, 128))
@example(((481, 481), 256, 32))  # the last tile starts 1 px after the one before: nine tiles on a pixel
@example(((7, 7), 4, 2))
@example(((600, 1), 2, 1))
@settings(deadline=None, max_examples=200)
def test_an_identity_model_gives_the_image_back(plan: Plan) -> None:
    shape, size, overlap = plan
    image = random_image(shape)
    tiles = plan_tiles(shape, size, overlap)
    blended = blend(tiles, (cut_tile(image, tile) for tile in tiles), shape)
    assert blended.dtype == np.float32
    assert blended.shape == shape
    assert np.abs(blended - image).max() <= 1e-6


@given(plans(), st.randoms(use_true_random=False))
@example(((512, 512), 256, 128), None)
@example(((257, 257), 256, 128), None)
@settings(deadline=None, max_examples=100)
def test_no_weight_is_under_a_thousandth(plan: Plan, random: Any) -> None:
    """A tile's share of a pixel is its weight over the sum of at most as many weights as tiles, each ≤ 1."""
    shape, size, overlap = plan
    tiles = plan_tiles(shape, size, overlap)
    chosen = random.randrange(len(tiles)) if random else 0
    ones, zeros = np.ones((size, size), np.float32), np.zeros((size, size), np.float32)
    share = blend(tiles, (ones if i == chosen else zeros for i in range(len(tiles))), shape)
    inside = np.zeros(shape, bool)
    tile = tiles[chosen]
    inside[tile.y : tile.y + size, tile.x : tile.x + size] = True
    assert (share[inside] >= 0.999 * MIN_WEIGHT / covers(tiles, shape)[inside]).all()
    assert share.max() <= 1
    assert not share[~inside].any()


def test_the_least_weight() -> None:
    assert MIN_WEIGHT == 1e-3


def test_blending_by_hand() -> None:
    # The ramps over 2 common pixels are sin²(π/8) = 0.1464 and sin²(3π/8) = 0.8536.
    tiles = plan_tiles((1, 6), 4, 2)
    blended = blend(tiles, [np.zeros((4, 4)), np.ones((4, 4))], (1, 6))
    np.testing.assert_allclose(blended, [[0, 0, 0.146447, 0.853553, 1, 1]], atol=1e-6)


def test_three_tiles_on_a_pixel_by_hand() -> None:
    # Starts 0, 2, 3. Windows: 1 1 b a · · · | · · a·p b·q 1·r … with a = sin²(π/8), b = sin²(3π/8) where the
    # second and third share 3 px, whose ramp is sin²(π/12), sin²(π/4), sin²(5π/12) = 0.0670, 0.5, 0.9330.
    a, b, low, half, high = 0.146447, 0.853553, 0.0669873, 0.5, 0.9330127
    tiles = plan_tiles((1, 7), 4, 2)
    assert [tile.x for tile in tiles] == [0, 2, 3]
    windows = np.array(
        [[1, 1, b, a, 0, 0, 0], [0, 0, a, b * high, half, low, 0], [0, 0, 0, low, half, high, 1]]
    )
    predictions = [np.full((4, 4), value) for value in (0.25, 0.5, 1)]
    expected = (windows * [[0.25], [0.5], [1]]).sum(axis=0) / windows.sum(axis=0)
    np.testing.assert_allclose(blend(tiles, predictions, (1, 7))[0], expected, atol=1e-6)


@given(plans())
@settings(deadline=None, max_examples=50)
def test_a_blend_lies_between_its_predictions(plan: Plan) -> None:
    shape, size, overlap = plan
    tiles = plan_tiles(shape, size, overlap)
    values = np.random.default_rng(size).random(len(tiles))
    blended = blend(tiles, (np.full((size, size), value) for value in values), shape)
    lowest, highest = np.full(shape, np.inf), np.full(shape, -np.inf)
    for tile, value in zip(tiles, values, strict=True):
        inside = np.s_[tile.y : tile.y + size, tile.x : tile.x + size]
        lowest[inside] = np.minimum(lowest[inside], value)
        highest[inside] = np.maximum(highest[inside], value)
    assert (blended >= lowest - 1e-6).all()
    assert (blended <= highest + 1e-6).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_are_blended_in_float32(dtype: type) -> None:
    image = (random_image((50, 60)) * 8).round().astype(dtype) / 8
    tiles = plan_tiles((50, 60), 32, 8)
    predictions = [cut_tile(image, tile).astype(dtype) for tile in tiles]
    before = [prediction.copy() for prediction in predictions]
    blended = blend(tiles, predictions, (50, 60))
    assert blended.dtype == np.float32
    assert np.abs(blended - image).max() <= 1e-6
    assert all(map(np.array_equal, predictions, before))


@pytest.mark.parametrize("count", [0, 3, 5])
def test_a_wrong_number_of_predictions_is_refused(count: int) -> None:
    tiles = plan_tiles((6, 6), 4, 2)
    with pytest.raises(InputError, match=f"there are {count} predictions for 4 tiles"):
        blend(tiles, [np.zeros((4, 4))] * count, (6, 6))


def test_a_long_stream_is_refused_at_the_first_one_too_many() -> None:
    taken: list[int] = []

    def stream() -> Iterator[NDArray[np.float64]]:
        for number in range(100):
            taken.append(number)
            yield np.zeros((4, 4))

    with pytest.raises(InputError, match="5 predictions for 4 tiles"):
        blend(plan_tiles((6, 6), 4, 2), stream(), (6, 6))
    assert len(taken) == 5


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (4, 4, 1), (4,), (5, 5)])
def test_a_prediction_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    predictions = [np.zeros((4, 4)), np.zeros(shape), np.zeros((4, 4)), np.zeros((4, 4))]
    with pytest.raises(InputError, match="prediction 2 has shape"):
        blend(plan_tiles((6, 6), 4, 2), predictions, (6, 6))


def spans(length: int) -> st.SearchStrategy[slice]:
    """Draw a span of at least one pixel."""
    return st.tuples(st.integers(0, length - 1), st.integers(1, length)).map(
        lambda ends: slice(min(ends), max(ends[1], ends[0] + 1))
    )


@given(plans(), st.data())
def test_a_blended_window_is_that_of_the_whole_bit_by_bit(plan: Plan, data: st.DataObject) -> None:
    shape, tile, overlap = plan
    window = (data.draw(spans(shape[0])), data.draw(spans(shape[1])))
    tiles = plan_tiles(*plan)
    touching = tiles_touching(window, shape, tile, overlap)
    assert touching == tuple(
        one
        for one in tiles
        if one.y < window[0].stop and one.y + tile > window[0].start
        and one.x < window[1].stop and one.x + tile > window[1].start
    )  # fmt: skip
    predictions = {one: np.random.default_rng(at).random((tile, tile)) for at, one in enumerate(tiles)}
    whole = blend(tiles, predictions.values(), shape)
    part = blend(touching, [predictions[one] for one in touching], shape, window)
    np.testing.assert_array_equal(part, whole[window])
