"""Settings of a fine-tuning run: from flags, validated, and stored beside its result."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from dinocell.errors import InputError
from dinocell.io.pixel_size import PhysicalDiameter, PixelSize, validate_pixel_size
from dinocell.labels import Target
from dinocell.settings import Channel, Section
from dinocell.tiling import MAX_TILE
from dinocell.training.augmentation import BasicAugmentation

OWN_IMAGES = BasicAugmentation(
    scale=(0.8, 1.25), brightness=(0.8, 1.2), contrast=(0.8, 1.25), gamma=(0.8, 1.25), invert=0
)
"""Augmentation for images of one experiment, which differ less than those that a model is trained on."""


def _check_pixel_size(value: Any) -> PixelSize | None:
    try:
        return None if value is None else validate_pixel_size(value)
    except (InputError, TypeError) as error:
        raise ValueError(str(error)) from None


class FinetuneConfig(Section):
    """Settings of a fine-tuning run; the defaults were chosen by `benchmarks/finetune.py`."""

    images: Path = Field(description="Annotated images, or the folder of images that masks belong to")
    masks: Path | None = Field(
        default=None, description="Folder of their label images; null: where images has them"
    )
    corrected: Path | None = Field(
        default=None,
        description="Folder of NAME_labels that segment wrote and a person corrected, and NAME_unchecked",
    )
    accept_unchanged: bool = Field(
        default=False, description="Whether label images that still are as segment wrote them are taken too"
    )
    split_components: bool | None = Field(
        default=None,
        description="Whether every connected piece of an id in label images gets its own id, as binary "
        "masks need; null: what looks like a mask is refused",
    )
    annotates: Target | None = Field(
        default=None,
        description="Target that the labels are of, whose map learns; null: as the data record, else cells",
    )
    channel: Channel = Field(
        default=None,
        description="Channel of the images, by name or number from 0; null: gray or colour as it is",
    )
    diameter: float | None = Field(
        default=None,
        gt=0,
        description="Typical cell diameter in pixels: images are rescaled to what the model is best at, as "
        "`segment` does; null: they are learned from as they are",
    )
    diameter_um: float | None = Field(
        default=None, gt=0, description="The same in micrometres, by the pixel size of each image"
    )
    pixel_size_um: Annotated[PixelSize | None, BeforeValidator(_check_pixel_size)] = Field(
        default=None,
        description="Size of a pixel, or its height and width, in micrometres, for files that do not say it",
    )
    output: Path = Field(description="Folder for the model, the scores and these settings")
    model: str = Field(default="nano", description="Name of a trained model, or a checkpoint folder")
    learn: Literal["decoder", "all"] = Field(
        default="decoder",
        description="Part that learns: the decoder on cached features, or the whole model",
    )
    steps: int = Field(default=100, ge=1, description="Optimiser steps of a training")
    variants: int = Field(default=32, ge=1, description="Augmented crops of every image; drawn once")
    crop_size: int | None = Field(
        default=None,
        ge=32,
        le=MAX_TILE,
        description="Side of a crop in pixels, a multiple of the model's stride; "
        "null: 128, or for a transformer, which looks at all of it, the model's tile",
    )
    batch_size: int = Field(default=8, ge=1, description="Crops in a step")
    learning_rate: float = Field(default=1e-3, gt=0, description="Learning rate of AdamW, after a warm-up")
    weight_decay: float = Field(default=0.05, ge=0, description="Weight decay of AdamW")
    keep: float = Field(
        default=2.0,
        ge=0,
        description="Weight of the loss that keeps the maps of the model's other targets as they were",
    )
    cross_validation: bool = Field(
        default=True, description="Whether to measure, by leaving out images, what is to be expected"
    )
    folds: int = Field(default=5, ge=2, description="Trainings of it, at most one an image")
    seed: int = Field(default=0, ge=0, description="Crops, their order and the folds depend on it")
    device: str = Field(default="auto", description="auto, cpu, cuda or mps")
    cache_memory: float = Field(
        default=2.0, ge=0, description="GiB of crops and features in memory; more go to a temporary file"
    )
    cache_dtype: Literal["float32", "float16", "bfloat16"] = Field(
        default="float16", description="What features are stored as"
    )
    graph: bool = Field(
        default=True,
        description="Whether the model gets model.onnx, with which it runs without PyTorch",
    )
    augmentation: BasicAugmentation = Field(default=OWN_IMAGES, description="Random changes of a crop")

    @model_validator(mode="after")
    def _one_annotation(self) -> Self:
        if self.masks is not None and self.corrected is not None:
            raise ValueError("masks and corrected are both given, expected one: leave one out")
        if self.split_components is not None and self.corrected is not None:
            raise ValueError(
                "split_components is given, but corrected results always are split: leave it out"
            )
        if self.accept_unchanged and self.corrected is None:
            raise ValueError("accept_unchanged is for corrected results: give corrected, or leave it out")
        return self

    @model_validator(mode="after")
    def _one_diameter(self) -> Self:
        if self.diameter is not None and self.diameter_um is not None:
            raise ValueError("diameter and diameter_um are both given, expected one: leave one out")
        if self.pixel_size_um is not None and self.diameter_um is None:
            raise ValueError("pixel_size_um is for diameter_um: give that as well, or leave it out")
        return self

    @property
    def physical_diameter(self) -> PhysicalDiameter | None:
        """Diameter in micrometres with the pixel size that goes with it; None where none is given."""
        if self.diameter_um is None:
            return None
        return PhysicalDiameter(self.diameter_um, self.pixel_size_um)
