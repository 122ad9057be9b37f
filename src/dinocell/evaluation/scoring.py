"""Scores of annotated images, for a model or for label images that any program made."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from dinocell.datasets.items import AnnotatedImage, Item
from dinocell.errors import FileFormatError, InputError
from dinocell.evaluation.predictions import prediction_path, read_prediction
from dinocell.inference.overview import predict_at_scale
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.inference.settings import CompleteSettings, RunOptions
from dinocell.io.hashes import hash_hashes
from dinocell.io.pixel_size import PhysicalDiameter
from dinocell.io.saving import write_labels
from dinocell.labels import Labels, Target, relabel
from dinocell.metrics.matching import match_iou
from dinocell.metrics.overlaps import count_overlaps
from dinocell.metrics.pooling import pool
from dinocell.metrics.scores import Scores, score_labels
from dinocell.postprocess.distance import labels_to_distance
from dinocell.postprocess.thresholds import Thresholds
from dinocell.postprocess.watershed import distance_to_labels

CHOSEN_ON = "thresholds_chosen_on"
"""Key of a checkpoint's training record: hashes of the images its thresholds were chosen on, by target and
dataset."""

LEARNED_FROM = "learned_from"
"""Key of the same record: hashes of the images that a model was fine-tuned on, by the name of each."""

HASH_DIGITS = 16
"""Number of digits that are kept of a hash."""


@dataclass(frozen=True, eq=False)
class ImageResult:
    """Result of one image.

    Attributes
    ----------
    name : str
    scores : Scores
        Of the predicted labels.
    upper_bound : Scores
        Of labels cut from the perfect distance map with the same thresholds: what the representation allows.
    detection : Scores or None
        Against the markers, where the image has these beside its labels (Cell Tracking Challenge): DET is
        taken from here.
    areas : int64 array, shape (N,)
        Of the true cells, in pixels.
    ious : float64 array, shape (N,)
        IoU of each with its match, at least 0.5; 0 for a missed cell.
    labels_sha256 : str
        Of the true labels, numbered consecutively: recognises an image whatever its file is called.
    target : {"cells", "nuclei"}, optional
        Target that the model outlined; None for label images that another program made.
    notes : tuple of str
        What a reader of the scores must know of the label images.
    """

    name: str
    scores: Scores
    upper_bound: Scores
    detection: Scores | None
    areas: NDArray[np.int64]
    ious: NDArray[np.float64]
    labels_sha256: str
    target: Target | None = None
    notes: tuple[str, ...] = ()


def evaluate_items(
    pipeline: DINOCellPipeline,
    items: Iterable[Item],
    *,
    output: Path | None = None,
    **options: Unpack[RunOptions],
) -> Iterator[ImageResult]:
    """Segment and score annotated images.

    Parameters
    ----------
    pipeline : DINOCellPipeline
    items : iterable of Item
    output : Path, optional
        Folder for the predicted label images, ``NAME_labels.tif``.
    **options
        Settings as `DINOCellPipeline.run` takes them; the pipeline's otherwise.

    Yields
    ------
    ImageResult
        One an image, in order; `pool_results` makes the dataset's scores.
    """
    for item in items:
        yield evaluate_item(pipeline, item, output=output, **options)


def evaluate_item(
    pipeline: DINOCellPipeline,
    item: Item,
    *,
    output: Path | None = None,
    diameter_um: PhysicalDiameter | None = None,
    **options: Unpack[RunOptions],
) -> ImageResult:
    """Segment and score one annotated image; see `evaluate_items`.

    `diameter_um` replaces the diameter in pixels, by the size of the image's pixels.
    """
    annotated = item.read()
    if diameter_um is not None:
        if annotated.preprocessing is not None:
            raise _store_has_own_scale()
        options["diameter"] = diameter_um.in_pixels(annotated.pixel_size_yx_um, item.files[0])
    settings = pipeline.settings_for(**options)
    predicted, target = _segment(pipeline, annotated, settings)
    if output is not None:
        write_labels(prediction_path(output, item), predicted)
    return replace(score_image(item, annotated, predicted, settings.thresholds_of[target]), target=target)


def evaluate_prediction(item: Item, folder: Path, thresholds: Thresholds | None = None) -> ImageResult:
    """Score a label image that any program made.

    Parameters
    ----------
    item : Item
    folder : Path
        Holds a label image of the item: ``NAME_labels.tif``, ``NAME.png``, ``NAME_masks.png``,
        ``NAME_cp_masks.png`` and the like, ``.npy``, or ``01_RES/maskTTT.tif`` as in the Cell Tracking
        Challenge.
    thresholds : Thresholds, optional
        For the upper bound.
    """
    predicted, notes = read_prediction(folder, item)
    result = score_image(item, item.read(), predicted, thresholds or Thresholds())
    return replace(result, notes=result.notes + notes)


def _segment(
    pipeline: DINOCellPipeline, annotated: AnnotatedImage, settings: CompleteSettings
) -> tuple[Labels, Target]:
    """Segment an annotated image, which may have been preprocessed already; return also what was outlined.

    Raises
    ------
    InputError
        If it was preprocessed otherwise than the model wants.
    """
    _check_annotated(pipeline, annotated)
    pixels = annotated.pixels
    if annotated.preprocessing is None:
        found = pipeline.finish(pixels, pipeline.predict(pixels, settings), settings)
        return found.labels, found.parameters.target
    if settings.diameter not in (None, "auto"):
        raise _store_has_own_scale()
    prediction = predict_at_scale(pipeline.predictor, pixels, 1.0, settings.targets, gray=pixels)
    return pipeline.finish(pixels, prediction, settings).labels, prediction.target


def _store_has_own_scale() -> InputError:
    return InputError(
        "a store is scored at its own scale: leave the diameter out, or process with --diameter"
    )


def predict_item(
    pipeline: DINOCellPipeline, item: Item, target: Target
) -> tuple[Labels, NDArray[np.float32]]:
    """Return the true labels of an annotated image and the distance map that is predicted for a target.

    Raises
    ------
    InputError
        If it was preprocessed otherwise than the model wants.
    """
    annotated = item.read()
    _check_annotated(pipeline, annotated)
    done = annotated.preprocessing is not None
    distance = pipeline.predict_on_full_img(annotated.pixels, preprocessed=done, target=target)
    return annotated.labels, distance


def _check_annotated(pipeline: DINOCellPipeline, annotated: AnnotatedImage) -> None:
    """Raise for an image that a channel must be chosen of, or whose preprocessing is not the model's."""
    annotated.check_channels()
    done = annotated.preprocessing
    if done is not None and done != pipeline.predictor.preprocessing:
        raise InputError(
            f"the store went through {done}, but the model wants {pipeline.predictor.preprocessing}: "
            "process the original data with the model's settings"
        )


def score_image(
    item: Item, annotated: AnnotatedImage, predicted: Labels, thresholds: Thresholds
) -> ImageResult:
    """Score predicted labels against an annotated image."""
    true, markers = annotated.labels, annotated.markers
    if predicted.shape != true.shape:
        raise FileFormatError(
            f"{item.name}: the prediction is {predicted.shape} px, the annotation {true.shape}: "
            "both must have the same size"
        )
    perfect = distance_to_labels(labels_to_distance(true), thresholds=thresholds)
    matching = match_iou(count_overlaps(true, predicted))
    overlaps = matching.overlaps
    ious = np.zeros(overlaps.true_ids.size)
    ious[overlaps.true_index[matching.chosen]] = matching.iou
    return ImageResult(
        name=item.name,
        scores=score_labels(true, predicted),
        upper_bound=score_labels(true, perfect),
        detection=None if markers is None else score_labels(markers, predicted),
        areas=overlaps.true_areas,
        ious=ious,
        labels_sha256=hash_labels(true),
        notes=annotated.notes,
    )


def hash_labels(labels: Labels) -> str:
    """Compute the SHA-256 of labels, numbered consecutively, in hexadecimal digits."""
    return hashlib.sha256(relabel(labels).tobytes()).hexdigest()


def pool_results(results: Sequence[ImageResult]) -> Scores:
    """Pool the scores of images over their cells; DET comes from the markers where there are some."""
    detection = pool(scores_for_detection(result) for result in results)
    return pool(result.scores for result in results).with_detection(detection)


def scores_for_detection(result: ImageResult) -> Scores:
    """Return the scores that an image's DET is taken from."""
    return result.detection or result.scores


def image_scores(result: ImageResult) -> Scores:
    """Return an image's scores, DET from the markers where it has some."""
    return result.scores.with_detection(scores_for_detection(result))


def hash_annotations(results: Iterable[ImageResult]) -> str:
    """Compute the SHA-256 of a dataset's annotations, whatever its folder and files are called."""
    return hash_hashes(sorted(result.labels_sha256 for result in results))
