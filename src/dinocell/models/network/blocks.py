"""Convolutions that backbones and the decoder are made of, and the norms between them.

No norm pools over the pixels of a tile when labels are made: what lies elsewhere in a tile, such as a
constant border, must not change a cell. ``batch`` pools over whole batches while a network learns; its
statistics then become constants, which are folded into the convolutions (`dinocell.models.network.folding`).
"""

from torch import Tensor, nn

from dinocell.models.architecture import Norm


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class NormedConv(nn.Sequential):
    """Convolution, then a norm; with ``folded`` norms, a convolution with a bias."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, *, norm: Norm) -> None:
        folded = norm == "folded"
        convolution = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=folded)
        norms: list[nn.Module] = []
        if norm == "batch":
            norms = [nn.BatchNorm2d(out)]
        elif norm == "channel":
            norms = [ChannelNorm(out)]
        super().__init__(convolution, *norms)


class ConvBlock(nn.Sequential):
    """3×3 convolution, norm, SiLU."""

    def __init__(self, channels: int, out: int, *, stride: int = 1, norm: Norm) -> None:
        super().__init__(NormedConv(channels, out, 3, stride, norm=norm), nn.SiLU())


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with norms and SiLU, added to a (projected) shortcut."""

    def __init__(self, channels: int, out: int, *, norm: Norm) -> None:
        super().__init__()
        self.first = ConvBlock(channels, out, norm=norm)
        self.second = NormedConv(out, out, 3, norm=norm)
        same = channels == out
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, H, W)`` to ``(B, out, H, W)``."""
        y: Tensor = self.second(self.first(x)) + self.shortcut(x)
        return nn.functional.silu(y)
