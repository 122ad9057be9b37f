"""List of the models: what each is made of, and what its trained weights outline."""

from dataclasses import dataclass

import torch

from dinocell.labels import Target
from dinocell.models.checkpoint import is_trained, read_config
from dinocell.models.finding import find_checkpoint
from dinocell.models.network.dinocell import DINOCell
from dinocell.models.variants import VARIANTS, Variant


@dataclass(frozen=True)
class ModelInfo:
    """Description of a variant.

    Attributes
    ----------
    name, title : str
        Name that users type, and the backbone in words.
    backbone_parameters, decoder_parameters : int
        Counted.
    stride : int
        Input sizes are multiples of it, in pixels.
    feature_blocks : tuple of int
        Blocks, or stages, whose outputs the decoder reads; counted from 0.
    trained : bool
        Whether trained weights of backbone and decoder ship with the package.
    targets : tuple of str
        Names of what the trained weights outline; empty without any.
    licence : str
        Of the backbone's pretrained weights.
    sources : tuple of str
        Hugging Face ids of those weights, the ungated copy first.
    """

    name: str
    title: str
    backbone_parameters: int
    decoder_parameters: int
    stride: int
    feature_blocks: tuple[int, ...]
    trained: bool
    targets: tuple[Target, ...]
    licence: str
    sources: tuple[str, ...]


def list_models() -> list[ModelInfo]:
    """List every variant, with its parameters counted on a model without memory."""
    return [_describe(variant) for variant in VARIANTS.values()]


def _describe(variant: Variant) -> ModelInfo:
    trained = is_trained(variant.name)
    with torch.device("meta"):
        model = DINOCell.from_variant(variant.name)
    return ModelInfo(
        name=variant.name,
        title=variant.title,
        backbone_parameters=sum(p.numel() for p in model.backbone.parameters()),
        decoder_parameters=sum(p.numel() for p in model.decoder.parameters()),
        stride=model.stride,
        feature_blocks=model.backbone.feature_blocks,
        trained=trained,
        targets=tuple(read_config(find_checkpoint(variant.name)).targets) if trained else (),
        licence=variant.licence,
        sources=variant.sources,
    )
