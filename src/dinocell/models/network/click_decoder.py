"""Decoder of clicks: the cell that a person clicked on, from the features that the network has anyway."""

import torch
from torch import Tensor, nn

from dinocell.models.architecture import DecoderConfig, Four
from dinocell.models.clicks import CLICK_CHANNELS
from dinocell.models.network.blocks import ConvBlock
from dinocell.models.network.decoder import INITIAL_LOGIT, LEVELS, UNetDecoder

ENCODER_WIDTHS = (16, 24, 32, 48, 64)
"""Channels of the click maps at strides 1, 2, 4, 8 and 16."""


class ClickDecoder(nn.Module):
    """U-Net decoder that click maps enter at every stride but the coarsest.

    They enter by convolutions that start at zero, so that a decoder which begins as a copy of a trained one
    sees at first what that one sees.

    Parameters
    ----------
    config : DecoderConfig
    in_channels, strides : four int
        As of `UNetDecoder`.
    """

    def __init__(self, config: DecoderConfig, in_channels: Four, strides: Four) -> None:
        super().__init__()
        self.decoder = UNetDecoder(config, in_channels, strides)
        blocks, width = [], CLICK_CHANNELS
        for level, out in zip(LEVELS, ENCODER_WIDTHS, strict=False):
            blocks.append(ConvBlock(width, out, stride=1 if level == 1 else 2, norm="folded"))
            width = out
        self.encoder = nn.ModuleList(blocks)
        self.entries = nn.ModuleList(
            nn.Conv2d(width, out, 1) for width, out in zip(ENCODER_WIDTHS, config.widths, strict=False)
        )
        for entry in self.entries:
            nn.init.zeros_(entry.weight)  # type: ignore[arg-type]
            nn.init.zeros_(entry.bias)  # type: ignore[arg-type]

    def begin_as(self, decoder: UNetDecoder) -> None:
        """Copy the weights of a trained decoder, all but its head: that one draws distance maps."""
        self.decoder.load_state_dict(
            {k: v for k, v in decoder.state_dict().items() if not k.startswith("head.")}, strict=False
        )
        nn.init.zeros_(self.decoder.head.weight)
        nn.init.constant_(self.decoder.head.bias, INITIAL_LOGIT)  # type: ignore[arg-type]

    def forward(self, image: Tensor, maps: tuple[Tensor, ...], clicks: Tensor) -> Tensor:
        """Map an image ``(B, 3, Y, X)``, its feature maps and click maps ``(B, C, Y, X)`` to logits.

        Returns
        -------
        float tensor, shape (B, 1, Y, X)
            Of the clicked cell, a logit a pixel.
        """
        decoder = self.decoder
        full = decoder.image_full(image)
        half = decoder.image_half(full)
        pyramid = [full, half, *(neck(x) for neck, x in zip(decoder.necks, maps, strict=True))]
        for level, (block, entry) in enumerate(zip(self.encoder, self.entries, strict=True)):
            clicks = block(clicks)
            pyramid[level] = pyramid[level] + entry(clicks)
        x = pyramid.pop()
        for up in decoder.up:
            x = up(x, pyramid.pop())
        logits: Tensor = decoder.head(x)
        return logits


def soft_overlap_loss(logits: Tensor, cell: Tensor, valid: Tensor) -> Tensor:
    """Compute cross-entropy plus one minus the soft Dice coefficient, the mean over a batch.

    Parameters
    ----------
    logits, cell, valid : float tensors, shape (B, Y, X)
        Prediction, 1 in the clicked cell, and 1 where a pixel counts.
    """
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, cell, reduction="none") * valid
    share = torch.sigmoid(logits) * valid
    overlap = 2 * (share * cell).sum((1, 2)) + 1
    dice = overlap / (share.sum((1, 2)) + (cell * valid).sum((1, 2)) + 1)
    return (entropy.sum((1, 2)) / valid.sum((1, 2)).clamp(min=1)).mean() + (1 - dice).mean()
