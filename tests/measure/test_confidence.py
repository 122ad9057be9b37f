from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from dinocell import DINOCellPipeline
from dinocell.errors import InputError
from dinocell.labels import relabel
from dinocell.measure.confidence import LOW_MEAN, cell_confidence, doubt_about, measure_evidence
from dinocell.postprocess.distance import labels_to_distance
from tests.cases import CASES, CONVEX, disk

SHAPE = (60, 60)


def one_cell(radius: float = 20) -> NDArray[np.int32]:
    return disk(SHAPE, (30, 30), radius).astype(np.int32)


def test_evidence_by_hand() -> None:
    labels = np.array([[0, 1, 1, 2, 0, 0]], np.int32)
    height = np.array([[0.1, 0.5, 0.8, 0.5, 0.3, 0.0]], np.float32)
    evidence = measure_evidence(labels, height)
    # Every cell pixel is 1 from its boundary, so that the perfect hills are 1 everywhere.
    assert evidence.agreement == pytest.approx([(0.5 + 0.8) / 2, 0.5])
    assert evidence.spill == pytest.approx([(0.1 + 0.5) / 2, (0.8 + 0.3) / 2])
    assert evidence.saddle == pytest.approx([0.5 / 0.8, 0.5 / 0.5])


def test_the_agreement_of_a_perfect_hill_of_half_the_height() -> None:
    labels = one_cell()
    evidence = measure_evidence(labels, labels_to_distance(labels) / 2)
    assert evidence.agreement == pytest.approx([0.5])
    assert evidence.saddle.tolist() == [0]


def test_diagonal_neighbours_touch() -> None:
    labels = np.array([[1, 0], [0, 2]], np.int32)
    height = np.array([[0.8, 0.2], [0.2, 0.4]], np.float32)
    evidence = measure_evidence(labels, height)
    assert evidence.saddle == pytest.approx([0.4 / 0.8, 0.4 / 0.4])
    assert evidence.spill == pytest.approx([(0.2 + 0.2 + 0.4) / 3, (0.2 + 0.2 + 0.8) / 3])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), shape=hnp.array_shapes(min_dims=2, max_dims=2, max_side=8))
def test_evidence_agrees_with_each_cell_on_its_own(data: st.DataObject, shape: tuple[int, int]) -> None:
    ids = data.draw(hnp.arrays(np.int32, shape, elements=st.integers(0, 4)))
    labels = relabel(ids)
    height = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=16)))
    evidence = measure_evidence(labels, height)
    padded, high = np.pad(labels, 1), np.pad(height.astype(float), 1)
    real = np.pad(np.ones(shape, bool), 1)
    for number in range(1, labels.max() + 1):
        spill, passes = [], [0.0]
        for y, x in np.argwhere(padded == number):
            for ny, nx in np.ndindex(3, 3):
                there = y + ny - 1, x + nx - 1
                if real[there] and padded[there] != number:
                    spill.append(high[there])
                    if padded[there]:
                        passes.append(min(high[y, x], high[there]))
        peak = high[padded == number].max()
        assert evidence.spill[number - 1] == pytest.approx(np.mean(spill) if spill else 0)
        assert evidence.saddle[number - 1] == pytest.approx(max(passes) / peak if peak else 0)
        mask = labels == number
        outside = np.pad(mask, 1, mode="edge")  # the image's edge is not a boundary
        away = ndimage.distance_transform_edt(outside)[1:-1, 1:-1] if not mask.all() else None
        if away is not None and shape[0] > 2 and not _touches_edge(mask):
            perfect = away[mask] / away[mask].max()
            shared = np.minimum(perfect, height[mask]).sum() / np.maximum(perfect, height[mask]).sum()
            assert evidence.agreement[number - 1] == pytest.approx(shared, rel=1e-5)


def _touches_edge(mask: NDArray[Any]) -> bool:
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


@pytest.mark.parametrize("name", CONVEX)
def test_a_perfect_map_is_trusted(name: str) -> None:
    labels = CASES[name]
    confidence = cell_confidence(labels, labels_to_distance(labels))
    assert confidence.dtype == np.float32
    assert confidence.shape == (labels.max(),)
    assert confidence.min() > 0.98


@pytest.mark.parametrize("name", CASES)
def test_a_flat_map_is_not(name: str) -> None:
    labels = CASES[name]
    for level in (0, 0.2):
        confidence = cell_confidence(labels, np.full(labels.shape, level, np.float32))
        assert confidence.shape == (labels.max(),)
        assert confidence.max(initial=0) < 0.3


def test_confidence_falls_with_the_height_of_the_hill() -> None:
    labels = one_cell()
    perfect = labels_to_distance(labels)
    found = [float(cell_confidence(labels, perfect * share)[0]) for share in (1, 0.8, 0.6, 0.4, 0.2, 0)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.99
    assert found[-1] < 0.01


def test_confidence_falls_as_the_outline_leaves_the_hill() -> None:
    perfect = labels_to_distance(one_cell(20))
    found = [float(cell_confidence(one_cell(radius), perfect)[0]) for radius in (20, 17, 14, 11, 8)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.99
    assert found[-1] < 0.2


def test_half_a_cell_is_doubted_and_its_whole_neighbour_is_not() -> None:
    shape = (60, 120)
    whole, split = disk(shape, (30, 30), 20), disk(shape, (30, 85), 20)
    perfect = labels_to_distance(whole + 2 * split)
    labels = whole + 2 * split
    labels[(labels == 2) & (np.arange(120) > 85)] = 3
    confidence = cell_confidence(labels, perfect)
    assert confidence[0] > 0.99
    assert confidence[1:].max() < 0.4


def test_ignored_pixels_are_background_and_input_is_not_changed() -> None:
    labels = one_cell()
    height = labels_to_distance(labels)
    ignored = np.where(labels > 0, labels, -1)
    before = ignored.copy(), height.copy()
    assert cell_confidence(ignored, height) == cell_confidence(labels, height)
    assert np.array_equal(ignored, before[0])
    assert np.array_equal(height, before[1])


@pytest.mark.parametrize(
    ("labels", "height", "message"),
    [
        (
            np.ones((3, 4), int),
            np.zeros((4, 3)),
            r"distance_map is float64 of shape \(4, 3\), expected floats",
        ),
        (np.ones((3, 4), int), np.zeros((3, 4), np.uint8), r"distance_map is uint8 of shape \(3, 4\)"),
        (np.ones((3, 4), int), np.full((3, 4), np.nan), "distance_map holds NaN or infinite values"),
        (np.array([[1, 3]]), np.zeros((1, 2)), "labels have gaps below id 3, expected cells 1…N"),
        (np.array([[1, 0, 3, 0]]), np.zeros((1, 4)), "labels have gaps below id 3, expected cells 1…N"),
        (np.array([[2_000_000_000]]), np.zeros((1, 1)), "labels have gaps below id 2000000000"),
    ],
)
def test_what_is_refused(labels: NDArray[Any], height: NDArray[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        cell_confidence(labels, height)


def test_a_low_mean_is_a_doubt_and_no_other_is() -> None:
    assert doubt_about(LOW_MEAN - 0.01) == f"low confidence (mean {LOW_MEAN - 0.01:.2f})"
    assert [doubt_about(mean) for mean in (LOW_MEAN, 1.0, None)] == [None, None, None]


def test_the_model_is_sure_of_clear_disks_and_less_of_noise() -> None:
    # The whole way, on the shipped model: bright disks, and noise that it may take for cells.
    rng = np.random.default_rng(0)
    image = np.zeros((160, 160))
    for y, x in ((40, 40), (40, 115), (115, 40), (115, 115)):
        image[disk(image.shape, (y, x), 17)] = 1
    image = ndimage.gaussian_filter(image, 1.5) + rng.normal(0, 0.03, image.shape)
    clear = DINOCellPipeline("nano", device="cpu").run(image)
    assert clear.count == 4
    assert cell_confidence(clear.labels, clear.distance_map).min() > 0.9
