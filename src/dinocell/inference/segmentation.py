"""Result for one image, and how it was made."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dinocell.inference.settings import CompleteSettings
from dinocell.labels import Labels, Target
from dinocell.postprocess.thresholds import Thresholds
from dinocell.preprocess.preprocessing import Preprocessing


@dataclass(frozen=True)
class Parameters:
    """Record of how a segmentation was made.

    Attributes
    ----------
    model : str
        The model's variant.
    trained : bool
        False for a dry run with a model that was never trained: its labels mean nothing.
    device, engine, precision : str
        Where the network ran, in what, and what it computed with.
    preprocessing : Preprocessing
    settings : CompleteSettings
        As they were asked for.
    target : str
        What was outlined: cells or nuclei.
    diameter : float or None
        The cell diameter in pixels that was given, or with ``auto`` the median of the cells found; else None.
    scale : float
        The factor on both sides of the image before the network saw it.
    nonfinite_pixels : int
        NaN or infinite pixels of the field that were treated as its lowest finite value.
    """

    model: str
    trained: bool
    device: str
    engine: str
    precision: str
    preprocessing: Preprocessing
    settings: CompleteSettings
    target: Target
    diameter: float | None = None
    scale: float = 1.0
    nonfinite_pixels: int = 0

    @property
    def thresholds(self) -> Thresholds:
        """Thresholds that the watershed used."""
        return self.settings.thresholds_of[self.target]

    @property
    def tile_size(self) -> int:
        """Side of a tile, in pixels of the rescaled image."""
        return self.settings.tile_size

    @property
    def overlap(self) -> int:
        """Overlap of tiles, in pixels of the rescaled image."""
        return self.settings.overlap

    @property
    def min_size(self) -> int:
        """Number of pixels below which cells were removed."""
        return self.settings.min_size

    @property
    def fill_holes(self) -> bool:
        """Flag: background enclosed by one cell became part of it."""
        return self.settings.fill_holes


@dataclass(frozen=True, eq=False)
class Prediction:
    """Output of the network for one image, before the watershed.

    Attributes
    ----------
    distance_map : float32 array, shape (Y, X)
        In [0, 1].
    scale : float
        The factor on both sides of the image before the network saw it.
    target : str
        Whose map it is.
    """

    distance_map: NDArray[np.float32]
    scale: float
    target: Target


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Result for one image.

    Attributes
    ----------
    labels : int32 array, shape (Y, X)
        0 is background, cells are 1…N.
    distance_map : float32 array, shape (Y, X)
        What the labels were made from, in [0, 1].
    parameters : Parameters
    """

    labels: Labels
    distance_map: NDArray[np.float32]
    parameters: Parameters

    @property
    def count(self) -> int:
        """Number of cells."""
        return int(self.labels.max(initial=0))


@dataclass(frozen=True)
class TilesDone:
    """Progress within an image: how many of its tiles the network has seen."""

    done: int
    total: int


Progress = Callable[[TilesDone], None] | None
"""Callback after every batch of tiles; an exception that it raises ends the work."""
