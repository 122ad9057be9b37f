"""Map to labels, step by step: the plain formulation beside ours, on the same maps in one run.

python benchmarks/postprocessing.py [--data FOLDER …] [--side 2048] [--repeats 3] [--maps N] [--threads 2]
                                    [--no-network]

The plain formulation takes one function of scikit-image, SciPy or NumPy for each step. Maps are those of
mosaics of annotated images at full and at half size, blurred and with noise; of one field without background;
the first of them in 65,535 and in 255 steps, which is full of ties; and what `nano` predicts for the first
mosaic. The plain formulation has one thread, ours one and then `--threads`; the arms run in turn, the
shortest of the repeats counts.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree
from skimage.segmentation import watershed

from dinocell.labels import Labels, relabel
from dinocell.postprocess import watershed as ours
from dinocell.postprocess.distance import labels_to_distance
from upper_bound import default_folders

Map = NDArray[np.floating[Any]]
MARKER, FILL, MERGE = 0.47, 0.09, 0.5


def plain_flood(distance: Map, markers: Labels, mask: NDArray[np.bool_]) -> Labels:
    """Flood all of the mask with scikit-image's queue; marker pixels are ranked, as it breaks no ties."""
    depths = -distance.astype(np.float64)
    inside = markers > 0
    order = np.argsort(depths[inside], kind="stable")
    ranks = np.empty(order.size)
    ranks[order] = np.arange(order.size)
    depths[inside] = depths[~inside].min(initial=0) - order.size + ranks
    return watershed(depths, markers, mask=mask, connectivity=2).astype(np.int32)


def plain_join(labels: Labels, distance: Map, merge: float) -> Labels:
    """Join basins over saddles: peaks over the whole image, pairs of ids sorted as pairs."""
    pairs, heights = [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = np.s_[: labels.shape[0] - down, max(0, -right) : labels.shape[1] - max(0, right)]
        there = np.s_[down:, max(0, right) : labels.shape[1] + min(0, right)]
        a, b = labels[here], labels[there]
        touching = (a != b) & (a > 0) & (b > 0)
        pairs.append(np.sort(np.stack([a[touching], b[touching]]), axis=0))
        heights.append(np.minimum(distance[here][touching], distance[there][touching]))
    (first, second), inverse = np.unique(np.concatenate(pairs, axis=1), axis=1, return_inverse=True)
    saddles = np.zeros(first.size, distance.dtype)
    np.maximum.at(saddles, inverse.ravel(), np.concatenate(heights))
    count = int(labels.max()) + 1
    peaks = np.zeros(count, distance.dtype)
    np.maximum.at(peaks, labels.ravel(), distance.ravel())
    joined = saddles >= merge * np.minimum(peaks[first], peaks[second])
    links = coo_array((np.ones(int(joined.sum())), (first[joined], second[joined])), shape=(count, count))
    group = connected_components(links, directed=False)[1]
    lowest = np.full(count, count)
    np.minimum.at(lowest, group, np.arange(count))
    return lowest[group].astype(np.int32)[labels]


def plain_boundary_widths(labels: Labels, threshold: float) -> NDArray[np.float32]:
    """Compute the widths of the boundaries from the radii, over the whole image."""
    radii = np.zeros(int(labels.max(initial=0)) + 1, np.float32)
    np.maximum.at(radii, labels.ravel(), ours.distance_in_pixels(labels).ravel())
    if threshold >= 1:
        return np.zeros_like(radii)
    return np.floor(threshold * radii / (1 - threshold) + 1e-4).astype(np.float32)


def plain_grow(labels: Labels, widths: NDArray[np.float32]) -> Labels:
    """Grow by the distance to, and the place of, the nearest cell of every pixel of the image."""
    if not widths.any():
        return labels
    away, nearest = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    candidates = labels[tuple(nearest)]
    return np.where(away <= widths[candidates], candidates, labels)


def plain_number(labels: Labels, min_size: int) -> Labels:
    """Remove small cells and sort all pixels to number the rest."""
    areas = np.bincount(labels.ravel())
    return relabel(np.where(areas[labels] < min_size, 0, labels))


def plain_flood_and_join(distance: Map, markers: Labels, mask: NDArray[np.bool_], merge: float) -> Labels:
    """Flood the whole image, then join."""
    return plain_join(plain_flood(distance, markers, mask), distance, merge)


@dataclass(frozen=True)
class Arm:
    """One formulation of every step after the markers."""

    flood_and_join: Callable[[Map, Labels, NDArray[np.bool_], float], Labels]
    widths: Callable[[Labels, float], NDArray[np.float32]]
    grow: Callable[[Labels, NDArray[np.float32]], Labels]
    number: Callable[[Labels, int], Labels]

    def steps(
        self, distance: Map, marker: float, fill: float, merge: float, *, regrow: bool, min_size: int = 0
    ) -> Iterator[tuple[str, Any]]:
        """Run step by step: the name and the result of each."""
        markers, count = ndimage.label(distance > marker, np.ones((3, 3)))
        yield "markers", markers
        if not count:
            yield "number", np.zeros(distance.shape, np.int32)
            return
        labels = self.flood_and_join(distance, markers.astype(np.int32, copy=False), distance > fill, merge)
        yield "flood, join", labels
        if regrow:
            widths = self.widths(labels, fill)
            yield "boundary widths", widths
            labels = self.grow(labels, widths)
            yield "grow boundaries", labels
        yield "number", self.number(labels, max(min_size, 1))


PLAIN = Arm(plain_flood_and_join, plain_boundary_widths, plain_grow, plain_number)
OURS = Arm(ours._flood_and_join, ours.boundary_widths, ours.grow_boundaries, ours._number)


def mosaic(folder: Path, side: int, scale: float) -> tuple[NDArray[np.uint8], Labels]:
    """Lay the images of a folder and their cells side by side, in rows, until a square is full."""
    image, labels = np.zeros((side, side), np.uint8), np.zeros((side, side), np.int32)
    masks = sorted(folder.glob("*_masks.png"))
    top, turn, count = 0, 0, 0
    while top < side:
        left, height = 0, 0
        while left < side:
            path = masks[turn % len(masks)]
            cells = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32)
            pixels = cv2.imread(
                str(path.with_name(path.name.replace("_masks", "_img"))), cv2.IMREAD_GRAYSCALE
            )
            pixels = cv2.normalize(pixels, None, 0, 255, cv2.NORM_MINMAX)
            cells, pixels = (
                cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)[
                    : side - top, : side - left
                ]
                for part in (cells, pixels)
            )
            window = np.s_[top : top + cells.shape[0], left : left + cells.shape[1]]
            labels[window] = np.where(cells > 0, cells + count, 0)
            image[window] = pixels
            turn, count = turn + 1, int(labels.max())
            left, height = left + cells.shape[1], max(height, cells.shape[0])
        top += height
    return image, relabel(labels)


def soften(distance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add noise and blur, so that no two pixels are alike and hills have bumps."""
    noise = np.random.default_rng(0).normal(size=distance.shape)
    return ndimage.gaussian_filter(distance + 0.1 * noise, 1).clip(0, 1).astype(np.float32)


def confluent(side: int) -> NDArray[np.float32]:
    """Draw a field of cells of 20 pixels that leave no background between them."""
    points = np.random.default_rng(0).uniform(0, side, ((side // 20) ** 2, 2))
    places = np.indices((side, side)).reshape(2, -1).T
    cells = KDTree(points).query(places)[1].reshape(side, side).astype(np.int32) + 1
    return np.maximum(soften(labels_to_distance(cells)), np.float32(0.1))


def maps(folders: list[Path], side: int, *, network: bool) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Draw the maps, each with its name."""
    for folder in folders:
        for scale in (1, 0.5):
            soft = soften(labels_to_distance(mosaic(folder, side, scale)[1]))
            yield f"{folder.name} × {scale}", soft
    yield "confluent", confluent(side)
    first = soften(labels_to_distance(mosaic(folders[0], side, 0.5)[1]))
    for steps in (65535, 255):
        yield f"{folders[0].name} × 0.5, {steps} steps", (np.rint(first * steps) / steps).astype(np.float32)
    if network:
        from dinocell import DINOCellPipeline

        predict = DINOCellPipeline("nano").predict_on_full_img
        yield f"{folders[0].name}, predicted by nano", predict(mosaic(folders[0], side, 1)[0])


class Clock:
    """The shortest time of every step of an arm over several runs, and the step's result."""

    def __init__(self, arm: Arm, threads: int) -> None:
        self.arm = arm
        self.threads = threads
        self.seconds: dict[str, float] = {}
        self.results: dict[str, Any] = {}

    def run(self, distance: Map) -> None:
        """Run all steps once."""
        ours._THREADS = self.threads
        start = time.perf_counter()
        for step, result in self.arm.steps(distance, MARKER, FILL, MERGE, regrow=True):
            taken = time.perf_counter() - start
            self.seconds[step] = min(self.seconds.get(step, taken), taken)
            self.results[step] = result
            start = time.perf_counter()

    def total(self, *left_out: str) -> float:
        """Add up the seconds of all steps but some."""
        return sum(seconds for step, seconds in self.seconds.items() if step not in left_out)


def row(title: str, plain: float, one: float, many: float, same: str = "") -> str:
    """Write a row of the table: seconds and how many times as fast as the plain formulation."""
    ours = " | ".join(f"{seconds:.3f} | {plain / seconds:.1f}" for seconds in (one, many))
    return f"| {title} | {plain:.3f} | {ours} | {same} |"


def main() -> None:
    """Print a table a map: seconds of the arms, ratios to the plain one, whether results are identical."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", default=default_folders())
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--maps", type=int, help="Take the first so many")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-network", dest="network", action="store_false")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    for name, distance in itertools.islice(
        maps(options.data, options.side, network=options.network), options.maps
    ):
        plain, one, fast = arms = Clock(PLAIN, 1), Clock(OURS, 1), Clock(OURS, options.threads)
        for _ in range(options.repeats):
            for arm in arms:
                arm.run(distance)
        cells = int(fast.results["number"].max())
        print(f"\n{name}: {options.side}² px, {cells} cells, {(distance > FILL).mean():.0%} above {FILL}\n")
        threads = f"{options.threads} threads"
        print(f"| step | plain, s | ours, 1 thread | ratio | {threads} | ratio | identical |")
        print("|---|--:|--:|--:|--:|--:|---|")
        for step, before in plain.seconds.items():
            same = all(np.array_equal(plain.results[step], arm.results[step]) for arm in (one, fast))
            print(row(step, before, one.seconds[step], fast.seconds[step], "yes" if same else "no"))
        for title, left_out in (("all", ()), ("no regrow", ("boundary widths", "grow boundaries"))):
            print(row(title, *(arm.total(*left_out) for arm in arms)), flush=True)


if __name__ == "__main__":
    main()
