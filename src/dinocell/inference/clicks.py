"""Clicks to a cell: the decoder of clicks on a window of an image, without PyTorch."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dinocell.inference.engines.onnx_engine import OnnxEngine
from dinocell.inference.settings import InferenceSettings
from dinocell.labels import Target
from dinocell.models.checkpoint import Checkpoint
from dinocell.models.clicks import CELL, CLICKS, Pixel, click_maps
from dinocell.models.configuration import ModelConfig
from dinocell.models.graph import FEATURES, INPUT, open_clicks
from dinocell.preprocess.preprocessing import preprocess

SIDE = 192
"""Of a window in pixels as the network sees them: of the largest cells that it knows, and what is around."""

_STEP = 32
"""Windows begin at multiples of it, so that clicks near each other share the features of one."""

_KEPT = 8
"""Windows whose features are kept."""


@dataclass(frozen=True, eq=False)
class Clicked:
    """Probability of being the clicked cell, on a window of the image.

    Attributes
    ----------
    window : tuple of two slices
    probability : float32 array, shape of the window
        In [0, 1]; 0 for pixels of other cells.
    """

    window: tuple[slice, slice]
    probability: NDArray[np.float32]


class ClickPredictor:
    """An image in which cells are clicked on.

    Parameters
    ----------
    checkpoint : Checkpoint
        With a decoder of clicks: ``checkpoint.clicks`` and ``checkpoint.graph`` are files.
    image : array, shape (Y, X) or (Y, X, C)
    diameter : float, optional
        Typical diameter of a cell in pixels: images of cells that are too large or too small for the model
        are rescaled.

    Raises
    ------
    CheckpointError
        If a file of the checkpoint is damaged, or the two are not of the same weights.
    """

    def __init__(self, checkpoint: Checkpoint, image: NDArray[Any], diameter: float | None = None) -> None:
        if checkpoint.clicks is None or checkpoint.graph is None:
            raise ValueError("a checkpoint with a decoder of clicks is needed")
        self._engine = OnnxEngine(checkpoint.graph, InferenceSettings(device="cpu"))
        self._session = open_clicks(checkpoint.clicks.parent)
        self._scale = scale_for(checkpoint.config, diameter)
        self._gray = preprocess(np.asarray(image), checkpoint.config.preprocessing, scale=self._scale)
        self._shape = (image.shape[0], image.shape[1])
        self._features: OrderedDict[Pixel, tuple[NDArray[np.float32], ...]] = OrderedDict()

    def predict(self, inside: Sequence[Pixel], outside: Sequence[Pixel], taken: NDArray[np.bool_]) -> Clicked:
        """Predict the cell that was clicked on.

        Parameters
        ----------
        inside, outside : sequence of (int, int)
            Rows and columns of clicks in the cell, at least one, and of clicks that are not.
        taken : bool array, shape (Y, X)
            Pixels of the image that other cells have.

        Returns
        -------
        Clicked
        """
        begin = self._begin(inside)
        to_tile = self._map_to(begin)
        covered = cv2.warpAffine(
            taken.view(np.uint8), to_tile, (SIDE, SIDE), flags=cv2.INTER_NEAREST, borderValue=1
        )
        maps = click_maps(
            [self._shift(click, to_tile) for click in inside],
            [self._shift(click, to_tile) for click in outside],
            covered > 0,
        )
        named = dict(zip(FEATURES, self._features_at(begin), strict=True))
        inputs = {INPUT: self._tile(begin)[None], CLICKS: maps[None], **named}
        found = self._session.run([CELL], inputs)[0][0]
        return self._on_image(found, begin, taken)

    def _begin(self, inside: Sequence[Pixel]) -> Pixel:
        """Return where the window begins in the network's pixels: clicks near its middle, on the grid."""
        centre = np.mean(np.array(inside, np.float64), axis=0) * self._scale
        row, column = (int(np.floor((each - SIDE / 2) / _STEP + 0.5)) * _STEP for each in centre)
        return row, column

    def _map_to(self, begin: Pixel) -> NDArray[np.float64]:
        """Return the affine map (2, 3) from pixels (x, y) of the image to those of a window."""
        shift = 0.5 * (self._scale - 1)  # pixels are squares, whose centres are whole numbers
        return np.array([[self._scale, 0, shift - begin[1]], [0, self._scale, shift - begin[0]]])

    @staticmethod
    def _shift(click: Pixel, to_tile: NDArray[np.float64]) -> Pixel:
        column, row = to_tile @ (click[1], click[0], 1)
        return round(row), round(column)

    def _tile(self, begin: Pixel) -> NDArray[np.uint8]:
        """Cut a window; beyond the image it is mirrored."""
        rows, columns = (_mirrored(first, side) for first, side in zip(begin, self._gray.shape, strict=True))
        return np.ascontiguousarray(self._gray[np.ix_(rows, columns)])

    def _features_at(self, begin: Pixel) -> tuple[NDArray[np.float32], ...]:
        """Return the feature maps of a window; those of the last windows are kept."""
        if begin not in self._features:
            self._features[begin] = self._engine.features(self._tile(begin)[None])
            if len(self._features) > _KEPT:
                self._features.popitem(last=False)
        self._features.move_to_end(begin)
        return self._features[begin]

    def _on_image(self, found: NDArray[np.float32], begin: Pixel, taken: NDArray[np.bool_]) -> Clicked:
        """Return what was found in the pixels of the image."""
        first = [max(0, int(np.floor(each / self._scale))) for each in begin]
        end = [
            min(side, int(np.ceil((each + SIDE) / self._scale)))
            for each, side in zip(begin, self._shape, strict=True)
        ]
        window = (slice(first[0], end[0]), slice(first[1], end[1]))
        to_tile = self._map_to(begin)
        to_tile[:, 2] += to_tile[:, :2] @ (first[1], first[0])
        probability = cv2.warpAffine(
            found,
            to_tile,
            (end[1] - first[1], end[0] - first[0]),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderValue=0,
        )
        probability[taken[window]] = 0
        return Clicked(window, np.asarray(probability, np.float32))


def scale_for(config: ModelConfig, diameter: float | None, target: Target = "cells") -> float:
    """Return the factor that brings cells of a diameter to one that a model knows; 1 if none is known."""
    known = config.targets.get(target) or next(iter(config.targets.values()))
    if diameter is None or not np.isfinite(diameter) or known.diameter_range is None:
        return 1.0
    return float(np.clip(diameter, *known.diameter_range)) / diameter


def _mirrored(first: int, side: int) -> NDArray[np.intp]:
    """Return the indices of a window that begins at `first`, mirrored at both ends of an axis."""
    period = max(2 * (side - 1), 1)
    index = np.abs(np.arange(first, first + SIDE)) % period
    return np.where(index < side, index, period - index).astype(np.intp)
