"""Configuration of a model: all that a checkpoint records beside its weights."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from dinocell.models.network.decoder import DecoderConfig
from dinocell.models.variants import AnyBackboneConfig
from dinocell.models.weights import WeightsRecord
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
    diameter_range : (float, float), optional
        Typical cell diameters in pixels that the model is best at; where a diameter is given, images are
        brought to the nearest of them.
    thresholds : Thresholds
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
    diameter_range: Range | None = None
    thresholds: Thresholds = Thresholds()
    training: dict[str, Any] = Field(default_factory=dict)
