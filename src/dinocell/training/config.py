"""Settings of a training run: read from YAML and flags, validated, and stored beside its results."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dinocell.datasets.annotates import annotated_target
from dinocell.labels import DEFAULT_TARGET, TARGETS, Target
from dinocell.models.architecture import TokenStride
from dinocell.preprocess.preprocessing import Preprocessing
from dinocell.settings import Range, Section
from dinocell.tiling import MAX_TILE
from dinocell.training.augmentation import Augmentation

LAST_FOLDER, BEST_FOLDER = "last", "best_model"
"""Folders in the run folder: the checkpoint to resume from, and the one of the lowest validation loss."""

Share = Annotated[float, Field(ge=0, lt=1)]
"""A number of which 1 would be all."""


class Dataset(Section):
    """A folder of ``NAME_img.*`` and ``NAME_masks.*``, or a store of `dinocell process`."""

    path: Path = Field(description="Folder of annotated images, or a store")
    annotates: Target = Field(
        default=DEFAULT_TARGET,
        description="Target that its labels outline; by default the one that the data record, else cells",
    )
    weight: float = Field(
        default=1.0,
        gt=0,
        le=1e6,
        description="Share of the samples, or of the validation loss, beside other datasets",
    )

    def resolved(self) -> Self:
        """Fill in the target that the data record, where the settings name none.

        Raises
        ------
        InputError
            If the data record another target than the settings name.
        """
        given = self.annotates if "annotates" in self.model_fields_set else None
        return self.model_copy(update={"annotates": annotated_target(self.path, given=given)})


class BackboneTraining(Section):
    """Settings of the backbone: what it begins with, and how it learns."""

    weights: str | None = Field(
        default=None,
        description="Published weights to begin with: pretrained, a Hugging Face id, a path; else random",
    )
    mode: Literal["frozen", "full", "lora"] | None = Field(
        default=None,
        description="Part that learns: nothing, all of it, or low-rank adapters; "
        "by default nothing where it began with published weights, else all",
    )
    unfreeze_last: int = Field(
        default=0,
        ge=0,
        description="Number of the last blocks of a frozen ViT, or stages of another network, that learn",
    )
    layer_decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Factor on the learning rate from each block to the one before it",
    )
    token_stride: TokenStride | None = Field(
        default=None,
        description="Pixels from token to token, of a DINOv2 backbone; null: the variant's",
    )
    lora_rank: int = Field(default=8, ge=1, description="Rank of the adapters")


class Optimiser(Section):
    """AdamW with a linear warm-up and a cosine decay to zero."""

    learning_rate: float = Field(default=1e-4, gt=0, description="Highest rate, after the warm-up")
    weight_decay: float = Field(default=0.1, ge=0, description="Weight decay of AdamW")
    betas: tuple[Share, Share] = Field(default=(0.9, 0.999), description="Betas of AdamW; 0 ≤ each < 1")
    warmup_steps: int = Field(
        default=250, ge=0, description="Steps of the warm-up; never more than half of the run"
    )
    clip_grad_norm: float = Field(default=1.0, gt=0, description="Largest norm of the gradient")


class Loss(Section):
    """Loss between sigmoid output and distance map."""

    kind: Literal["mse", "bce"] = Field(
        default="mse", description="Squared error or cross-entropy; both have the same optimum"
    )
    foreground: float = Field(
        default=0.0, ge=0, description="Weight of a second mean, over the pixels of cells only"
    )


class TrainConfig(Section):
    """Settings of a training run; the defaults are the method paper's, each with its meaning beside it."""

    model: str = Field(default="small", description="Variant to train, see `dinocell models`")
    start_from: Path | None = Field(
        default=None, description="Checkpoint folder whose weights the whole model begins with"
    )
    backbone: BackboneTraining = Field(default=BackboneTraining(), description="How the backbone learns")
    train: tuple[Dataset, ...] = Field(min_length=1, description="Annotated images to learn from")
    validation: tuple[Dataset, ...] = Field(
        min_length=1, description="Annotated images for early stopping; fixed crops, never augmented"
    )
    split_components: bool | None = Field(
        default=None,
        description="Whether every connected piece of an id in label images of folders gets its own id, as "
        "binary masks need; null: what looks like a mask is refused",
    )
    output: Path = Field(default=Path("checkpoints/run"), description="Run folder")
    seed: int = Field(default=0, ge=0, lt=2**32, description="Seed; the samples drawn depend on nothing else")
    epochs: int = Field(
        default=100, ge=1, description="Largest number of epochs; a checkpoint is written after each"
    )
    steps_per_epoch: int = Field(
        default=250, ge=1, description="Optimiser steps from one checkpoint to the next"
    )
    patience: int = Field(
        default=7, ge=1, description="Epochs without a better validation loss that end the run"
    )
    batch_size: int = Field(
        default=8, ge=1, description="Crops that pass through the network at once, on all devices"
    )
    accumulate: int = Field(default=1, ge=1, description="Batches that make one optimiser step")
    crop_size: int = Field(
        default=256,
        ge=32,
        le=MAX_TILE,
        multiple_of=16,
        description="Side of a crop in pixels; a multiple of the model's stride",
    )
    optimiser: Optimiser = Field(default=Optimiser(), description="AdamW, warm-up, cosine decay to zero")
    loss: Loss = Field(default=Loss(), description="Loss between sigmoid output and distance map")
    freeze_statistics: Share | Literal[1] = Field(
        default=0.75, description="Fraction of the steps after which BatchNorm keeps its statistics"
    )
    ema_decay: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Decay of the moving average of the weights, which is saved; 0: no average",
    )
    average_last: int = Field(
        default=0,
        ge=0,
        description="Number of the last epochs whose weights are averaged, and then validated and saved",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="Precision of the forward pass; auto: float32 on CPUs, 16 bits on GPUs"
    )
    workers: int = Field(
        default=1, ge=0, description="Processes for each device that prepare crops, where the CPU does"
    )
    data_on: Literal["auto", "cpu", "device"] = Field(
        default="auto",
        description="Where crops are prepared: by CPUs, or in the memory of the device that trains; auto: "
        "there if it is a GPU and the data fit",
    )
    cached_crops: int = Field(
        default=0,
        ge=0,
        le=2**31,
        description="Number of fixed crops whose feature maps a frozen backbone computes once, into files of "
        "the run folder; 0: new crops in every step",
    )
    graph: bool = Field(
        default=True,
        description="Whether the model gets model.onnx, with which it runs without PyTorch",
    )
    wandb: bool = Field(default=False, description="Log to Weights & Biases as well, where that is installed")
    diameter_range: dict[Target, Range] = Field(
        default_factory=dict,
        description="Typical diameters in pixels, by target, that the model is best at; else start_from's",
    )
    preprocessing: Preprocessing = Field(
        default=Preprocessing(),
        description="Preprocessing of images before the crop; the checkpoint keeps it",
    )
    augmentation: Augmentation = Field(default=Augmentation(), description="Random changes of a crop")

    @model_validator(mode="after")
    def _settings_fit_each_other(self) -> Self:
        backbone = self.backbone
        if self.start_from is not None and backbone.weights is not None:
            raise ValueError("start_from brings a backbone along: leave backbone.weights out, or start_from")
        if self.start_from is not None and backbone.token_stride is not None:
            raise ValueError("start_from brings a backbone along: leave backbone.token_stride out")
        if self.cached_crops and self.data_on == "device":
            raise ValueError("cached_crops are prepared by CPUs: leave data_on out, or cached_crops")
        if backbone.mode in ("frozen", "lora") and self.start_from is None and backbone.weights is None:
            raise ValueError(
                f"backbone.mode {backbone.mode} would freeze random weights: "
                "give backbone.weights or start_from"
            )
        return self

    def resolved(self) -> Self:
        """Fill in the targets that the data record; errors as `Dataset.resolved`."""
        train, validation = (tuple(each.resolved() for each in of) for of in (self.train, self.validation))
        return self.model_copy(update={"train": train, "validation": validation})

    @property
    def targets(self) -> tuple[Target, ...]:
        """Targets that the training data annotates, in the order of the maps of a new model."""
        annotated = {dataset.annotates for dataset in self.train}
        return tuple(target for target in TARGETS if target in annotated)

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.epochs * self.steps_per_epoch
