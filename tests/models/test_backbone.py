"""The contract on a small one of every kind of backbone, and every variant at its real width."""

import pytest
import torch

from dinocell.models.network.backbone import Backbone, BackboneConfig
from dinocell.models.network.convnext import ConvNeXtConfig
from dinocell.models.network.residual import ResidualConfig
from dinocell.models.network.vit import ViTConfig
from dinocell.models.variants import VARIANTS
from tests.models.backbone_contract import BackboneContract

VIT = ViTConfig(hidden_size=48, depth=4, heads=2, intermediate_size=96, feature_blocks=(0, 1, 2, 3))


class TestViT(BackboneContract):
    config = VIT


class TestGatedViT(BackboneContract):
    """As S+ and H+."""

    config = VIT.model_copy(update={"gated_mlp": True})


class TestGatedViTWithoutAttentionBias(BackboneContract):
    """As 7B."""

    config = VIT.model_copy(update={"gated_mlp": True, "attention_bias": False})


class TestConvNeXt(BackboneContract):
    config = ConvNeXtConfig(widths=(8, 16, 24, 32), depths=(1, 1, 2, 1))


class TestResidual(BackboneContract):
    config = ResidualConfig(stem_width=8, widths=(8, 16, 24, 32), depths=(1, 1, 1, 1))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_has_its_declared_maps_at_full_depth(name):
    with torch.device("meta"):  # shapes without memory: 7B has 27 GB of weights
        backbone = VARIANTS[name].backbone.build()
        maps = backbone(torch.zeros(1, 3, 96, 160))
    expected = [
        (1, channels, 96 // stride, 160 // stride)
        for channels, stride in zip(backbone.out_channels, backbone.strides, strict=True)
    ]
    assert [tuple(m.shape) for m in maps] == expected


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "7b" else name for name in VARIANTS]
)
def test_every_variant_runs_at_its_real_width_and_reduced_depth(name):
    config = VARIANTS[name].backbone
    if config.kind == "vit":
        config = config.model_copy(update={"depth": 4, "feature_blocks": (0, 1, 2, 3)})
    else:
        config = config.model_copy(update={"depths": (1, 1, 1, 1)})
    torch.manual_seed(0)
    backbone = config.build().eval()
    x = torch.randn(4, 3, 32, 64)
    with torch.no_grad():
        for together, alone in zip(backbone(x), backbone(x[2:3]), strict=True):
            assert together.std() > 0
            # Sums of up to 4,096 terms in another order: 1.07e-5 apart on one thread.
            torch.testing.assert_close(together[2:3], alone, atol=2e-5, rtol=1e-5)


def test_vit_feature_maps_carry_the_final_layer_norm():
    backbone = VIT.build().eval()
    with torch.no_grad():
        for one in backbone(torch.randn(1, 3, 64, 64)):  # a fresh LayerNorm has weight 1 and bias 0
            torch.testing.assert_close(one.mean(dim=1), torch.zeros(1, 4, 4), atol=1e-5, rtol=0)
            torch.testing.assert_close(one.var(dim=1, unbiased=False), torch.ones(1, 4, 4), atol=1e-2, rtol=0)


def test_vit_feature_maps_are_of_the_named_blocks():
    # Block k changes the feature maps from k on, and none before: an off-by-one in `out_indices` would show.
    torch.manual_seed(0)
    backbone = VIT.build().eval()
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        before = [each.clone() for each in backbone(x)]
        for parameter in backbone.blocks[2].parameters():
            parameter.add_(1.0)
        changed = [not torch.equal(a, b) for a, b in zip(before, backbone(x), strict=True)]
    assert changed == [False, False, True, True]


def test_a_checkpoint_may_have_another_key_for_its_feature_blocks():
    values = VIT.model_dump()
    older = {"taps" if key == "feature_blocks" else key: value for key, value in values.items()}
    assert ViTConfig.model_validate(older) == VIT


def test_a_backbone_that_lacks_a_part_of_the_contract_cannot_be_made():
    class Half(Backbone):
        def forward(self, x):
            return (x,) * 4

    class Unbuilt(BackboneConfig):
        pass

    with pytest.raises(TypeError, match="blocks"):
        Half()
    with pytest.raises(TypeError, match="build"):
        Unbuilt(kind="unbuilt")
