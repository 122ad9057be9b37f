"""The backbone of a configuration: which network belongs to which kind."""

from typing import Any

from dinocell.models.architecture import (
    BackboneConfig,
    ConvNeXtConfig,
    DINOv2Config,
    ResidualConfig,
    ViTConfig,
)
from dinocell.models.network.backbone import Backbone
from dinocell.models.network.convnext import ConvNeXtBackbone
from dinocell.models.network.dinov2 import DINOv2Backbone
from dinocell.models.network.residual import ResidualBackbone
from dinocell.models.network.vit import ViTBackbone

BACKBONES: dict[type[BackboneConfig], Any] = {
    ViTConfig: ViTBackbone,
    DINOv2Config: DINOv2Backbone,
    ConvNeXtConfig: ConvNeXtBackbone,
    ResidualConfig: ResidualBackbone,
}


def build_backbone(config: BackboneConfig) -> Backbone:
    """Build the backbone of a configuration with random weights."""
    network: Backbone = BACKBONES[type(config)](config)
    return network
