"""Plain residual networks, small enough to learn from scratch."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from dinocell.models.network.backbone import Backbone, BackboneConfig, Depths, Positive, Widths
from dinocell.models.network.blocks import ConvBlock, Norm, ResidualBlock


class ResidualConfig(BackboneConfig):
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
    widths: Widths
    depths: Depths
    norm: Norm = "batch"

    def build(self) -> "ResidualBackbone":
        """Build the network with random weights."""
        return ResidualBackbone(self)


class ResidualBackbone(Backbone):
    """Plain residual stages at strides 4, 8, 16 and 32."""

    strides = (4, 8, 16, 32)
    stride = 32

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__()
        self.out_channels = config.widths
        norm = config.norm
        self.stem = ConvBlock(3, config.stem_width, stride=2, norm=norm)
        stages, width = [], config.stem_width
        for out, depth in zip(config.widths, config.depths, strict=True):
            blocks = [ResidualBlock(out, out, norm=norm) for _ in range(depth)]
            stages.append(nn.Sequential(ConvBlock(width, out, stride=2, norm=norm), *blocks))
            width = out
        self.stages = nn.ModuleList(stages)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """Stages, four of them."""
        return list(self.stages)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map ``(B, 3, H, W)`` to four maps at strides 4, 8, 16, 32."""
        maps: list[Tensor] = []
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return tuple(maps)
