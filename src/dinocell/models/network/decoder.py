"""Decoder: four feature maps and the image itself become one channel of logits at full resolution."""

import math

import torch
from torch import Tensor, nn

from dinocell.models.network.backbone import Four, Positive
from dinocell.models.network.blocks import ConvBlock, ResidualBlock
from dinocell.settings import Section

LEVELS = (1, 2, 4, 8, 16, 32)
"""Strides of the pyramid; the first two come from the image, the rest from the backbone."""

INITIAL_LOGIT = -2.0
"""Output bias before training: most pixels of a distance map are near 0."""


class DecoderConfig(Section):
    """Channels at strides 1, 2, 4, 8, 16 and 32."""

    widths: tuple[Positive, Positive, Positive, Positive, Positive, Positive] = (16, 32, 64, 128, 192, 256)


class UNetDecoder(nn.Module):
    """U-Net decoder with a full-resolution skip from the image.

    Parameters
    ----------
    config : DecoderConfig
    in_channels, strides : four int
        What the backbone declares. A ViT keeps stride 16 in all feature maps: they are spread over the
        pyramid, the earliest to the finest level.
    """

    def __init__(self, config: DecoderConfig, in_channels: Four, strides: Four) -> None:
        super().__init__()
        full, half, *coarse = config.widths
        self.image_full = ConvBlock(3, full)
        self.image_half = ConvBlock(full, half, stride=2)
        self.necks = nn.ModuleList(
            _neck(channels, width, stride, level)
            for channels, width, stride, level in zip(in_channels, coarse, strides, LEVELS[2:], strict=True)
        )
        widths = config.widths
        self.up = nn.ModuleList(_Up(widths[i + 1], widths[i], full=i == 0) for i in range(4, -1, -1))
        self.head = nn.Conv2d(full, 1, 3, padding=1)
        nn.init.constant_(self.head.bias, INITIAL_LOGIT)  # type: ignore[arg-type]

    def forward(self, image: Tensor, maps: tuple[Tensor, ...]) -> Tensor:
        """Map an image ``(B, 3, H, W)`` and its four feature maps to logits ``(B, 1, H, W)``."""
        full = self.image_full(image)
        half = self.image_half(full)
        pyramid = [full, half, *(neck(x) for neck, x in zip(self.necks, maps, strict=True))]
        x = pyramid.pop()
        for up in self.up:
            x = up(x, pyramid.pop())
        logits: Tensor = self.head(x)
        return logits


class _Up(nn.Module):
    """Double the resolution, join the skip, and convolve; one convolution only at full resolution."""

    def __init__(self, channels: int, out: int, *, full: bool) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, out, 1)
        self.merge = ConvBlock(2 * out, out) if full else ResidualBlock(2 * out, out)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        # Sizes come from the skip: a pyramid of an odd multiple of 16 has odd sides.
        x = nn.functional.interpolate(
            self.reduce(x), size=skip.shape[-2:], mode="bilinear", align_corners=False
        )
        merged: Tensor = self.merge(torch.cat((x, skip), dim=1))
        return merged


def _neck(channels: int, width: int, stride: int, level: int) -> nn.Module:
    """Build what brings a feature map of `stride` to `width` channels at stride `level`."""
    if stride == level:
        return nn.Identity() if channels == width else nn.Conv2d(channels, width, 1)
    if stride < level:
        return ConvBlock(channels, width, stride=level // stride)
    layers: list[nn.Module] = []
    for _ in range(round(math.log2(stride // level))):
        layers += [nn.ConvTranspose2d(channels, width, 2, 2), nn.SiLU()]
        channels = width
    return nn.Sequential(*layers)
