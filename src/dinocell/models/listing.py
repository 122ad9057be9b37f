"""List of the models: what each is made of, and what its trained weights outline."""

from dataclasses import dataclass

from dinocell.labels import Target
from dinocell.models.checkpoint import is_trained, read_config
from dinocell.models.finding import find_checkpoint
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


PARAMETERS: dict[str, tuple[int, int]] = {
    "nano": (4_347_424, 1_234_865),
    "dinov2-small": (22_056_576, 3_486_001),
    "small": (21_596_544, 3_059_889),
    "small-plus": (28_692_864, 3_059_889),
    "base": (85_660_416, 4_313_265),
    "large": (303_129_600, 5_148_849),
    "huge-plus": (840_592_640, 5_984_433),
    "7b": (6_716_035_072, 15_175_857),
    "convnext-tiny": (27_818_592, 2_090_865),
    "convnext-small": (49_453_152, 2_090_865),
    "convnext-base": (87_564_416, 2_191_217),
    "convnext-large": (196_227_264, 2_391_921),
}
"""Parameters of backbone and decoder with one target, by variant; a test counts them on the networks."""


def list_models() -> list[ModelInfo]:
    """List every variant."""
    return [_describe(variant) for variant in VARIANTS.values()]


def _describe(variant: Variant) -> ModelInfo:
    trained = is_trained(variant.name)
    backbone, decoder = PARAMETERS[variant.name]
    return ModelInfo(
        name=variant.name,
        title=variant.title,
        backbone_parameters=backbone,
        decoder_parameters=decoder,
        stride=variant.backbone.stride,
        feature_blocks=variant.backbone.feature_blocks,
        trained=trained,
        targets=tuple(read_config(find_checkpoint(variant.name)).targets) if trained else (),
        licence=variant.licence,
        sources=variant.sources,
    )
