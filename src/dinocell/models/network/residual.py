"""Plain residual networks, small enough to learn from scratch."""

from collections.abc import Sequence

from torch import Tensor, nn

from dinocell.models.architecture import ResidualConfig
from dinocell.models.network.backbone import Backbone
from dinocell.models.network.blocks import ConvBlock, ResidualBlock


class ResidualBackbone(Backbone):
    """Plain residual stages at strides 4, 8, 16 and 32."""

    strides = (4, 8, 16, 32)
    stride = ResidualConfig.stride

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
