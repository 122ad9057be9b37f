import pytest
import torch
from torch import nn

from dinocell.models.architecture import DecoderConfig, ResidualConfig
from dinocell.models.configuration import ModelConfig
from dinocell.models.network.blocks import ChannelNorm, NormedConv
from dinocell.models.network.dinocell import DINOCell
from dinocell.models.network.folding import folded_weights


def trained(norm="batch"):
    """Build a small network whose norms have seen a few batches."""
    torch.manual_seed(0)
    backbone = ResidualConfig(stem_width=8, widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), norm=norm)
    decoder = DecoderConfig(widths=(8, 8, 8, 8, 8, 8), norm=norm)
    model = DINOCell(ModelConfig(variant="tiny", backbone=backbone, decoder=decoder)).train()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):  # not the identity, which a wrong fold would pass, too
            nn.init.uniform_(part.weight, 0.5, 2)
            nn.init.normal_(part.bias)
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(4, 3, 64, 64) * 2 + 1)
    return model


def test_a_folded_convolution_by_hand():
    block = NormedConv(1, 1, 1, norm="batch")
    weights = block.state_dict() | {
        "0.weight": torch.full((1, 1, 1, 1), 3.0),
        "1.weight": torch.tensor([2.0]),
        "1.bias": torch.tensor([0.5]),
        "1.running_mean": torch.tensor([6.0]),
        "1.running_var": torch.tensor([4.0 - 1e-5]),
    }
    folded = folded_weights(weights)
    # 2 · (3x − 6) / 2 + 0.5 = 3x − 5.5
    assert folded.keys() == {"0.weight", "0.bias"}
    assert folded["0.weight"].item() == pytest.approx(3.0)
    assert folded["0.bias"].item() == pytest.approx(-5.5)
    assert "1.running_var" in weights


def test_a_folded_network_computes_the_same_and_has_no_norm():
    model, x = trained(), torch.randn(2, 3, 96, 64)
    folded = model.folded()
    with torch.no_grad():
        torch.testing.assert_close(folded(x), model.eval()(x), atol=1e-4, rtol=1e-4)
        alone = folded(x[:1])
    assert not any(isinstance(part, nn.BatchNorm2d | nn.GroupNorm) for part in folded.modules())
    torch.testing.assert_close(folded.train()(x)[:1], alone, atol=1e-5, rtol=1e-5)  # nothing pools any more
    assert folded.folded() is folded


def test_a_checkpoint_with_statistics_loads_folded_unless_asked(tmp_path):
    model = trained()
    folder = model.save_pretrained(tmp_path / "last")
    assert DINOCell.from_pretrained(folder).config.decoder.norm == "folded"
    kept = DINOCell.from_pretrained(folder, fold=False)
    assert kept.config == model.config
    for name, value in model.state_dict().items():
        assert torch.equal(kept.state_dict()[name], value), name


@pytest.mark.parametrize("norm", ["batch", "channel"])
def test_what_lies_far_away_changes_nothing(norm):
    """A constant area 300 px away leaves the logits as they are, to the last bit."""
    model = trained(norm).folded()
    image = torch.randn(1, 3, 64, 640)
    changed = image.clone()
    changed[..., 400:] = 2.0
    with torch.no_grad():
        before, after = model(image), model(changed)
    assert torch.equal(before[..., :100], after[..., :100])
    assert not torch.equal(before[..., 400:], after[..., 400:])


def test_the_norm_over_channels_is_that_of_each_pixel():
    norm = ChannelNorm(5)
    x = torch.randn(2, 5, 3, 4) * 3 + 1
    pixel = x[1, :, 2, 3]
    expected = (pixel - pixel.mean()) / torch.sqrt(pixel.var(unbiased=False) + norm.eps)
    torch.testing.assert_close(norm(x)[1, :, 2, 3], expected)
