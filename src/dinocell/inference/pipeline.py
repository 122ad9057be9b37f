"""Image to labels: predict the distance map, then watershed."""

import logging
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import InputError, UntrainedModelError
from dinocell.inference.engines.start import AnyModel, Used
from dinocell.inference.inputs import ImageLike, InputImage, open_input
from dinocell.inference.overview import first_scale, predict_at_scale, predict_image
from dinocell.inference.prediction import Predictor
from dinocell.inference.preset import Preset, open_preset
from dinocell.inference.segmentation import Parameters, Prediction, Progress, Segmentation
from dinocell.inference.settings import (
    CompleteSettings,
    InferenceOptions,
    InferenceSettings,
    RunOptions,
    TargetChoice,
)
from dinocell.labels import Labels, Target, median_diameter
from dinocell.measure.quality import describe_size
from dinocell.models.checkpoint import Checkpoint, is_trained
from dinocell.models.configuration import ModelConfig
from dinocell.models.finding import find_checkpoint
from dinocell.models.variants import VARIANTS
from dinocell.postprocess.small_cells import remove_small
from dinocell.postprocess.watershed import distance_to_labels
from dinocell.preprocess.intensity_range import count_nonfinite
from dinocell.preprocess.preprocessing import field_of
from dinocell.preprocess.resampling import resize, scaled_shape

logger = logging.getLogger(__name__)

AnyPreset = Preset | Mapping[str, Any] | str | Path
"""A preset, what its file holds, or its path."""


class DINOCellPipeline:
    """A model with the settings to run it.

    Parameters
    ----------
    model : DINOCell, str or Path
        A network, the name of a trained model, or a checkpoint folder, which runs without PyTorch if it has
        a ``model.onnx``; also one of `dinocell.models.Checkpoint`.
    settings : InferenceSettings, optional
        All options at once.
    resumed : (str, str), optional
        Engine and precision that a part of a run was made with; the rest is then made with the same.
    allow_untrained : bool
        Run a model whose decoder was never trained; its result means nothing.
    **options
        Single settings, such as ``device="cpu"``, ``batch_size``, ``tile_size``, ``overlap``, ``clahe``,
        ``engine``, ``precision`` or ``compiled``: see `dinocell.inference.settings.InferenceSettings`. Those
        that `run` takes hold for all images here.

    Attributes
    ----------
    model : DINOCell or Checkpoint
        The network as it was given, or where it lies.
    settings : CompleteSettings
        With all that was left to the model.
    predictor : Predictor

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
        model: AnyModel | str | Path = "nano",
        *,
        settings: InferenceSettings | None = None,
        resumed: Used | None = None,
        allow_untrained: bool = False,
        **options: Unpack[InferenceOptions],
    ) -> None:
        self._name = str(model) if isinstance(model, str | Path) else None
        self.model = _find(model, allow_untrained=allow_untrained) if isinstance(model, str | Path) else model
        if not self.config.trained:
            if not allow_untrained:
                raise UntrainedModelError(
                    f"model {self.config.variant!r} has an untrained decoder, so its result would mean "
                    "nothing: train it first, or choose one that `dinocell models` lists as trained"
                )
            logger.warning("model %r is untrained: its result means nothing", self.config.variant)
        self.settings = (settings or InferenceSettings()).completed(self.config, **options)
        self.predictor = Predictor(self.model, self.settings, resumed)

    @property
    def config(self) -> ModelConfig:
        """Configuration of the model."""
        return self.model.config

    def run(
        self,
        image: ImageLike,
        *,
        channel: int | str | None = None,
        pixel_size_um: float | tuple[float, float] | None = None,
        preset: AnyPreset | None = None,
        progress: Progress = None,
        **options: Unpack[RunOptions],
    ) -> Segmentation:
        """Segment an image.

        Parameters
        ----------
        image : array, shape (Y, X) or (Y, X, C), or path
            Gray, RGB or RGBA of any integer or float dtype, never changed; or an image file of one plane.
        channel : int or str, optional
            The channel to segment: its number, from 0, or in a file its name. Cells are measured in all.
        pixel_size_um : float or (float, float), optional
            Edge of a pixel in micrometres, or its height and width, where a file does not say it.
        preset : path, mapping or Preset, optional
            Settings that `dinocell tune` found: options and channel.
        progress : callable, optional
            Called with a `TilesDone` after every batch of tiles; what it raises ends the run.
        **options
            For this call only, see `dinocell.inference.settings.RunSettings`: ``target`` (``"auto"``,
            ``"cells"`` or ``"nuclei"``), ``diameter`` (in pixels, ``"auto"`` or None), ``min_size``,
            ``fill_holes``, ``thresholds`` or single numbers of them (``cells_max``, ``cell_fill``, ``merge``,
            ``regrow``, or by their long names, see `dinocell.Thresholds`).

        Returns
        -------
        Segmentation
            Its ``parameters.warnings`` are logged as well.

        Raises
        ------
        InputError
            If the image or a setting cannot be used.
        FileMissingError, FileFormatError
            If a file cannot be read.
        """
        tuned = None
        if preset is not None:
            tuned = open_preset(preset)
            self._check_preset(tuned)
            options = {**tuned.options(), **options}
        settings = self.settings_for(**options)
        source = open_input(image, channel=channel, pixel_size_um=pixel_size_um, preset=tuned)
        prediction = self.predict(source.pixels, settings, progress=progress)
        result = self.finish(source.pixels, prediction, settings, source=source)
        for warning in result.parameters.warnings:
            logger.warning("%s: %s", source.name, warning)
        return result

    def settings_for(self, **options: Unpack[RunOptions]) -> CompleteSettings:
        """Return the settings with some replaced, for the methods below; errors as `run`."""
        fixed = [name for name in options if name not in RunOptions.__annotations__]
        if fixed:
            known = fixed[0] in InferenceOptions.__annotations__
            near = get_close_matches(fixed[0], RunOptions.__annotations__, 1)
            remedy = "give it to DINOCellPipeline" if known else "leave it out"
            raise InputError(
                f"{fixed[0]} is not an option of one image, expected one of "
                f"{', '.join(RunOptions.__annotations__)}: "
                + (f"did you mean {near[0]}?" if near else remedy)
            )
        return self.settings.completed(self.config, **options)

    def prepare(self, image: NDArray[Any], settings: CompleteSettings | None = None) -> NDArray[np.uint8]:
        """Preprocess an image for `predict`; needs no network, so another thread may do it.

        Parameters
        ----------
        image
            As for `run`.
        settings : CompleteSettings, optional
            From `settings_for`.

        Returns
        -------
        uint8 array, shape (Y, X)
        """
        return self.predictor.prepare(image, first_scale(self.predictor, settings or self.settings))

    def predict(
        self,
        image: NDArray[Any],
        settings: CompleteSettings | None = None,
        *,
        gray: NDArray[np.uint8] | None = None,
        progress: Progress = None,
    ) -> Prediction:
        """Predict the distance map of an image, for `finish`.

        Parameters
        ----------
        image, settings
            As for `prepare`.
        gray : uint8 array, shape (Y, X), optional
            From `prepare` for the same image and settings.
        progress : callable, optional
            As for `run`.
        """
        chosen = settings or self.settings
        return predict_image(self.predictor, np.asarray(image), chosen, gray=gray, progress=progress)

    def finish(
        self,
        image: NDArray[Any],
        prediction: Prediction,
        settings: CompleteSettings | None = None,
        *,
        source: InputImage | None = None,
    ) -> Segmentation:
        """Turn a prediction into the result; needs no network, so another thread may do it.

        `source` is what is known of the image beside its pixels.
        """
        image, distance, settings = np.asarray(image), prediction.distance_map, settings or self.settings
        labels, min_size, removed = _find_cells(distance, settings, prediction.target)
        median = median_diameter(labels)
        found = None if np.isnan(median) else median
        best, asked = self.config.targets[prediction.target].diameter_range, settings.diameter
        size = describe_size(found, prediction.scale, best, asked)
        parameters = Parameters(
            model=self.config.variant,
            trained=self.config.trained,
            device=self.predictor.device,
            engine=self.predictor.engine.name,
            precision=self.predictor.engine.precision,
            preprocessing=self.predictor.preprocessing,
            settings=settings,
            target=prediction.target,
            diameter=found if asked == "auto" else asked,
            scale=prediction.scale,
            nonfinite_pixels=_count_nonfinite(image),
            median_diameter=found,
            min_size=min_size,
            removed=removed,
            warnings=() if size is None else (size,),
        )
        return Segmentation(labels, distance, parameters, source or InputImage(image))

    def predict_on_full_img(
        self,
        image: NDArray[Any],
        *,
        scale: float = 1.0,
        preprocessed: bool = False,
        target: TargetChoice | None = None,
    ) -> NDArray[np.float32]:
        """Predict the distance map of an image of any size.

        Parameters
        ----------
        image : array, shape (Y, X) or (Y, X, C)
        scale : float
            Factor on both sides before the network sees the image.
        preprocessed : bool
            Whether the image is 8-bit gray and went through the model's preprocessing already.
        target : {"auto", "cells", "nuclei"}, optional
            The pipeline's otherwise.

        Returns
        -------
        float32 array, shape (Y, X)
            In [0, 1], at the image's own size: the map of the target, given or chosen.
        """
        image, settings = np.asarray(image), self.settings_for(target=target or self.settings.target)
        gray = resize(image, scaled_shape((image.shape[0], image.shape[1]), scale)) if preprocessed else None
        return predict_at_scale(self.predictor, image, scale, settings.targets, gray=gray).distance_map

    def cells_from_dist_map(
        self, dist_map: NDArray[np.floating[Any]], **options: Unpack[RunOptions]
    ) -> Labels:
        """Turn a distance map into labels with the pipeline's settings, or with others for this call.

        Without a ``target``, here or of the pipeline, the thresholds are those of the model's first one.
        """
        settings = self.settings_for(**options)
        return _find_cells(dist_map, settings, settings.targets[0])[0]

    def run_batch_thresholds(
        self,
        image: NDArray[Any],
        cells_max_values: Sequence[float],
        cell_fill_values: Sequence[float],
        *,
        target: TargetChoice | None = None,
    ) -> dict[tuple[float, float], Labels]:
        """Segment with every pair of thresholds after one forward pass.

        Parameters
        ----------
        image : array, shape (Y, X) or (Y, X, C)
        cells_max_values, cell_fill_values : sequence of float
        target : {"auto", "cells", "nuclei"}, optional
            The pipeline's otherwise.

        Returns
        -------
        dict
            Labels int32 ``(Y, X)`` by ``(cells_max, cell_fill)``.
        """
        settings = self.settings_for(target=target or self.settings.target)
        found = predict_at_scale(self.predictor, np.asarray(image), 1.0, settings.targets)
        return {
            (cells_max, cell_fill): self.cells_from_dist_map(
                found.distance_map,
                target=found.target,
                cells_max_threshold=cells_max,
                cell_fill_threshold=cell_fill,
            )
            for cells_max in cells_max_values
            for cell_fill in cell_fill_values
        }

    def _check_preset(self, preset: Preset) -> None:
        """Raise for a preset that was tuned for another model; one that was built in memory has no name."""
        if self._name in (None, preset.model) or (
            find_checkpoint(preset.model).resolve() == find_checkpoint(str(self._name)).resolve()
        ):
            return
        raise InputError(
            f"the preset was tuned for model {preset.model!r}, not for {self._name!r}: load that model"
        )


def _find(name: str | Path, *, allow_untrained: bool) -> Checkpoint:
    if allow_untrained and str(name) in VARIANTS and not is_trained(str(name)):
        return Checkpoint.untrained(str(name))
    return Checkpoint.find(name)


def _count_nonfinite(image: NDArray[Any]) -> int:
    """Count NaN and infinite values of the field of an image; most images have none anywhere."""
    return count_nonfinite(image[field_of(image)]) if count_nonfinite(image) else 0


def _find_cells(
    distance: NDArray[np.floating[Any]], settings: CompleteSettings, target: Target
) -> tuple[Labels, int, int]:
    """Return the labels, the pixels below which cells were removed, and the number of these cells."""
    thresholds, fill_holes = settings.thresholds_of[target], settings.fill_holes
    labels = distance_to_labels(distance, thresholds=thresholds, fill_holes=fill_holes)
    return remove_small(labels, settings.min_size, target)
