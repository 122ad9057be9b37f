"""Time of the table of all cells, beside scikit-image's regionprops_table of the same columns.

python benchmarks/table.py [--side 2048] [--cells 5000] [--seed 0] [--repeats 3] [--annotated MASKS.png …]

Two images: cells of many shapes scattered over SIDE² pixels, and a crop of 256² densely covered by cells;
then annotated ones, where there are some. Ours makes all columns, those too that scikit-image has not
(neighbours, circularity, touches_border). Both take turns in one process; the fastest turn counts.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.measure import regionprops_table

from dinocell.io.images import read_labels
from dinocell.labels import Labels, relabel
from dinocell.measure.cells import INTENSITY_COLUMNS, SHAPE_COLUMNS, measure_cells


def scatter(side: int, cells: int, radius: float, seed: int) -> Labels:
    """Draw cells around random points, with wavy outlines."""
    rng = np.random.default_rng(seed)
    seeds = np.zeros((side, side), np.int32)
    seeds[tuple(rng.integers(0, side, (2, cells)))] = 1
    distance, (row, column) = distance_transform_edt(seeds == 0, return_indices=True)
    seeds[seeds > 0] = np.arange(1, np.count_nonzero(seeds) + 1)
    waves = gaussian_filter(rng.normal(size=seeds.shape), 3)
    return relabel(np.where(distance < radius * (1 + 0.5 * waves / waves.std()), seeds[row, column], 0))


def regionprops_columns(labels: Labels, image: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Measure what `measure_cells` does, as far as scikit-image has it."""
    properties = dict.fromkeys(name.partition("-")[0] for name in (*SHAPE_COLUMNS, *INTENSITY_COLUMNS))
    columns: dict[str, NDArray[Any]] = regionprops_table(labels, image, properties=tuple(properties))
    return columns


def largest_difference(ours: dict[str, NDArray[Any]], theirs: dict[str, NDArray[Any]]) -> tuple[float, str]:
    """Find the largest relative difference of all columns but the angle, and its column."""
    differences = {
        name: float(np.max(np.abs(ours[name] - theirs[other]) / np.maximum(np.abs(theirs[other]), 1e-6)))
        for other, name in (SHAPE_COLUMNS | INTENSITY_COLUMNS).items()
        if name != "orientation"  # of round cells it is arbitrary, and it goes around
    }
    name = max(differences, key=differences.__getitem__)
    return differences[name], name


def compare(what: str, labels: Labels, repeats: int, seed: int) -> None:
    """Print the seconds of both and their ratio."""
    image = np.random.default_rng(seed).integers(0, 65536, labels.shape, np.uint16)
    ours, theirs = [], []
    for _ in range(repeats):
        seconds, table = _timed(lambda: measure_cells(labels, image))
        ours.append(seconds)
        seconds, columns = _timed(lambda: regionprops_columns(labels, image))
        theirs.append(seconds)
    difference, name = largest_difference(table, columns)
    print(
        f"{what}, {table['label'].size} cells: {min(ours):.3f} s, regionprops_table {min(theirs):.3f} s, "
        f"{min(theirs) / min(ours):.1f} times as long; numbers differ by {difference:.1g} at most ({name})"
    )


def _timed(function: Callable[[], dict[str, NDArray[Any]]]) -> tuple[float, dict[str, NDArray[Any]]]:
    start = time.perf_counter()
    table = function()
    return time.perf_counter() - start, table


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line an image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--cells", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--annotated", type=Path, nargs="*", default=[])
    options = parser.parse_args(arguments)
    radius = 0.45 * options.side / options.cells**0.5
    scattered = scatter(options.side, options.cells, radius, options.seed)
    compare(f"{options.side}², scattered", scattered, options.repeats, options.seed)
    compare("256², dense", scatter(256, 150, 40, options.seed), options.repeats, options.seed)
    for path in options.annotated:
        compare(path.name, read_labels(path), options.repeats, options.seed)


if __name__ == "__main__":
    main()
