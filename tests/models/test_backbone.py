"""The contract on a small one of every kind of backbone, and every variant at its real width."""

import numpy as np
import pytest
import torch
from PIL import Image

from dinocell.models.architecture import ConvNeXtConfig, DINOv2Config, ResidualConfig, ViTConfig
from dinocell.models.network.backbone import Backbone
from dinocell.models.network.building import build_backbone
from dinocell.models.network.dinov2 import PATCH
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


DINOV2 = DINOv2Config(hidden_size=48, depth=4, heads=2, feature_blocks=(0, 1, 2, 3), positions=5)


class TestDINOv2(BackboneContract):
    config = DINOV2


class TestDINOv2WithTokensAtStride8(BackboneContract):
    config = DINOV2.model_copy(update={"token_stride": 8})


class TestConvNeXt(BackboneContract):
    config = ConvNeXtConfig(widths=(8, 16, 24, 32), depths=(1, 1, 2, 1))


class TestResidual(BackboneContract):
    config = ResidualConfig(stem_width=8, widths=(8, 16, 24, 32), depths=(1, 1, 1, 1))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_has_its_declared_maps_at_full_depth(name):
    with torch.device("meta"):  # shapes without memory: 7B has 27 GB of weights
        backbone = build_backbone(VARIANTS[name].backbone)
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
    if config.kind in ("vit", "dinov2"):
        config = config.model_copy(update={"depth": 4, "feature_blocks": (0, 1, 2, 3)})
    else:
        config = config.model_copy(update={"depths": (1, 1, 1, 1)})
    torch.manual_seed(0)
    backbone = build_backbone(config).eval()
    x = torch.randn(4, 3, 32, 64)
    with torch.no_grad():
        for together, alone in zip(backbone(x), backbone(x[2:3]), strict=True):
            assert together.std() > 0
            # Sums of up to 4,096 terms in another order: 1.07e-5 apart on one thread.
            torch.testing.assert_close(together[2:3], alone, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("config", [VIT, DINOV2], ids=["vit", "dinov2"])
def test_feature_maps_carry_the_final_layer_norm(config):
    backbone = build_backbone(config).eval()
    with torch.no_grad():
        for one in backbone(torch.randn(1, 3, 64, 64)):  # a fresh LayerNorm has weight 1 and bias 0
            torch.testing.assert_close(one.mean(dim=1), torch.zeros(1, 4, 4), atol=1e-5, rtol=0)
            torch.testing.assert_close(one.var(dim=1, unbiased=False), torch.ones(1, 4, 4), atol=1e-2, rtol=0)


@pytest.mark.parametrize("config", [VIT, DINOV2], ids=["vit", "dinov2"])
def test_feature_maps_are_of_the_named_blocks(config):
    # Block k changes the feature maps from k on, and none before: an off-by-one in `out_indices` would show.
    torch.manual_seed(0)
    backbone = build_backbone(config).eval()
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        before = [each.clone() for each in backbone(x)]
        for parameter in backbone.blocks[2].parameters():
            parameter.add_(1.0)
        changed = [not torch.equal(a, b) for a, b in zip(before, backbone(x), strict=True)]
    assert changed == [False, False, True, True]


def resized_by_pillow(x, height, width):
    """Resize with its bilinear filter, which smooths what is made smaller."""
    planes = [Image.fromarray(plane.numpy()) for plane in x.flatten(0, 1)]
    resized = [np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR)) for plane in planes]
    return torch.from_numpy(np.stack(resized)).view(*x.shape[:2], height, width)


@pytest.mark.parametrize("tokens", [(5, 5), (4, 7), (1, 1)])
@pytest.mark.parametrize("token_stride", [16, 8])
def test_dinov2_gives_the_feature_maps_of_transformers(tokens, token_stride):
    from transformers import Dinov2Backbone, Dinov2Config

    torch.manual_seed(0)
    backbone = build_backbone(DINOV2.model_copy(update={"token_stride": token_stride})).eval()
    settings = Dinov2Config(
        hidden_size=48,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=5 * PATCH,
        patch_size=PATCH,
        out_indices=[1, 2, 3, 4],
    )
    theirs = Dinov2Backbone(settings).eval()
    theirs.load_state_dict(backbone.dinov2.state_dict(), strict=False)
    with torch.no_grad():
        for parameter in theirs.embeddings.parameters():
            parameter.add_(torch.randn_like(parameter))
        backbone.dinov2.load_state_dict(theirs.state_dict(), strict=False)
        rows, columns = tokens
        x = torch.randn(2, 3, rows * token_stride, columns * token_stride)
        found = backbone(x)
        expected = theirs(resized_by_pillow(x, rows * PATCH, columns * PATCH)).feature_maps
    for ours, other in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, other, atol=1e-4, rtol=0)  # of the filters


@pytest.mark.parametrize("token_stride", [16, 8])
def test_tokens_of_dinov2_lie_where_their_pixels_are(token_stride):
    torch.manual_seed(0)
    backbone = build_backbone(DINOV2.model_copy(update={"token_stride": token_stride})).eval()
    image = torch.zeros(1, 3, 96, 160)
    image[:, :, 48 : 48 + token_stride, 112 : 112 + token_stride] = 3
    with torch.no_grad():
        change = (backbone(image)[0] - backbone(torch.zeros_like(image))[0]).norm(dim=1)[0]
    row, column = divmod(int(change.argmax()), change.shape[1])
    assert (row, column) == (48 // token_stride, 112 // token_stride)


@pytest.mark.parametrize("token_stride", [16, 8])
def test_dinov2_describes_hidden_patches_by_the_mask_token(token_stride):
    torch.manual_seed(0)
    backbone = build_backbone(DINOV2.model_copy(update={"token_stride": token_stride})).eval()
    first, second = torch.randn(2, 1, 3, 32, 48)
    patches = (32 // token_stride) * (48 // token_stride)
    hidden = torch.ones(1, patches, dtype=torch.bool)
    with torch.no_grad():
        (whole, codes), (_, other_codes) = backbone.encode(first), backbone.encode(second)
        assert whole.shape == (1, 48)
        assert codes.shape == (1, patches, 48)
        assert not torch.allclose(codes, other_codes, atol=1e-3)
        for one, other in zip(backbone.encode(first, hidden), backbone.encode(second, hidden), strict=True):
            assert torch.equal(one, other)
        last = backbone(first)[3].flatten(2).transpose(1, 2)
    torch.testing.assert_close(codes, last)


def test_a_checkpoint_may_have_another_key_for_its_feature_blocks():
    values = VIT.model_dump()
    older = {"taps" if key == "feature_blocks" else key: value for key, value in values.items()}
    assert ViTConfig.model_validate(older) == VIT


def test_a_backbone_that_lacks_a_part_of_the_contract_cannot_be_made():
    class Half(Backbone):
        def forward(self, x):
            return (x,) * 4

    with pytest.raises(TypeError, match="blocks"):
        Half()
