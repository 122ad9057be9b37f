"""The seam contract: labels made block by block are those of the whole map, up to their numbers."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import KDTree

from dinocell.labels import relabel
from dinocell.large.components import join_faces, label_faces
from dinocell.large.flood import flood_components, mask_threshold, plan_floods, split_by_block
from dinocell.large.grid import BlockGrid, within
from dinocell.large.growth import CellCanvas, Part, grow_block
from dinocell.large.numbers import Numbering, renumber
from dinocell.metrics.scores import evaluate
from dinocell.postprocess.distance import labels_to_distance
from dinocell.postprocess.thresholds import Thresholds
from dinocell.postprocess.watershed import distance_to_labels
from tests.cases import CASES
from tests.examples import examples


def in_blocks(distance, side, thresholds, *, largest=10**9, halo=64, min_size=0):
    """Do what the stages do, with arrays in memory for files: labels, their owners' records, and the plan."""
    grid = BlockGrid(distance.shape, side)
    plan = planned(distance, grid, thresholds, largest, halo)
    flooded = [
        flood_components(task, lambda window: distance[window], thresholds, grid.shape) for task in plan.tasks
    ]
    grown = grown_blocks(grid, plan, flooded)
    numbering = Numbering(min_size)
    for _, record in grown:
        numbering.add(record)
    count = numbering.finish()
    labels = np.zeros(distance.shape, np.uint64)
    owned = []
    for block, (part, record) in zip(grid, grown, strict=True):
        numbers = numbering.block_numbers(block.index, record)
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

    records = [{"rims": cells.widths, "boxes": cells.boxes} for cells in flooded]
    offsets = np.cumsum([0, *(len(cells.widths) - 1 for cells in flooded[:-1])])
    widest = int(max(cells.widths.max() for cells in flooded))
    return [grow_block(block, grid, widest, parts_in, lambda task: records[task], offsets) for block in grid]


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
    cell_fill_threshold=st.sampled_from([0.0, 0.09, 0.4, 0.6]),
    merge=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    regrow=st.booleans(),
)
sides = st.integers(5, 40)
slowly = examples(10, search=40)  # up to 200 blocks an image


# Many cells that end at faces of blocks, and grow into the next one.
@example(0, 44, 35, 1.0, 7, Thresholds(cells_max_threshold=0.6, cell_fill_threshold=0.6, regrow=True))
@slowly
@given(st.integers(0, 10**6), st.integers(1, 70), st.integers(1, 70), st.floats(0.8, 5), sides, thresholds_of)
def test_labels_in_blocks_are_those_of_the_whole_map(seed, height, width, sigma, side, thresholds):
    distance = smooth_noise(seed, (height + 1, width + 1), sigma)
    whole = distance_to_labels(distance, thresholds=thresholds)
    labels, _, _ = in_blocks(distance, side, thresholds)
    assert same_up_to_names(labels, whole)


@slowly
@given(st.integers(0, 10**6), st.floats(0.8, 3), sides, thresholds_of)
def test_a_component_that_gets_a_task_of_its_own_changes_nothing(seed, sigma, side, thresholds):
    distance = smooth_noise(seed, (45, 36), sigma)
    labels, _, plan = in_blocks(distance, side, thresholds, largest=None)
    assert not plan.cut
    assert same_up_to_names(labels, distance_to_labels(distance, thresholds=thresholds))


def test_components_larger_than_their_block_get_tasks_of_their_own():
    distance = labels_to_distance(CASES["one"])
    assert in_blocks(distance, 5, Thresholds(), largest=None)[2].large == 1


@slowly
@given(st.integers(0, 10**6), sides, thresholds_of, st.integers(2, 60))
def test_small_cells_are_removed_by_their_whole_area(seed, side, thresholds, min_size):
    distance = smooth_noise(seed, (40, 45), 2.0)
    whole = distance_to_labels(distance, thresholds=thresholds, min_size=min_size)
    labels, _, _ = in_blocks(distance, side, thresholds, min_size=min_size)
    assert same_up_to_names(labels, whole)


@slowly
@given(st.sampled_from(sorted(CASES)), sides, thresholds_of)
def test_named_cases(name, side, thresholds):
    distance = labels_to_distance(CASES[name])
    whole = distance_to_labels(distance, thresholds=thresholds)
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
    distance = np.tile(np.pad(cell / 5, 1), (3, 3)).astype(np.float32)
    for thresholds, side in itertools.product(
        (
            Thresholds(cells_max_threshold=0.8, cell_fill_threshold=0.4, merge=merge, regrow=True)
            for merge in (0.0, 0.7, 1.0)
        ),
        (3 + size, 5 * size),
    ):
        labels, _, _ = in_blocks(distance, side, thresholds)
        assert same_up_to_names(labels, distance_to_labels(distance, thresholds=thresholds))


@slowly
@given(st.integers(0, 10**6), st.integers(5, 12), st.sampled_from([0.45, 0.5, 0.55]))
def test_what_is_cut_leaves_other_components_as_they_are(seed, side, fill):
    """Draw small blocks, and components of all sizes: some that are cut, some that others reach across."""
    distance, largest = smooth_noise(seed, (45, 36), 1.5), 300
    # Cells that grow would meet those of other components.
    thresholds = Thresholds(cells_max_threshold=0.6, cell_fill_threshold=fill, regrow=False)
    labels, _, plan = in_blocks(distance, side, thresholds, largest=largest, halo=8)
    pieces, _ = ndimage.label(distance > mask_threshold(thresholds), np.ones((3, 3)))
    boxes = [[span.stop - span.start + 2 for span in box] for box in ndimage.find_objects(pieces)]
    fits = np.array([False, *(height * width <= largest for height, width in boxes)])
    assert plan.cut == (~fits[1:]).sum()
    whole = distance_to_labels(distance, thresholds=thresholds)
    assert same_up_to_names(np.where(fits[pieces], labels, 0), np.where(fits[pieces], whole, 0))


def confluent(rows, columns, seed):
    """Draw touching cells whose map does not fall to 0 between them: one component as large as the image."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: rows * 20, : columns * 20]
    centres = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1).reshape(
        -1, 2
    )
    centres = centres * 20 + 10 + rng.uniform(-4, 4, centres.shape)
    nearest = KDTree(centres).query(np.stack([y.ravel(), x.ravel()], axis=1))[1].reshape(y.shape) + 1
    distance = np.maximum(labels_to_distance(nearest.astype(np.int32)), 0.2)
    return ndimage.gaussian_filter(distance, 1).astype(np.float32)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_a_component_that_is_cut_keeps_nearly_all_cells(seed):
    distance = confluent(16, 18, seed)
    thresholds = Thresholds(cells_max_threshold=0.6, cell_fill_threshold=0.1, merge=0.9)
    labels, _, plan = in_blocks(distance, 64, thresholds, largest=4000, halo=64)
    assert plan.cut == 1
    whole = distance_to_labels(distance, thresholds=thresholds)
    assert whole.max() > 250
    assert evaluate(whole, relabel(labels.astype(np.int64))).pq >= 0.999


# Numbers without end


def test_numbers_beyond_32_bits_survive():
    grid = BlockGrid((4, 8), 4)
    first, second = grid
    offsets = np.array([2**33, 2**40 + 7], np.int64)
    boxes = [np.array([[0, 0, 0, 0], [0, 0, 4, 1], [0, 2, 4, 4]]), np.array([[0, 0, 0, 0], [0, 6, 4, 8]])]
    flooded = [{"rims": np.zeros(len(found), np.float32), "boxes": found} for found in boxes]
    canvas = CellCanvas((slice(0, 4), slice(0, 8)), flooded.__getitem__)
    canvas.paint(second, Part(1, np.array([[0, 0, 1, 1]] * 4, np.int32)))
    canvas.paint(first, Part(0, np.array([[1, 0, 2, 2]] * 4, np.int32)))
    ids = canvas.ids(offsets)
    assert ids.dtype == np.uint64
    assert ids[canvas.grown()][0].tolist() == [2**33 + 1, 0, 2**33 + 2, 2**33 + 2, 0, 0, 2**40 + 8, 2**40 + 8]
    blocks = {}
    for block in grid:
        painted = lambda near, window: [Part(near.index, PARTS[near.index][window])]  # noqa: E731
        blocks[block.index] = grow_block(block, grid, 0, painted, flooded.__getitem__, offsets)
    assert blocks[1][0][0].tolist() == [0, 0, 2**40 + 8, 2**40 + 8]
    numbering = Numbering(0)
    for _, record in blocks.values():
        numbering.add(record)
    assert numbering.finish() == 3
    labels = [
        renumber(part, numbering.block_numbers(index, record)) for index, (part, record) in blocks.items()
    ]
    assert np.hstack(labels)[0].tolist() == [1, 0, 2, 2, 0, 0, 3, 3]


PARTS = [np.array([[1, 0, 2, 2]] * 4, np.int32), np.array([[0, 0, 1, 1]] * 4, np.int32)]


def record(ids, shared):
    """Return the record of growth for cells of one pixel each."""
    count = len(ids)
    boxes = np.tile([0, 0, 1, 1], (count, 1))
    areas = np.ones(count, np.int64)
    return {
        "ids": np.asarray(ids, np.uint64),
        "areas": areas,
        "boxes": boxes,
        "shared": np.arange(count) < shared,
    }


def test_more_cells_than_32_bits_can_count_are_numbered_on():
    numbering = Numbering(0)
    last = record([2**63, 2**63 + 1], 1)
    numbering.add(record([5], 0))
    numbering.add(last)
    numbering._own_counts[0] = 2**40  # as if there had been as many, which no test can hold
    assert numbering.finish() == 2**40 + 2
    numbers = numbering.block_numbers(1, last)
    assert numbers.numbers.tolist() == [2**40 + 2, 2**40 + 1]
    labels = renumber(np.array([[0, 2**63 + 1, 2**63]], np.uint64), numbers)
    assert labels.tolist() == [[0, 2**40 + 1, 2**40 + 2]]
    assert labels.dtype == np.uint64


def test_numbering_remembers_only_cells_that_blocks_may_share():
    numbering = Numbering(0)
    tracemalloc.start()
    for block in range(40):
        numbering.add(record(np.arange(20_000) + 20_000 * block, 5))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert numbering.finish() == 800_000
    assert held < 40 * 20_000  # less than a byte a cell, whose numbers alone have eight


def test_a_cell_in_pieces_off_all_edges_is_one_cell():
    # One marker spans two pieces of the mask, each in the middle of a block of its own.
    distance = np.zeros((10, 20), np.float32)
    distance[4:6, 3:17] = 0.4
    distance[3:7, 3:7] = distance[3:7, 13:17] = 0.9
    thresholds = Thresholds(cells_max_threshold=0.3, cell_fill_threshold=0.5)
    for min_size, count in ((0, 1), (20, 1), (40, 0)):
        whole = distance_to_labels(distance, thresholds=thresholds, min_size=min_size)
        labels, _, _ = in_blocks(distance, 10, thresholds, min_size=min_size)
        assert whole.max() == labels.max() == count
        assert same_up_to_names(labels, whole)


def test_cells_that_reach_beyond_the_halo_are_counted():
    distance = labels_to_distance(np.pad(np.ones((50, 50), np.int32), 5))
    grid = BlockGrid(distance.shape, 16)
    for halo, torn in ((4, 1), (64, 0)):
        plan = planned(distance, grid, Thresholds(), 1, halo)
        assert plan.cut == 1
        read = distance.__getitem__
        assert (
            sum(flood_components(task, read, Thresholds(), grid.shape).truncated for task in plan.tasks)
            == torn
        )
