import heapq
import importlib.util
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import ndimage, sparse
from skimage.segmentation import watershed

import dinocell.postprocess.watershed
from dinocell.errors import InputError
from dinocell.labels import relabel
from dinocell.metrics.pooling import pool
from dinocell.metrics.scores import evaluate
from dinocell.postprocess.distance import labels_to_distance
from dinocell.postprocess.watershed import (
    _lowest_linked,
    _number_markers,
    distance_in_pixels,
    distance_to_labels,
    grow_boundaries,
)
from tests.cases import CASES, CONVEX, disk

VALIDATION = Path(__file__).parents[3] / "shared" / "data" / "val"

EIGHT = np.ones((3, 3), int)
FIRST_EDGES_THEN_CORNERS = ((-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))

Map = NDArray[np.float32]
Labels = NDArray[np.int32]


def row(*values: float) -> Map:
    return np.array([values], np.float32)


def rolling_map(seed: int, shape: tuple[int, int] = (40, 50), smooth: float = 1.2) -> Map:
    """Draw random hills from 0 to 1, no two pixels alike."""
    hills = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), smooth)
    return (((hills - hills.min()) / np.ptp(hills)) ** 2).astype(np.float32)


def flood(distance: Map, cells_max: float, cell_fill: float) -> Labels:
    """Flood by the contract, spelled out: a queue by height, then by order of arrival."""
    labels, _ = ndimage.label(distance > cells_max, EIGHT)
    mask = distance > cell_fill
    labels[~mask] = 0
    queue = [(-distance[y, x], age, y, x) for age, (y, x) in enumerate(np.argwhere(labels))]
    age = len(queue)
    heapq.heapify(queue)
    while queue:
        depth, _, y, x = heapq.heappop(queue)
        for down, right in FIRST_EDGES_THEN_CORNERS:
            there = (y + down, x + right)
            if min(there) < 0 or there[0] >= mask.shape[0] or there[1] >= mask.shape[1]:
                continue
            if mask[there] and not labels[there]:
                labels[there] = labels[y, x]
                heapq.heappush(queue, (max(depth, -distance[there]), age, *there))
                age += 1
    return relabel(labels)


def iou_per_cell(true: Labels, predicted: Labels) -> list[float]:
    """Compute the best IoU that any predicted cell has with each true one."""
    best = []
    for number in range(1, true.max() + 1):
        cell = true == number
        overlapping = [predicted == other for other in np.unique(predicted[cell]) if other]
        best.append(max(((cell & each).sum() / (cell | each).sum() for each in overlapping), default=0.0))
    return best


def same_partition(first: Labels, second: Labels) -> bool:
    return np.unique(np.stack([first.ravel(), second.ravel()]), axis=1).shape[1] == np.unique(first).size


# ---------------------------------------------------------------- thresholds, markers, mask


def test_both_thresholds_are_exclusive() -> None:
    ridge = row(0.25, 0.5, 0.75, 0.5, 0.25)
    found = distance_to_labels(ridge, cells_max_threshold=0.5, cell_fill_threshold=0.25)
    assert found.tolist() == [[0, 1, 1, 1, 0]]
    assert not distance_to_labels(ridge, cells_max_threshold=0.75, cell_fill_threshold=0.25).any()
    # float32 cannot hold 0.47 and 0.09: the threshold is rounded as the map is, so equal stays equal.
    at_default = row(0.47, 0.09, 0.8, 0.09)
    assert distance_to_labels(at_default).tolist() == [[0, 0, 1, 0]]
    assert distance_to_labels(at_default, cell_fill_threshold=np.float64(0.09)).tolist() == [[0, 0, 1, 0]]


def test_markers_that_touch_at_a_corner_are_one() -> None:
    corner = np.array([[0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.0, 0.1, 0.7]], np.float32)
    assert distance_to_labels(corner, merge=1).tolist() == [[1, 1, 0], [1, 1, 1], [0, 1, 1]]


def test_the_flood_passes_corners() -> None:
    staircase = np.diag(np.array([0.9, 0.4, 0.3, 0.2], np.float32))
    assert distance_to_labels(staircase).tolist() == np.diag([1, 1, 1, 1]).tolist()


def test_mask_regions_without_a_marker_are_dropped() -> None:
    assert distance_to_labels(row(0.3, 0.4, 0.3, 0, 0.3, 0.6, 0.3)).tolist() == [[0, 0, 0, 0, 1, 1, 1]]
    assert not distance_to_labels(row(0.3, 0.47, 0.2)).any()


def test_markers_below_the_mask_are_no_cells() -> None:
    found = distance_to_labels(row(0.6, 0, 0.9, 0, 0.6), cell_fill_threshold=0.75)
    assert found.tolist() == [[0, 0, 1, 0, 0]]
    assert not distance_to_labels(row(0.6, 1, 0.6), cell_fill_threshold=1, regrow=True).any()


def test_a_cell_whose_centroid_is_background_is_one_cell() -> None:
    horseshoe = CASES["concave"]
    y, x = np.argwhere(horseshoe).mean(axis=0).round().astype(int)
    assert horseshoe[y, x] == 0
    found = distance_to_labels(labels_to_distance(horseshoe))
    assert found.max() == 1
    assert found[y, x] == 0


# ---------------------------------------------------------------- the flood and its ties


@given(
    arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
        elements=st.sampled_from([0, 0.125, 0.25, 0.375, 0.5, 0.75, 1]).map(np.float32),
    ),
    st.sampled_from([0.25, 0.47, 0.6]),
    st.sampled_from([0.0, 0.09, 0.3, 0.5]),
)
@settings(deadline=None, max_examples=300)
def test_ties_agree_with_a_queue_in_python(distance: Map, cells_max: float, cell_fill: float) -> None:
    found = distance_to_labels(
        distance, cells_max_threshold=cells_max, cell_fill_threshold=cell_fill, merge=1
    )
    assert np.array_equal(found, flood(distance, cells_max, cell_fill))


@pytest.mark.parametrize("name", CASES)
def test_joining_nothing_is_the_plain_watershed_of_the_markers(name: str) -> None:
    distance = labels_to_distance(CASES[name])
    markers, _ = ndimage.label(distance > 0.47, EIGHT)
    plain = watershed(-distance, markers, mask=distance > 0.09, connectivity=2)
    assert np.array_equal(distance_to_labels(distance, merge=1), plain)


@pytest.mark.parametrize("seed", range(5))
def test_joining_nothing_is_the_plain_watershed_on_hills(seed: int) -> None:
    distance = rolling_map(seed)
    markers, count = ndimage.label(distance > 0.47, EIGHT)
    plain = watershed(-distance, markers, mask=distance > 0.09, connectivity=2)
    assert count > 5
    assert np.array_equal(distance_to_labels(distance, merge=1), plain)


def test_ties_by_hand() -> None:
    assert distance_to_labels(row(0.6, 0.3, 0.6), merge=1).tolist() == [[1, 1, 2]]
    assert distance_to_labels(row(0.6, 0.3, 0.6).T, merge=1).T.tolist() == [[1, 1, 2]]
    # From each of several equal markers in turn, as a heap by height alone would not do.
    many = row(0.6, 0.3, 0.6, 0.3, 0.6, 0.3, 0.6, 0.3, 0.6)
    assert distance_to_labels(many, merge=1).tolist() == [[1, 1, 2, 2, 3, 3, 4, 4, 5]]
    # The higher marker goes first, wherever it is; equal floods meet in the middle, the first one takes it.
    assert distance_to_labels(row(0.6, 0.3, 0.7), merge=1).tolist() == [[1, 2, 2]]
    assert distance_to_labels(row(0.6, 0.3, 0.3, 0.3, 0.3, 0.3, 0.6), merge=1).tolist() == [
        [1, 1, 1, 1, 2, 2, 2]
    ]


@pytest.mark.parametrize("merge", [1, 0.9, 0.6])
@pytest.mark.parametrize("seed", range(4))
def test_cells_are_numbered_by_their_first_marker_pixel(seed: int, merge: float) -> None:
    distance = rolling_map(seed)
    found = distance_to_labels(distance, merge=merge)
    first = [np.flatnonzero((found == i) & (distance > 0.47))[0] for i in range(1, found.max() + 1)]
    assert len(first) > 1
    assert first == sorted(first)


@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(0, 30))
@settings(deadline=None, max_examples=60)
def test_labels_are_consecutive_inside_the_mask_and_repeatable(
    seed: int, cells_max: float, cell_fill: float, merge: float, min_size: int
) -> None:
    distance = rolling_map(seed, (20, 25))
    before = distance.copy()
    setting: dict[str, Any] = {
        "cells_max_threshold": cells_max,
        "cell_fill_threshold": cell_fill,
        "merge": merge,
        "min_size": min_size,
    }
    found = distance_to_labels(distance, **setting)
    assert found.dtype == np.int32
    assert np.array_equal(np.unique(found[found > 0]), np.arange(1, found.max() + 1))
    assert not found[distance <= np.float32(cell_fill)].any()
    assert np.array_equal(found, distance_to_labels(distance, **setting))
    assert np.array_equal(found, distance_to_labels(np.asfortranarray(distance), **setting))
    assert np.array_equal(distance, before)


# ---------------------------------------------------------------- split and merge


# Peaks 1 and 0.75, saddle 0.375: joined when the saddle is at least merge × 0.75, so from 0.5 down.
TWO_HILLS = row(0, 0.5, 1, 0.5, 0.375, 0.625, 0.75, 0.5, 0)


@pytest.mark.parametrize(
    "turned",
    [
        TWO_HILLS,
        TWO_HILLS[:, ::-1],
        TWO_HILLS.T,
        TWO_HILLS.T[::-1],
        np.diag(TWO_HILLS[0]),
        np.fliplr(np.diag(TWO_HILLS[0])),
    ],
)
def test_a_saddle_joins_from_its_share_of_the_lower_peak(turned: Map) -> None:
    assert distance_to_labels(turned, merge=0.5).max() == 1
    assert distance_to_labels(turned, merge=0.25).max() == 1
    assert distance_to_labels(turned, merge=0.5009765625).max() == 2
    assert distance_to_labels(turned, merge=1).max() == 2


def test_the_highest_pass_is_the_saddle() -> None:
    # Two ways between the hills: 0.25 straight on, 0.375 by the corners.
    hills = np.array(
        [[0.0, 0.5, 0.25, 0.0, 0.0], [0.5, 1.0, 0.25, 0.75, 0.5], [0.0, 0.5, 0.375, 0.5, 0.0]], np.float32
    )
    assert distance_to_labels(hills, merge=0.5).max() == 1
    assert distance_to_labels(hills, merge=0.5009765625).max() == 2


def test_joining_is_passed_on_along_a_chain() -> None:
    # 1 and 2 join (0.4375 of 0.75 is 0.58), 2 and 3 do too, 4 stays apart (0.125 of 1).
    chain = row(0.75, 0.4375, 0.75, 0.4375, 0.75, 0.125, 1)
    found = distance_to_labels(chain, merge=0.5)
    assert found[0, :5].tolist() == [1, 1, 1, 1, 1]
    assert found[0, 6] == 2
    assert found.max() == 2


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=40)
def test_zero_joins_all_that_touch(seed: int) -> None:
    distance = rolling_map(seed, (24, 24))
    found = distance_to_labels(distance, merge=0)
    regions, _ = ndimage.label(distance_to_labels(distance, merge=1) > 0, EIGHT)
    assert same_partition(found, regions)


@given(st.integers(0, 10**6), st.lists(st.floats(0, 1), min_size=2, max_size=5))
@settings(deadline=None, max_examples=60)
def test_joining_more_never_splits(seed: int, merges: list[float]) -> None:
    distance = rolling_map(seed, (24, 24))
    results = [distance_to_labels(distance, merge=merge) for merge in sorted(merges, reverse=True)]
    for apart, joined in pairwise(results):
        assert joined.max() <= apart.max()
        assert np.array_equal(joined > 0, apart > 0)
        pairs = np.unique(np.stack([apart.ravel(), joined.ravel()]), axis=1)
        assert pairs.shape[1] == apart.max() + bool((apart == 0).any())  # no cell has two parts


@given(
    st.integers(0, 10**6),
    st.integers(1, 30),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0.3, 1),
    st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_pieces_of_the_mask_can_be_flooded_apart(
    seed: int, tile: int, first: float, second: float, merge: float, regrow: bool
) -> None:
    distance = rolling_map(seed)
    thresholds: dict[str, Any] = {"cells_max_threshold": first, "cell_fill_threshold": second}
    found = []
    for side in (tile, 1000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dinocell.postprocess.watershed, "_TILE", side)
            found.append(distance_to_labels(distance, **thresholds, merge=merge, regrow=regrow))
    assert np.array_equal(*found)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("merge", [1, 0.5])
def test_the_number_of_cells_does_not_depend_on_the_view(name: str, merge: float) -> None:
    distance = labels_to_distance(CASES[name])
    for view in (distance, np.flipud(distance), np.fliplr(distance), distance.T, np.rot90(distance)):
        assert distance_to_labels(view, merge=merge).max() == CASES[name].max()


# ---------------------------------------------------------------- round trips


@pytest.mark.parametrize("name", CONVEX)
def test_convex_cells_come_back(name: str) -> None:
    labels = CASES[name]
    found = distance_to_labels(labels_to_distance(labels), cell_fill_threshold=0.02)
    assert found.max() == labels.max()
    assert min(iou_per_cell(labels, found)) >= 0.95


def ellipse(long: float, short: float, angle: float, centre: tuple[float, float] = (0, 0)) -> Labels:
    reach = int(long) + 3
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(float)
    y, x = y - centre[0], x - centre[1]
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    return ((along / long) ** 2 + (across / short) ** 2 <= 1).astype(np.int32)


ANGLES = st.floats(0, np.pi)
OFFSETS = st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))


@given(st.floats(3, 25), st.floats(1, 5), ANGLES, OFFSETS)
@settings(deadline=None, max_examples=60)
def test_a_convex_cell_comes_back(
    short: float, elongation: float, angle: float, centre: tuple[float, float]
) -> None:
    cell = ellipse(short * elongation, short, angle, centre)
    assume(distance_in_pixels(cell).max() >= 3)
    found = distance_to_labels(labels_to_distance(cell), cell_fill_threshold=0.02)
    assert found.max() == 1
    assert iou_per_cell(cell, found)[0] >= 0.95


@given(st.floats(4, 25), st.floats(1, 2.5), ANGLES, ANGLES, st.floats(-0.2, 0.2))
@settings(deadline=None, max_examples=80)
def test_touching_convex_cells_of_like_size_come_back(
    short: float, elongation: float, angle: float, cut: float, shift: float
) -> None:
    """Halves of an ellipse. On the map a smaller neighbour stands higher at the border that they share, so
    it may take the larger cell's boundary there: a pixel on a cell this small is much, hence two bounds."""
    whole = ellipse(short * elongation, short, angle)
    y, x = np.indices(whole.shape) - whole.shape[0] // 2
    labels = whole * (1 + (x * np.cos(cut) + y * np.sin(cut) > shift * short))
    radii = ndimage.maximum(distance_in_pixels(labels.astype(np.int32)), labels, [1, 2])
    assume(min(radii) >= 3 and max(radii) <= 1.3 * min(radii))
    found = distance_to_labels(labels_to_distance(labels), cell_fill_threshold=0.02)
    assert found.max() == 2
    assert min(iou_per_cell(labels, found)) >= (0.95 if min(radii) >= 5 else 0.9)


def two_lobes() -> Labels:
    """Draw one cell of two lobes, of radius 20 and 14, and a neck of half-width 8."""
    shape = (50, 110)
    cell = disk(shape, (25, 26), 20) | disk(shape, (25, 85), 14)
    cell[17:34, 26:85] = True
    return cell.astype(np.int32)


def test_repair_joins_a_split_cell_and_gives_its_boundary_back() -> None:
    labels = two_lobes()
    distance = labels_to_distance(labels)
    bare = distance_to_labels(distance, merge=1)
    joined = distance_to_labels(distance, merge=0.5)
    repaired = distance_to_labels(distance, merge=0.5, regrow=True)
    assert bare.max() == 2
    assert joined.max() == repaired.max() == 1
    assert iou_per_cell(labels, bare)[0] < 0.7 < iou_per_cell(labels, joined)[0] < 0.95
    assert iou_per_cell(labels, repaired)[0] > 0.95


@pytest.mark.parametrize("name", ["merged", "split", "border"])
def test_repair_gives_large_cells_their_boundary_back(name: str) -> None:
    labels = CASES[name]
    distance = labels_to_distance(labels)
    shaved = distance_to_labels(distance, merge=1)
    repaired = distance_to_labels(distance, merge=0.5, regrow=True)
    assert shaved.max() == repaired.max() == labels.max()
    assert min(iou_per_cell(labels, shaved)) < 0.9
    assert min(iou_per_cell(labels, repaired)) >= 0.99


def test_regrowing_by_hand() -> None:
    # Radius 25: 0.09 cuts the pixels at 1 and 2 px (0.04, 0.08), which leaves 23 px, grown back by 2.
    strip = np.zeros((51, 120), np.int32)
    strip[1:50] = 1
    distance = labels_to_distance(strip)
    assert np.flatnonzero(distance_to_labels(distance)[:, 60]).tolist() == list(range(3, 48))
    assert np.array_equal(distance_to_labels(distance, regrow=True), strip)
    assert np.array_equal(distance_to_labels(distance, cell_fill_threshold=0, regrow=True), strip)


def test_regrowing_takes_nothing_from_a_neighbour() -> None:
    labels = CASES["split"]
    distance = labels_to_distance(labels)
    shaved, grown = distance_to_labels(distance), distance_to_labels(distance, regrow=True)
    assert (grown > 0).sum() > (shaved > 0).sum()
    assert np.array_equal(grown[shaved > 0], shaved[shaved > 0])


UPPER_BOUND = {
    "usiigaci_phase": (0.975, 0.91),
    "dsb2018_nuclei": (0.995, 0.96),
    "bbbc039_nuclei": (0.995, 0.89),
}


@pytest.mark.slow
@pytest.mark.skipif(not VALIDATION.exists(), reason="the shared data is not here")
@pytest.mark.parametrize("folder", UPPER_BOUND)
def test_the_upper_bound_on_perfect_maps(folder: str) -> None:
    scores = []
    for path in sorted((VALIDATION / folder).glob("*_masks.png")):
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.int32)
        found = distance_to_labels(labels_to_distance(labels), cell_fill_threshold=0.02, merge=0.5)
        scores.append(evaluate(labels, found))
    pooled = pool(scores)
    at_half, at_nine_tenths = UPPER_BOUND[folder]
    assert pooled.ap[0.5] >= at_half
    assert pooled.ap[0.9] >= at_nine_tenths


# ---------------------------------------------------------------- small cells, holes, sizes


def test_min_size_removes_what_is_smaller_and_numbers_the_rest() -> None:
    areas_2_3_4 = row(0.6, 0.9, 0, 0.6, 0.9, 0.6, 0, 0.6, 0.9, 0.9, 0.6)
    assert distance_to_labels(areas_2_3_4, min_size=2).max() == 3
    assert distance_to_labels(row(0.6, 0, 0.6, 0.6), min_size=1).tolist() == [[1, 0, 2, 2]]
    assert distance_to_labels(row(0.6, 0, 0.6, 0.6), min_size=2).tolist() == [[0, 0, 1, 1]]
    assert distance_to_labels(areas_2_3_4, min_size=3).tolist() == [[0, 0, 0, 1, 1, 1, 0, 2, 2, 2, 2]]
    assert distance_to_labels(areas_2_3_4, min_size=4).tolist() == [[0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]]
    assert not distance_to_labels(areas_2_3_4, min_size=5).any()


def test_size_is_measured_after_joining_and_filling() -> None:
    assert distance_to_labels(TWO_HILLS, merge=0.5, min_size=7).max() == 1
    assert distance_to_labels(TWO_HILLS, merge=1, min_size=7).max() == 0
    ring = np.full((3, 3), 0.9, np.float32)
    ring[1, 1] = 0
    assert distance_to_labels(ring, min_size=9).max() == 0
    assert distance_to_labels(ring, min_size=9, fill_holes=True).max() == 1


@pytest.mark.parametrize("outer_is_first", [True, False])
def test_holes_are_filled_and_cells_in_them_stay(outer_is_first: bool) -> None:
    shape = (30, 40)
    distance = np.where(disk(shape, (15, 15), 12) & ~disk(shape, (15, 15), 8), 0.8, 0).astype(np.float32)
    if not outer_is_first:
        distance[:20] /= 2  # its first marker pixel is now below the inner cell
    distance[disk(shape, (15, 15), 3)] = 0.9
    distance[:, 30:] = 0.7
    plain, filled = distance_to_labels(distance), distance_to_labels(distance, fill_holes=True)
    assert plain.max() == filled.max() == 3
    outer, inner = plain[15, 5], plain[15, 15]
    assert (outer < inner) == outer_is_first
    assert np.array_equal(plain > 0, distance > 0)
    assert np.array_equal(filled == inner, disk(shape, (15, 15), 3))
    assert np.array_equal(filled == outer, disk(shape, (15, 15), 12) & ~disk(shape, (15, 15), 3))
    assert np.array_equal(filled > 0, disk(shape, (15, 15), 12) | (np.indices(shape)[1] >= 30))


def test_an_open_bay_is_no_hole() -> None:
    distance = labels_to_distance(CASES["concave"])
    assert np.array_equal(distance_to_labels(distance, fill_holes=True), distance_to_labels(distance))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (2, 2)])
def test_the_smallest_maps(shape: tuple[int, int]) -> None:
    options: dict[str, Any] = {"regrow": True, "fill_holes": True, "min_size": 1}
    assert np.array_equal(distance_to_labels(np.full(shape, 0.5, np.float32), **options), np.ones(shape))
    assert np.array_equal(distance_to_labels(np.zeros(shape, np.float32), **options), np.zeros(shape))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_give_the_same_cells(dtype: type) -> None:
    eighths = (np.rint(rolling_map(3) * 8) / 8).astype(np.float32)
    assert np.array_equal(distance_to_labels(eighths.astype(dtype)), distance_to_labels(eighths))


# ---------------------------------------------------------------- the same, one plain function a step


@pytest.fixture(scope="module")
def plain() -> Iterator[Any]:
    """Load the implementation that the benchmark compares with: scikit-image, SciPy or NumPy a step."""
    folder = Path(__file__).parents[2] / "benchmarks"
    spec = importlib.util.spec_from_file_location("postprocessing_benchmark", folder / "postprocessing.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder))
    sys.modules[spec.name] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    yield module.PLAIN
    sys.path.remove(str(folder))
    del sys.modules[spec.name]


@given(
    st.integers(0, 10**6),
    st.sampled_from([0.4, 0.8, 1.5, 4.0]),
    st.sampled_from([None, 3, 8, 50, 255]),
    st.sampled_from([0.2, 0.47, 0.7]),
    st.sampled_from([0.0, 0.09, 0.4, 0.8, 1.0]),
    st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]),
    st.booleans(),
    st.sampled_from([0, 1, 5, 40]),
)
@settings(deadline=None, max_examples=200)
def test_labels_are_those_of_the_plain_formulation(
    plain: Any,
    seed: int,
    smooth: float,
    levels: int | None,
    cells_max: float,
    cell_fill: float,
    merge: float,
    regrow: bool,
    min_size: int,
) -> None:
    distance = rolling_map(seed, (60, 70), smooth)
    if levels:
        distance = (np.rint(distance * levels) / levels).astype(np.float32)
    found = distance_to_labels(
        distance,
        cells_max_threshold=cells_max,
        cell_fill_threshold=cell_fill,
        merge=merge,
        regrow=regrow,
        min_size=min_size,
    )
    *_, (_, expected) = plain.steps(distance, cells_max, cell_fill, merge, regrow=regrow, min_size=min_size)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.floats(0.005, 0.5),
    st.integers(1, 8),
)
@settings(deadline=None, max_examples=200)
def test_boundaries_grow_as_by_the_nearest_cell_of_every_pixel(
    plain: Any, seed: int, shape: tuple[int, int], share: float, widest: int
) -> None:
    # Single pixels make the most ties: many are equally near.
    random = np.random.default_rng(seed)
    labels = np.where(random.random(shape) < share, random.integers(1, 9, shape), 0).astype(np.int32)
    labels[0, 0] = 9
    widths = random.integers(0, widest + 1, 10).astype(np.float32)
    before = labels.copy()
    assert np.array_equal(grow_boundaries(labels, widths), plain.grow(labels, widths))
    assert np.array_equal(labels, before)


def test_distance_in_pixels_is_measured_cell_by_cell() -> None:
    labels = CASES["nested"]
    expected = np.zeros(labels.shape)
    for number in (1, 2):
        cell = labels == number
        expected[cell] = ndimage.distance_transform_edt(cell)[cell]
    np.testing.assert_allclose(distance_in_pixels(labels), expected, rtol=1e-6)
    full = distance_in_pixels(CASES["full"])
    assert full.min() == full.max() == pytest.approx(np.hypot(24, 31))


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("distance", "message"),
    [
        (np.array([[0.5, np.nan]]), "NaN or infinite"),
        (np.array([[0.5, np.inf]]), "NaN or infinite"),
        (np.zeros((2, 3, 4)), r"float64 of shape \(2, 3, 4\)"),
        (np.zeros(4), r"float64 of shape \(4,\)"),
        (np.zeros((2, 2), np.int32), "distance is int32"),
        (np.zeros((2, 2), bool), "distance is bool"),
    ],
)
def test_what_is_no_map_is_refused(distance: NDArray[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        distance_to_labels(distance)


@pytest.mark.parametrize("name", ["cells_max_threshold", "cell_fill_threshold", "merge"])
@pytest.mark.parametrize("value", [-0.01, 1.01, np.nan, np.inf])
def test_settings_out_of_bounds_are_refused(name: str, value: float) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(InputError, match=f"{name} is "):
        distance_to_labels(TWO_HILLS, **options)


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(InputError, match="min_size is -1"):
        distance_to_labels(TWO_HILLS, min_size=-1)


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_markers_are_numbered_as_scipy_numbers_pieces(pixels):
    np.testing.assert_array_equal(_number_markers(pixels), ndimage.label(pixels, EIGHT)[0])


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=25))
def test_linked_ids_take_the_lowest_of_their_group(links):
    first, second = np.array(links, np.int64).reshape(-1, 2).T
    graph = sparse.coo_array((np.ones(len(links)), (first, second)), shape=(16, 16))
    _, group = sparse.csgraph.connected_components(graph, directed=False)
    expected = [np.flatnonzero(group == group[number])[0] for number in range(16)]
    assert _lowest_linked(16, first, second).tolist() == expected
