"""Views of a field, the part of an image that student and teacher see.

::

    image ──▶ field (a random part, all channels) ──▶ G large views  ┐  each: one channel, rotated,
                                                  └──▶ L small views ┘  zoomed, its intensities changed
              large view ──▶ mask: patches that are hidden from the student

The first large view shows the mean of the channels, every other view one channel drawn at random, so that the
features of a cell come to be the same whichever channel shows it.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dinocell.training.annotated import Annotated
from dinocell.training.augment import random_crop, use_one_thread
from dinocell.training.pretraining.config import GlobalViews, LocalViews, Masking, PretrainConfig
from dinocell.training.pretraining.unlabelled import Planes

ViewBatch = tuple[Tensor, Tensor, Tensor]
"""Large views uint8 ``(B, G, S, S)``, small ones uint8 ``(B, L, s, s)``, hidden patches ``(B, G, N)``."""

ATTEMPTS = 10
"""Number of rectangles that are tried for a mask, before single patches fill it up."""


class ViewSamples(Dataset[ViewBatch]):
    """Views by number; those of number ``i`` are the same whenever and wherever they are drawn.

    Parameters
    ----------
    planes : Planes
    config : PretrainConfig
    patch : int
        Side of a patch in pixels.
    """

    def __init__(self, planes: Planes, config: PretrainConfig, patch: int) -> None:
        self.planes = planes
        self.config = config
        self.grid = config.global_views.size // patch
        areas = np.sqrt([math.prod(shape[1:]) for shape in planes.shapes])  # larger ones hold more to see
        self._shares = areas / areas.sum()

    def __getitem__(self, number: int) -> ViewBatch:
        rng = np.random.default_rng((self.config.seed, number))
        image = self.planes.read(int(rng.choice(len(self.planes), p=self._shares)))
        smallest = self.config.global_views.size
        field = cut_field(image, self.config.field, smallest, rng)
        large = draw_views(field, self.config.global_views, rng, first_is_mean=True)
        small = draw_views(field, self.config.local_views, rng, first_is_mean=False)
        masks = [draw_mask(self.grid, self.config.masking, rng).ravel() for _ in large]
        return torch.from_numpy(large), torch.from_numpy(small), torch.from_numpy(np.stack(masks))

    def batches(self, first_step: int, last_step: int) -> Iterator[ViewBatch]:
        """Yield the batches of the steps from `first_step` up to, not including, `last_step`."""
        size, workers = self.config.batch_size, self.config.workers
        yield from DataLoader(
            self,
            batch_size=size,
            sampler=range(first_step * size, last_step * size),
            num_workers=workers,
            worker_init_fn=use_one_thread,
            prefetch_factor=4 if workers else None,
        )


def cut_field(
    image: NDArray[np.uint8], side: int, smallest: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Cut a random part out of an image.

    Parameters
    ----------
    image : uint8 array, shape (C, Y, X)
    side : int
        Side of the part in pixels; less where the image ends.
    smallest : int
        Side in pixels to which smaller images are extended by mirroring.
    rng : numpy.random.Generator

    Returns
    -------
    uint8 array, shape (C, y, x)
    """
    windows = []
    for length in image.shape[1:]:
        first = int(rng.integers(0, max(0, length - side) + 1))
        windows.append(slice(first, first + side))
    field = image[:, windows[0], windows[1]]
    missing = [max(0, smallest - length) for length in field.shape[1:]]
    pads = [(0, 0), *((gap // 2, gap - gap // 2) for gap in missing)]
    return np.ascontiguousarray(np.pad(field, pads, mode="symmetric"))


def draw_views(
    field: NDArray[np.uint8],
    views: GlobalViews | LocalViews,
    rng: np.random.Generator,
    *,
    first_is_mean: bool,
) -> NDArray[np.uint8]:
    """Draw the augmented views of a field.

    Parameters
    ----------
    field : uint8 array, shape (C, Y, X)
    views : GlobalViews or LocalViews
    rng : numpy.random.Generator
    first_is_mean : bool
        Whether the first view shows the mean of the channels; the others show a random channel each.

    Returns
    -------
    uint8 array, shape (count, size, size)
    """
    drawn = np.empty((views.count, views.size, views.size), np.uint8)
    nothing = np.zeros(field.shape[1:], np.int32)  # no cells are known
    for number in range(views.count):
        channel = field[int(rng.integers(len(field)))]
        if number == 0 and first_is_mean:
            channel = np.rint(field.mean(axis=0)).astype(np.uint8)
        item = Annotated("", channel, nothing)
        drawn[number] = random_crop(item, views.size, views.augmentation, rng).image
    return drawn


def draw_mask(grid: int, masking: Masking, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw the patches of a view that are hidden: none, or a random share of them.

    Returns
    -------
    bool array, shape (grid, grid)
    """
    if rng.random() >= masking.probability:
        return np.zeros((grid, grid), np.bool_)
    share = rng.uniform(masking.lowest, masking.highest)
    return block_mask(grid, min(grid * grid - 1, max(1, round(share * grid * grid))), rng)


def block_mask(grid: int, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Hide rectangles of patches, as a lone patch is too easily guessed from its neighbours.

    Parameters
    ----------
    grid : int
        Patches along a side.
    count : int
        Patches to hide, exactly.
    rng : numpy.random.Generator

    Returns
    -------
    bool array, shape (grid, grid)

    References
    ----------
    Bao et al., BEiT: BERT Pre-Training of Image Transformers, 2022, algorithm 1.
    """
    mask = np.zeros((grid, grid), np.bool_)
    for _ in range(ATTEMPTS):
        left = count - int(mask.sum())
        if left < 4:
            break
        # A rectangle of at least 4 patches, 1 : 3 to 3 : 1; taken where it hides no more than are left.
        area, aspect = rng.uniform(4, left), math.exp(rng.uniform(-1, 1) * math.log(3))
        height = min(grid, max(1, round(math.sqrt(area * aspect))))
        width = min(grid, max(1, round(math.sqrt(area / aspect))))
        top, side = rng.integers(0, grid - height + 1), rng.integers(0, grid - width + 1)
        block = mask[top : top + height, side : side + width]
        if int((~block).sum()) <= left:
            block[:] = True
    free = np.flatnonzero(~mask)
    chosen = rng.choice(free, count - int(mask.sum()), replace=False)
    mask.ravel()[chosen] = True
    return mask
