"""DINOv2 vision transformers, whose patches of 14 px are fed so that tokens lie at a power of two."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dinocell.models.architecture import DINOv2Config
from dinocell.models.network.backbone import Backbone

PATCH = 14
"""Side of a patch in pixels of the resized image."""


class DINOv2Backbone(Backbone):
    """DINOv2 ViT of `transformers`; every feature map passes the final LayerNorm."""

    stride = DINOv2Config.stride
    attends = True
    inner = "dinov2"

    def __init__(self, config: DINOv2Config) -> None:
        super().__init__()
        from transformers import Dinov2Backbone, Dinov2Config  # seconds to import: only when used

        self.token_stride = config.token_stride
        self.out_channels = (config.hidden_size,) * 4
        self.strides = (config.token_stride,) * 4
        self.feature_blocks = config.feature_blocks
        settings: dict[str, Any] = {
            "hidden_size": config.hidden_size,
            "num_hidden_layers": config.depth,
            "num_attention_heads": config.heads,
            "image_size": PATCH * config.positions,
            "patch_size": PATCH,
        }
        self.dinov2 = Dinov2Backbone(Dinov2Config(**settings))

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """Transformer blocks; the final LayerNorm, which every feature map passes, is not one of them."""
        return list(self.dinov2.encoder.layer)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map ``(B, 3, H, W)`` to four maps ``(B, hidden, H / token_stride, W / token_stride)``."""
        grid = (x.shape[2] // self.token_stride, x.shape[3] // self.token_stride)
        tokens = self._embed(x, grid)
        maps = {}
        # Blocks are called one by one: how `transformers` collects their outputs cannot be exported.
        for number, block in enumerate(self.blocks):
            tokens = block(tokens)
            if number in self.feature_blocks:
                kept = self.dinov2.layernorm(tokens)[:, 1:]
                maps[number] = kept.transpose(1, 2).unflatten(2, grid)
        return tuple(maps[number] for number in self.feature_blocks)

    @property
    def encoded(self) -> tuple[int, int, int]:
        """Widths of the class token and of a patch token, and side of a patch in pixels."""
        return self.out_channels[3], self.out_channels[3], self.token_stride

    def encode(self, x: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return class token and patch tokens; hidden patches become the mask token."""
        grid = (x.shape[2] // self.token_stride, x.shape[3] // self.token_stride)
        tokens = self._embed(x, grid, masks)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.dinov2.layernorm(tokens)
        return tokens[:, 0], tokens[:, 1:]

    def _embed(self, x: Tensor, grid: tuple[int, int], masks: Tensor | None = None) -> Tensor:
        """Turn an image into the tokens before the first block: class token, then patches row by row."""
        embeddings: Any = self.dinov2.embeddings
        patches = embeddings.patch_embeddings(_resize(x, grid))
        if masks is not None:
            patches = torch.where(masks.unsqueeze(-1), embeddings.mask_token.to(patches.dtype), patches)
        first = embeddings.cls_token.expand(x.shape[0], -1, -1).to(patches.dtype)
        return torch.cat((first, patches), dim=1) + self._positions(grid).to(patches.dtype)

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """Resize the learned positions to a grid of tokens, as DINOv2 does; at their own size, unchanged."""
        learned = self.dinov2.embeddings.position_embeddings
        side = round((learned.shape[1] - 1) ** 0.5)
        square = learned[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
        resized = functional.interpolate(square.float(), size=grid, mode="bicubic", align_corners=False)
        return torch.cat((learned[:, :1].float(), resized.flatten(2).transpose(1, 2)), dim=1)


def _resize(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resize an image so that each token of a grid is a patch; what is made smaller is smoothed first."""
    size = (PATCH * grid[0], PATCH * grid[1])
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=True)
