"""Settings of a pretraining run: read from YAML and flags, validated, and stored beside its results."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from dinocell.preprocess.preprocessing import Preprocessing
from dinocell.settings import Range, Section
from dinocell.tiling import MAX_TILE
from dinocell.training.augmentation import BasicAugmentation
from dinocell.training.config import Share

ANNOTATIONS = ("masks/*", "labels/*", "*_GT/*/*", "*_ST/*/*", "*_RES/*")
"""Patterns of annotations and results in the formats that this package reads."""


# Every section states its own defaults: a file that changes one value of it keeps the others.


class GlobalAugmentation(BasicAugmentation):
    """Changes that may happen to a large view; a zoom below 1 shows more of the field."""

    rotate: float = Field(default=1.0, ge=0, le=1, description="Probability of a rotation by −180…180°")
    scale: Range = Field(default=(0.7, 1.4), description="Range of the zoom, drawn log-uniformly")
    stretch: float = Field(
        default=1.2, ge=1, le=3, description="Most that one axis is stretched against the other; 1: none"
    )
    brightness: Range = Field(default=(0.8, 1.2), description="Range of the factor on intensities")
    contrast: Range = Field(
        default=(0.7, 1.3), description="Range of the factor on the difference from the view's mean"
    )
    gamma: Range = Field(
        default=(0.7, 1.4), description="Range of the exponent on intensities in [0, 1], drawn log-uniformly"
    )
    blur: float = Field(
        default=1.0,
        ge=0,
        le=10,
        description="Largest sigma of a Gaussian blur in pixels, for half of the views",
    )
    noise: float = Field(
        default=6.0,
        ge=0,
        le=100,
        description="Largest deviation of noise in grey levels, for half of the views",
    )
    invert: float = Field(default=0.1, ge=0, le=1, description="Probability of inverted intensities")


class LocalAugmentation(GlobalAugmentation):
    """Changes that may happen to a small view."""

    scale: Range = Field(default=(0.8, 2.0), description="Range of the zoom, drawn log-uniformly")


class GlobalViews(Section):
    """Large views, which student and teacher see; the first of them is the mean of an image's channels."""

    size: int = Field(
        default=256,
        ge=32,
        le=MAX_TILE,
        multiple_of=16,
        description="Side of a view in pixels; a multiple of the model's stride",
    )
    count: int = Field(default=2, ge=2, description="Views of every field")
    augmentation: GlobalAugmentation = Field(
        default=GlobalAugmentation(), description="Random changes of these views; scale is their zoom"
    )


class LocalViews(Section):
    """Small views, which the student alone sees."""

    size: int = Field(
        default=96,
        ge=16,
        le=MAX_TILE,
        multiple_of=16,
        description="Side of a view in pixels; a multiple of the model's stride",
    )
    count: int = Field(default=6, ge=0, description="Views of every field")
    augmentation: LocalAugmentation = Field(
        default=LocalAugmentation(), description="Random changes of these views; scale is their zoom"
    )


class Masking(Section):
    """Patches of large views that are hidden from the student."""

    probability: float = Field(default=0.5, ge=0, le=1, description="Share of the large views with a mask")
    lowest: float = Field(
        default=0.1, gt=0, lt=1, description="Smallest share of the patches of such a view that is hidden"
    )
    highest: float = Field(default=0.5, gt=0, lt=1, description="Largest share of the patches that is hidden")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.lowest > self.highest:
            raise ValueError(f"lowest is {self.lowest}, expected at most highest, {self.highest}")
        return self


class Objective(Section):
    """Weights of the losses, and how sharp the student's predictions are."""

    dino: float = Field(default=1.0, ge=0, description="Weight of the loss on whole views")
    ibot: float = Field(default=1.0, ge=0, description="Weight of the loss on masked patches")
    koleo: float = Field(default=0.1, ge=0, description="Weight of the loss that spreads features out")
    temperature: float = Field(default=0.1, gt=0, description="Temperature of the student's softmax")


class Heads(Section):
    """Two networks, for views and for patches, that compare features with prototypes; not kept."""

    hidden: int = Field(default=1024, ge=1, description="Width of the two hidden layers")
    bottleneck: int = Field(
        default=256, ge=1, description="Width of the features that are compared with the prototypes"
    )
    prototypes: int = Field(
        default=1024, ge=2, description="Number of prototypes; more of them want larger batches"
    )


class Teacher(Section):
    """Moving average of the student: it sets the student's targets, and is saved."""

    momentum: float = Field(
        default=0.996, ge=0, le=1, description="Momentum of the moving average; rises to 1 along a cosine"
    )
    temperature: float = Field(
        default=0.04,
        gt=0,
        description="Temperature of the targets after the warm-up; if too high, all views get one target",
    )
    first_temperature: float = Field(
        default=0.03, gt=0, description="Temperature of the targets at the first step"
    )
    warmup_steps: int = Field(
        default=2500, ge=0, description="Steps between these temperatures; never more than half of the run"
    )
    sinkhorn_iterations: int = Field(
        default=3, ge=1, description="Rounds that share a batch out among the prototypes"
    )


class PretrainOptimiser(Section):
    """AdamW with a linear warm-up and a cosine decay to zero."""

    learning_rate: float = Field(default=5e-4, gt=0, description="Highest rate, after the warm-up")
    weight_decay: float = Field(
        default=0.04, ge=0, description="Weight decay of AdamW; none on biases and norms"
    )
    betas: tuple[Share, Share] = Field(default=(0.9, 0.999), description="Betas of AdamW; 0 ≤ each < 1")
    warmup_steps: int = Field(
        default=1000, ge=0, description="Steps of the warm-up; never more than half of the run"
    )
    clip_grad_norm: float = Field(default=3.0, gt=0, description="Largest norm of the gradient")


class PretrainConfig(Section):
    """Settings of a pretraining run, each with its meaning beside it."""

    model: str = Field(
        default="small", description="Variant whose backbone to pretrain, see `dinocell models`"
    )
    images: tuple[Path, ...] = Field(
        default=(), description="Image files, and folders that are searched with all folders in them"
    )
    exclude: tuple[str, ...] = Field(
        default=ANNOTATIONS,
        description="Patterns of files that are left out in such folders: annotations, results",
    )
    stains_in_colours: bool = Field(
        default=False,
        description="Whether red, green and blue of colour files are channels, not a colour photograph",
    )
    weights: str | None = Field(
        default=None,
        description="Published weights to begin with: pretrained, a Hugging Face id, a path; else random",
    )
    output: Path = Field(default=Path("checkpoints/pretraining"), description="Run folder")
    seed: int = Field(default=0, ge=0, lt=2**32, description="Seed; the views drawn depend on nothing else")
    epochs: int = Field(default=100, ge=1, description="Epochs; the backbone is written after each")
    steps_per_epoch: int = Field(
        default=250, ge=1, description="Optimiser steps from one checkpoint to the next"
    )
    batch_size: int = Field(
        default=32, ge=2, description="Fields whose views pass through the networks at once"
    )
    field: int = Field(
        default=384,
        ge=32,
        le=4 * MAX_TILE,
        description="Side in pixels of the part of an image that all views of a sample show",
    )
    global_views: GlobalViews = Field(
        default=GlobalViews(), description="Large views, which student and teacher see"
    )
    local_views: LocalViews = Field(
        default=LocalViews(), description="Small views, which only the student sees"
    )
    masking: Masking = Field(default=Masking(), description="Patches of large views hidden from the student")
    loss: Objective = Field(default=Objective(), description="Weights of the three losses")
    heads: Heads = Field(default=Heads(), description="Networks that compare features with prototypes")
    teacher: Teacher = Field(default=Teacher(), description="Moving average of the student")
    optimiser: PretrainOptimiser = Field(
        default=PretrainOptimiser(), description="AdamW, warm-up, cosine decay to zero"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="Precision of the networks; auto: float32 on CPUs, bfloat16 on GPUs"
    )
    workers: int = Field(
        default=1, ge=0, description="Processes that read images, and then prepare views; 0: this one"
    )
    preprocessing: Preprocessing = Field(
        default=Preprocessing(), description="Preprocessing of images before the views; train with the same"
    )

    @model_validator(mode="after")
    def _views_fit_into_the_field(self) -> Self:
        if self.field < self.global_views.size:
            raise ValueError(
                f"field is {self.field}, expected at least global_views.size, {self.global_views.size}"
            )
        return self

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.epochs * self.steps_per_epoch
