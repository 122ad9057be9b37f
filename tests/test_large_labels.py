"""The seam contract: labels made block by block are those of the whole map, up to their numbers."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import KDTree

from dinocell.checkpoint import Thresholds
from dinocell.distance import labels_to_distance
from dinocell.labels import relabel
from dinocell.large.components import join_faces, label_faces
from dinocell.large.flood import flood, mask_threshold, plan_floods, split_by_block
from dinocell.large.grid import Grid, within
from dinocell.large.growth import Part, grow_block
from dinocell.large.numbers import Numbering, renumber
from dinocell.metrics import evaluate
from dinocell.watershed import distance_to_labels
from tests.cases import CASES


def in_blocks(distance, side, thresholds, *, largest=10**9, halo=64, min_size=0):
    """Do what the stages do, with arrays in memory for files: labels, their owners' records, and the plan."""
    grid = Grid(distance.shape, side)
    plan = planned(distance, grid, thresholds, largest, halo)
    flooded = [flood(task, lambda window: distance[window], thresholds) for task in plan.tasks]
    grown = grown_blocks(grid, plan, flooded)
    numbering = Numbering(min_size)
    for _, record in grown:
        numbering.add(record)
    count = numbering.finish()
    labels = np.zeros(distance.shape, np.uint64)
    owned = []
    for block, (part, record) in zip(grid, grown, strict=True):
        numbers = numbering.of_block(block.index, record)
        labels[block.window] = renumber(part, numbers)
        order = np.argsort(numbers.numbers[numbers.owned])
        owned.append((numbers.numbers[numbers.owned][order], numbers.boxes[numbers.owned][order]))
    assert sum(len(numbers) for numbers, _ in owned) == count
    return labels, owned, plan


def planned(distance, grid, thresholds, largest, halo):
    mask = distance > mask_threshold(thresholds)
    components = join_faces(grid, lambda block: label_faces(mask[block.window], block))
    if largest is None:  # what the largest component just fits into
        top, left, bottom, right = components.boxes.T
        largest = int(((bottom - top + 2) * (right - left + 2)).max(initial=1))
    return plan_floods(components, grid, largest=largest, halo=halo)


def grown_blocks(grid, plan, flooded):
    own, pieces = {}, {block.index: [] for block in grid}
    for task, cells in zip(plan.tasks, flooded, strict=True):
        if task.block:
            own[task.number] = cells.labels[within(task.block.window, task.window)]
        for block, places, numbers in split_by_block(cells, task, grid):
            pieces[block.index].append(Part(task.number, numbers, places))

    def parts_in(block, window):
        return [Part(block.index, own[block.index][window]), *pieces[block.index]]

    rims = [cells.rims for cells in flooded]
    offsets = np.cumsum([0, *(len(widths) - 1 for widths in rims[:-1])])
    widest = int(max(widths.max() for widths in rims))
    return [grow_block(block, grid, widest, parts_in, lambda task: rims[task], offsets) for block in grid]


def same_up_to_names(first, second):
    pairs = np.unique(np.stack([first.ravel().astype(np.int64), second.ravel().astype(np.int64)]), axis=1)
    return all(len(np.unique(side)) == pairs.shape[1] for side in pairs)


def smooth_noise(seed, shape, sigma):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    noise = (noise - noise.min()) / np.ptp(noise)
    return noise.astype(np.float32)


thresholds_of = st.builds(
    Thresholds,
    cells_max_threshold=st.sampled_from([0.3, 0.47, 0.6, 0.8]),
    cell_fill_threshold=st.sampled_from([0.0, 0.09, 0.3, 0.5]),
    merge=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    regrow=st.booleans(),
)
sides = st.integers(5, 40)
slowly = settings(deadline=None, max_examples=15)  # up to 200 blocks an image


@slowly
@given(st.integers(0, 10**6), st.integers(1, 70), st.integers(1, 70), st.floats(0.8, 5), sides, thresholds_of)
def test_labels_in_blocks_are_those_of_the_whole_map(seed, height, width, sigma, side, thresholds):
    distance = smooth_noise(seed, (height + 1, width + 1), sigma)
    whole = distance_to_labels(distance, **thresholds.model_dump())
    labels, _, _ = in_blocks(distance, side, thresholds)
    assert same_up_to_names(labels, whole)


@slowly
@given(st.integers(0, 10**6), st.floats(0.8, 3), sides, thresholds_of)
def test_a_component_that_gets_a_task_of_its_own_changes_nothing(seed, sigma, side, thresholds):
    distance = smooth_noise(seed, (60, 50), sigma)
    labels, _, plan = in_blocks(distance, side, thresholds, largest=None)
    assert not plan.cut
    assert same_up_to_names(labels, distance_to_labels(distance, **thresholds.model_dump()))


def test_components_larger_than_their_block_get_tasks_of_their_own():
    distance = labels_to_distance(CASES["one"])
    assert in_blocks(distance, 5, Thresholds(), largest=None)[2].large == 1


@slowly
@given(st.integers(0, 10**6), sides, thresholds_of, st.integers(2, 60))
def test_small_cells_are_removed_by_their_whole_area(seed, side, thresholds, min_size):
    distance = smooth_noise(seed, (50, 60), 2.0)
    whole = distance_to_labels(distance, **thresholds.model_dump(), min_size=min_size)
    labels, _, _ = in_blocks(distance, side, thresholds, min_size=min_size)
    assert same_up_to_names(labels, whole)


@slowly
@given(st.sampled_from(sorted(CASES)), sides, thresholds_of)
def test_named_cases(name, side, thresholds):
    distance = labels_to_distance(CASES[name])
    whole = distance_to_labels(distance, **thresholds.model_dump())
    labels, _, _ = in_blocks(distance, side, thresholds)
    assert same_up_to_names(labels, whole)


@slowly
@given(st.integers(0, 10**6), sides, thresholds_of)
def test_numbers_are_consecutive_and_every_cell_has_one_owner_and_its_box(seed, side, thresholds):
    distance = smooth_noise(seed, (45, 61), 2.5)
    labels, owned, _ = in_blocks(distance, side, thresholds, min_size=4)
    numbers = np.concatenate([numbers for numbers, _ in owned])
    np.testing.assert_array_equal(numbers, np.arange(1, len(numbers) + 1))
    np.testing.assert_array_equal(np.unique(labels[labels > 0]), numbers)
    boxes = np.concatenate([boxes for _, boxes in owned])
    for (rows, columns), box in zip(ndimage.find_objects(labels.astype(np.int64)), boxes, strict=True):
        assert (rows.start, columns.start, rows.stop, columns.stop) == tuple(box)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_equal_heights_are_shared_out_as_in_the_whole(size):
    # Plateaus and symmetric cells: every tie that flood and growth can meet.
    cell = np.kron(np.array([[0, 3, 3, 3, 0], [3, 5, 3, 5, 3], [0, 3, 5, 3, 0]]), np.ones((size, size)))
    distance = np.tile(np.pad(cell / 5, 1), (4, 5)).astype(np.float32)
    for thresholds, side in itertools.product(
        (
            Thresholds(cells_max_threshold=0.8, cell_fill_threshold=0.4, merge=merge, regrow=True)
            for merge in (0.0, 0.7, 1.0)
        ),
        (3, 5, 8, 100),
    ):
        labels, _, _ = in_blocks(distance, side, thresholds)
        assert same_up_to_names(labels, distance_to_labels(distance, **thresholds.model_dump()))


def confluent(rows, columns, seed):
    """Touching cells whose map does not fall to 0 between them: one component as large as the image."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: rows * 20, : columns * 20]
    centres = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1).reshape(
        -1, 2
    )
    centres = centres * 20 + 10 + rng.uniform(-4, 4, centres.shape)
    nearest = KDTree(centres).query(np.stack([y.ravel(), x.ravel()], axis=1))[1].reshape(y.shape) + 1
    distance = np.maximum(labels_to_distance(nearest.astype(np.int32)), 0.2)
    return ndimage.gaussian_filter(distance, 1).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_a_component_that_is_cut_keeps_nearly_all_cells(seed):
    distance = confluent(16, 18, seed)
    thresholds = Thresholds(cells_max_threshold=0.6, cell_fill_threshold=0.1, merge=0.9)
    labels, _, plan = in_blocks(distance, 64, thresholds, largest=4000, halo=64)
    assert plan.cut == 1
    whole = distance_to_labels(distance, **thresholds.model_dump())
    assert whole.max() > 250
    assert evaluate(whole, relabel(labels.astype(np.int64))).pq >= 0.999
