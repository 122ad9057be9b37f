"""Choices that are made for an image before cells are looked for: what to outline, and at what scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.inference.autoscale import (
    Sizes,
    choose_scales,
    choose_tiles,
    may_shrink,
    view_zooms,
    weigh_closely,
)
from dinocell.inference.prediction import Predictor
from dinocell.inference.segmentation import Prediction, Progress
from dinocell.inference.settings import CompleteSettings
from dinocell.inference.targets import Evidence, choose_target, coloured_share, weigh_maps
from dinocell.labels import Target
from dinocell.preprocess.preprocessing import field_of
from dinocell.preprocess.resampling import resize, scaled_field


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
    targets, scales = settings.targets, _find_scales(predictor, image, settings, gray, progress)
    scale = scales[targets[0]]
    if len(targets) == 1:
        return Overview(targets[0], scale)
    fits = scale == first_scale(predictor, settings)
    gray = gray if gray is not None and fits else predictor.prepare(image, scale)
    maps = predictor.predict_rescaled(image, scale, targets, gray=gray, progress=progress)
    evidence = weigh_image(image, gray, maps)
    target = choose_target(evidence, targets)
    return Overview(target, scales[target], evidence, maps[target] if scales[target] == scale else None)


def _find_scales(
    predictor: Predictor,
    image: NDArray[Any],
    settings: CompleteSettings,
    gray: NDArray[np.uint8] | None,
    progress: Progress,
) -> dict[Target, float]:
    """Find the scale for each target: by the diameter, or by what small views of the image show."""
    targets, diameter = settings.targets, settings.diameter
    if settings.fixed_scale is not None:
        return dict.fromkeys(targets, settings.fixed_scale)
    if diameter != "auto":
        return {target: predictor.scale_for(diameter, target) for target in targets}
    ranges = predictor.diameter_ranges(targets)
    zooms, coarse = view_zooms(ranges), None
    if zooms:
        coarse = _predict_view(predictor, image, zooms[1], targets, progress)
        if not any(may_shrink(coarse[target], zooms[1], best) for target, best in ranges.items()):
            return dict.fromkeys(targets, 1.0)
    sizes = look_for_sizes(predictor, image, targets, coarse=coarse, gray=gray, progress=progress)
    return choose_scales(sizes, ranges)


def _predict_view(
    predictor: Predictor, image: NDArray[Any], zoom: float, targets: Sequence[Target], progress: Progress
) -> dict[Target, NDArray[np.float32]]:
    """Predict a small view of the field of an image; raises for what is not an image."""
    small = predictor.prepare(image, zoom)
    seen = scaled_field(field_of(image), (image.shape[0], image.shape[1]), zoom)
    return predictor.predict_view(small[seen], targets, progress=progress)


def look_for_sizes(
    predictor: Predictor,
    image: NDArray[Any],
    targets: Sequence[Target],
    *,
    coarse: Mapping[Target, NDArray[np.float32]] | None = None,
    gray: NDArray[np.uint8] | None = None,
    progress: Progress = None,
) -> dict[Target, Sizes]:
    """Predict small views of an image, and add up what the size of cells is estimated from, by target.

    Where an image would be shrunk by them, some tiles of it are predicted as well. `coarse` is the map of the
    coarser view, and `gray` the image preprocessed at full size, where they are known.
    """
    ranges = predictor.diameter_ranges(targets)
    zooms = view_zooms(ranges)
    to_predict = zooms if coarse is None else zooms[:1]
    views = [_predict_view(predictor, image, zoom, targets, progress) for zoom in to_predict]
    views += [] if coarse is None else [dict(coarse)]

    close: dict[str, dict[Target, NDArray[np.float32]]] = {}

    def look_closely(target: Target) -> list[NDArray[np.float32]]:
        nonlocal gray
        gray = predictor.prepare(image, 1.0) if gray is None else gray
        whole = gray[field_of(image)]
        windows = choose_tiles(views[0][target], zooms[0], (whole.shape[0], whole.shape[1]))
        for window in windows:  # in small images all are the same
            if str(window) not in close:
                close[str(window)] = predictor.predict_view(whole[window], targets)
        return [close[str(window)][target] for window in windows]

    return {
        target: weigh_closely([view[target] for view in views], zooms, best, partial(look_closely, target))
        for target, best in ranges.items()
    }


def first_scale(predictor: Predictor, settings: CompleteSettings) -> float:
    """Return the scale at which an image is predicted, as far as it is known without looking at it."""
    if settings.fixed_scale is not None:
        return settings.fixed_scale
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
    gray = predictor.prepare(image, scale) if gray is None else gray
    maps = predictor.predict_rescaled(image, scale, targets, gray=gray)
    chosen = targets[0] if len(targets) == 1 else choose_target(weigh_image(image, gray, maps), targets)
    return Prediction(maps[chosen], scale, chosen)


def weigh_image(
    image: NDArray[Any], gray: NDArray[np.uint8], maps: Mapping[Target, NDArray[np.float32]]
) -> Evidence:
    """Compute the sums by which the target of an image is chosen, over its field within constant margins.

    Parameters
    ----------
    image : array, shape (Y, X) or (Y, X, C)
    gray : uint8 array
        The image, rescaled and preprocessed.
    maps : mapping of str to float32 array, shape (Y, X)
        Of both targets, at the size of the image.
    """
    field = field_of(image)
    seen = resize(gray, (image.shape[0], image.shape[1]))[field]
    within = {target: distance[field] for target, distance in maps.items()}
    return weigh_maps(within, seen, coloured_share(image[field]))
