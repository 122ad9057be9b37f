"""The result for one image, and how it was made."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dinocell.labels import Labels
from dinocell.postprocess.thresholds import Thresholds
from dinocell.preprocess.preprocessing import Preprocessing

Diameter = float | Literal["auto"] | None


@dataclass(frozen=True)
class Parameters:
    """How a segmentation was made.

    Attributes
    ----------
    model : str
        The model's variant.
    trained : bool
        False for a rehearsal with a model that was never trained: its labels mean nothing.
    device, engine, precision : str
        Where the network ran, in what, and what it computed with.
    thresholds : Thresholds
        What the watershed used.
    preprocessing : Preprocessing
    tile_size, overlap : int
        In pixels of the rescaled image.
    diameter : float or None
        The cell diameter in pixels that was given, or with ``auto`` the median of the cells found; else None.
    scale : float
        The factor on both sides of the image before the network saw it.
    min_size : int
    fill_holes : bool
    nonfinite_pixels : int
        NaN or infinite pixels that were treated as the lowest finite value.
    """

    model: str
    trained: bool
    device: str
    engine: str
    precision: str
    thresholds: Thresholds
    preprocessing: Preprocessing
    tile_size: int
    overlap: int
    diameter: float | None = None
    scale: float = 1.0
    min_size: int = 0
    fill_holes: bool = False
    nonfinite_pixels: int = 0


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network saw in one image, before the watershed.

    Attributes
    ----------
    distance_map : float32 array, shape (Y, X)
        In [0, 1].
    scale : float
        The factor on both sides of the image before the network saw it.
    diameter : float, "auto" or None
        As it was asked for.
    """

    distance_map: NDArray[np.float32]
    scale: float
    diameter: Diameter


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The result for one image.

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
