"""Image to distance map: preprocess once, predict tile by tile, blend."""

import logging
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dinocell.devices import choose_device, explain_out_of_memory, is_out_of_memory
from dinocell.errors import DeviceMemoryError, InputError
from dinocell.model import DINOCell, normalise
from dinocell.preprocessing import Preprocessing, preprocess
from dinocell.resampling import resize, scaled_shape
from dinocell.segmentation import TilesDone
from dinocell.tiling import Tile, blend, cut_tile, plan_tiles

logger = logging.getLogger(__name__)

MAX_SCALE = 16
"""An image is enlarged at most this many times, so that a mistyped diameter does not fill the memory."""


class Predictor:
    """A model with the settings that lead from an image to its distance map.

    Parameters
    ----------
    model : DINOCell
        Moved to the device and set to eval mode.
    device, batch_size, tile_size, overlap, clahe
        See `DINOCellPipeline`. The attribute `batch_size` shrinks when the device's memory is not enough.
    """

    def __init__(
        self,
        model: DINOCell,
        *,
        device: str,
        batch_size: int,
        tile_size: int | None,
        overlap: int | None,
        clahe: bool | None,
    ) -> None:
        config = model.config
        self.device = choose_device(device)
        self.batch_size = batch_size
        self.tile_size = config.tile_size if tile_size is None else tile_size
        self.overlap = min(config.overlap, self.tile_size // 2) if overlap is None else overlap
        self.preprocessing = _with_clahe(config.preprocessing, clahe)
        self.model = model
        self._validate()
        with explain_out_of_memory(
            f"the memory of {self.device} is not enough for model {config.variant!r}: "
            f"choose a smaller model{self._or_cpu}"
        ):
            self.model.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def _or_cpu(self) -> str:
        return "" if self.device.type == "cpu" else ", or device cpu"

    def _validate(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size is {self.batch_size}, expected at least 1")
        stride = self.model.stride
        if self.tile_size < stride or self.tile_size % stride:
            raise InputError(
                f"tile_size is {self.tile_size}, expected a multiple of {stride}, the model's stride"
            )
        plan_tiles((1, 1), self.tile_size, self.overlap)  # refuses an illegal overlap

    def scale_for(self, diameter: float | str | None) -> float:
        """Find the factor that brings cells of a given diameter to the nearest one the model is best at."""
        if diameter is None:
            return 1.0
        best = self.model.config.diameter_range
        if best is None:
            raise InputError(
                f"model {self.model.config.variant!r} does not say which cell diameters it is best at: "
                "leave diameter out, or use 'auto'"
            )
        try:
            pixels = float(diameter)
        except (TypeError, ValueError):
            pixels = np.nan
        if not (np.isfinite(pixels) and pixels > 0):
            raise InputError(f"diameter is {diameter!r}, expected pixels above 0 or 'auto'")
        scale = float(np.clip(pixels, *best)) / pixels
        if scale > MAX_SCALE:
            raise InputError(
                f"diameter is {diameter} px: the image would be enlarged {scale:.0f} times, "
                f"expected at most {MAX_SCALE}"
            )
        return scale

    def predict(
        self,
        image: NDArray[Any],
        scale: float,
        window: tuple[slice, slice] | None = None,
        *,
        preprocessed: bool = False,
    ) -> Generator[TilesDone, None, NDArray[np.float32]]:
        """Predict tile by tile; a generator that returns the map at the image's own size, or of a window."""
        image = np.asarray(image)
        if preprocessed:
            gray = resize(image, scaled_shape((image.shape[0], image.shape[1]), scale))
        else:
            gray = preprocess(image, self.preprocessing, scale=scale)
        size = (image.shape[0], image.shape[1])
        if window is not None:
            gray = gray[tuple(slice(int(s.start * scale), int(s.stop * scale) or 1) for s in window)]
            size = (window[0].stop - window[0].start, window[1].stop - window[1].start)
        shape = (gray.shape[0], gray.shape[1])
        tiles = plan_tiles(shape, self.tile_size, self.overlap)
        predictions: list[NDArray[np.float32]] = []
        for batch in self.predict_batches(gray, tiles):
            predictions.extend(batch)
            yield TilesDone(len(predictions), len(tiles))
        return resize(blend(tiles, predictions, shape), size)

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
        float32 array, shape (B, size, size)
            The distance maps of the next tiles, until all are done.

        Raises
        ------
        DeviceMemoryError
            If not even one tile fits.
        """
        done = 0
        while done < len(tiles):
            batch = np.stack([cut_tile(gray, tile) for tile in tiles[done : done + self.batch_size]])
            predicted = self._forward_what_fits(batch)
            done += len(predicted)
            yield predicted

    def _forward_what_fits(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Predict the first tiles of a batch, fewer from now on when the memory is not enough for all.

        Raises
        ------
        DeviceMemoryError
            If not even one tile fits.
        """
        while True:
            try:
                return self._forward(batch[: self.batch_size])
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if len(batch) == 1 or self.batch_size == 1:
                    raise DeviceMemoryError(
                        f"the memory of {self.device} is not enough for one tile of {self.tile_size} px: "
                        f"choose a smaller tile_size or a smaller model{self._or_cpu}"
                    ) from error
                self.batch_size = min(self.batch_size, len(batch)) // 2
            # Out of the handler, so that the traceback no longer holds the tensors of the failed pass.
            logger.warning("not enough memory on %s: batches of %d from now on", self.device, self.batch_size)
            if self.device.type in ("cuda", "mps"):
                getattr(torch, self.device.type).empty_cache()

    @torch.inference_mode()
    def _forward(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Distance maps float32 ``(B, Y, X)`` of 8-bit tiles ``(B, Y, X)``."""
        x = normalise(torch.from_numpy(batch).to(self.device))
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = self.model(x)
        return np.asarray(torch.sigmoid(logits.float())[:, 0].cpu().numpy())


def _with_clahe(settings: Preprocessing, clahe: bool | None) -> Preprocessing:
    return settings if clahe is None else replace(settings, clahe=clahe)
