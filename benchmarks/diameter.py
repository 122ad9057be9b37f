"""Does `diameter="auto"` help? AP@0.5 on images scaled 0.5×, 1× and 2×, with and without it, side by side.

python benchmarks/diameter.py [FOLDER …] [--every N] [--model M]    (default: ../shared/data/val/*)
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell import DINOCellPipeline, evaluate
from dinocell.datasets.folder import find_pairs
from dinocell.metrics.pooling import pool
from dinocell.preprocess.resampling import resize, scaled_shape
from upper_bound import default_folders

SCALES = (0.5, 1.0, 2.0)


def rescale(
    image: NDArray[Any], labels: NDArray[np.int32], scale: float
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Scale an image by area or bilinearly, and its labels by nearest neighbour."""
    shape = scaled_shape((labels.shape[0], labels.shape[1]), scale)
    if shape == labels.shape:
        return image, labels
    planes = image if image.ndim == 3 else image[:, :, None]
    scaled = np.dstack([resize(np.ascontiguousarray(plane), shape) for plane in np.moveaxis(planes, 2, 0)])
    nearest = cv2.resize(labels, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST_EXACT)
    return scaled, np.asarray(nearest, np.int32)


def main() -> None:
    """Print a line a folder and scale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--every", type=int, default=6)
    parser.add_argument("--model", default="nano")
    arguments = parser.parse_args()
    pipeline = DINOCellPipeline(arguments.model)
    print("AP@0.5, pooled over cells    folder, images, scale: as they are | diameter=auto")
    for folder in arguments.folders or default_folders():
        pairs = find_pairs(folder)[:: arguments.every]
        for scale in SCALES:
            plain, automatic = [], []
            for pair in pairs:
                annotated = pair.read()
                image, labels = rescale(annotated.pixels, annotated.labels, scale)
                plain.append(evaluate(labels, pipeline.run(image).labels))
                automatic.append(evaluate(labels, pipeline.run(image, diameter="auto").labels))
            columns = " | ".join(f"{pool(scores).ap[0.5]:.3f}" for scores in (plain, automatic))
            print(f"{folder.name:16} {len(pairs):3} {scale:4}×: {columns}", flush=True)


if __name__ == "__main__":
    main()
