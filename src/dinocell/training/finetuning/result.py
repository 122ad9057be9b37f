"""Events of fine-tuning, and its result: model, scores and settings."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dinocell.datasets.repairs import Repairs
from dinocell.evaluation.scoring import CHOSEN_ON, HASH_DIGITS, LEARNED_FROM, hash_labels
from dinocell.io.spreadsheets import write_rows
from dinocell.labels import Labels, Target, median_diameter
from dinocell.metrics.pooling import pool
from dinocell.metrics.score_table import HEADLINE
from dinocell.metrics.scores import Scores
from dinocell.models.configuration import ModelConfig
from dinocell.models.network.dinocell import DINOCell
from dinocell.models.variants import VARIANTS
from dinocell.training.finetuning.config import FinetuneConfig
from dinocell.training.finetuning.learner import StepTimes
from dinocell.training.run_folder import write_settings
from dinocell.version import __version__

MODEL_FOLDER, SCORES_FILE = "model", "scores.csv"
"""Written to the output folder beside the settings; the model comes last, so its presence means "done"."""


@dataclass(frozen=True)
class ImageRead:
    """An image to learn from: its cells, repairs of corrected labels, and notes on label images."""

    name: str
    cells: int
    repairs: Repairs
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """An image that is not learned from, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class CropsDone:
    """Number of crops drawn so far, with their feature maps where the backbone is frozen."""

    done: int
    total: int


@dataclass(frozen=True)
class FinetuneStep:
    """An optimiser step.

    Attributes
    ----------
    training, trainings : int
        Which training, from 1; the last is on all images, those before are the cross-validation's.
    step, total : int
        Over all trainings.
    loss : float
    """

    training: int
    trainings: int
    step: int
    total: int
    loss: float


@dataclass(frozen=True)
class FinetuneResult:
    """Result of a fine-tuning run.

    Attributes
    ----------
    model : Path
        The checkpoint folder.
    target : {"cells", "nuclei"}
        Target whose map learned.
    images : tuple of str
        Names of the images that were learned from.
    before, after : dict of str to Scores
        By image: of the model as it was, and of one that learned from other images only. Empty without
        cross-validation.
    times : StepTimes or None
        Times that show what cached features saved; None where the backbone learned too.
    seconds : float
        Time of the whole run.
    notes : tuple of str
        Odd things about the label images that a user must know.
    """

    model: Path
    target: Target
    images: tuple[str, ...]
    before: dict[str, Scores]
    after: dict[str, Scores]
    times: StepTimes | None
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def helps(self) -> bool | None:
        """True where the pooled AP@0.5 is better than before; None without cross-validation."""
        if not self.after:
            return None
        after, before = (pool(scores.values()).headline for scores in (self.after, self.before))
        return HEADLINE.is_better(after, before)


class Learned(Protocol):
    """An image that was learned from."""

    @property
    def labels(self) -> Labels:
        """Labels at the scale that they were learned at."""

    @property
    def annotation(self) -> Labels:
        """Labels in the file's own pixels."""


FinetuneEvent = ImageRead | LeftOut | CropsDone | FinetuneStep | FinetuneResult


def write_result(
    config: FinetuneConfig, model: DINOCell, images: Sequence[Learned], result: FinetuneResult
) -> None:
    """Write settings, scores and the model, in this order.

    Parameters
    ----------
    config : FinetuneConfig
    model : DINOCell
        With the learned weights; gets the training record.
    images : sequence of Learned
        All of them; their cells widen the diameters that the model is best at.
    result : FinetuneResult

    Raises
    ------
    OutputError
        If the output folder cannot be written.
    """
    write_settings(config.output, config)
    if result.after:
        _write_scores(config.output / SCORES_FILE, result)
    found = model.config
    known = _known_images(found.training, [image.annotation for image in images], result.images)
    before = found.settings_of(result.target).diameter_range
    best = _widened(before, (median_diameter(image.labels) for image in images))
    model.config = found.with_settings(result.target, diameter_range=best).model_copy(
        update={"training": _record(config, found, result) | known}
    )
    model.save_pretrained(result.model, graph=config.graph)


def _write_scores(path: Path, result: FinetuneResult) -> None:
    """Write a row an image and moment, and one for all images pooled."""
    rows = [["image", "model", *pool(result.before.values()).by_name()]]
    for moment, scores in (("before", result.before), ("after", result.after)):
        for name, of in [*scores.items(), ("all", pool(scores.values()))]:
            rows.append([name, moment, *(f"{value:.4f}" for value in of.by_name().values())])
    write_rows(path, rows)


def _record(config: FinetuneConfig, found: ModelConfig, result: FinetuneResult) -> dict[str, Any]:
    """Describe what the model was made from; without paths, which mean nothing on another machine."""
    settings = config.model_dump(
        mode="json",
        include={
            "annotates",
            "split_components",
            "diameter",
            "diameter_um",
            "learn",
            "steps",
            "variants",
            "crop_size",
            "batch_size",
            "learning_rate",
            "weight_decay",
            "keep",
            "seed",
        },
    )
    scores = {
        moment: {name: round(value, 4) for name, value in pool(of.values()).by_name().items()}
        for moment, of in (("before", result.before), ("cross_validated", result.after))
        if of
    }
    return {
        "finetuned_from": _name_of(config.model),
        "images": list(result.images),
        "notes": list(result.notes),
        **settings,
        "augmentation": config.augmentation.model_dump(mode="json"),
        "scores": scores,
        "seconds": round(result.seconds),
        "dinocell": __version__,
        "earlier_training": found.training,
    }


def _known_images(earlier: dict[str, Any], labels: Sequence[Labels], names: Sequence[str]) -> dict[str, Any]:
    """Return hashes of the labels that the model has learned from: a score on them does not test it."""
    hashes = {name: hash_labels(of)[:HASH_DIGITS] for name, of in zip(names, labels, strict=True)}
    before = earlier.get(LEARNED_FROM)
    known = {LEARNED_FROM: (before if isinstance(before, dict) else {}) | hashes}
    # The thresholds are as they were, so what they were chosen on is, too.
    return known | {key: earlier[key] for key in (CHOSEN_ON,) if key in earlier}


def _name_of(model: str) -> str:
    """Name a model: a variant by its name, a folder by its last two parts, as in RUN/model."""
    return model if model in VARIANTS else "/".join(Path(model).resolve().parts[-2:])


def _widened(best: tuple[float, float] | None, diameters: Iterable[float]) -> tuple[float, float] | None:
    """Widen the range of diameters that a model is best at to those that it has learned now."""
    known = [diameter for diameter in diameters if not math.isnan(diameter)]
    if best is None or not known:
        return best
    return min(best[0], *known), max(best[1], *known)
