"""Fine-tuning: adapt a trained model to a few annotated images in minutes, and measure whether that helps.

The whole model learns, or its decoder alone, on feature maps that the frozen backbone computes once per crop.
Cross-validation over the images measures how good the result will be on other images.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinocell.errors import ConfigError, OutputError
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.inference.settings import RunOptions
from dinocell.labels import DEFAULT_TARGET, IGNORE, Target
from dinocell.metrics.scores import Scores, score_labels
from dinocell.models.network.dinocell import DINOCell
from dinocell.training.annotated import Annotated
from dinocell.training.augment import Crop, random_crop
from dinocell.training.finetuning.cached_features import FEATURES_PREFIX, CropCache
from dinocell.training.finetuning.config import FinetuneConfig
from dinocell.training.finetuning.images import OwnImage, find_items, find_target, read_images
from dinocell.training.finetuning.learner import Learner
from dinocell.training.finetuning.result import (
    MODEL_FOLDER,
    SCORES_FILE,
    CropsDone,
    FinetuneEvent,
    FinetuneResult,
    FinetuneStep,
    LeftOut,
    write_result,
)

CROP_SIZE = 128
"""Side of a crop in pixels where features are local: large enough for whole cells, and quick."""


DRAWS, LEAST_VALID = 10, 0.1
"""Most draws of a crop, and the share of its pixels that must be valid for it to be taken before that."""


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
    items, left_out = find_items(config)
    model = DINOCell.from_pretrained(config.model)
    # In float32 the pipeline runs the very weights that learn, on their device; else a copy of them.
    pipeline = DINOCellPipeline(model, device=config.device, precision="float32")
    yield from (LeftOut(name, reason) for name, reason in left_out.items())
    size, target = _crop_size(config, model), find_target(config, model, items)
    config = config.model_copy(update={"crop_size": size, "annotates": target})
    images = yield from read_images(items, pipeline, config)
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
    write_result(config, model, images, result)
    yield result


def _crop_size(config: FinetuneConfig, model: DINOCell) -> int:
    default = model.config.tile_size if model.backbone.attends else CROP_SIZE
    size = default if config.crop_size is None else config.crop_size
    if size % model.stride:
        raise ConfigError(f"crop_size is {size}, expected a multiple of {model.stride}, the model's stride")
    return size


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


def _draw(images: Sequence[OwnImage], config: FinetuneConfig, size: int) -> Iterator[Crop]:
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
    images: Sequence[OwnImage], pipeline: DINOCellPipeline, learner: Learner
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


def _folds(images: Sequence[OwnImage], config: FinetuneConfig) -> list[list[int]]:
    """Choose the images that each training leaves out; none where a training would be left without a cell."""
    shuffled = np.random.default_rng(config.seed).permutation(len(images)).tolist()
    with_cells = [number for number in shuffled if (images[number].labels > 0).any()]
    count = min(len(with_cells), config.folds)
    if not config.cross_validation or count < 2:
        return []
    order = with_cells + [number for number in shuffled if number not in with_cells]
    return [sorted(order[fold::count]) for fold in range(count)]


def _score(pipeline: DINOCellPipeline, image: OwnImage, target: Target) -> Scores:
    options: RunOptions = {"target": target}
    if image.diameter is not None:
        options["diameter"] = image.diameter
    return score_labels(image.annotation, pipeline.run(image.pixels, **options).labels)
