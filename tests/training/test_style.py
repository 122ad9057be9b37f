import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.exposure import match_histograms

from dinocell.training.style import exchange_amplitudes, exchange_histogram


def noise(seed, low=0, high=256, shape=(64, 64)):
    return np.random.default_rng(seed).integers(low, high, shape, np.uint8)


def test_a_histogram_by_hand():
    image = np.array([[0, 0], [10, 20]], np.uint8)
    other = np.array([[100, 100, 100, 100], [120, 120, 140, 140]], np.uint8)
    assert exchange_histogram(image, other, 1.0).tolist() == [[100, 100], [120, 140]]
    assert exchange_histogram(image, other, 0.5).tolist() == [[50, 50], [65, 80]]
    assert exchange_histogram(image, other, 0.0).tolist() == image.tolist()


@given(st.integers(0, 1000), st.integers(0, 1000))
@settings(deadline=None, max_examples=25)
def test_histograms_agree_with_scikit_image_and_keep_the_order(seed, other_seed):
    image, other = noise(seed, 20, 200), noise(other_seed, 90, 250)
    ours = exchange_histogram(image, other, 1.0)
    assert np.abs(ours.astype(float) - match_histograms(image, other)).max() <= 3
    order = np.argsort(image.ravel(), kind="stable")
    assert (np.diff(ours.ravel()[order].astype(int)) >= 0).all()


def test_amplitudes_of_low_frequencies_are_taken_over_and_no_others():
    image, other = noise(1, 60, 190), noise(2, 90, 160)
    changed = exchange_amplitudes(image, other, 1.0, 0.1)
    before, style, after = (np.fft.fft2(plane.astype(float)) for plane in (image, other, changed))
    frequencies = np.abs(np.fft.fftfreq(64))
    low = (frequencies <= 0.1)[:, None] & (frequencies <= 0.1)
    rounding = 64 * 3  # rounding to whole gray values is noise of 64² · 1/12 in every squared amplitude
    assert np.abs(np.abs(after) - np.abs(style))[low].max() < rounding
    assert np.abs(after - before)[~low].max() < rounding
    assert changed.mean() == pytest.approx(other.mean(), abs=0.5)


def test_no_share_and_a_constant_image_change_nothing_but_the_level():
    image, flat = noise(1), np.full((64, 64), 50, np.uint8)
    assert np.array_equal(exchange_amplitudes(image, noise(2), 0.0, 0.05), image)
    assert np.array_equal(exchange_amplitudes(flat, flat + 100, 1.0, 0.05), flat + 100)
    odd = noise(3, shape=(17, 17))
    assert exchange_amplitudes(odd, noise(4, shape=(17, 17)), 0.7, 0.09).shape == (17, 17)
