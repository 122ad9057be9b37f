"""Image to labels: predict the distance map, then watershed."""

import functools
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError, UntrainedModelError
from dinocell.inference.autoscale import predict_at_best_scale
from dinocell.inference.engines.engine import Precision
from dinocell.inference.prediction import Predictor
from dinocell.inference.segmentation import Diameter, Parameters, Prediction, Segmentation, TilesDone
from dinocell.labels import Labels, median_diameter
from dinocell.models.checkpoint import find_checkpoint, is_trained
from dinocell.models.network.devices import explain_out_of_memory
from dinocell.models.network.dinocell import DINOCell
from dinocell.models.variants import VARIANTS
from dinocell.postprocess.thresholds import Thresholds
from dinocell.postprocess.watershed import distance_to_labels
from dinocell.preprocess.intensity_range import count_nonfinite

logger = logging.getLogger(__name__)


class DINOCellPipeline:
    """A model with the settings to run it.

    Parameters
    ----------
    model : DINOCell, str or Path
        A model, the name of a trained one, or a checkpoint folder.
    device : str
        ``auto`` (CUDA, else MPS, else CPU) or a torch device such as ``cuda:1``.
    batch_size : int, optional
        Tiles a forward pass; otherwise what the device is good for.
    tile_size, overlap : int, optional
        In pixels; the checkpoint's otherwise.
    clahe : bool, optional
        Whether to equalise the contrast; the checkpoint's otherwise.
    engine : str
        What runs the network: ``torch``, or ``onnx`` or ``openvino``, which need the extra ``export``.
    precision : str
        What it computes with: ``auto`` (bfloat16 on CUDA, else float32), ``float32``, ``bfloat16`` (``torch``
        and ``openvino``; faster on CPUs that have instructions for it) or ``int8`` (``onnx``).
    compiled : bool
        For ``torch``: translate the network first, which takes a minute and pays on GPUs with much to do.
    allow_untrained : bool
        Run a model whose decoder was never trained; its result means nothing.

    Raises
    ------
    InputError
        If a setting is out of bounds or the device is not there.
    UntrainedModelError
        If the model was never trained.

    Examples
    --------
    >>> pipeline = DINOCellPipeline("nano", device="cpu")
    >>> pipeline.run(np.zeros((60, 80))).labels.shape
    (60, 80)
    """

    def __init__(
        self,
        model: DINOCell | str | Path = "nano",
        *,
        device: str = "auto",
        batch_size: int | None = None,
        tile_size: int | None = None,
        overlap: int | None = None,
        clahe: bool | None = None,
        engine: str = "torch",
        precision: Precision = "auto",
        compiled: bool = False,
        allow_untrained: bool = False,
    ) -> None:
        with explain_out_of_memory("the memory is not enough to load this model: choose a smaller one"):
            self.model = _load(model, allow_untrained=allow_untrained)
        if not self.model.config.trained:
            if not allow_untrained:
                raise UntrainedModelError(
                    f"model {self.model.config.variant!r} has an untrained decoder, so its result would mean "
                    "nothing: train it first, or choose one that `dinocell models` lists as trained"
                )
            logger.warning("model %r is untrained: its result means nothing", self.model.config.variant)
        self.predictor = Predictor(
            self.model,
            device=device,
            batch_size=batch_size,
            tile_size=tile_size,
            overlap=overlap,
            clahe=clahe,
            engine=engine,
            precision=precision,
            compiled=compiled,
        )

    def run(
        self,
        image: NDArray[Any],
        *,
        diameter: Diameter = None,
        cells_max_threshold: float | None = None,
        cell_fill_threshold: float | None = None,
        merge: float | None = None,
        regrow: bool | None = None,
        min_size: int = 0,
        fill_holes: bool = False,
        progress: Callable[[TilesDone], None] | None = None,
    ) -> Segmentation:
        """Segment an image.

        Parameters
        ----------
        image : array, shape (Y, X) or (Y, X, C)
            Gray, RGB or RGBA of any integer or float dtype; never changed.
        diameter : float, "auto" or None
            Typical cell diameter in pixels: the image is rescaled to what the model is best at. ``auto``
            tries several scales (see `dinocell.inference.autoscale`); None takes the image as it is.
        cells_max_threshold, cell_fill_threshold, merge, regrow : optional
            For this call only; the checkpoint's otherwise. See `dinocell.distance_to_labels`.
        min_size : int
            Cells of fewer pixels are removed.
        fill_holes : bool
            Whether background enclosed by one cell becomes part of it.
        progress : callable, optional
            Called after every batch of tiles.

        Returns
        -------
        Segmentation

        Raises
        ------
        InputError
            If the image or a setting cannot be used.
        """
        steps = self.steps(
            image,
            diameter=diameter,
            thresholds=self.thresholds(cells_max_threshold, cell_fill_threshold, merge, regrow),
            min_size=min_size,
            fill_holes=fill_holes,
        )
        while isinstance(step := next(steps), TilesDone):
            if progress is not None:
                progress(step)
        return step

    def steps(
        self,
        image: NDArray[Any],
        *,
        diameter: Diameter = None,
        thresholds: Thresholds | None = None,
        min_size: int = 0,
        fill_holes: bool = False,
    ) -> Iterator[TilesDone | Segmentation]:
        """Segment an image step by step, so that a caller can show progress and stop.

        Yields
        ------
        TilesDone
            After every batch.
        Segmentation
            Last.
        """
        prediction = yield from self.predict_steps(image, diameter=diameter, thresholds=thresholds)
        yield self.finish(image, prediction, thresholds=thresholds, min_size=min_size, fill_holes=fill_holes)

    def prepare(self, image: NDArray[Any], *, diameter: Diameter = None) -> NDArray[np.uint8] | None:
        """Preprocess an image for `predict_steps`; needs no network, so another thread may do it.

        Parameters
        ----------
        image, diameter
            As for `run`.

        Returns
        -------
        uint8 array, shape (Y, X), or None
            None with ``auto``, which tries several scales.
        """
        if diameter == "auto":
            return None
        return self.predictor.prepare(image, self.predictor.scale_for(diameter))

    def predict_steps(
        self,
        image: NDArray[Any],
        *,
        diameter: Diameter = None,
        thresholds: Thresholds | None = None,
        gray: NDArray[np.uint8] | None = None,
    ) -> Generator[TilesDone, None, Prediction]:
        """Predict step by step; a generator that returns the prediction, for `finish`.

        Parameters
        ----------
        image, diameter
            As for `run`.
        thresholds : Thresholds, optional
            With these ``auto`` finds the cells whose size it looks at.
        gray : uint8 array, shape (Y, X), optional
            What `prepare` gave for the same image and diameter.
        """
        image = np.asarray(image)
        if diameter == "auto":
            thresholds = thresholds or self.model.config.thresholds
            scale, distance = yield from predict_at_best_scale(self.predictor, image, thresholds)
        else:
            scale = self.predictor.scale_for(diameter)
            distance = yield from self.predictor.predict(image, scale, gray=gray)
        return Prediction(distance, scale, diameter)

    def finish(
        self,
        image: NDArray[Any],
        prediction: Prediction,
        *,
        thresholds: Thresholds | None = None,
        min_size: int = 0,
        fill_holes: bool = False,
    ) -> Segmentation:
        """Turn a prediction into the result; needs no network, so another thread may do it."""
        image, distance, diameter = np.asarray(image), prediction.distance_map, prediction.diameter
        thresholds = thresholds or self.model.config.thresholds
        labels = self.cells_from_dist_map(
            distance, thresholds=thresholds, min_size=min_size, fill_holes=fill_holes
        )
        found = median_diameter(labels) if diameter == "auto" else diameter
        return Segmentation(
            labels,
            distance,
            Parameters(
                model=self.model.config.variant,
                trained=self.model.config.trained,
                device=self.predictor.device,
                engine=self.predictor.engine.name,
                precision=self.predictor.engine.precision,
                thresholds=thresholds,
                preprocessing=self.predictor.preprocessing,
                tile_size=self.predictor.tile_size,
                overlap=self.predictor.overlap,
                diameter=None if found is None or np.isnan(found) else float(found),
                scale=prediction.scale,
                min_size=min_size,
                fill_holes=fill_holes,
                nonfinite_pixels=count_nonfinite(image),
            ),
        )

    def predict_on_full_img(
        self, image: NDArray[Any], *, scale: float = 1.0, preprocessed: bool = False
    ) -> NDArray[np.float32]:
        """Predict the distance map of an image of any size.

        Parameters
        ----------
        image : array, shape (Y, X) or (Y, X, C)
        scale : float
            Factor on both sides before the network sees the image.
        preprocessed : bool
            Whether the image is 8-bit gray and went through the model's preprocessing already.

        Returns
        -------
        float32 array, shape (Y, X)
            In [0, 1], at the image's own size.
        """
        steps = self.predictor.predict(image, scale, preprocessed=preprocessed)
        while True:
            try:
                next(steps)
            except StopIteration as finished:
                distance: NDArray[np.float32] = finished.value
                return distance

    def cells_from_dist_map(
        self,
        dist_map: NDArray[np.floating[Any]],
        *,
        thresholds: Thresholds | None = None,
        min_size: int = 0,
        fill_holes: bool = False,
    ) -> Labels:
        """Turn a distance map into labels with the checkpoint's thresholds, or with others for this call."""
        chosen = thresholds or self.model.config.thresholds
        return distance_to_labels(dist_map, **chosen.model_dump(), min_size=min_size, fill_holes=fill_holes)

    def run_batch_thresholds(
        self,
        image: NDArray[Any],
        cells_max_values: Sequence[float],
        cell_fill_values: Sequence[float],
    ) -> dict[tuple[float, float], Labels]:
        """Segment with every pair of thresholds after one forward pass.

        Parameters
        ----------
        image : array, shape (Y, X) or (Y, X, C)
        cells_max_values, cell_fill_values : sequence of float

        Returns
        -------
        dict
            Labels int32 ``(Y, X)`` by ``(cells_max, cell_fill)``.
        """
        distance = self.predict_on_full_img(image)
        return {
            (cells_max, cell_fill): self.cells_from_dist_map(
                distance, thresholds=self.thresholds(cells_max, cell_fill)
            )
            for cells_max in cells_max_values
            for cell_fill in cell_fill_values
        }

    def thresholds(
        self,
        cells_max_threshold: float | None = None,
        cell_fill_threshold: float | None = None,
        merge: float | None = None,
        regrow: bool | None = None,
        *,
        base: Thresholds | None = None,
    ) -> Thresholds:
        """Copy thresholds, the checkpoint's unless others are given as `base`, with some replaced.

        Raises
        ------
        InputError
            If one is not in [0, 1].
        """
        given = {
            "cells_max_threshold": cells_max_threshold,
            "cell_fill_threshold": cell_fill_threshold,
            "merge": merge,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        for name, value in changes.items():
            if not 0 <= value <= 1:
                raise InputError(f"{name} is {value}, expected a number from 0 to 1")
        if regrow is not None:
            changes["regrow"] = regrow
        return (base or self.model.config.thresholds).model_copy(update=changes)


def _load(model: DINOCell | str | Path, *, allow_untrained: bool) -> DINOCell:
    if isinstance(model, DINOCell):
        return model
    name = str(model)
    if allow_untrained and name in VARIANTS and not is_trained(name):
        return DINOCell.from_variant(name)
    return DINOCell.from_pretrained(model)


def segment(image: NDArray[Any], model: str | Path = "nano", **options: Any) -> Segmentation:
    """Segment one image.

    Parameters
    ----------
    image : array, shape (Y, X) or (Y, X, C)
        Gray, RGB or RGBA of any integer or float dtype; never changed.
    model : str or Path
        Name of a trained model, or a checkpoint folder.
    **options
        As `DINOCellPipeline.run` takes them, for example ``diameter=40``.

    Returns
    -------
    Segmentation
        ``labels``, ``distance_map`` and the ``parameters`` they were made with.

    Raises
    ------
    DINOCellError
        If the image, the model or an option cannot be used.
    """
    folder = find_checkpoint(model).resolve()
    written = max((file.stat().st_mtime_ns for file in folder.iterdir()), default=0)
    return _cached_pipeline(folder, written).run(image, **options)


@functools.lru_cache(maxsize=1)
def _cached_pipeline(folder: Path, _written: int) -> DINOCellPipeline:
    """Keep the model of the last call, until its folder is written anew."""
    return DINOCellPipeline(folder)
