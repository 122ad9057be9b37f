"""The contract of all engines."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dinocell.inference.settings import Precision
from dinocell.tiling import Tile


class TileMap(Protocol):
    """Distance maps that are put together where they are predicted."""

    def add(self, tiles: Sequence[Tile]) -> None:
        """Predict the next tiles and blend them in; nothing has changed if the memory is not enough."""

    def finish(self) -> NDArray[np.float32]:
        """Return the maps: float32 array, shape (channels, Y, X)."""


class Engine(Protocol):
    """Runs a network over tiles.

    Attributes
    ----------
    name : str
        One of `dinocell.inference.settings.EngineName`.
    """

    name: str

    @property
    def device(self) -> str:
        """Device it runs on, as results name it: ``cpu``, ``cuda``, ``cuda:1``."""

    @property
    def precision(self) -> Precision:
        """Numbers it computes with; never ``auto``."""

    def forward(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return distance maps float32 ``(B, T, Y, X)`` in [0, 1] of 8-bit tiles ``(B, Y, X)``."""

    def features(self, tiles: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Return the four feature maps float32 ``(B, C, Y / s, X / s)`` of 8-bit tiles ``(B, Y, X)``.

        From the finest to the coarsest; s is 16 in all maps of a ViT.
        """

    def open_map(
        self, gray: NDArray[np.uint8], tiles: Sequence[Tile], channels: Sequence[int]
    ) -> TileMap | None:
        """Begin some maps of a preprocessed image ``(Y, X)`` on the device; None where that does not pay."""

    def side_by_side(self) -> AbstractContextManager[int]:
        """Divide the threads among passes within a ``with`` block; its value is how many may run at once.

        For many small images: what a pass does on one thread never waits for others. 1 changes nothing.
        """

    def release(self) -> None:
        """Return memory that is kept for later."""
