"""Does the default handle all sizes? AP@0.5 of images scaled to cells of 8 to 250 px, and what it costs.

python benchmarks/diameter.py [FOLDER …] [--every N] [--model M] [--scales 0.25 0.5 1 2 4] [--side 512]

By default of ../shared/data/val/* and ../shared/data/zeroshot/*. Of every image the middle is taken, so that
an image of 4× is no larger than four sides. A line a folder and scale: the median true diameter, AP@0.5 with
``diameter=None`` (plain) and by default (auto), the median ratio of processor seconds, image by image side by
side, and how many images were shrunk by what.
"""

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell import DINOCellPipeline, evaluate
from dinocell.datasets.folder import find_pairs
from dinocell.labels import Labels, median_diameter, relabel
from dinocell.metrics.pooling import pool
from dinocell.metrics.scores import Scores
from dinocell.preprocess.resampling import resize, scaled_shape

SIZES = (8, 250)
"""Median diameters in pixels between which a folder is measured at a scale."""

DATA = Path(__file__).parents[2] / "shared" / "data"


@dataclass
class Line:
    """Results of a folder at a scale."""

    diameters: list[float] = field(default_factory=list)
    plain: list[Scores] = field(default_factory=list)
    auto: list[Scores] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)
    seconds: list[tuple[float, float]] = field(default_factory=list)

    def __str__(self) -> str:
        plain, auto = (pool(scores).ap[0.5] for scores in (self.plain, self.auto))
        shrunk = [scale for scale in self.scales if scale != 1]
        costs = [auto / plain for plain, auto in self.seconds]
        text = f"{np.median(self.diameters):4.0f} px  {plain:.3f} → {auto:.3f}  cost {np.median(costs):.2f}"
        return text + (f", {len(shrunk)} of {len(self.scales)} × {np.median(shrunk):.2f}" if shrunk else "")


def middle(image: NDArray[Any], labels: Labels, side: int) -> tuple[NDArray[Any], Labels]:
    """Return the middle of an image and its labels."""
    top, left = (max(0, (length - side) // 2) for length in labels.shape)
    window = slice(top, top + side), slice(left, left + side)
    return image[window], relabel(labels[window])


def rescale(image: NDArray[Any], labels: Labels, scale: float) -> tuple[NDArray[Any], Labels]:
    """Scale an image by area or bilinearly, and its labels by nearest neighbour."""
    shape = scaled_shape((labels.shape[0], labels.shape[1]), scale)
    if shape == labels.shape:
        return image, labels
    planes = image if image.ndim == 3 else image[:, :, None]
    scaled = np.dstack([resize(np.ascontiguousarray(plane), shape) for plane in np.moveaxis(planes, 2, 0)])
    nearest = cv2.resize(labels, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST_EXACT)
    return scaled, relabel(np.asarray(nearest, np.int32))


def measure(pipeline: DINOCellPipeline, image: NDArray[Any], labels: Labels, line: Line) -> None:
    """Segment an image with and without the estimate, and add the scores to a line."""
    start = time.process_time()
    plain = pipeline.run(image, diameter=None)
    between = time.process_time()
    auto = pipeline.run(image)
    line.seconds.append((between - start, time.process_time() - between))
    line.diameters.append(median_diameter(labels))
    line.plain.append(evaluate(labels, plain.labels))
    line.auto.append(evaluate(labels, auto.labels))
    line.scales.append(auto.parameters.scale)


def main() -> None:
    """Print a line a folder and scale."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--every", type=int, default=6)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--scales", nargs="+", type=float, default=[0.25, 0.5, 1, 2, 4])
    parser.add_argument("--side", type=int, default=512)
    arguments = parser.parse_args()
    pipeline = DINOCellPipeline(arguments.model)
    print("folder, scale, diameter: AP@0.5 plain → auto, cost; images shrunk")
    for folder in arguments.folders or sorted([*DATA.glob("val/*"), *DATA.glob("zeroshot/*")]):
        pairs = [pair.read() for pair in find_pairs(folder)[:: arguments.every]]
        cut = [middle(pair.pixels, pair.labels, arguments.side) for pair in pairs]
        usual = float(np.median([median_diameter(labels) for _, labels in cut]))
        for scale in arguments.scales:
            if not SIZES[0] <= usual * scale <= SIZES[1]:
                continue
            line = Line()
            for image, labels in cut:
                measure(pipeline, *rescale(image, labels, scale), line)
            print(f"{folder.name:18} {scale:5}× {line}", flush=True)


if __name__ == "__main__":
    main()
