"""Configurations of backbones and decoders: what a network is made of, without the network.

Each backbone has one configuration here and one network in `dinocell.models.network`, which knows it by its
class. `dinocell.models.variants` names the designs.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import AliasChoices, Field

from dinocell.settings import Section

Four = tuple[int, int, int, int]
Positive = Annotated[int, Field(gt=0, le=2**15)]
"""A width or a number of blocks; what is beyond any network is refused before its memory is taken."""
Widths = tuple[Positive, Positive, Positive, Positive]
Depth = Annotated[int, Field(gt=0, le=1024)]
Depths = tuple[Depth, Depth, Depth, Depth]

Norm = Literal["batch", "channel", "folded"]
"""Norm after a convolution: BatchNorm, LayerNorm over the channels of each pixel, or none but a bias."""

TokenStride = Literal[16, 8]
"""Pixels of the image from token to token of a DINOv2 backbone."""


class BackboneConfig(Section):
    """Configuration of a backbone.

    Attributes
    ----------
    kind : str
        Name by which checkpoints tell it from others: a subclass narrows it to a ``Literal``.
    stride : int
        Height and width of the input must be multiples of it.
    """

    stride: ClassVar[int]
    kind: str


class ViTConfig(BackboneConfig):
    """A DINOv3 vision transformer with patches of 16 px.

    Attributes
    ----------
    hidden_size, depth, heads, intermediate_size : int
        Width, number of blocks, attention heads, width of the MLP.
    feature_blocks : four int
        Blocks, counted from 0, whose outputs are the feature maps.
    register_tokens : int
        DINOv3 was trained with 4.
    gated_mlp : bool
        Whether the MLP is a SwiGLU, as in the "plus" sizes and 7B.
    attention_bias : bool
        Whether queries and values have a bias; keys never have one.
    """

    stride: ClassVar[int] = 16
    kind: Literal["vit"] = "vit"
    hidden_size: Positive
    depth: Depth
    heads: Positive
    intermediate_size: int = Field(gt=0, le=2**17)
    # A checkpoint may have the second key.
    feature_blocks: Four = Field(validation_alias=AliasChoices("feature_blocks", "taps"))
    register_tokens: int = Field(default=4, ge=0, le=1024)
    gated_mlp: bool = False
    attention_bias: bool = True


class DINOv2Config(BackboneConfig):
    """A DINOv2 vision transformer without registers.

    Attributes
    ----------
    hidden_size, depth, heads : int
        Width, number of blocks, attention heads; the MLP is four times as wide.
    feature_blocks : four int
        See `ViTConfig`.
    positions : int
        Side of the grid of learned positions, which is resized to that of the tokens.
    token_stride : {16, 8}
        Pixels of the image from token to token. The image is resized to 14/16 of its size, or to 28/16: four
        times as many tokens, finer outlines, and more than four times the time.
    """

    stride: ClassVar[int] = 16
    kind: Literal["dinov2"] = "dinov2"
    hidden_size: Positive
    depth: Depth
    heads: Positive
    feature_blocks: Four
    positions: Depth = 37
    token_stride: TokenStride = 16


class _StagesConfig(BackboneConfig):
    """A convolutional backbone of four stages, whose outputs are the feature maps."""

    stride: ClassVar[int] = 32
    feature_blocks: ClassVar[Four] = (0, 1, 2, 3)
    widths: Widths
    depths: Depths


class ConvNeXtConfig(_StagesConfig):
    """A DINOv3 ConvNeXt of any width and depth; its four stages are the feature maps."""

    kind: Literal["convnext"] = "convnext"


class ResidualConfig(_StagesConfig):
    """A plain residual network, small enough to learn from scratch on a CPU.

    Attributes
    ----------
    stem_width : int
        Channels at stride 2.
    widths, depths : four int
        Channels and number of residual blocks at strides 4, 8, 16 and 32.
    norm : {"batch", "channel", "folded"}
        Norm after each convolution.
    """

    kind: Literal["residual"] = "residual"
    stem_width: Positive = 32
    norm: Norm = "batch"


AnyBackboneConfig = Annotated[
    ViTConfig | DINOv2Config | ConvNeXtConfig | ResidualConfig, Field(discriminator="kind")
]
"""Configuration of a backbone in a checkpoint: of one of the kinds that there are."""


class DecoderConfig(Section):
    """Configuration of the decoder.

    Attributes
    ----------
    widths : six int
        Channels at strides 1, 2, 4, 8, 16 and 32.
    norm : {"batch", "channel", "folded"}
        Norm after each convolution.
    """

    widths: tuple[Positive, Positive, Positive, Positive, Positive, Positive] = (16, 32, 64, 128, 192, 256)
    norm: Norm = "batch"
