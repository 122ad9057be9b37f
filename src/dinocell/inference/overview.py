"""Choices that are made for an image before cells are looked for: what to outline, and at what scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.inference.autoscale import predict_at_best_scale
from dinocell.inference.prediction import Predictor
from dinocell.inference.segmentation import Prediction, Progress
from dinocell.inference.settings import CompleteSettings
from dinocell.inference.targets import Evidence, choose_target, weigh_maps
from dinocell.labels import Target


@dataclass(frozen=True, eq=False)
class Overview:
    """Choices for an image.

    Attributes
    ----------
    target : str
        What is outlined.
    scale : float
        Factor on both sides of the image before the network sees it.
    evidence : float64 array, optional
        What the target was chosen by, see `dinocell.inference.targets`; None where it was given.
    distance_map : float32 array, shape (Y, X), optional
        The target's map of the image at this scale, where it was predicted on the way.
    """

    target: Target
    scale: float
    evidence: Evidence | None = None
    distance_map: NDArray[np.float32] | None = None


def look_over(
    predictor: Predictor,
    image: NDArray[Any],
    settings: CompleteSettings,
    *,
    gray: NDArray[np.uint8] | None = None,
    progress: Progress = None,
) -> Overview:
    """Choose target and scale for an image, as far as the settings leave them open.

    One forward pass gives the maps of all targets, so that a choice between targets costs none.

    Parameters
    ----------
    predictor : Predictor
    image : array, shape (Y, X) or (Y, X, C)
    settings : CompleteSettings
    gray : uint8 array, optional
        The image as `first_scale` wants it, from `Predictor.prepare`.
    progress : callable, optional
        Called after every batch of tiles.

    Raises
    ------
    InputError
        If the image or the diameter cannot be used.
    """
    targets, scale = settings.targets, first_scale(predictor, settings)
    if len(targets) == 1 and settings.diameter != "auto":
        return Overview(targets[0], scale)
    maps = predictor.predict_rescaled(image, scale, targets, gray=gray, progress=progress)
    evidence = weigh_maps(maps) if len(targets) > 1 else None
    target = targets[0] if evidence is None else choose_target(evidence, targets)
    if settings.diameter == "auto":
        scale, distance = predict_at_best_scale(
            predictor, image, target, settings.thresholds_of[target], maps[target], progress=progress
        )
        return Overview(target, scale, evidence, distance)
    own_scale = predictor.scale_for(settings.diameter, target)
    return Overview(target, own_scale, evidence, maps[target] if own_scale == scale else None)


def first_scale(predictor: Predictor, settings: CompleteSettings) -> float:
    """Return the scale at which an image is predicted first: where targets differ, that of the first one."""
    if settings.diameter == "auto":
        return 1.0
    return predictor.scale_for(settings.diameter, settings.targets[0])


def predict_image(
    predictor: Predictor,
    image: NDArray[Any],
    settings: CompleteSettings,
    *,
    gray: NDArray[np.uint8] | None = None,
    progress: Progress = None,
) -> Prediction:
    """Predict the map of an image after target and scale are chosen; arguments and errors as `look_over`."""
    chosen = look_over(predictor, image, settings, gray=gray, progress=progress)
    target, scale, distance = chosen.target, chosen.scale, chosen.distance_map
    if distance is None:
        fits = scale == first_scale(predictor, settings)
        maps = predictor.predict_rescaled(
            image, scale, [target], gray=gray if fits else None, progress=progress
        )
        distance = maps[target]
    return Prediction(distance, scale, target)


def predict_at_scale(
    predictor: Predictor,
    image: NDArray[Any],
    scale: float,
    targets: Sequence[Target],
    *,
    gray: NDArray[np.uint8] | None = None,
) -> Prediction:
    """Predict an image at a scale, and choose between the maps of some targets."""
    maps = predictor.predict_rescaled(image, scale, targets, gray=gray)
    chosen = targets[0] if len(targets) == 1 else choose_target(weigh_maps(maps), targets)
    return Prediction(maps[chosen], scale, chosen)
