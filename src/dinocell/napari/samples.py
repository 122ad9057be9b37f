"""Sample data: the images that come with DINOCell, and a short movie made of one of them."""

import numpy as np

from dinocell.inference.fast import samples_folder
from dinocell.napari.reading import LayerData, read_layers


def open_phase_1() -> list[LayerData]:
    """Return the first sample of phase contrast."""
    return _read("phase_1")


def open_phase_2() -> list[LayerData]:
    """Return the second sample of phase contrast."""
    return _read("phase_2")


def open_fluorescence_1() -> list[LayerData]:
    """Return the first sample of fluorescence."""
    return _read("fluorescence_1")


def open_fluorescence_2() -> list[LayerData]:
    """Return the second sample of fluorescence."""
    return _read("fluorescence_2")


def open_histology_1() -> list[LayerData]:
    """Return the sample of histology, in colour."""
    return _read("histology_1")


def open_movie() -> list[LayerData]:
    """Return a movie of three times: the second sample of fluorescence, which drifts by 8 pixels a time."""
    ((image, _, _),) = _read("fluorescence_2")
    frames = np.stack([np.roll(image, 8 * time, axis=1) for time in range(3)])
    return [(frames, {"name": "movie", "axis_labels": ["t", "y", "x"]}, "image")]


def _read(name: str) -> list[LayerData]:
    return read_layers(str(samples_folder() / f"{name}_img.png"))
