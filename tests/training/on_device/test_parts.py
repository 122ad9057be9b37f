"""Every part of a batch on the device, against the one that works on the processor crop by crop."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from dinocell.labels import IGNORE
from dinocell.postprocess.distance import labels_to_distance
from dinocell.preprocess.preprocessing import apply_clahe
from dinocell.training.annotated import Annotated
from dinocell.training.augment import random_crop
from dinocell.training.augmentation import NO_AUGMENTATION, Augmentation
from dinocell.training.gray_mix import HAEMATOXYLIN, GrayMix
from dinocell.training.on_device.contrast import apply_clahe_to_batch
from dinocell.training.on_device.images import DeviceImages
from dinocell.training.on_device.looks import (
    blur,
    change_intensities,
    exchange_histograms,
    exchange_low_frequencies,
    mix_sums,
)
from dinocell.training.on_device.planes import Planes
from dinocell.training.placement import place
from dinocell.training.style import exchange_amplitudes, exchange_histogram
from tests.cases import CASES, disk

CPU = torch.device("cpu")


def noise(count, shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def smooth(count, shape, seed=0):
    values = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((count, *shape)), (0, 3, 3))
    return np.rint((values / np.abs(values).max() + 1) * 127).astype(np.uint8)


# ---------------------------------------------------------------- planes


@given(st.integers(0, 1000))
@settings(deadline=None, max_examples=20)
def test_planes_of_any_size_are_read_and_mirrored_as_scipy_does(seed):
    rng = np.random.default_rng(seed)
    arrays = [rng.integers(0, 256, rng.integers(1, 20, 2), np.uint8) for _ in range(4)]
    planes = Planes(arrays, CPU)
    numbers = rng.integers(0, 4, 3)
    x, y = rng.uniform(-25, 45, (2, 3, 6, 5)).astype(np.float32)
    args = (torch.from_numpy(numbers), torch.from_numpy(x), torch.from_numpy(y))
    for order, found in ((0, planes.nearest(*args)), (1, planes.bilinear(*args))):
        for number, window, own_x, own_y in zip(numbers, found, x, y, strict=True):
            plane = arrays[number].astype(np.float32)
            at = np.floor(np.stack([own_y, own_x]) + 0.5) if order == 0 else np.stack([own_y, own_x])
            expected = ndimage.map_coordinates(plane, at, order=order, mode="reflect")
            assert np.abs(window.numpy() - expected).max() < 0.01


def test_colours_are_read_like_grays():
    colours = noise(1, (9, 8, 3))[0]
    x, y = torch.rand(2, 1, 4, 4) * 7
    number = torch.zeros(1, dtype=torch.long)
    together = Planes([colours], CPU).bilinear(number, x, y)
    for channel in range(3):
        alone = Planes([np.ascontiguousarray(colours[:, :, channel])], CPU).bilinear(number, x, y)
        torch.testing.assert_close(together[..., channel], alone)


# ---------------------------------------------------------------- looks


@pytest.mark.parametrize(("window", "clip_limit"), [(64, 3.0), (16, 3.0), (32, 40.0), (64, 0.5)])
def test_clahe_equals_that_of_opencv(window, clip_limit):
    images = np.concatenate(
        [noise(1, (128, 192)), smooth(1, (128, 192)), np.full((1, 128, 192), 7, np.uint8)]
    )
    found = apply_clahe_to_batch(torch.from_numpy(images), clip_limit=clip_limit, window=window)
    expected = np.stack([apply_clahe(image, clip_limit=clip_limit, window=window) for image in images])
    assert np.abs(found.numpy().astype(int) - expected).max() <= 1
    assert (found.numpy() != expected).mean() < 0.001


def test_styles_equal_those_of_single_crops():
    images, others = smooth(5, (48, 40), 1), noise(5, (48, 40), 2) // 2
    shares, highest = np.linspace(0, 1, 5, dtype=np.float32), np.linspace(0.01, 0.09, 5, dtype=np.float32)
    batch = [torch.from_numpy(values) for values in (images, others, shares, highest)]
    histograms, amplitudes = exchange_histograms(*batch[:3]).numpy(), exchange_low_frequencies(*batch).numpy()
    for number, (image, other) in enumerate(zip(images, others, strict=True)):
        expected = exchange_histogram(image, other, float(shares[number]))
        assert np.abs(histograms[number].astype(int) - expected).max() <= 1
        expected = exchange_amplitudes(image, other, float(shares[number]), float(highest[number]))
        assert np.abs(amplitudes[number].astype(int) - expected).max() <= 1


def test_a_blur_equals_that_of_opencv():
    images = noise(3, (40, 50)).astype(np.float32) / 255
    sigmas = np.array([0.4, 1.0, 2.0], np.float32)
    found = blur(torch.from_numpy(images), torch.from_numpy(sigmas), 2.0).numpy()
    for image, sigma, blurred in zip(images, sigmas, found, strict=True):
        assert np.abs(blurred - cv2.GaussianBlur(image, (0, 0), float(sigma))).max() < 0.005
    tiny = torch.rand(1, 2, 3)
    assert blur(tiny, torch.ones(1), 2.0).shape == tiny.shape


def test_intensities_by_hand():
    values = torch.tensor([[[0, 0.2], [0.4, 1]]]).repeat(4, 1, 1)
    one = torch.ones(4, 1, 1)
    found = change_intensities(
        values,
        invert=torch.tensor([True, False, False, False])[:, None, None],
        gamma=torch.tensor([1, 2, 1, 1])[:, None, None],
        contrast=torch.tensor([1, 1, 1 / 3, 1])[:, None, None],
        brightness=one * torch.tensor([1, 1, 1, 0.5])[:, None, None],
    )
    expected = [[1, 0.8, 0.6, 0], [0, 0.04, 0.16, 1], [0.8 / 3, 1 / 3, 0.4, 0.6], [0, 0.1, 0.2, 0.5]]
    torch.testing.assert_close(found.flatten(1), torch.tensor(expected))


@pytest.mark.parametrize("density", [True, False])
def test_sums_of_colours_equal_those_of_single_images(density):
    colours = noise(2, (7, 6, 3))
    weights = torch.tensor([HAEMATOXYLIN] * 2)[:, None, None]
    found = mix_sums(torch.from_numpy(colours).float(), weights, torch.full((2, 1, 1), density))
    for image, sums in zip(colours, found, strict=True):
        np.testing.assert_allclose(sums, GrayMix(HAEMATOXYLIN, density).sums(image), rtol=1e-4)


# ---------------------------------------------------------------- targets


def device_target(labels, seed, chosen, size=64):
    """Return the target of a crop that `random_crop` would draw with this seed."""
    item = Annotated("", np.zeros(labels.shape, np.uint8), labels)
    placement = place(labels.shape, size, chosen, np.random.default_rng(seed), diameter=item.diameter)
    inverse = cv2.invertAffineTransform(placement.matrix)
    y, x = np.indices((size, size))
    x, y = inverse[:, :2] @ np.stack([x.ravel(), y.ravel()]) + inverse[:, 2:]
    coordinates = (torch.from_numpy(at.reshape(1, size, size)).float() for at in (x, y))
    images = DeviceImages([item], CPU)
    zoom = torch.tensor([placement.zoom], dtype=torch.float32)
    distance, valid = images.target(torch.zeros(1, dtype=torch.long), *coordinates, zoom)
    return distance[0].numpy(), valid[0].numpy()


@pytest.mark.parametrize("name", ["one", "nested", "touching", "concave", "elongated", "border", "many"])
def test_a_plain_target_is_the_map_itself(name):
    labels = CASES[name].copy()
    labels[:3] = IGNORE
    item = Annotated("", np.zeros(labels.shape, np.uint8), labels)
    for seed in range(4):
        expected = random_crop(item, 64, NO_AUGMENTATION, np.random.default_rng(seed))
        distance, valid = device_target(labels, seed, NO_AUGMENTATION)
        assert np.abs(distance - expected.distance).max() < 0.002
        assert np.array_equal(valid, expected.valid)


@pytest.mark.parametrize("zoom", [0.3, 0.5, 1.0, 2.0, 4.0])
def test_a_turned_and_zoomed_target_agrees_with_the_one_that_is_measured_after_the_warp(zoom):
    labels = np.zeros((200, 220), np.int32)
    for number, (centre, radius) in enumerate(
        [((60, 60), 30), ((60, 117), 28), ((150, 60), 40), ((0, 200), 35)], 1
    ):
        labels[disk(labels.shape, centre, radius)] = number
    labels[120:160, 150:200] = IGNORE
    chosen = Augmentation(rotate=1, flip=1, scale=(zoom, zoom))
    item = Annotated("", np.zeros(labels.shape, np.uint8), labels)
    seen = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        expected = random_crop(item, 64, chosen.model_copy(update={"brightness": (1, 1), "invert": 0}), rng)
        distance, valid = device_target(labels, seed, chosen)
        assert (valid == expected.valid).mean() > 0.99
        inside = (distance > 0) & (expected.distance > 0)
        assert ((distance > 0) == (expected.distance > 0)).mean() > 0.98
        if inside.any():
            # Labels that are warped have jagged outlines: half a pixel of the thinnest cell, on average.
            assert np.abs(distance - expected.distance)[inside].mean() < 0.04 / min(zoom, 1)
            seen += 1
    assert seen > 2


def test_stores_bring_their_own_map():
    labels = CASES["border"]
    whole = labels_to_distance(labels)
    part = np.s_[: labels.shape[0] // 2]
    item = Annotated("", np.zeros(labels[part].shape, np.uint8), labels[part], whole[part])
    y, x = torch.meshgrid(*(torch.arange(side).float() for side in labels[part].shape), indexing="ij")
    distance, _ = DeviceImages([item], CPU).target(
        torch.zeros(1, dtype=torch.long), x[None], y[None], torch.ones(1)
    )
    assert np.abs(distance[0].numpy() - whole[part]).max() < 0.02
