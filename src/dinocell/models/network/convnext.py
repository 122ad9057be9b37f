"""DINOv3 ConvNeXt networks."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from dinocell.models.architecture import ConvNeXtConfig
from dinocell.models.network.backbone import Backbone


class ConvNeXtBackbone(Backbone):
    """DINOv3 ConvNeXt through `transformers`: four stages at strides 4, 8, 16 and 32."""

    strides = (4, 8, 16, 32)
    stride = ConvNeXtConfig.stride
    inner = "convnext"

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
        """Stages, four of them."""
        return list(self.convnext.model.stages)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map ``(B, 3, H, W)`` to four maps at strides 4, 8, 16, 32."""
        maps: tuple[Tensor, ...] = self.convnext(x).feature_maps
        return maps
