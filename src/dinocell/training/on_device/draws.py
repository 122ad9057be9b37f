"""Random numbers of a batch of crops: drawn on the processor, so that they are the same for every device."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dinocell.preprocess.preprocessing import Preprocessing
from dinocell.training.augmentation import Augmentation
from dinocell.training.blank import Border, draw_border
from dinocell.training.gray_mix import HAEMATOXYLIN
from dinocell.training.style import LOW_FREQUENCIES, SHARES

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]

EMPTY_TILES = 64
"""Number of tiles without cells that are kept."""


@dataclass(frozen=True)
class Population:
    """Images that crops are drawn from.

    Attributes
    ----------
    shapes : int64 array, shape (N, 2)
    diameters : float64 array, shape (N,)
        Of the median cell; NaN without cells.
    datasets : int64 array, shape (N,)
        Number of each image's dataset.
    shares : float64 array, shape (N,)
        Share of the crops that each image gets.
    """

    shapes: Numbers
    diameters: Floats
    datasets: Numbers
    shares: Floats

    def choose(self, count: int, rng: np.random.Generator) -> Numbers:
        """Draw images."""
        at = rng.random(count) * self.shares.sum()
        return np.asarray(np.searchsorted(np.cumsum(self.shares), at))

    def choose_others(self, images: Numbers, rng: np.random.Generator) -> Numbers:
        """Draw an image of another dataset for each; of any where there is but one dataset."""
        weights = np.bincount(self.datasets, self.shares)
        if len(weights) == 1:
            return self.choose(len(images), rng)
        # The images of a dataset stand together: what follows its part of the shares wraps around it.
        ends = np.cumsum(weights)[self.datasets[images]]
        others = weights.sum() - weights[self.datasets[images]]
        at = np.mod(ends + rng.random(len(images)) * others, weights.sum())
        found = np.searchsorted(np.cumsum(self.shares), at, side="right")
        return np.asarray(np.minimum(found, len(self.shares) - 1))


@dataclass(frozen=True)
class Draws:
    """All that is drawn for a batch of crops; arrays have one entry, or row, a crop.

    Attributes
    ----------
    images, others : int64 array
        Images that are shown, and that styles are taken from.
    inverse, others_inverse : float64 array, shape (B, 2, 3)
        From coordinates (x, y) in the crop to those in the image.
    zooms : float64 array
    phase : int64 array, shape (B, 2)
        Where the grid of CLAHE windows begins, (x, y) in pixels before the crop.
    mixed, density, plain, invert : bool array
    weights : float64 array, shape (B, 3)
    histogram, fourier, highest, gamma, contrast, brightness, blur, noise : float64 array
        Shares, factors and sigmas; 0 for crops without that change, where 0 is none.
    empty : int64 array
        Number of a tile without cells, or −1.
    borders : dict of int to Border
        By the number of the crop in the batch.
    """

    images: Numbers
    others: Numbers
    inverse: Floats
    others_inverse: Floats
    zooms: Floats
    phase: Numbers
    mixed: NDArray[np.bool_]
    density: NDArray[np.bool_]
    weights: Floats
    plain: NDArray[np.bool_]
    histogram: Floats
    fourier: Floats
    highest: Floats
    invert: NDArray[np.bool_]
    gamma: Floats
    contrast: Floats
    brightness: Floats
    blur: Floats
    noise: Floats
    empty: Numbers
    borders: dict[int, Border]

    def part(self, rows: slice) -> "Draws":
        """Return the draws of some crops of the batch."""
        taken = {name: value[rows] for name, value in vars(self).items() if name != "borders"}
        chosen = range(len(self.images))[rows]
        borders = {number - chosen.start: self.borders[number] for number in chosen if number in self.borders}
        return Draws(**taken, borders=borders)


def draw_batch(
    population: Population,
    count: int,
    size: int,
    settings: Augmentation,
    preprocessing: Preprocessing,
    rng: np.random.Generator,
) -> Draws:
    """Draw images, places and changes of `count` crops, distributed as those of `random_crop`."""

    def happens(probability: float) -> NDArray[np.bool_]:
        return np.asarray(rng.random(count) < probability)

    def within(bounds: tuple[float, float]) -> Floats:
        return np.asarray(rng.uniform(bounds[0], bounds[1], count))

    def log_within(bounds: tuple[float, float]) -> Floats:
        return np.exp(within((math.log(bounds[0]), math.log(bounds[1]))))

    images = population.choose(count, rng)
    others = population.choose_others(images, rng)
    zooms = log_within(settings.scale)
    if settings.diameter is not None:
        wanted = log_within(settings.diameter)
        sized = np.clip(zooms * wanted / population.diameters[images], *settings.zoom_limits)
        zooms = np.where(np.isnan(sized), zooms, sized)
    density = happens(0.5)
    near_haematoxylin = np.asarray(HAEMATOXYLIN) + rng.normal(0, 0.15, (count, 3))
    half = settings.blur > 0, settings.noise > 0
    return Draws(
        images=images,
        others=others,
        inverse=_draw_places(population.shapes[images], zooms, size, settings, rng),
        others_inverse=_windows(population.shapes[others], np.ones(count), np.eye(2), size, rng),
        zooms=zooms,
        phase=rng.integers(0, preprocessing.clahe_window, (count, 2)) + preprocessing.clahe_window // 2,
        mixed=happens(settings.gray_mix),
        density=density,
        weights=np.where(density[:, None], near_haematoxylin, rng.dirichlet((1, 1, 1), count)),
        plain=happens(settings.no_clahe),
        histogram=happens(settings.histogram) * within(SHARES),
        fourier=happens(settings.fourier) * within(SHARES),
        highest=within(LOW_FREQUENCIES),
        invert=happens(settings.invert),
        gamma=log_within(settings.gamma),
        contrast=within(settings.contrast),
        brightness=within(settings.brightness),
        blur=happens(0.5) * within((0.1, settings.blur)) if half[0] else np.zeros(count),
        noise=happens(0.5) * within((0, settings.noise / 255)) if half[1] else np.zeros(count),
        empty=np.where(happens(settings.empty), rng.integers(0, EMPTY_TILES, count), -1),
        borders={int(number): draw_border(size, rng) for number in np.flatnonzero(happens(settings.border))},
    )


def _draw_places(
    shapes: Numbers, zooms: Floats, size: int, settings: Augmentation, rng: np.random.Generator
) -> Floats:
    count = len(shapes)
    stretch = np.exp(rng.uniform(-0.5, 0.5, count) * np.log(settings.stretch))
    angle = np.where(rng.random(count) < settings.rotate, rng.uniform(-np.pi, np.pi, count), 0)
    mirror = np.where(rng.random(count) < settings.flip, -1.0, 1.0)
    tilt = rng.uniform(-np.pi, np.pi, count) if settings.stretch > 1 else np.zeros(count)
    linear = _rotations(angle - tilt) * np.stack([zooms * stretch, zooms / stretch], axis=1)[:, None]
    linear = linear @ _rotations(tilt) * np.stack([mirror, np.ones(count)], axis=1)[:, None]
    return _windows(shapes, zooms, np.linalg.inv(linear), size, rng)


def _windows(shapes: Numbers, zooms: Floats, back: Floats, size: int, rng: np.random.Generator) -> Floats:
    """Draw the centres of crops, inside the image where they fit, and return the ways back to the image."""
    lengths = shapes[:, ::-1].astype(float)
    margins = np.minimum(size / zooms[:, None], lengths) / 2
    centres = rng.uniform(margins, lengths - margins) - 0.5
    middle = (size - 1) / 2
    # On the pixel grid, as in `place`.
    centres = np.rint(centres - middle) + middle
    offsets = centres - (back @ np.array([middle, middle]))
    linear = np.broadcast_to(back, (len(shapes), 2, 2))
    return np.concatenate([linear, offsets[:, :, None]], axis=2)


def _rotations(angles: Floats) -> Floats:
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cos, -sin], axis=1), np.stack([sin, cos], axis=1)], axis=1)


def population_of(
    shapes: Sequence[tuple[int, int]], diameters: Sequence[float], counts: Sequence[int], weights: Floats
) -> Population:
    """Describe the images of several datasets.

    Parameters
    ----------
    shapes, diameters : sequence
        Of all images, dataset by dataset.
    counts : sequence of int
        Images of each dataset.
    weights : float64 array
        Share of each dataset in the crops.
    """
    datasets = np.repeat(np.arange(len(counts)), counts)
    sides = np.asarray(shapes, np.int64).reshape(-1, 2)
    roots = np.sqrt(sides.prod(axis=1))  # larger images hold more to see
    sums = np.bincount(datasets, roots)
    shares = weights[datasets] * roots / sums[datasets]
    return Population(sides, np.asarray(diameters, np.float64), datasets, shares)
