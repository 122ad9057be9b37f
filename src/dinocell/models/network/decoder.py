"""Decoder: four feature maps and the image itself become logits at full resolution, a channel a target."""

import math

import torch
from torch import Tensor, nn

from dinocell.models.architecture import DecoderConfig, Four, Norm
from dinocell.models.network.blocks import ConvBlock, ResidualBlock

LEVELS = (1, 2, 4, 8, 16, 32)
"""Strides of the pyramid; the first two come from the image, the rest from the backbone."""

INITIAL_LOGIT = -2.0
"""Output bias before training: most pixels of a distance map are near 0."""


class UNetDecoder(nn.Module):
    """U-Net decoder with a full-resolution skip from the image.

    Parameters
    ----------
    config : DecoderConfig
    in_channels, strides : four int
        What the backbone declares. A ViT keeps stride 16 in all feature maps: they are spread over the
        pyramid, the earliest to the finest level.
    targets : int
        Number of maps.
    """

    def __init__(self, config: DecoderConfig, in_channels: Four, strides: Four, *, targets: int = 1) -> None:
        super().__init__()
        full, half, *coarse = config.widths
        norm = config.norm
        self.image_full = ConvBlock(3, full, norm=norm)
        self.image_half = ConvBlock(full, half, stride=2, norm=norm)
        self.necks = nn.ModuleList(
            _neck(channels, width, stride, level, norm)
            for channels, width, stride, level in zip(in_channels, coarse, strides, LEVELS[2:], strict=True)
        )
        widths = config.widths
        self.up = nn.ModuleList(
            _Up(widths[i + 1], widths[i], full=i == 0, norm=norm) for i in range(4, -1, -1)
        )
        self.head = nn.Conv2d(full, targets, 3, padding=1)
        nn.init.constant_(self.head.bias, INITIAL_LOGIT)  # type: ignore[arg-type]

    def forward(self, image: Tensor, maps: tuple[Tensor, ...]) -> Tensor:
        """Map an image ``(B, 3, H, W)`` and its four feature maps to logits ``(B, T, H, W)``."""
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

    def __init__(self, channels: int, out: int, *, full: bool, norm: Norm) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, out, 1)
        block = ConvBlock if full else ResidualBlock
        self.merge = block(2 * out, out, norm=norm)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        # Sizes come from the skip: a pyramid of an odd multiple of 16 has odd sides.
        x = nn.functional.interpolate(
            self.reduce(x), size=skip.shape[-2:], mode="bilinear", align_corners=False
        )
        merged: Tensor = self.merge(torch.cat((x, skip), dim=1))
        return merged


def _neck(channels: int, width: int, stride: int, level: int, norm: Norm) -> nn.Module:
    """Build what brings a feature map of `stride` to `width` channels at stride `level`."""
    if stride == level:
        return nn.Identity() if channels == width else nn.Conv2d(channels, width, 1)
    if stride < level:
        block = ConvBlock(channels, width, stride=2, norm=norm)
        step = level // stride // 2  # what a convolution of stride 4 would leap over is averaged
        return block if step == 1 else nn.Sequential(nn.AvgPool2d(step, ceil_mode=True), block)
    layers: list[nn.Module] = []
    for _ in range(round(math.log2(stride // level))):
        layers += [nn.ConvTranspose2d(channels, width, 2, 2), nn.SiLU()]
        channels = width
    return nn.Sequential(*layers)
