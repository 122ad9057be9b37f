"""Fine-tuning: adapt a trained model to a few annotated images in minutes, and measure whether that helps.

The whole model learns, or its decoder alone, on feature maps that the frozen backbone computes once per crop.
Cross-validation over the images measures how good the result will be on other images.
"""

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinocell.datasets.annotates import DEFAULT_TARGET, recorded_target
from dinocell.datasets.corrected import Corrected, find_corrected
from dinocell.datasets.formats import open_originals
from dinocell.datasets.items import AnnotatedImage, Item
from dinocell.datasets.repairs import Repairs
from dinocell.errors import ConfigError, FileFormatError, InputError, OutputError
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.labels import IGNORE, Target
from dinocell.metrics.scores import Scores, score_labels
from dinocell.models.network.dinocell import DINOCell
from dinocell.preprocess.preprocessing import preprocess
from dinocell.training.annotated import Annotated
from dinocell.training.augment import Crop, random_crop
from dinocell.training.finetuning.cached_features import FEATURES_PREFIX, CropCache
from dinocell.training.finetuning.config import FinetuneConfig
from dinocell.training.finetuning.learner import Learner
from dinocell.training.finetuning.result import (
    MODEL_FOLDER,
    SCORES_FILE,
    CropsDone,
    FinetuneEvent,
    FinetuneResult,
    FinetuneStep,
    ImageRead,
    LeftOut,
    write_result,
)

CROP_SIZE = 128
"""Side of a crop in pixels where features are local: large enough for whole cells, and quick."""


DRAWS, LEAST_VALID = 10, 0.1
"""Most draws of a crop, and the share of its pixels that must be valid for it to be taken before that."""


@dataclass(frozen=True)
class _Image:
    """An image to learn from, in the file's own pixels and as the network sees it."""

    name: str
    pixels: NDArray[Any]
    gray: NDArray[np.uint8]
    labels: NDArray[np.int32]
    notes: tuple[str, ...]


def finetune(
    config: FinetuneConfig, progress: Callable[[FinetuneEvent], None] | None = None
) -> FinetuneResult:
    """Adapt a model to a few images; see `finetune_steps`.

    Parameters
    ----------
    config : FinetuneConfig
    progress : callable, optional
        Called with every event.
    """
    for event in finetune_steps(config):
        if progress is not None:
            progress(event)
        if isinstance(event, FinetuneResult):
            result = event
    return result


def finetune_steps(config: FinetuneConfig) -> Iterator[FinetuneEvent]:
    """Adapt a model step by step; no file has its final name before it is complete.

    Parameters
    ----------
    config : FinetuneConfig

    Yields
    ------
    LeftOut, ImageRead, CropsDone, FinetuneStep
        While it runs.
    FinetuneResult
        Last, when ``model``, ``scores.csv`` and ``config.yaml`` are in the output folder.

    Raises
    ------
    DINOCellError
        If the output exists, a setting, image or model cannot be used, no cell is left to learn from, the
        memory is not enough, or the loss is not finite.
    """
    start = time.monotonic()
    _prepare_output(config.output)
    items, left_out = _find_items(config)
    # In float32 the pipeline runs the very weights that learn, on their device; else a copy of them.
    pipeline = DINOCellPipeline(config.model, device=config.device, precision="float32")
    model = pipeline.model
    yield from (LeftOut(name, reason) for name, reason in left_out.items())
    size, target = _crop_size(config, model), _find_target(config, model, items)
    config = config.model_copy(update={"crop_size": size, "annotates": target})
    images = yield from _read_images(items, pipeline)
    if config.learn == "decoder":
        model.freeze_backbone()
    count = len(images) * config.variants
    with CropCache(
        model,
        list(model.config.targets).index(target),
        count,
        size,
        features=config.learn == "decoder",
        dtype=config.cache_dtype,
        memory_limit=round(config.cache_memory * 2**30),
        folder=config.output,
    ) as cache:
        for done in cache.fill(_draw(images, config, size), config.batch_size):
            yield CropsDone(done, count)
        learner = Learner(model, cache, config)
        before, after = yield from _learn_all(images, pipeline, learner)
    result = FinetuneResult(
        model=config.output / MODEL_FOLDER,
        target=target,
        images=tuple(image.name for image in images),
        before=before,
        after=after,
        times=learner.times,
        seconds=time.monotonic() - start,
        notes=tuple(note for image in images for note in image.notes),
    )
    write_result(config, model, [image.labels for image in images], result)
    yield result


def _crop_size(config: FinetuneConfig, model: DINOCell) -> int:
    default = model.config.tile_size if model.backbone.attends else CROP_SIZE
    size = default if config.crop_size is None else config.crop_size
    if size % model.stride:
        raise ConfigError(f"crop_size is {size}, expected a multiple of {model.stride}, the model's stride")
    return size


def _find_items(config: FinetuneConfig) -> tuple[Sequence[Corrected | Item], dict[str, str]]:
    """List the annotated images; and those that are left out, with the reasons."""
    if config.corrected is not None:
        return find_corrected(
            config.images,
            config.corrected,
            channel=config.channel,
            accept_unchanged=config.accept_unchanged,
        )
    split = config.split_components
    return open_originals(config.images, config.masks, channel=config.channel, split_components=split), {}


def _find_target(config: FinetuneConfig, model: DINOCell, items: Sequence[Corrected | Item]) -> Target:
    """Return the target that the labels are of; the model must have a map for it."""
    target = recorded_target(config.images, config.masks, config.corrected, given=config.annotates)
    if target is None:
        outlined = {getattr(item, "outlined", None): item.name for item in items}
        if len(outlined.keys() - {None}) > 1:
            found = " and ".join(f"{each} in {name}" for each, name in outlined.items() if each)
            raise InputError(f"segment outlined {found}, expected one target to learn: give annotates")
        target = next((each for each in outlined if each), DEFAULT_TARGET)
    known = model.config.targets
    if target not in known:
        raise InputError(
            f"the labels are of {target}, but model {config.model!r} has a map of {' and '.join(known)} "
            "only: choose another model, or correct annotates"
        )
    return target


def _prepare_output(folder: Path) -> None:
    if (folder / MODEL_FOLDER).exists():
        raise OutputError(f"{folder / MODEL_FOLDER} exists: choose another output folder, or delete it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        (folder / SCORES_FILE).unlink(missing_ok=True)  # of a model that was removed
        for left in folder.glob(f"{FEATURES_PREFIX}*"):  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"cannot write to folder {folder} ({error.strerror}): choose another") from error


def _read_images(
    items: Sequence[Corrected | Item], pipeline: DINOCellPipeline
) -> Generator[LeftOut | ImageRead, None, list[_Image]]:
    images = []
    for item in items:
        annotated, repairs = item.read_repaired() if isinstance(item, Corrected) else (item.read(), Repairs())
        if (annotated.labels == IGNORE).all():
            yield LeftOut(item.name, "all of it is ignored")
            continue
        images.append(_to_network_input(item, annotated, pipeline))
        cells = np.unique(annotated.labels)
        yield ImageRead(item.name, int((cells > 0).sum()), repairs, annotated.notes)
    if not any((image.labels > 0).any() for image in images):
        raise InputError("there is no annotated cell in any image: annotate some")
    _check_copies(images)
    return images


def _check_copies(images: Sequence[_Image]) -> None:
    """Raise for one image under two names: cross-validation would learn from what it scores."""
    seen: dict[bytes, str] = {}
    for image in images:
        content = str(image.gray.shape).encode() + image.gray.tobytes()
        first = seen.setdefault(hashlib.sha256(content).digest(), image.name)
        if first != image.name:
            raise InputError(f"{first} and {image.name} are the same image: remove one of them")


def _to_network_input(
    item: Corrected | Item, annotated: AnnotatedImage, pipeline: DINOCellPipeline
) -> _Image:
    if annotated.needs_channel:
        raise InputError(
            f"{item.files[0]} has {annotated.pixels.shape[2]} channels, expected one or RGB: "
            "choose one with --channel, by name or number"
        )
    try:
        gray = preprocess(annotated.pixels, pipeline.predictor.preprocessing)
    except InputError as error:
        raise FileFormatError(f"{item.files[0]}: {error}") from error
    return _Image(item.name, annotated.pixels, gray, annotated.labels, annotated.notes)


def _draw(images: Sequence[_Image], config: FinetuneConfig, size: int) -> Iterator[Crop]:
    """Draw the variants of the first image, then those of the second, and so on."""
    for number, image in enumerate(images):
        box = _annotated_part(image.labels, margin=size // 2)
        gray, labels = np.ascontiguousarray(image.gray[box]), np.ascontiguousarray(image.labels[box])
        item = Annotated(image.name, gray, labels)
        for variant in range(config.variants):
            rng = np.random.default_rng((config.seed, number, variant))
            for _ in range(DRAWS):
                crop = random_crop(item, size, config.augmentation, rng)
                if crop.valid.mean() > LEAST_VALID:
                    break
            yield crop


def _annotated_part(labels: NDArray[np.int32], margin: int) -> tuple[slice, slice]:
    """Return the window of the pixels that count, with as much around them as a crop may show."""
    counts = labels != IGNORE
    rows, columns = (np.flatnonzero(counts.any(axis=axis)) for axis in (1, 0))
    top, left = (max(0, int(found[0]) - margin) for found in (rows, columns))
    return slice(top, int(rows[-1]) + 1 + margin), slice(left, int(columns[-1]) + 1 + margin)


def _learn_all(
    images: Sequence[_Image], pipeline: DINOCellPipeline, learner: Learner
) -> Generator[FinetuneStep, None, tuple[dict[str, Scores], dict[str, Scores]]]:
    """Train once for each fold, then on all images; return the scores by image, before and after."""
    config = learner.config
    folds = _folds(images, config)
    target = config.annotates or DEFAULT_TARGET
    before = {image.name: _score(pipeline, image, target) for image in images} if folds else {}
    after: dict[str, Scores] = {}
    trainings = len(folds) + 1
    for training, left_out in enumerate([*folds, []], start=1):
        chosen = np.setdiff1d(np.arange(len(images)), left_out)
        crops = (chosen[:, None] * config.variants + np.arange(config.variants)).ravel()
        for step, loss in enumerate(learner.learn(crops), start=1 + (training - 1) * config.steps):
            yield FinetuneStep(training, trainings, step, trainings * config.steps, loss)
        after |= {images[i].name: _score(pipeline, images[i], target) for i in left_out}
    return before, {image.name: after[image.name] for image in images} if folds else {}


def _folds(images: Sequence[_Image], config: FinetuneConfig) -> list[list[int]]:
    """Choose the images that each training leaves out; none where a training would be left without a cell."""
    shuffled = np.random.default_rng(config.seed).permutation(len(images)).tolist()
    with_cells = [number for number in shuffled if (images[number].labels > 0).any()]
    count = min(len(with_cells), config.folds)
    if not config.cross_validation or count < 2:
        return []
    order = with_cells + [number for number in shuffled if number not in with_cells]
    return [sorted(order[fold::count]) for fold in range(count)]


def _score(pipeline: DINOCellPipeline, image: _Image, target: Target) -> Scores:
    return score_labels(image.labels, pipeline.run(image.pixels, target=target).labels)
