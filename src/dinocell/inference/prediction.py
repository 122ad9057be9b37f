"""Image to distance map: preprocess once, predict tile by tile, blend."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import DeviceMemoryError, InputError
from dinocell.inference.engines.engine import TileMap
from dinocell.inference.engines.start import AnyModel, Used, open_engine
from dinocell.inference.segmentation import Progress, TilesDone
from dinocell.inference.settings import CompleteSettings
from dinocell.labels import Target
from dinocell.models.configuration import ModelConfig
from dinocell.models.memory import explain_out_of_memory, is_out_of_memory
from dinocell.preprocess.preprocessing import field_of, preprocess
from dinocell.preprocess.resampling import resize, scaled_field, window_shape
from dinocell.tiling import MAX_TILE, Canvas, Tile, cut_tile, plan_tiles

logger = logging.getLogger(__name__)

BatchResult = TypeVar("BatchResult")

BATCH_SIZE = 8
"""Tiles a forward pass on a CPU, where more of them take as long each."""

DEVICE_BATCH_SIZE = 64
"""The same on a GPU, which fewer leave idle."""

MAX_ENLARGEMENT = 16
"""An image is enlarged at most this many times, so that a mistyped diameter does not fill the memory."""


class Predictor:
    """A model with the settings that lead from an image to its distance map.

    Parameters
    ----------
    model : DINOCell or Checkpoint
    settings : CompleteSettings
        The attribute `batch_size` shrinks when the device's memory is not enough.
    resumed : (str, str), optional
        See `dinocell.inference.engines.start.open_engine`.

    Raises
    ------
    InputError
        If the settings do not fit the model or the device.
    """

    def __init__(self, model: AnyModel, settings: CompleteSettings, resumed: Used | None = None) -> None:
        self.model = model
        self.tile_size, self.overlap = settings.tile_size, settings.overlap
        self.preprocessing = replace(model.config.preprocessing, clahe=settings.clahe)
        self._validate()
        device = settings.device
        with explain_out_of_memory(
            f"the memory of {device} is not enough for model {model.config.variant!r}: "
            f"choose a smaller model{_or_cpu(device)}"
        ):
            self.engine = open_engine(model, settings, resumed)
        on_cpu = self.engine.device == "cpu"
        self.batch_size = settings.batch_size or (BATCH_SIZE if on_cpu else DEVICE_BATCH_SIZE)
        self._compiled = settings.compiled
        self._flat: dict[tuple[int, int], NDArray[np.float32]] = {}  # by side and gray level of a flat tile

    @property
    def device(self) -> str:
        """Device that the network runs on."""
        return self.engine.device

    @property
    def used(self) -> Used:
        """Engine that computes the maps, and the precision of that."""
        return self.engine.name, self.engine.precision

    @property
    def config(self) -> ModelConfig:
        """Configuration of the model."""
        return self.model.config

    def _validate(self) -> None:
        stride = self.config.backbone.stride
        if not stride <= self.tile_size <= MAX_TILE or self.tile_size % stride:
            raise InputError(
                f"tile_size is {self.tile_size}, expected a multiple of {stride}, the model's stride, of at "
                f"most {MAX_TILE} pixels: memory grows with its square"
            )
        plan_tiles((1, 1), self.tile_size, self.overlap)  # raises for an overlap out of bounds

    @property
    def targets(self) -> tuple[Target, ...]:
        """Targets of the model, in the order of its maps."""
        return tuple(self.config.targets)

    def diameter_ranges(self, targets: Iterable[Target]) -> dict[Target, tuple[float, float] | None]:
        """Return the diameters in pixels that the model is best at by target, as far as it says."""
        return {target: self.config.targets[target].diameter_range for target in targets}

    def scale_for(self, diameter: float | None, target: Target) -> float:
        """Return the factor that brings cells of a diameter to the nearest one that the model is best at."""
        if diameter is None:
            return 1.0
        if not (isinstance(diameter, int | float) and 0 < diameter < math.inf):
            raise InputError(f"diameter is {diameter!r}, expected pixels above 0")
        best = self.config.targets[target].diameter_range
        if best is None:
            raise InputError(
                f"model {self.config.variant!r} does not say which diameters of {target} it is best "
                "at: leave diameter out, or use 'auto'"
            )
        scale = float(np.clip(diameter, *best)) / diameter
        if scale > MAX_ENLARGEMENT:
            raise InputError(
                f"diameter is {diameter} px: the image would be enlarged {scale:.0f} times, "
                f"expected at most {MAX_ENLARGEMENT}"
            )
        return scale

    def prepare(self, image: NDArray[Any], scale: float) -> NDArray[np.uint8]:
        """Rescale and preprocess an image for `predict`; another thread may do it.

        Returns
        -------
        uint8 array, shape (Y, X)
        """
        return preprocess(np.asarray(image), self.preprocessing, scale=scale)

    def predict(
        self, gray: NDArray[np.uint8], targets: Sequence[Target], *, progress: Progress = None
    ) -> dict[Target, NDArray[np.float32]]:
        """Predict the distance maps of a preprocessed image.

        Parameters
        ----------
        gray : uint8 array, shape (Y, X)
            From `prepare`.
        targets : sequence of str
            Of the model's, those whose maps are wanted; one forward pass serves all.
        progress : callable, optional
            Called after every batch of tiles; what it raises ends the prediction.

        Returns
        -------
        dict of str to float32 array, shape (Y, X)
            In [0, 1], by target.

        Raises
        ------
        DeviceMemoryError
            If not even one tile fits.
        """
        shape = (gray.shape[0], gray.shape[1])
        tiles = plan_tiles(shape, self.tile_size, self.overlap)
        return self._predict_tiles(gray, tiles, targets, progress)

    def predict_view(
        self, gray: NDArray[np.uint8], targets: Sequence[Target], *, progress: Progress = None
    ) -> dict[Target, NDArray[np.float32]]:
        """Predict as `predict` does, but what is smaller than a tile in one as small, which costs less."""
        shape = (gray.shape[0], gray.shape[1])
        side = self.tile_size
        if not self._compiled:  # every side would be compiled anew
            stride = self.config.backbone.stride
            side = min(side, math.ceil(max(shape) / stride) * stride)
        tiles = plan_tiles(shape, side, min(self.overlap, side // 2))
        return self._predict_tiles(gray, tiles, targets, progress)

    def _predict_tiles(
        self, gray: NDArray[np.uint8], tiles: Sequence[Tile], targets: Sequence[Target], progress: Progress
    ) -> dict[Target, NDArray[np.float32]]:
        shape = (gray.shape[0], gray.shape[1])
        if (on_device := self._open_map(gray, tiles, targets)) is not None:
            for done, _ in self._in_batches(tiles, on_device.add):
                _report(progress, done, len(tiles))
            with explain_out_of_memory(
                f"the memory is not enough for a map of {shape} px: use segment-large"
            ):
                return dict(zip(targets, on_device.finish(), strict=True))
        canvases = {target: Canvas(tiles, shape) for target in targets}
        done = 0
        for maps in self.predict_batches(gray, tiles):
            for target, canvas in canvases.items():
                for distance in maps[:, self.targets.index(target)]:
                    canvas.add(distance)
            done += len(maps)
            _report(progress, done, len(tiles))
        return {target: canvas.finish() for target, canvas in canvases.items()}

    def predict_rescaled(
        self,
        image: NDArray[Any],
        scale: float,
        targets: Sequence[Target],
        *,
        gray: NDArray[np.uint8] | None = None,
        progress: Progress = None,
    ) -> dict[Target, NDArray[np.float32]]:
        """Predict an image at another scale; the maps come back at the image's own.

        The network sees the image's field only; in constant margins the map is 0.

        Parameters
        ----------
        image : array, shape (Y, X) or (Y, X, C)
        scale : float
            Factor on both sides before the network sees the image.
        targets : sequence of str
            See `predict`.
        gray : uint8 array, optional
            From `prepare` for this image and scale.
        progress : callable, optional
            See `predict`.

        Returns
        -------
        dict of str to float32 array, shape (Y, X)
            By target.
        """
        if gray is None:
            gray = self.prepare(image, scale)
        shape = (image.shape[0], image.shape[1])
        field = field_of(image)
        seen = gray[scaled_field(field, shape, scale)]
        maps = {target: np.zeros(shape, np.float32) for target in targets}
        for target, distance in self.predict(seen, targets, progress=progress).items():
            maps[target][field] = resize(distance, window_shape(field))
        return maps

    def _open_map(
        self, gray: NDArray[np.uint8], tiles: Sequence[Tile], targets: Sequence[Target]
    ) -> TileMap | None:
        """Begin the maps on the device, where that pays and its memory is enough."""
        try:
            return self.engine.open_map(gray, tiles, [self.targets.index(target) for target in targets])
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        logger.info("a map of %s px does not fit on %s: it is put together here", gray.shape, self.device)
        self.engine.release()
        return None

    def predict_batches(
        self, gray: NDArray[np.uint8], tiles: Sequence[Tile]
    ) -> Iterator[NDArray[np.float32]]:
        """Predict tiles of a preprocessed image.

        Parameters
        ----------
        gray : uint8 array, shape (Y, X)
        tiles : sequence of Tile

        Yields
        ------
        float32 array, shape (B, T, size, size)
            The distance maps of the next tiles, until all are done.

        Raises
        ------
        DeviceMemoryError
            If not even one tile fits.
        """

        def forward(batch: Sequence[Tile]) -> NDArray[np.float32]:
            return self._forward([cut_tile(gray, tile) for tile in batch])

        for _, maps in self._in_batches(tiles, forward):
            yield maps

    def _forward(self, tiles: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Predict tiles; of those that hold one gray level alone, as beyond a slide's edge, one a level."""
        side = len(tiles[0])
        keys = [(side, int(tile[0, 0])) if tile.min() == tile.max() else None for tile in tiles]
        needed = [
            number
            for number, key in enumerate(keys)
            if key is None or (key not in self._flat and key not in keys[:number])
        ]
        maps = np.empty((len(tiles), len(self.targets), side, side), np.float32)
        if needed:
            maps[needed] = self.engine.forward(np.stack([tiles[number] for number in needed]))
        for number in needed:
            if (key := keys[number]) is not None:
                self._flat[key] = maps[number].copy()
        for number, key in enumerate(keys):
            if key is not None:
                maps[number] = self._flat[key]
        return maps

    def _in_batches(
        self, tiles: Sequence[Tile], work: Callable[[Sequence[Tile]], BatchResult]
    ) -> Iterator[tuple[int, BatchResult]]:
        """Do something with all tiles, in batches that fit: how many are done, and what came of the last."""
        done = 0
        while done < len(tiles):
            count, result = self._do_what_fits(tiles[done : done + self.batch_size], work)
            done += count
            yield done, result

    def _do_what_fits(
        self, tiles: Sequence[Tile], work: Callable[[Sequence[Tile]], BatchResult]
    ) -> tuple[int, BatchResult]:
        """Do the first tiles of a batch, fewer from now on when the memory is not enough for all.

        Raises
        ------
        DeviceMemoryError
            If not even one tile fits.
        """
        while True:
            batch = tiles[: self.batch_size]
            try:
                return len(batch), work(batch)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if len(batch) == 1:
                    raise DeviceMemoryError(
                        f"the memory of {self.device} is not enough for one tile of {self.tile_size} px: "
                        f"choose a smaller tile_size or a smaller model{_or_cpu(self.device)}"
                    ) from error
                self.batch_size = len(batch) // 2
            # Out of the handler, so that the traceback no longer holds the tensors of the failed pass.
            logger.warning("not enough memory on %s: batches of %d from now on", self.device, self.batch_size)
            self.engine.release()


def _or_cpu(device: str) -> str:
    return "" if device == "cpu" else ", or device cpu"


def _report(progress: Progress, done: int, total: int) -> None:
    if progress is not None:
        progress(TilesDone(done, total))
