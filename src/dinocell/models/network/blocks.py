"""Convolutions that backbones and the decoder are made of."""

from torch import Tensor, nn


def group_norm(channels: int) -> nn.GroupNorm:
    """Build a GroupNorm with groups of 8 channels where they divide, else one group."""
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
