"""Backbones: an image becomes four feature maps with declared channels and strides.

Every backbone is an `nn.Module` with `out_channels`, `strides` and `stride`, and a `forward` that takes
``(B, 3, H, W)`` and returns four maps ``(B, C_i, H / s_i, W / s_i)``. That is all the decoder knows of it.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field
from torch import Tensor, nn

from dinocell.settings import Section

Four = tuple[int, int, int, int]
Positive = Annotated[int, Field(gt=0, le=2**15)]
"""A width or a number of blocks; what is beyond any network is refused before its memory is taken."""
Widths = tuple[Positive, Positive, Positive, Positive]
Depth = Annotated[int, Field(gt=0, le=1024)]
Depths = tuple[Depth, Depth, Depth, Depth]


class ViTConfig(Section):
    """A DINOv3 vision transformer with patches of 16 px.

    Attributes
    ----------
    hidden_size, depth, heads, intermediate_size : int
        Width, number of blocks, attention heads, width of the MLP.
    taps : four int
        The blocks, counted from 0, whose outputs are the feature maps.
    register_tokens : int
        DINOv3 was trained with 4.
    gated_mlp : bool
        Whether the MLP is a SwiGLU, as in the "plus" sizes and 7B.
    attention_bias : bool
        Whether queries and values have a bias; keys never have one.
    """

    kind: Literal["vit"] = "vit"
    hidden_size: Positive
    depth: Depth
    heads: Positive
    intermediate_size: int = Field(gt=0, le=2**17)
    taps: Four
    register_tokens: int = Field(default=4, ge=0, le=1024)
    gated_mlp: bool = False
    attention_bias: bool = True


class ConvNeXtConfig(Section):
    """A DINOv3 ConvNeXt of any width and depth; its four stages are the feature maps."""

    kind: Literal["convnext"] = "convnext"
    widths: Widths
    depths: Depths


class ResidualConfig(Section):
    """A plain residual network with GroupNorm, small enough to learn from scratch on a CPU.

    Attributes
    ----------
    stem_width : int
        Channels at stride 2.
    widths, depths : four int
        Channels and number of residual blocks at strides 4, 8, 16 and 32.
    """

    kind: Literal["residual"] = "residual"
    stem_width: Positive = 32
    widths: Widths
    depths: Depths


BackboneConfig = Annotated[ViTConfig | ConvNeXtConfig | ResidualConfig, Field(discriminator="kind")]


class Backbone(Protocol):
    """What the decoder and the model rely on.

    Attributes
    ----------
    out_channels, strides : four int
        Channels and stride of each map, from the finest to the coarsest.
    stride : int
        Height and width of the input must be multiples of it.
    blocks : sequence of nn.Module
        The parts that can be unfrozen one after another, from first to last: the blocks of a ViT, the four
        stages of a convolutional network.
    """

    out_channels: Four
    strides: Four
    stride: int

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """From first to last."""

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map ``(B, 3, H, W)`` to four feature maps."""


def build_backbone(
    config: ViTConfig | ConvNeXtConfig | ResidualConfig,
) -> "ViTBackbone | ConvNeXtBackbone | ResidualBackbone":
    """Build a backbone with random weights."""
    if isinstance(config, ViTConfig):
        return ViTBackbone(config)
    if isinstance(config, ConvNeXtConfig):
        return ConvNeXtBackbone(config)
    return ResidualBackbone(config)


class ViTBackbone(nn.Module):
    """DINOv3 ViT through `transformers`; every tap carries the final LayerNorm and has stride 16."""

    strides: Four = (16, 16, 16, 16)
    stride = 16

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        from transformers import DINOv3ViTBackbone, DINOv3ViTConfig  # seconds to import: only when used

        self.out_channels: Four = (config.hidden_size,) * 4
        settings: dict[str, Any] = {
            "hidden_size": config.hidden_size,
            "num_hidden_layers": config.depth,
            "num_attention_heads": config.heads,
            "intermediate_size": config.intermediate_size,
            "num_register_tokens": config.register_tokens,
            "use_gated_mlp": config.gated_mlp,
            "hidden_act": "silu" if config.gated_mlp else "gelu",
            "query_bias": config.attention_bias,
            "value_bias": config.attention_bias,
            "pos_embed_rescale": None,  # its default jitters positions in train mode
            "apply_layernorm": True,
            "out_indices": [block + 1 for block in config.taps],  # index 0 is the stem
        }
        self.vit = DINOv3ViTBackbone(DINOv3ViTConfig(**settings))

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The transformer blocks; the final LayerNorm, which every tap passes through, is none of them."""
        return list(self.vit.model.layer)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map ``(B, 3, H, W)`` to four maps ``(B, hidden, H/16, W/16)``."""
        maps: tuple[Tensor, ...] = self.vit(x).feature_maps
        return maps


class ConvNeXtBackbone(nn.Module):
    """DINOv3 ConvNeXt through `transformers`: four stages at strides 4, 8, 16 and 32."""

    strides: Four = (4, 8, 16, 32)
    stride = 32

    def __init__(self, config: ConvNeXtConfig) -> None:
        super().__init__()
        from transformers import DINOv3ConvNextBackbone, DINOv3ConvNextConfig

        self.out_channels = config.widths
        settings: dict[str, Any] = {
            "hidden_sizes": list(config.widths),
            "depths": list(config.depths),
            "out_indices": [1, 2, 3, 4],  # index 0 is the stem
        }
        self.convnext = DINOv3ConvNextBackbone(DINOv3ConvNextConfig(**settings))

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The four stages."""
        return list(self.convnext.model.stages)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map ``(B, 3, H, W)`` to four maps at strides 4, 8, 16, 32."""
        maps: tuple[Tensor, ...] = self.convnext(x).feature_maps
        return maps


def published_name(key: str) -> str:
    """Name of a weight in files: as Hugging Face publishes it, whichever version of `transformers` runs.

    Examples
    --------
    >>> published_name("backbone.vit.model.layer.0.norm1.bias")
    'backbone.vit.layer.0.norm1.bias'
    """
    return re.sub(r"\b(vit|convnext)\.model\.(layer|stages)\.", r"\1.\2.", key)


class ResidualBackbone(nn.Module):
    """Plain residual stages at strides 4, 8, 16 and 32."""

    strides: Four = (4, 8, 16, 32)
    stride = 32

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__()
        self.out_channels = config.widths
        self.stem = ConvBlock(3, config.stem_width, stride=2)
        stages, width = [], config.stem_width
        for out, depth in zip(config.widths, config.depths, strict=True):
            blocks = [ResidualBlock(out, out) for _ in range(depth)]
            stages.append(nn.Sequential(ConvBlock(width, out, stride=2), *blocks))
            width = out
        self.stages = nn.ModuleList(stages)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The four stages."""
        return list(self.stages)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map ``(B, 3, H, W)`` to four maps at strides 4, 8, 16, 32."""
        maps: list[Tensor] = []
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return tuple(maps)


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with groups of 8 channels where they divide, else one group."""
    return nn.GroupNorm(channels // 8 if channels % 8 == 0 else 1, channels)


class ConvBlock(nn.Sequential):
    """3×3 convolution, GroupNorm, SiLU."""

    def __init__(self, channels: int, out: int, *, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels, out, 3, stride, padding=1, bias=False), group_norm(out), nn.SiLU()
        )


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with GroupNorm and SiLU, added to a (projected) shortcut."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.first = ConvBlock(channels, out)
        self.second = nn.Sequential(nn.Conv2d(out, out, 3, padding=1, bias=False), group_norm(out))
        same = channels == out
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, H, W)`` to ``(B, out, H, W)``."""
        y: Tensor = self.second(self.first(x)) + self.shortcut(x)
        return nn.functional.silu(y)
