"""One contract for every backbone: four declared maps, gradients, no effect of the batch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dinocell.backbone import ConvNeXtConfig, ResidualConfig, ViTConfig, build_backbone

SMALL = {
    "vit": ViTConfig(hidden_size=48, depth=4, heads=2, intermediate_size=96, taps=(0, 1, 2, 3)),
    "convnext": ConvNeXtConfig(widths=(8, 16, 24, 32), depths=(1, 1, 2, 1)),
    "residual": ResidualConfig(stem_width=8, widths=(8, 16, 24, 32), depths=(1, 1, 1, 1)),
}


@pytest.fixture(params=SMALL)
def backbone(request):
    torch.manual_seed(0)
    return build_backbone(SMALL[request.param]).eval()


def test_maps_have_declared_channels_and_strides(backbone):
    for height, width in ((1, 1), (3, 2), (5, 7)):  # odd multiples of the stride too
        x = torch.randn(2, 3, height * backbone.stride, width * backbone.stride)
        maps = backbone(x)
        expected = [
            (2, channels, x.shape[2] // stride, x.shape[3] // stride)
            for channels, stride in zip(backbone.out_channels, backbone.strides, strict=True)
        ]
        assert [tuple(m.shape) for m in maps] == expected


def test_every_map_sends_gradients_back(backbone):
    for number in range(4):
        x = torch.randn(1, 3, backbone.stride * 2, backbone.stride * 2, requires_grad=True)
        backbone(x)[number].square().sum().backward()
        assert x.grad is not None
        assert x.grad.abs().sum() > 0


@settings(max_examples=5, deadline=None)
@given(batch=st.integers(2, 4), which=st.integers(0, 1))
def test_an_image_alone_and_in_a_batch_gives_the_same(batch, which):
    for config in SMALL.values():
        torch.manual_seed(1)
        backbone = build_backbone(config).eval()
        x = torch.randn(batch, 3, 64, 96)
        with torch.no_grad():
            for together, alone in zip(backbone(x), backbone(x[which : which + 1]), strict=True):
                torch.testing.assert_close(together[which : which + 1], alone, rtol=1e-5, atol=1e-5)


def test_train_mode_does_not_jitter_positions():
    # transformers rescales RoPE coordinates at random in train mode unless told not to.
    backbone = build_backbone(SMALL["vit"])
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for in_train, in_eval in zip(backbone.train()(x), backbone.eval()(x), strict=True):
            torch.testing.assert_close(in_train, in_eval)


def test_vit_taps_carry_the_final_layer_norm(backbone):
    if not hasattr(backbone, "vit"):
        pytest.skip("only a ViT has a final LayerNorm")
    with torch.no_grad():
        for tap in backbone(torch.randn(1, 3, 64, 64)):  # a fresh LayerNorm has weight 1 and bias 0
            torch.testing.assert_close(tap.mean(dim=1), torch.zeros(1, 4, 4), atol=1e-5, rtol=0)
            torch.testing.assert_close(tap.var(dim=1, unbiased=False), torch.ones(1, 4, 4), atol=1e-2, rtol=0)


def test_vit_taps_are_the_named_blocks():
    # Block k changes the taps from k on, and none before: an off-by-one in `out_indices` would show.
    torch.manual_seed(0)
    backbone = build_backbone(SMALL["vit"]).eval()
    blocks = next(m for m in backbone.modules() if isinstance(m, torch.nn.ModuleList))
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        before = [tap.clone() for tap in backbone(x)]
        for parameter in blocks[2].parameters():
            parameter.add_(1.0)
        changed = [not torch.equal(a, b) for a, b in zip(before, backbone(x), strict=True)]
    assert changed == [False, False, True, True]
