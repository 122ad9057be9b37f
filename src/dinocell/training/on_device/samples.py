"""Batches of crops that are drawn on the device where a model learns."""

import itertools
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinocell.labels import TARGETS
from dinocell.training.annotated import Annotated
from dinocell.training.blank import draw_empty, hidden
from dinocell.training.config import TrainConfig
from dinocell.training.on_device.contrast import apply_clahe_to_batch
from dinocell.training.on_device.draws import EMPTY_TILES, Draws, draw_batch, population_of
from dinocell.training.on_device.images import LEVELS, DeviceImages
from dinocell.training.on_device.looks import (
    blur,
    change_intensities,
    exchange_histograms,
    exchange_low_frequencies,
    mix_sums,
)
from dinocell.training.samples import TrainingBatch


class DeviceSamples:
    """Augmented crops, drawn a batch at a time; a batch is the same whenever it is drawn on this device.

    Parameters
    ----------
    datasets : list of sequence of Annotated
    config : TrainConfig
        Gives the datasets' weights, the crop size, the augmentation and the seed.
    device : torch.device
    """

    def __init__(
        self, datasets: Sequence[Sequence[Annotated]], config: TrainConfig, device: torch.device
    ) -> None:
        items = list(itertools.chain.from_iterable(datasets))
        self.config, self.device = config, device
        self._names = [item.name for item in items]
        self._population = population_of(
            [(item.image.shape[0], item.image.shape[1]) for item in items],
            [item.diameter for item in items],
            [len(dataset) for dataset in datasets],
            np.array([dataset.weight for dataset in config.train]),
        )
        self._targets = np.array([TARGETS.index(dataset.annotates) for dataset in config.train])
        self._images = DeviceImages(items, device)
        self._empty = self._draw_empty_tiles()

    def _draw_empty_tiles(self) -> Tensor:
        size, config = self.config.crop_size, self.config
        count = EMPTY_TILES if config.augmentation.empty else 0
        rngs = (np.random.default_rng((config.seed, number)) for number in range(count))
        tiles = [draw_empty(size, config.preprocessing, rng) for rng in rngs]
        return torch.from_numpy(np.array(tiles, np.uint8).reshape(-1, size, size)).to(self.device)

    def names(self, step: int) -> list[str]:
        """Name the images that the crops of a step come from, all processes together."""
        batches = range(step * self.config.accumulate, (step + 1) * self.config.accumulate)
        return sorted({self._names[image] for batch in batches for image in self.draws(batch).images})

    def draws(self, batch: int) -> Draws:
        """Draw the random numbers of a batch, all processes together."""
        config = self.config
        rng = np.random.default_rng((config.seed, batch))
        return draw_batch(
            self._population,
            config.batch_size,
            config.crop_size,
            config.augmentation,
            config.preprocessing,
            rng,
        )

    def steps(
        self, first: int, last: int, *, process: int = 0, processes: int = 1
    ) -> Generator[list[TrainingBatch], None, None]:
        """Yield the batches of the steps from `first` up to, not including, `last`.

        Parameters
        ----------
        first, last : int
        process, processes : int
            Number of this process, from 0, and of all processes that share every batch.

        Yields
        ------
        list of TrainingBatch
            `accumulate` batches on the device, each of ``batch_size / processes`` crops.
        """
        share = self.config.batch_size // processes
        rows = slice(process * share, (process + 1) * share)
        generator = torch.Generator(self.device)
        for step in range(first, last):
            batches = []
            for batch in range(step * self.config.accumulate, (step + 1) * self.config.accumulate):
                generator.manual_seed(hash((self.config.seed, batch, process)) % 2**63)
                batches.append(self.crops(self.draws(batch).part(rows), generator))
            yield batches

    @torch.no_grad()
    def crops(self, draws: Draws, generator: torch.Generator) -> TrainingBatch:
        """Compute the crops of which the random numbers have been drawn; noise comes from the generator."""
        numbers = self._on(draws.images)
        distance, valid = self._images.target(
            numbers, *self._coordinates(draws.inverse, self.config.crop_size), self._on(draws.zooms)
        )
        pixels = self._exchange_styles(self._pixels(draws), draws)
        pixels = self._replace_by_empty(pixels, distance, valid, draws)
        pixels = self._change(pixels, draws, generator)
        self._hide(pixels, distance, valid, draws)
        datasets = self._population.datasets[draws.images]
        return pixels, distance, valid, self._on(self._targets[datasets])

    def _on(self, values: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        tensor = tensor.float() if tensor.dtype == torch.float64 else tensor
        return tensor.to(self.device, non_blocking=True)

    def _coordinates(self, inverse: NDArray[np.float64], size: int) -> tuple[Tensor, Tensor]:
        """Return x and y in the image of all pixels of crops."""
        at = torch.arange(size, device=self.device, dtype=torch.float32)
        rows = self._on(inverse)[..., None, None]
        x, y = (
            (rows[:, axis, 0] * at + rows[:, axis, 2]) + rows[:, axis, 1] * at[:, None] for axis in (0, 1)
        )
        return x, y

    def _pixels(self, draws: Draws) -> Tensor:
        """Compute the pixels: sampled at the nearest level with a margin, mixed, CLAHE applied, cut out."""
        config, images = self.config, draws.images
        clahe = np.flatnonzero(self._images.before_clahe[images] & ~draws.plain)
        window = config.preprocessing.clahe_window if clahe.size else 0
        size = config.crop_size
        wide = (-(-size // window) + 2) * window if window else size
        phase = draws.phase * bool(window)
        levels = np.clip(np.rint(-np.log2(draws.zooms)), 0, LEVELS - 1).astype(np.int64)
        x, y = self._coordinates(self._to_level(draws, levels, phase), wide)
        gray = self._images.levels.bilinear(self._on(images * LEVELS + levels), x, y)
        mixed = np.flatnonzero(draws.mixed & (self._images.colour_numbers[images] >= 0))
        if mixed.size:
            at = self._on(mixed)
            gray[at] = self._mix(draws, mixed, levels, x[at], y[at])
        pixels = gray.round().to(torch.uint8)
        if clahe.size:
            at = self._on(clahe)
            before = pixels[at]
            after = apply_clahe_to_batch(
                before, clip_limit=config.preprocessing.clahe_clip_limit, window=window
            )
            pixels[at] = after * before.amax(dim=(1, 2), keepdim=True).bool()
        inside = torch.arange(size, device=self.device)
        start = self._on(phase)
        rows, columns = start[:, 1, None] + inside, start[:, 0, None] + inside
        crop = torch.arange(len(images), device=self.device)[:, None, None]
        return pixels[crop, rows[:, :, None], columns[:, None, :]]

    def _to_level(
        self, draws: Draws, levels: NDArray[np.int64], phase: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the ways from wide crops, which begin `phase` before the crops, to the levels."""
        shapes = self._population.shapes[draws.images][:, ::-1]
        scaled = np.maximum(1, np.rint(shapes * 0.5 ** levels[:, None]))
        factors = (scaled / shapes)[:, :, None]
        linear, offset = draws.inverse[:, :, :2], draws.inverse[:, :, 2:]
        offset = offset - linear @ phase[:, :, None]
        return np.concatenate([linear * factors, (offset + 0.5) * factors - 0.5], axis=2)

    def _mix(
        self, draws: Draws, chosen: NDArray[np.int64], levels: NDArray[np.int64], x: Tensor, y: Tensor
    ) -> Tensor:
        """Compute gray values in [0, 255] of crops of colour images."""
        numbers = self._images.colour_numbers[draws.images[chosen]]
        weights, density = self._on(draws.weights[chosen]), self._on(draws.density[chosen])
        settings = self.config.preprocessing
        shares = torch.tensor([settings.low_percentile, settings.high_percentile], device=self.device) / 100
        sampled = mix_sums(
            self._images.samples[self._on(numbers)].float(), weights[:, None], density[:, None]
        )
        bottom, top = torch.quantile(sampled, shares, dim=1)[:, :, None, None]
        colours = self._images.colours.bilinear(self._on(numbers * LEVELS + levels[chosen]), x, y)
        sums = mix_sums(colours, weights[:, None, None], density[:, None, None])
        gray: Tensor = ((sums - bottom) / (top - bottom).clamp(min=1e-6)).clamp(0, 1) * 255
        return gray

    def _exchange_styles(self, pixels: Tensor, draws: Draws) -> Tensor:
        for shares, exchange, more in (
            (draws.histogram, exchange_histograms, ()),
            (draws.fourier, exchange_low_frequencies, (draws.highest,)),
        ):
            chosen = np.flatnonzero(shares)
            if chosen.size:
                x, y = self._coordinates(draws.others_inverse[chosen], self.config.crop_size)
                style = self._images.images.nearest(self._on(draws.others[chosen]), x, y)
                at = self._on(chosen)
                settings = [self._on(values[chosen]) for values in (shares, *more)]
                pixels[at] = exchange(pixels[at], style, *settings)
        return pixels

    def _replace_by_empty(self, pixels: Tensor, distance: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        chosen = np.flatnonzero(draws.empty >= 0)
        if chosen.size:
            at = self._on(chosen)
            pixels[at] = self._empty[self._on(draws.empty[chosen])]
            distance[at], valid[at] = 0, True
        return pixels

    def _change(self, pixels: Tensor, draws: Draws, generator: torch.Generator) -> Tensor:
        names = ("invert", "gamma", "contrast", "brightness")
        changes = {name: self._on(getattr(draws, name))[:, None, None] for name in names}
        values = change_intensities(pixels.float() / 255, **changes)
        blurred = np.flatnonzero(draws.blur)
        if blurred.size:
            at = self._on(blurred)
            values[at] = blur(values[at], self._on(draws.blur[blurred]), self.config.augmentation.blur)
        if draws.noise.any():
            grain = torch.randn(values.shape, generator=generator, device=self.device)
            values += grain * self._on(draws.noise)[:, None, None]
        return (values.clamp(0, 1) * 255).round().to(torch.uint8)

    def _hide(self, pixels: Tensor, distance: Tensor, valid: Tensor, draws: Draws) -> None:
        """Draw the borders, in place."""
        if not draws.borders:
            return
        at = self._on(np.array(list(draws.borders)))
        rows = [(*b.circle, *itertools.chain(*b.lines), b.value) for b in draws.borders.values()]
        columns = self._on(np.array(rows, np.float64)).unbind(1)
        parts = [column[:, None, None] for column in columns]
        side = torch.arange(self.config.crop_size, device=self.device, dtype=torch.float32)
        lines = [parts[first : first + 3] for first in range(3, 15, 3)]
        covered = hidden(parts[:3], lines, side.view(1, 1, -1), side.view(1, -1, 1))
        pixels[at] = torch.where(covered, parts[15].to(torch.uint8), pixels[at])
        distance[at] = torch.where(covered, 0, distance[at])
        valid[at] |= covered
