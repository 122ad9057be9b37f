"""Comparison of the graph that ships with the network in PyTorch: maps and labels of real images."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from dinocell import DINOCellPipeline
from dinocell.datasets.folder import find_pairs

TOLERANCE = 1e-4
"""Largest difference of a distance map between engines."""

IMAGES = 5
"""Images of each folder that are compared."""


def find_images(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the first images of each folder."""
    for folder in folders:
        for pair in find_pairs(folder)[:IMAGES]:
            yield pair.image


def compare_engines(checkpoint: Path, images: Iterable[Path]) -> tuple[float, list[Path]]:
    """Segment images with ONNX Runtime and with PyTorch.

    Parameters
    ----------
    checkpoint : Path
        Holds a graph.
    images : iterable of Path

    Returns
    -------
    largest : float
        Largest difference of a distance map.
    others : list of Path
        Images whose labels differ.
    """
    found, expected = (
        DINOCellPipeline(str(checkpoint), device="cpu", engine=engine) for engine in ("onnx", "torch")
    )
    largest, others = 0.0, []
    for image in images:
        one, other = found.run(image), expected.run(image)
        largest = max(largest, float(np.abs(one.distance_map - other.distance_map).max()))
        if not np.array_equal(one.labels, other.labels):
            others.append(image)
    return largest, others
