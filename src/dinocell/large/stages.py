"""Stages of the work on one block: each reads, computes, writes pixels, and then a record.

Every function can be called again for the same block, also by another worker: it writes the same.
"""

from collections.abc import Callable, Iterator
from itertools import chain, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError
from dinocell.io.field import intersect, move, search_field
from dinocell.io.planes import Pixels, Window
from dinocell.large.cells import Cells, describe_cells
from dinocell.large.components import label_faces
from dinocell.large.counting import CountRequest, count_block
from dinocell.large.flood import FloodTask, flood_components, mask_threshold, split_by_block
from dinocell.large.grid import Block, within
from dinocell.large.growth import Part, grow_block
from dinocell.large.numbers import Numbers, renumber, shrink
from dinocell.large.settings import LargeJob, OpenedPlane
from dinocell.large.workspace import BlockRecord, strips
from dinocell.preprocess.intensity_range import IntensityRange
from dinocell.preprocess.preprocessing import preprocess_window, to_grayscale
from dinocell.preprocess.resampling import resize_window, scaled_shape, window_shape
from dinocell.results.formats import BLOCK_FORMATS
from dinocell.tiling import Tile, blend, tiles_touching
from dinocell.workers.executor import device_lock

MAP, CELLS, GROWN, LABELS = "map", "cells", "grown", "labels"
"""Arrays of the work folder; `LABELS` is a group of levels 0, 1, …"""

COUNTS = "statistics"
"""Stage whose passes are ``statistics/1`` and so on."""

_STRIP = 512
"""Rows that are preprocessed at a time: in between, pixels in colour take many bytes."""


def search_margins(job: LargeJob) -> Window:
    """Find the field of the image within constant margins."""
    with job.source.opened() as plane:
        return search_field(lambda *window: to_grayscale(plane.read(*window)), job.shape)


def count_intensities(block: Block, job: LargeJob, request: CountRequest, stage: str, field: Window) -> None:
    """Count the intensities of what a block has of the field."""
    gray = np.empty((0, 0), request.dtype)
    if (part := intersect(block.window, field)) is not None:
        with job.source.opened() as plane:
            gray = to_grayscale(plane.read(*part))
    job.map_workspace.write_record(stage, block.name, count_block(gray, request))


def predict_block(block: Block, job: LargeJob, found: IntensityRange, field: Window) -> None:
    """Predict the distance map of a block of the map's own grid: 0 outside of the field.

    Raises
    ------
    InputError
        If the network returns values that are not finite.
    """
    distance = np.zeros(block.shape, np.float32)
    if (part := intersect(block.window, field)) is not None:
        distance[within(part, block.window)] = _predict_part(part, job, found, field)
    if not np.isfinite(distance).all():
        raise InputError(
            "the distance map holds NaN or infinite values, expected a sound model: train it again"
        )
    job.map_workspace.write_array(MAP, block.window, distance)
    engine, precision = job.network.load().used
    used = {"engine": np.array(engine), "precision": np.array(precision)}
    job.map_workspace.write_record(MAP, block.name, used)


def _predict_part(part: Window, job: LargeJob, found: IntensityRange, field: Window) -> NDArray[np.float32]:
    """Predict a part of the field, as if the field were the whole image."""
    shape = window_shape(field)
    scaled = scaled_shape(shape, job.scale)
    # An image that is enlarged is predicted in as many pieces as keep to the memory of one that is not.
    side = max(_STRIP // 4, int(job.map_grid.side / max(job.scale, 1)))
    rows, columns = within(part, field)
    distance = np.empty(window_shape(part), np.float32)
    with job.source.opened() as plane:

        def read(rows: slice, columns: slice) -> Pixels:
            return plane.read(*move((rows, columns), (field[0].start, field[1].start)))

        def predict(rows: slice, columns: slice) -> NDArray[np.float32]:
            return _predict_window((rows, columns), scaled, read, shape, job, found)

        for down, right in product(*(strips(length, side) for length in distance.shape)):
            window = _moved(down, rows.start), _moved(right, columns.start)
            distance[down, right] = resize_window(predict, scaled, shape, window)
    return distance


def _moved(span: slice, by: int) -> slice:
    return slice(span.start + by, span.stop + by)


def _predict_window(
    window: Window,
    scaled: tuple[int, int],
    read: Callable[[slice, slice], Pixels],
    shape: tuple[int, int],
    job: LargeJob,
    found: IntensityRange,
) -> NDArray[np.float32]:
    """Predict the tiles of the rescaled image that touch a window of it, and blend them there."""
    model = job.network.load()
    tiles = tiles_touching(window, scaled, model.tile_size, model.overlap)
    top, left = tiles[0].y, tiles[0].x
    bottom, right = (
        min(last + tiles[-1].size, end) for last, end in zip((tiles[-1].y, tiles[-1].x), scaled, strict=True)
    )
    gray = np.empty((bottom - top, right - left), np.uint8)
    for strip in strips(bottom - top, _STRIP):
        gray[strip] = preprocess_window(
            read,
            shape,
            (_moved(strip, top), slice(left, right)),
            model.preprocessing,
            found,
            scale=job.scale,
        )
    moved = [Tile(tile.y - top, tile.x - left, tile.size) for tile in tiles]
    with device_lock():
        channel = model.targets.index(job.target)
        batches = (maps[:, channel] for maps in model.predict_batches(gray, moved))  # the others are dropped
        return blend(tiles, chain.from_iterable(batches), scaled, window)


def label_block(block: Block, job: LargeJob) -> None:
    """Describe the components of a block that touch its edges."""
    mask = _read_map(job, block.window) > mask_threshold(job.thresholds)
    job.label_workspace.write_record("components", block.name, label_faces(mask, block))


def _read_map(job: LargeJob, window: Window) -> NDArray[np.float32]:
    return job.map_workspace.read_array(MAP, window)


def flood_block(task: FloodTask, job: LargeJob) -> None:
    """Flood the components of a task, and store the cells where their blocks find them."""
    flooded = flood_components(task, lambda window: _read_map(job, window), job.thresholds, job.shape)
    workspace = job.label_workspace
    if task.block is not None:
        own = flooded.labels[within(task.block.window, task.window)]
        workspace.write_array(CELLS, task.block.window, own)
    for block, places, cells in split_by_block(flooded, task, job.grid):
        workspace.write_record(f"pieces/{block.name}", task.name, {"places": places, "cells": cells})
    truncated = np.array(flooded.truncated)
    record: BlockRecord = {"rims": flooded.widths, "boxes": flooded.boxes, "torn": truncated}
    workspace.write_record("flood", task.name, record)


def grow(block: Block, job: LargeJob, halo: int) -> None:
    """Combine the cells of all tasks in a block, and grow them."""
    workspace = job.label_workspace
    offsets = workspace.read_record("offsets", "tasks")["offsets"]

    def flooded(task: int) -> BlockRecord:
        return workspace.read_record("flood", f"{task:012d}")

    labels, record = grow_block(
        block, job.grid, halo, lambda near, window: _parts(near, window, job), flooded, offsets
    )
    workspace.write_array(GROWN, block.window, labels)
    workspace.write_record("growth", block.name, record)


def _parts(block: Block, window: Window, job: LargeJob) -> Iterator[Part]:
    rows, columns = (_moved(inner, span.start) for inner, span in zip(window, block.window, strict=True))
    yield Part(block.index, job.label_workspace.read_array(CELLS, (rows, columns)))
    stage = f"pieces/{block.name}"
    for name in sorted(job.label_workspace.records(stage)):
        piece = job.label_workspace.read_record(stage, name)
        yield Part(int(name), piece["cells"], piece["places"])


def number(item: tuple[Block, Numbers], job: LargeJob) -> None:
    """Write the labels of a block with the final numbers of its cells."""
    block, numbers = item
    labels = job.label_workspace.read_array(GROWN, block.window)
    job.label_workspace.write_array(f"{LABELS}/0", block.window, renumber(labels, numbers))
    owned = numbers.owned
    order = np.argsort(numbers.numbers[owned])
    record = {"numbers": numbers.numbers[owned][order], "boxes": numbers.boxes[owned][order]}
    job.label_workspace.write_record("numbers", block.name, record)


def shrink_block(block: Block, job: LargeJob, level: int) -> None:
    """Write a block of a coarser level from the next finer one."""
    finer = f"{LABELS}/{level - 1}"
    rows, columns = (
        slice(2 * span.start, min(2 * span.stop, length))
        for span, length in zip(block.window, job.label_workspace.shape_of(finer), strict=True)
    )
    coarse = np.empty(window_shape(block.window), np.uint64)
    for strip in strips(rows.stop - rows.start, _STRIP):  # of even height
        part = job.label_workspace.read_array(finer, (_moved(strip, rows.start), columns))
        coarse[strip.start // 2 : (strip.stop + 1) // 2] = shrink(part)
    job.label_workspace.write_array(f"{LABELS}/{level}", block.window, coarse)
    job.label_workspace.write_record(f"level-{level}", block.name, {})


def describe_block(block: Block, job: LargeJob, provenance: dict[str, Any]) -> None:
    """Write the table and the polygons of the cells that begin in a block."""
    owned = job.label_workspace.read_record("numbers", block.name)
    formats = job.settings.formats
    with job.source.opened() as plane:
        cells = describe_cells(
            owned["numbers"],
            owned["boxes"],
            job.shape,
            read_labels=lambda window: job.label_workspace.read_array(f"{LABELS}/0", window),
            read_channels=lambda window: _intensities(plane, window),
            read_map=lambda window: _read_map(job, window),
            pixel_size_um=job.pixel_size_um,
            largest=job.settings.largest,
            outlines=any(BLOCK_FORMATS[name].needs_outlines for name in formats),
        )
    for name in formats:
        _write_cells(name, cells, block, job, provenance)
    sure = np.array(cells.table["confidence"].sum(dtype=np.float64))
    job.label_workspace.write_record("described", block.name, {"confidence": sure})


def _intensities(plane: OpenedPlane, window: Window) -> Any:
    """Read the intensities to measure, as `dinocell segment` does: all channels of several, else gray."""
    info = plane.image.info
    return plane.read_channels(window) if info.shape[1] > 1 else to_grayscale(plane.read(*window))


def _write_cells(name: str, cells: Cells, block: Block, job: LargeJob, provenance: dict[str, Any]) -> None:
    chosen = BLOCK_FORMATS[name]
    path = job.label_workspace.folder / chosen.folder_ending / f"part-{block.name}{chosen.suffix}"
    chosen.write_block(path, cells.table, cells.polygons, provenance)
