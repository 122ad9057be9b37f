"""Configuration of a model: all that a checkpoint records beside its weights."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from dinocell.labels import Target
from dinocell.models.architecture import AnyBackboneConfig, DecoderConfig
from dinocell.models.variants import Variant
from dinocell.postprocess.thresholds import Thresholds
from dinocell.preprocess.preprocessing import Preprocessing
from dinocell.settings import Range, Section
from dinocell.tiling import MAX_TILE

_DESIGN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+ -]*(\.[A-Za-z0-9_+ -]+)*")
_DESIGN_LENGTH = 100


def _plain_name(name: str) -> str:
    """Return the name of a design; files are named after it, so it leads to no other folder."""
    if len(name) > _DESIGN_LENGTH or not _DESIGN.fullmatch(name):
        raise ValueError(
            f"{name[:80]!r} is not the name of a design, expected letters, digits, _, + and -, single dots "
            f"within them, and no path, of at most {_DESIGN_LENGTH} characters"
        )
    return name


class WeightsRecord(Section):
    """Origin of the weights of a backbone; stored in the checkpoint.

    Attributes
    ----------
    source : str
        Hugging Face id, or name of the file or folder.
    publisher : str
        Whose layout the file has.
    sha256 : dict
        Hash of every file by its name.
    licence : str
    """

    source: str
    publisher: str
    sha256: dict[str, str]
    licence: str


class TargetSettings(Section):
    """Settings of one target of a model.

    Attributes
    ----------
    thresholds : Thresholds
        Chosen on validation data that annotates this target.
    diameter_range : (float, float), optional
        Typical diameters in pixels that the model is best at; images are brought to the nearest of them.
    """

    thresholds: Thresholds = Thresholds()
    diameter_range: Range | None = None


def _only_cells() -> dict[Target, TargetSettings]:
    return {"cells": TargetSettings()}


class ModelConfig(Section):
    """Description that a checkpoint has of itself; stored as ``config.json`` beside the weights.

    Attributes
    ----------
    variant : str
        Name of the design; as files are named after it, it leads to no other folder.
    backbone, decoder
        The architecture.
    backbone_weights : WeightsRecord, optional
        The published weights that the backbone began with; None if it began with random ones.
    trained : bool
        Whether the decoder was trained; an untrained model is refused by `DINOCellPipeline`.
    tile_size, overlap : int
        Tiling in pixels.
    preprocessing : Preprocessing
        How images become network input.
    targets : dict of str to TargetSettings
        What the model outlines, in the order of its maps.
    training : dict
        The training record: data, recipe, seed, budget.
    """

    variant: Annotated[str, AfterValidator(_plain_name)]
    backbone: AnyBackboneConfig
    decoder: DecoderConfig
    backbone_weights: WeightsRecord | None = None
    trained: bool = False
    tile_size: int = Field(default=256, gt=0, le=MAX_TILE)
    overlap: int = Field(default=32, ge=0, le=MAX_TILE // 2)
    preprocessing: Preprocessing = Preprocessing()
    targets: Annotated[dict[Target, TargetSettings], Field(min_length=1)] = Field(default_factory=_only_cells)
    training: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _names_its_targets(cls, values: Any) -> Any:
        if isinstance(values, dict) and "thresholds" in values:
            raise ValueError(
                "it was saved by an earlier version, whose network normalised over whole tiles; "
                "train or fine-tune the model again"
            )
        return values

    @classmethod
    def of_variant(cls, variant: Variant, targets: Sequence[Target] = ("cells",)) -> Self:
        """Describe a variant that was not trained."""
        return cls(
            variant=variant.name,
            backbone=variant.backbone,
            decoder=variant.decoder,
            targets={target: TargetSettings() for target in targets},
        )

    def settings_of(self, target: Target | None = None) -> TargetSettings:
        """Return the settings of a target, by default of the first."""
        return self.targets[next(iter(self.targets)) if target is None else target]

    def with_settings(self, target: Target | None = None, **changed: Any) -> Self:
        """Replace settings of a target, by default of the first."""
        name = next(iter(self.targets)) if target is None else target
        changes = {name: self.targets[name].model_copy(update=changed)}
        return self.model_copy(update={"targets": self.targets | changes})

    def folded(self) -> Self:
        """Describe the same network with each BatchNorm folded into the convolution before it."""
        parts = {
            name: part.model_copy(update={"norm": "folded"})
            for name, part in (("backbone", self.backbone), ("decoder", self.decoder))
            if getattr(part, "norm", None) == "batch"
        }
        return self.model_copy(update=parts)
