from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from dinocell.labels import IGNORE
from dinocell.postprocess.distance import labels_to_distance
from dinocell.training.annotated import Annotated
from dinocell.training.augment import Crop, random_crop
from dinocell.training.augmentation import NO_AUGMENTATION, Augmentation
from dinocell.training.warp import bounding_boxes
from tests.cases import CASES, disk

Labels = NDArray[np.int32]
Gray = NDArray[np.uint8]

GEOMETRY = Augmentation(flip=0.5, rotate=1, scale=(0.7, 1.4), stretch=1.3, brightness=(1, 1), invert=0)
EVERYTHING = Augmentation(
    rotate=1, stretch=1.3, contrast=(0.7, 1.3), gamma=(0.7, 1.4), blur=1.5, noise=8, brightness=(0.7, 1.3)
)
ALL_AT_ONCE = EVERYTHING.model_copy(
    update={"diameter": (8.0, 60.0), "no_clahe": 0.5, "border": 0.5, "empty": 0.2, "gray_mix": 0.5}
)


def crop_of(image: Gray, labels: Labels, size: int, chosen: Augmentation, seed: int) -> Crop:
    return random_crop(Annotated("", image, labels), size, chosen, np.random.default_rng(seed))


def random_image(shape: tuple[int, int]) -> Gray:
    return np.random.default_rng(shape).integers(0, 256, shape, np.uint8)


def source_of(shape: tuple[int, int], size: int, chosen: Augmentation, seed: int) -> tuple[Any, Any]:
    """Return row and column of the image that each pixel of a crop shows: crops of planes of coordinates."""
    ys, xs = np.indices(shape).astype(np.uint8)
    nothing = np.zeros(shape, np.int32)
    return tuple(crop_of(plane, nothing, size, chosen, seed).image.astype(int) for plane in (ys, xs))


def random_cells(shape: tuple[int, int], seed: int) -> Labels:
    """Draw ellipses that touch, cover each other and leave the image, ids with gaps, some pixels ignored."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    y, x = np.indices(shape)
    for number in rng.permutation(np.arange(1, 20))[:9]:
        centre, radii = rng.uniform(-5, np.array(shape) + 5), rng.uniform(2, 25, 2)
        labels[((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 <= 1] = number
    top, left = rng.integers(0, shape[0]), rng.integers(0, shape[1])
    labels[top : top + 4, left : left + 4] = IGNORE
    return labels


# ---------------------------------------------------------------- nothing changed


@given(st.integers(0, 10**6), st.integers(1, 60), st.tuples(st.integers(60, 90), st.integers(60, 90)))
@settings(deadline=None, max_examples=80)
def test_a_plain_crop_is_a_slice_of_image_and_of_the_whole_map(
    seed: int, size: int, shape: tuple[int, int]
) -> None:
    """Check that the map comes from uncropped labels, never renormalised by the part of a cell that shows."""
    labels, image = random_cells(shape, seed), random_image(shape)
    ys, xs = source_of(shape, size, NO_AUGMENTATION, seed)
    part = np.s_[ys[0, 0] : ys[0, 0] + size, xs[0, 0] : xs[0, 0] + size]
    crop = crop_of(image, labels, size, NO_AUGMENTATION, seed)
    assert crop.image.dtype == np.uint8
    assert crop.distance.dtype == np.float32
    assert np.array_equal(crop.image, image[part])
    np.testing.assert_allclose(crop.distance, labels_to_distance(labels)[part], atol=1e-6)
    assert np.array_equal(crop.valid, labels[part] != IGNORE)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"many"}))  # too large for 8-bit coordinates
@pytest.mark.parametrize("size", [16, 64, 100])
def test_beyond_the_edge_image_and_map_are_mirrored_alike(name: str, size: int) -> None:
    labels = CASES[name]
    image = random_image(labels.shape)
    for seed in range(3):
        crop = crop_of(image, labels, size, NO_AUGMENTATION, seed)
        ys, xs = source_of(labels.shape, size, NO_AUGMENTATION, seed)
        assert set(np.abs(np.diff(ys, axis=0)).ravel()) <= {0, 1}
        assert np.array_equal(crop.image, image[ys, xs])
        np.testing.assert_allclose(crop.distance, labels_to_distance(labels)[ys, xs], atol=1e-6)


def test_part_of_a_cell_keeps_its_share_of_the_whole_by_hand() -> None:
    # 11 rows at the image's edge: 11 px from outside at the edge itself, 1 px at the other end.
    labels = np.zeros((60, 200), np.int32)
    labels[:11] = 1
    seen = set()
    for seed in range(30):
        ys, _ = source_of(labels.shape, 6, NO_AUGMENTATION, seed)
        crop = crop_of(random_image(labels.shape), labels, 6, NO_AUGMENTATION, seed)
        expected = np.maximum(11 - ys, 0) / 11
        np.testing.assert_allclose(crop.distance, expected, atol=1e-6)
        seen.add(expected.max())
    assert len(seen) > 3  # crops with and without the innermost pixel


def test_crops_come_from_everywhere() -> None:
    corners = {tuple(plane[0, 0] for plane in source_of((12, 12), 9, NO_AUGMENTATION, s)) for s in range(200)}
    assert corners == {(y, x) for y in range(4) for x in range(4)}


# ---------------------------------------------------------------- one transform for all


@pytest.mark.parametrize("name", ["one", "nested", "concave", "elongated", "border", "many"])
def test_image_and_map_stay_aligned(name: str) -> None:
    labels = CASES[name]
    painted = ((labels > 0) * 255).astype(np.uint8)
    for seed in range(8):
        crop = crop_of(painted, labels, 96, GEOMETRY, seed)
        in_image, in_map = crop.image >= 128, crop.distance > 0
        assert (in_image == in_map).mean() >= 0.97
        if in_map.sum() > 200:
            assert (in_image & in_map).sum() / (in_image | in_map).sum() >= 0.9


@pytest.mark.parametrize("seed", range(10))
def test_a_turned_and_zoomed_crop_shows_the_whole_map_there(seed: int) -> None:
    shape = (150, 170)
    labels = np.zeros(shape, np.int32)
    labels[disk(shape, (75, 80), 45)] = 1
    labels[disk(shape, (0, 10), 40)] = 2
    labels[disk(shape, (140, 20), 30)] = 3
    chosen = GEOMETRY.model_copy(update={"stretch": 1.0})
    ys, xs = source_of(shape, 64, chosen, seed)
    crop = crop_of(random_image(shape), labels, 64, chosen, seed)
    # A pixel is off by rounding, which is 1/30 of the smallest radius.
    assert np.abs(crop.distance - labels_to_distance(labels)[ys, xs]).max() <= 2.5 / 30


def test_a_flip_mirrors_columns() -> None:
    flipped = NO_AUGMENTATION.model_copy(update={"flip": 1.0})
    labels, image = random_cells((80, 90), 3), random_image((80, 90))
    for seed in range(5):
        ys, xs = source_of((80, 90), 40, flipped, seed)
        assert (np.diff(xs, axis=1) == -1).all()
        assert (np.diff(ys, axis=0) == 1).all()
        crop = crop_of(image, labels, 40, flipped, seed)
        assert np.array_equal(crop.image, image[ys, xs])
        np.testing.assert_allclose(crop.distance, labels_to_distance(labels)[ys, xs], atol=1e-6)


@pytest.mark.parametrize("zoom", [0.5, 2])
def test_zoom_is_the_growth_of_a_cell(zoom: float) -> None:
    labels = np.zeros((120, 120), np.int32)
    labels[50:70, 50:70] = 1
    chosen = NO_AUGMENTATION.model_copy(update={"scale": (zoom, zoom)})
    shown = crop_of(random_image((120, 120)), labels, int(120 * zoom), chosen, 0).distance > 0
    for axis in (0, 1):
        assert abs(shown.any(axis=axis).sum() - 20 * zoom) <= 1
    assert shown.sum() == shown.any(axis=0).sum() * shown.any(axis=1).sum()


def test_ignored_pixels_are_invalid_wherever_they_go() -> None:
    labels = CASES["many"].copy()
    painted = np.zeros(labels.shape, np.uint8)
    labels[100:180, 60:200] = IGNORE
    painted[100:180, 60:200] = 255
    seen = 0
    for seed in range(12):
        crop = crop_of(painted, labels, 96, GEOMETRY, seed)
        assert ((crop.image >= 128) == ~crop.valid).mean() >= 0.97
        assert not crop.distance[~crop.valid].any()
        seen += int((~crop.valid).sum())
    assert seen > 96 * 96


# ---------------------------------------------------------------- intensity


def after(image: Gray, **changes: Any) -> Gray:
    """Crop the whole of a square image, with only these changes."""
    chosen = NO_AUGMENTATION.model_copy(update=changes)
    return crop_of(image, np.zeros(image.shape, np.int32), image.shape[0], chosen, 0).image


def test_intensities_by_hand() -> None:
    image = np.array([[0, 51], [102, 255]], np.uint8)
    assert after(image).tolist() == [[0, 51], [102, 255]]
    assert after(image, invert=1.0).tolist() == [[255, 204], [153, 0]]
    assert after(image, brightness=(0.5, 0.5)).tolist() == [[0, 26], [51, 128]]
    assert after(image, brightness=(2, 2)).tolist() == [[0, 102], [204, 255]]
    # Squares of 0, 0.2, 0.4, 1 are 0, 0.04, 0.16, 1.
    assert after(image, gamma=(2, 2)).tolist() == [[0, 10], [41, 255]]
    # The mean is 102; a third of the distance to it.
    assert after(image, contrast=(1 / 3, 1 / 3)).tolist() == [[68, 85], [102, 153]]
    # Inversion first: 1, 0.8, 0.6, 0; then the square.
    assert after(image, invert=1.0, gamma=(2, 2)).tolist() == [[255, 163], [92, 0]]


def test_noise_has_the_drawn_strength_and_blur_smooths() -> None:
    gray = np.full((64, 64), 128, np.uint8)
    chosen = NO_AUGMENTATION.model_copy(update={"noise": 20.0})
    spreads = [crop_of(gray, gray * 0, 64, chosen, seed).image.std() for seed in range(40)]
    assert 8 < sum(spread == 0 for spread in spreads) < 32  # applied to half of the crops
    assert 15 < max(spreads) <= 21
    grain = random_image((64, 64))
    chosen = NO_AUGMENTATION.model_copy(update={"blur": 3.0})
    spreads = [crop_of(grain, grain * np.int32(0), 64, chosen, seed).image.std() for seed in range(40)]
    assert 8 < sum(spread == grain.std() for spread in spreads) < 32
    assert min(spreads) < 0.2 * grain.std()


@pytest.mark.parametrize("seed", range(6))
def test_intensity_settings_change_the_image_only(seed: int) -> None:
    labels, image = random_cells((90, 80), seed), random_image((90, 80))
    geometry = {name: getattr(EVERYTHING, name) for name in ("flip", "rotate", "scale", "stretch")}
    plain = crop_of(image, labels, 48, NO_AUGMENTATION.model_copy(update=geometry), seed)
    changed = crop_of(image, labels, 48, EVERYTHING, seed)
    assert np.array_equal(changed.distance, plain.distance)
    assert np.array_equal(changed.valid, plain.valid)
    assert not np.array_equal(changed.image, plain.image)


# ---------------------------------------------------------------- style, borders, empty tiles

FLAT = np.full((64, 64), 200, np.uint8)


def styled(seed: int, **changes: Any) -> Crop:
    chosen = NO_AUGMENTATION.model_copy(update=changes)
    item = Annotated("", random_image((90, 80)), random_cells((90, 80), seed))
    return random_crop(item, 64, chosen, np.random.default_rng(seed), style=lambda _: FLAT)


def test_a_style_comes_from_elsewhere_and_leaves_the_target_alone() -> None:
    plain = styled(1)
    for name in ("histogram", "fourier"):
        changed = styled(1, **{name: 1.0})
        assert abs(changed.image.mean() - 200) < abs(plain.image.mean() - 200) - 10
        assert np.array_equal(changed.distance, plain.distance)
        assert np.array_equal(changed.valid, plain.valid)
    half = sum(not np.array_equal(styled(s, histogram=0.5).image, styled(s).image) for s in range(40))
    assert 8 < half < 32


def test_a_border_is_constant_and_nothing_is_there() -> None:
    hidden = 0
    for seed in range(20):
        plain, crop = styled(seed), styled(seed, border=1.0)
        changed = crop.distance != plain.distance
        assert not crop.distance[changed].any()
        assert (crop.valid | ~changed).all()
        covered = crop.image != plain.image
        assert len(np.unique(crop.image[covered])) <= 1
        assert not crop.distance[covered].any()
        hidden += int(changed.sum())
    assert hidden > 1000


def test_an_empty_crop_has_an_image_and_no_target() -> None:
    crop = styled(3, empty=1.0, noise=5.0)
    assert np.ptp(crop.image) > 100
    assert not crop.distance.any()
    assert crop.valid.all()
    assert not np.array_equal(crop.image, styled(4, empty=1.0).image)


def test_sizes_are_those_of_the_median_cell() -> None:
    labels = np.zeros((200, 200), np.int32)
    for number, centre in enumerate([(50, 50), (50, 150), (150, 50), (150, 150)], 1):
        labels[disk((200, 200), centre, 15)] = number
    item = Annotated("", random_image((200, 200)), labels)
    chosen = NO_AUGMENTATION.model_copy(update={"diameter": (60.0, 60.0)})
    crop = random_crop(item, 400, chosen, np.random.default_rng(0))
    area = np.count_nonzero(crop.distance) / 4
    assert np.sqrt(4 * area / np.pi) == pytest.approx(60, rel=0.03)


# ---------------------------------------------------------------- as a whole


@pytest.mark.parametrize("chosen", [NO_AUGMENTATION, Augmentation(), EVERYTHING, ALL_AT_ONCE])
def test_the_same_seed_gives_the_same_crop_and_another_another(chosen: Augmentation) -> None:
    labels, image = random_cells((90, 80), 1), random_image((90, 80))
    before = labels.copy(), image.copy()
    first, again, other = (crop_of(image, labels, 48, chosen, seed) for seed in (5, 5, 6))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.distance, again.distance)
    assert np.array_equal(first.valid, again.valid)
    assert not np.array_equal(first.image, other.image)
    assert np.array_equal(labels, before[0])
    assert np.array_equal(image, before[1])


@given(st.integers(0, 10**6), st.integers(1, 80), st.integers(1, 80), st.integers(1, 70))
@example(333, 5, 3, 17)  # the two warps round an ignored pixel differently
@settings(deadline=None, max_examples=60)
def test_any_image_gives_a_crop_of_the_wanted_size(seed: int, rows: int, columns: int, size: int) -> None:
    labels = random_cells((rows, columns), seed)
    crop = crop_of(random_image((rows, columns)), labels, size, ALL_AT_ONCE, seed)
    assert crop.image.shape == crop.distance.shape == crop.valid.shape == (size, size)
    assert crop.distance.min() >= 0
    assert crop.distance.max() <= 1
    assert not crop.distance[~crop.valid].any()


@pytest.mark.parametrize(
    "changes",
    [
        {"flip": 1.1},
        {"rotate": -0.1},
        {"scale": (1.2, 0.8)},
        {"scale": (0, 1)},
        {"gamma": (1, np.inf)},
        {"brightness": (np.nan, 1)},
        {"stretch": 0.5},
        {"noise": -1},
        {"contrats": (1, 1)},
        {"diameter": (90, 10)},
        {"zoom_limits": (0, 4)},
        {"histogram": 1.5},
        {"empty": -0.1},
    ],
)
def test_impossible_and_unknown_settings_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(changes))):
        Augmentation(**changes)


# ---------------------------------------------------------------- bounding boxes


def test_boxes_by_hand() -> None:
    labels = np.zeros((6, 7), np.int32)
    labels[1:3, 2:6] = 1
    labels[5, 0] = labels[0, 6] = 4
    labels[3] = IGNORE
    assert bounding_boxes(labels).tolist() == [
        [0, 0, 0, 0],
        [1, 2, 2, 5],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 5, 6],
    ]
    assert bounding_boxes(CASES["empty"]).tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize("name", CASES)
def test_boxes_are_the_extremes_of_each_cell(name: str) -> None:
    labels = CASES[name]
    boxes = bounding_boxes(labels)
    assert boxes.shape == (labels.max() + 1, 4)
    for number in range(1, labels.max() + 1):
        pixels = np.argwhere(labels == number)
        assert boxes[number].tolist() == [*pixels.min(axis=0), *pixels.max(axis=0)]
