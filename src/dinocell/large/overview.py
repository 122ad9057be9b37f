"""Parts of a large image by which its target and scale are chosen: some of its busiest blocks."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.inference.autoscale import choose_tiles, weigh_closely
from dinocell.inference.targets import SUMS, coloured_share, weigh_maps
from dinocell.io.field import intersect, move
from dinocell.io.planes import Pixels, Window
from dinocell.labels import Target
from dinocell.large.counting import DIGIT_BITS, counted_dtype, grays_of_keys
from dinocell.large.grid import Block, within
from dinocell.large.settings import LargeJob
from dinocell.large.workspace import BlockRecord
from dinocell.preprocess.intensity_range import IntensityRange
from dinocell.preprocess.preprocessing import preprocess_window, to_grayscale
from dinocell.preprocess.resampling import scaled_shape, window_shape
from dinocell.workers.executor import device_lock

SIZES, STAGE = "sizes", "overview"
"""Names of the stages."""

MOST_BLOCKS = 9
"""Blocks that are looked at."""

WINDOW = 512
"""Side in pixels of the window that is looked at in each, in the scaled image."""

_BUSY = 0.5  # of the largest spread of intensities in any block


def choose_blocks(job: LargeJob, found: IntensityRange, stage: str) -> list[Block]:
    """Choose blocks that hold more than background, spread over the image.

    Parameters
    ----------
    job : LargeJob
    found : IntensityRange
        Of the image.
    stage : str
        The first pass of `dinocell.large.counting.count_block` over all blocks.

    Returns
    -------
    list of Block
        `MOST_BLOCKS` at most, in row-major order; of all where intensities spread alike.
    """
    with job.source.opened() as plane:
        dtype = to_grayscale(plane.read(slice(0, 1), slice(0, 1))).dtype
    read = job.map_workspace.read_record
    spreads = np.array([_spread(read(stage, block.name), dtype, found) for block in job.grid])
    busy = np.flatnonzero(spreads >= _BUSY * spreads.max())
    chosen = busy[np.linspace(0, busy.size - 1, min(MOST_BLOCKS, busy.size)).round().astype(int)]
    wanted = set(chosen.tolist())
    return [block for block in job.grid if block.index in wanted]


def _spread(counts: BlockRecord, dtype: np.dtype[Any], found: IntensityRange) -> float:
    """Compute the standard deviation of the gray values of a block, within the range of the image."""
    counted = counted_dtype(dtype)
    shift = max(0, 8 * counted.itemsize - DIGIT_BITS)
    keys = counts["keys"].astype(np.uint64) << np.uint64(shift)
    with np.errstate(invalid="ignore", over="ignore"):
        grays = np.nan_to_num(grays_of_keys(keys, counted).astype(np.float64))
    clipped = grays.clip(found.bottom, found.top)
    pixels = counts["counts"]
    if not pixels.sum():
        return 0.0
    mean = np.average(clipped, weights=pixels)
    return float(np.sqrt(np.average(np.square(clipped - mean), weights=pixels)))


def measure_block(
    block: Block, job: LargeJob, found: IntensityRange, field: Window, zooms: tuple[float, ...]
) -> None:
    """Predict small views of a block, and store by target what the size of its cells is estimated from."""
    targets, part = tuple(job.settings.targets), intersect(block.window, field)
    network = job.network.load()
    views: dict[Target, list[NDArray[np.float32]]] = {target: [] for target in targets}
    for zoom in zooms:
        gray = np.zeros((1, 1), np.uint8) if part is None else _preprocess_part(part, job, found, field, zoom)
        with device_lock():
            for target, view in network.predict_view(gray, targets).items():
                views[target].append(view)

    def look_closely(target: Target) -> list[NDArray[np.float32]]:
        if part is None:
            return []
        corner = (part[0].start, part[1].start)
        windows = choose_tiles(views[target][0], zooms[0], window_shape(part))
        grays = [_preprocess_part(move(window, corner), job, found, field, 1.0) for window in windows]
        with device_lock():
            return [network.predict_view(gray, [target])[target] for gray in grays]

    ranges = network.diameter_ranges(targets)
    sizes: dict[str, NDArray[np.float64]] = {
        name: weigh_closely(views[name], zooms, ranges[name], partial(look_closely, name)) for name in targets
    }
    job.map_workspace.write_record(SIZES, block.name, sizes)


def look_over_block(block: Block, job: LargeJob, found: IntensityRange, field: Window) -> None:
    """Predict the maps of all targets in the busiest window of a block, and store what tells them apart."""
    targets = tuple(job.settings.targets)
    evidence = np.zeros(SUMS)
    if (part := intersect(block.window, field)) is not None:
        gray = _preprocess_part(part, job, found, field, job.scale)
        busy = np.ascontiguousarray(gray[busiest_window(gray, WINDOW)])
        with device_lock():
            maps = job.network.load().predict(busy, targets)
        with job.source.opened() as plane:
            evidence = weigh_maps(maps, busy, coloured_share(plane.read(*part)))
    job.map_workspace.write_record(STAGE, block.name, {"evidence": evidence})


def _preprocess_part(
    part: Window, job: LargeJob, found: IntensityRange, field: Window, scale: float
) -> NDArray[np.uint8]:
    """Rescale and preprocess a part of the field, as if the field were the whole image."""
    shape = window_shape(field)
    window = _scaled_window(within(part, field), scale, scaled_shape(shape, scale))
    with job.source.opened() as plane:

        def read(rows: slice, columns: slice) -> Pixels:
            return plane.read(*move((rows, columns), (field[0].start, field[1].start)))

        settings = job.network.load().preprocessing
        return preprocess_window(read, shape, window, settings, found, scale=scale)


def _scaled_window(window: Window, scale: float, shape: tuple[int, int]) -> Window:
    """Return the pixels of the scaled image that a window becomes, one at least."""
    starts = [min(int(span.start * scale), length - 1) for span, length in zip(window, shape, strict=True)]
    stops = [min(math.ceil(span.stop * scale), length) for span, length in zip(window, shape, strict=True)]
    rows, columns = (slice(start, max(stop, start + 1)) for start, stop in zip(starts, stops, strict=True))
    return rows, columns


def busiest_window(gray: NDArray[np.uint8], side: int) -> Window:
    """Find the square of a preprocessed image in which its values spread most.

    Parameters
    ----------
    gray : uint8 array, shape (Y, X)
    side : int
        Less where the image is smaller.

    Returns
    -------
    (slice, slice)
        The first one of equals, of those that start at multiples of half a side.
    """
    return max(_squares(gray.shape, side), key=lambda window: float(gray[window].std()))


def _squares(shape: tuple[int, ...], side: int) -> Iterator[Window]:
    for top in range(0, max(1, shape[0] - side // 2), max(1, side // 2)):
        for left in range(0, max(1, shape[1] - side // 2), max(1, side // 2)):
            yield slice(top, min(top + side, shape[0])), slice(left, min(left + side, shape[1]))
