import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from skimage.measure import label
from skimage.segmentation import relabel_sequential

from dinocell.errors import DINOCellError, InputError
from dinocell.labels import IGNORE, cell_areas, median_diameter, number_pieces, relabel, validate_labels
from tests.cases import CASES

SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=8)
IDS = st.sampled_from([-1, 0, 0, 1, 2, 5, 40, 2**31 - 1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.uint64, np.int32, bool])
def test_every_integer_dtype_becomes_int32_with_the_same_ids(dtype: type) -> None:
    given_labels = np.array([[0, 1], [1, 0]]).astype(dtype)
    labels = validate_labels(given_labels)
    assert labels.dtype == np.int32
    assert labels.tolist() == [[0, 1], [1, 0]]


def test_int32_is_passed_on_without_a_copy() -> None:
    labels = np.array([[0, 3], [-1, 2**31 - 1]], np.int32)
    assert validate_labels(labels) is labels


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 3, 4), int), r"labels has shape \(2, 3, 4\)"),
        (np.zeros(5, int), r"labels has shape \(5,\)"),
        (np.zeros((2, 2)), "labels has dtype float64"),
        (np.zeros((2, 2), complex), "labels has dtype complex128"),
        (np.array([["1"]]), "labels has dtype <U1"),
        (np.array([[-2, 0]]), "labels holds values from -2 to 0"),
        (np.array([[0, 2**31]]), "labels holds values from 0 to 2147483648"),
        (np.array([[2**64 - 1]], np.uint64), "labels holds values from 18446744073709551615"),
    ],
)
def test_what_is_no_label_image_is_refused(labels: NDArray[np.generic], message: str) -> None:
    with pytest.raises(InputError, match=message):
        validate_labels(labels)


def test_errors_name_the_argument_and_are_both_ours_and_builtin() -> None:
    with pytest.raises(ValueError, match=r"^mask has dtype float64") as caught:
        validate_labels(np.zeros((2, 2)), name="mask")
    assert isinstance(caught.value, DINOCellError)


@given(arrays(np.int32, SHAPES, elements=IDS))
def test_relabel_numbers_cells_in_the_order_of_their_ids(labels: NDArray[np.int32]) -> None:
    before = labels.copy()
    numbered = relabel(labels)
    assert numbered.dtype == np.int32
    assert numbered.shape == labels.shape
    assert set(np.unique(numbered[numbered > 0])) == set(range(1, np.unique(labels[labels > 0]).size + 1))
    pairs = sorted(set(zip(labels.ravel().tolist(), numbered.ravel().tolist(), strict=True)))
    assert len({old for old, _ in pairs}) == len({new for _, new in pairs}) == len(pairs)
    assert [new for _, new in pairs] == sorted(new for _, new in pairs)
    assert np.array_equal(labels <= 0, numbered <= 0)
    assert np.array_equal(labels == IGNORE, numbered == IGNORE)
    assert np.array_equal(labels, before)


@pytest.mark.parametrize("name", CASES)
def test_relabel_agrees_with_scikit_image(name: str) -> None:
    gaps = CASES[name] * 7
    assert np.array_equal(relabel(gaps), relabel_sequential(gaps)[0])
    assert np.array_equal(relabel(gaps), CASES[name])  # the cases already are 1…N


def check_pieces(labels: NDArray[np.int32]) -> None:
    before = labels.copy()
    for corners in (False, True):
        pieces = number_pieces(labels, corners=corners)
        assert pieces.dtype == np.int32
        assert np.array_equal(pieces, label(labels, background=0, connectivity=1 + corners))
    assert np.array_equal(labels, before)


@given(arrays(np.int32, SHAPES, elements=st.sampled_from([0, 1, 2, 2**31 - 1])))
def test_pieces_are_numbered_as_by_scikit_image(labels: NDArray[np.int32]) -> None:
    check_pieces(labels)


@given(st.integers(0, 10**6), st.tuples(st.integers(1, 40), st.integers(1, 40)), st.integers(1, 6))
@settings(deadline=None)
def test_pieces_that_wind_are_numbered_as_by_scikit_image(
    seed: int, shape: tuple[int, int], ids: int
) -> None:
    check_pieces(np.random.default_rng(seed).integers(0, ids, shape, np.int32, endpoint=True))


@pytest.mark.parametrize("name", CASES)
def test_pieces_of_cases_are_numbered_as_by_scikit_image(name: str) -> None:
    check_pieces(CASES[name])
    check_pieces(CASES[name] % 3)  # ids in many pieces


def test_areas_by_hand() -> None:
    labels = np.array([[0, 1, 1], [-1, 4, 0], [1, -1, 0]], np.int32)
    assert cell_areas(labels).tolist() == [3, 3, 0, 0, 1]
    assert cell_areas(np.zeros((0, 3), np.int32)).tolist() == [0]


@pytest.mark.parametrize("name", CASES)
def test_areas_agree_with_a_count_of_each_id(name: str) -> None:
    labels = CASES[name]
    counted = [int((labels == number).sum()) for number in range(labels.max() + 1)]
    assert cell_areas(labels).tolist() == counted


def test_median_diameter_by_hand() -> None:
    # Areas 1, 4 and 25 px: the median cell has 4 px, and a circle of 4 px has diameter 2·√(4/π) = 2.2568.
    labels = np.zeros((8, 8), np.int32)
    labels[0, 0] = 3
    labels[2:4, 0:2] = 9
    labels[3:8, 3:8] = 20
    labels[0, 3:8] = IGNORE
    assert median_diameter(labels) == pytest.approx(2.256758)
    labels[0, 0] = 0  # 4 and 25 px: halfway between 2.2568 and 5.6419
    assert median_diameter(labels) == pytest.approx((2.256758 + 5.641896) / 2)


def test_median_diameter_without_cells_is_nan() -> None:
    assert np.isnan(median_diameter(CASES["empty"]))
    assert np.isnan(median_diameter(np.full((3, 3), IGNORE, np.int32)))
