import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from dinocell.errors import InputError
from dinocell.postprocess.distance import labels_to_distance
from tests.cases import CASES

IDS = st.sampled_from([-1, 0, 0, 1, 1, 2, 3, 50_000, 2**31 - 1])


def distance_cell_by_cell(labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Compute the map by its definition: one cell at a time, everything but that cell is outside."""
    distance = np.zeros(labels.shape)
    for number in np.unique(labels[labels > 0]):
        cell = labels == number
        own = np.ones(labels.shape) if cell.all() else distance_transform_edt(cell)
        distance[cell] = own[cell] / own.max()
    return distance


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_scipy_cell_by_cell(name: str) -> None:
    distance = labels_to_distance(CASES[name])
    assert distance.dtype == np.float32
    np.testing.assert_allclose(distance, distance_cell_by_cell(CASES[name]), atol=2e-6)


@given(arrays(np.int32, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12), elements=IDS))
@settings(deadline=None, max_examples=200)
def test_agrees_with_scipy_on_random_labels(labels: NDArray[np.int32]) -> None:
    before = labels.copy()
    distance = labels_to_distance(labels)
    np.testing.assert_allclose(distance, distance_cell_by_cell(labels), atol=2e-6)
    assert np.array_equal(distance == 0, labels <= 0)
    for number in np.unique(labels[labels > 0]):
        assert distance[labels == number].max() == 1
    assert np.array_equal(labels, before)


def test_a_rectangle_by_hand() -> None:
    labels = np.zeros((5, 7), int)
    labels[1:4, 1:6] = 4
    # The boundary is 1 px from outside, the middle 2 px.
    assert labels_to_distance(labels)[1:4, 1:6].tolist() == [
        [0.5, 0.5, 0.5, 0.5, 0.5],
        [0.5, 1.0, 1.0, 1.0, 0.5],
        [0.5, 0.5, 0.5, 0.5, 0.5],
    ]


def test_a_touching_neighbour_is_outside() -> None:
    row = labels_to_distance(np.array([[0, 1, 1, 1, 9, 9, 9, 9, 9, 0]]))[0]
    np.testing.assert_allclose(row, [0, 1 / 2, 1, 1 / 2, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3, 0], rtol=1e-6)


def test_the_image_border_is_not_outside() -> None:
    # 4, 3, 2, 1 px to the only background pixel, in all four directions.
    row, expected = np.array([[1, 1, 1, 1, 0]]), np.array([[1, 3 / 4, 2 / 4, 1 / 4, 0]])
    for turns in range(4):
        assert np.array_equal(labels_to_distance(np.rot90(row, turns)), np.rot90(expected, turns))
    corner = np.ones((4, 4), int)
    corner[3, 3] = 0
    assert labels_to_distance(corner)[0, 0] == 1
    assert labels_to_distance(corner)[2, 2] == pytest.approx(1 / 3)  # √2 of the corner's √18


def test_ignored_pixels_are_outside() -> None:
    ignored = labels_to_distance(np.array([[1, 1, 1, -1]]))
    assert np.array_equal(ignored, labels_to_distance(np.array([[1, 1, 1, 0]])))
    assert not labels_to_distance(np.full((3, 3), -1)).any()


@pytest.mark.parametrize("shape", [(1, 1), (24, 31), (1, 9), (9, 1)])
def test_a_cell_that_fills_the_image_is_one_everywhere(shape: tuple[int, int]) -> None:
    assert np.array_equal(labels_to_distance(np.full(shape, 3)), np.ones(shape))


def test_every_cell_counts_for_itself() -> None:
    # The same disk reaches 1 beside a far larger cell: no maximum of the image, no union.
    small, both = CASES["one"].copy(), np.zeros((40, 150), np.int32)
    both[:, :50] = small
    both[:, 51:] = 2
    assert np.array_equal(labels_to_distance(both)[:, :50], labels_to_distance(small))


@pytest.mark.parametrize("name", ["nested", "split", "border", "specks", "many"])
def test_ids_mean_nothing(name: str) -> None:
    labels = CASES[name]
    expected = labels_to_distance(labels)
    numbers = np.concatenate([[0], np.random.default_rng(0).permutation(labels.max()) * 1_000_003 + 7])
    assert np.array_equal(labels_to_distance(numbers[labels]), expected)
    assert np.array_equal(labels_to_distance(labels.astype(np.uint16)), expected)
    assert np.array_equal(labels_to_distance(np.asfortranarray(labels)), expected)
    wide = np.zeros((labels.shape[0], 2 * labels.shape[1]), np.int32)
    wide[:, ::2] = labels
    assert np.array_equal(labels_to_distance(wide[:, ::2]), expected)


def test_a_mask_is_one_cell_and_nothing_is_nothing() -> None:
    labels = CASES["one"]
    assert np.array_equal(labels_to_distance(labels > 0), labels_to_distance(labels))
    assert labels_to_distance(np.zeros((0, 5), int)).shape == (0, 5)
    with pytest.raises(InputError, match="dtype float64"):
        labels_to_distance(labels / 2)
