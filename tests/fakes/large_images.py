"""A drawn image, and what its results in files have to be, for tests of `dinocell.large`."""

import functools
from itertools import chain

import numpy as np
from scipy import ndimage

from dinocell.labels import relabel
from dinocell.measure.cells import measure_cells
from dinocell.measure.confidence import cell_confidence
from dinocell.postprocess.distance import labels_to_distance
from dinocell.postprocess.small_cells import remove_small
from dinocell.postprocess.watershed import distance_to_labels
from dinocell.preprocess.preprocessing import preprocess
from dinocell.preprocess.resampling import resize
from dinocell.tiling import blend, plan_tiles
from tests.fakes.large_networks import THRESHOLDS, Echo
from tests.fakes.zarr import write_ome_zarr

SHAPE = (100, 150)
"""Of 2 × 3 blocks of the side that `tests.fakes.large_networks.events` chooses, and 1 × 2 of the map."""

ECHO = Echo()


@functools.cache
def true_map(shape=SHAPE, seed=0):
    """Draw a distance map in 255 steps: touching cells of all sizes, some on the image's edge."""
    points = np.random.default_rng(seed).random(shape) > 0.994
    distance, nearest = ndimage.distance_transform_edt(~points, return_indices=True)
    numbered = np.cumsum(points).reshape(shape) * points
    labels = relabel(np.where(distance < 11, numbered[tuple(nearest)], 0))
    return np.rint(255 * labels_to_distance(labels)).astype(np.uint8)


def write_cells(path):
    """Write the image as OME-Zarr, of pixels of half a micrometre."""
    size = {"y": 0.5, "x": 0.5}
    return write_ome_zarr(path, true_map(), "yx", version="0.5", scale=size, chunks=(40, 50))


def in_memory(image, *, scale=1.0, thresholds=THRESHOLDS, min_size=0):
    """Return the map and the labels of a whole image, by the functions that do not know of blocks."""
    gray = preprocess(image, ECHO.preprocessing, scale=scale)
    tiles = plan_tiles(gray.shape, ECHO.tile_size, ECHO.overlap)
    predictions = chain.from_iterable(maps[:, 0] for maps in ECHO.predict_batches(gray, tiles))
    distance = resize(blend(tiles, predictions, gray.shape), image.shape[:2])
    return distance, remove_small(distance_to_labels(distance, thresholds=thresholds), min_size, "cells")[0]


def by_first_pixel(labels):
    """Name cells 1…N in the order of their first pixels, so that labels of equal cells are equal."""
    ids, first, place = np.unique(labels, return_index=True, return_inverse=True)
    names = np.zeros(len(ids), np.int64)
    order = np.argsort(first[ids > 0])
    names[np.flatnonzero(ids > 0)[order]] = np.arange(1, len(order) + 1)
    return names[place].reshape(labels.shape)


def stored(output, level=0):
    """Read one level of labels."""
    import zarr

    return zarr.open_array(output / str(level), mode="r")[:]


def check(result, whole, *, least=50):
    """Check that a result is that of the image in memory, and that numbers have no gaps."""
    labels = stored(result.labels)
    assert labels.dtype == np.uint64
    assert whole.max() == result.cells >= least
    np.testing.assert_array_equal(np.unique(labels[labels > 0]), np.arange(1, result.cells + 1))
    np.testing.assert_array_equal(by_first_pixel(labels), by_first_pixel(whole))


def read_parts(folder):
    """Read the tables of all blocks as one, in the order of the labels."""
    from pyarrow import parquet

    parts = [parquet.read_table(part).to_pandas() for part in sorted(folder.glob("part-*"))]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(columns["label"])
    return {name: column[order] for name, column in columns.items()}


def check_table(table, labels, channels, distance, pixel_size_um=None):
    """Check that a table is that of the whole image."""
    cells = labels.astype(np.int32)
    confidence = cell_confidence(cells, distance)
    expected = measure_cells(cells, channels, pixel_size_um=pixel_size_um, confidence=confidence)
    assert list(table) == list(expected)
    assert table["label"].dtype == np.uint64
    for name, column in expected.items():
        if column.dtype.kind in "iu" or name.startswith("centroid"):
            np.testing.assert_array_equal(table[name], column, name)
        else:
            np.testing.assert_allclose(table[name], column, rtol=1e-5, err_msg=name)
