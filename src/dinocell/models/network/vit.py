"""DINOv3 vision transformers."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from dinocell.models.architecture import ViTConfig
from dinocell.models.network.backbone import Backbone


class ViTBackbone(Backbone):
    """DINOv3 ViT through `transformers`; every feature map passes the final LayerNorm and has stride 16."""

    strides = (16, 16, 16, 16)
    stride = ViTConfig.stride
    attends = True
    inner = "vit"

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        from transformers import DINOv3ViTBackbone, DINOv3ViTConfig  # seconds to import: only when used

        self.out_channels = (config.hidden_size,) * 4
        self.feature_blocks = config.feature_blocks
        self.rope_periods = config.hidden_size // config.heads // 4
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
            "out_indices": [block + 1 for block in config.feature_blocks],  # index 0 is the stem
        }
        self.vit = DINOv3ViTBackbone(DINOv3ViTConfig(**settings))

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """Transformer blocks; the final LayerNorm, which every feature map passes, is not one of them."""
        return list(self.vit.model.layer)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map ``(B, 3, H, W)`` to four maps ``(B, hidden, H/16, W/16)``."""
        maps: tuple[Tensor, ...] = self.vit(x).feature_maps
        return maps

    @property
    def encoded(self) -> tuple[int, int, int]:
        """Widths of the class token and of a patch token, and side of a patch in pixels."""
        return self.out_channels[3], self.out_channels[3], self.stride

    def encode(self, x: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return class token and patch tokens; hidden patches become the mask token."""
        tokens = self.vit.embeddings(x, bool_masked_pos=masks)
        positions = self.vit.rope_embeddings(x)
        for block in self.blocks:
            tokens = block(tokens, position_embeddings=positions)
        tokens = self.vit.norm(tokens)
        return tokens[:, 0], tokens[:, 1 + self.vit.config.num_register_tokens :]
