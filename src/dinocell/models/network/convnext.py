"""DINOv3 ConvNeXt networks."""

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

from dinocell.models.network.backbone import Backbone, BackboneConfig, Depths, Widths


class ConvNeXtConfig(BackboneConfig):
    """A DINOv3 ConvNeXt of any width and depth; its four stages are the feature maps."""

    kind: Literal["convnext"] = "convnext"
    widths: Widths
    depths: Depths

    def build(self) -> "ConvNeXtBackbone":
        """Build the network with random weights."""
        return ConvNeXtBackbone(self)


class ConvNeXtBackbone(Backbone):
    """DINOv3 ConvNeXt through `transformers`: four stages at strides 4, 8, 16 and 32."""

    strides = (4, 8, 16, 32)
    stride = 32
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
