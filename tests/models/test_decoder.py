import pytest
import torch

from dinocell.models.architecture import DecoderConfig
from dinocell.models.network.decoder import INITIAL_LOGIT, UNetDecoder

CONFIG = DecoderConfig(widths=(8, 8, 16, 16, 24, 32))


@pytest.mark.parametrize("strides", [(16, 16, 16, 16), (4, 8, 16, 32)])
@pytest.mark.parametrize("size", [(32, 32), (96, 160), (224, 32)])
def test_logits_have_the_size_of_the_image(strides, size):
    decoder = UNetDecoder(CONFIG, (6, 7, 8, 9), strides)
    maps = tuple(
        torch.randn(2, channels, size[0] // stride, size[1] // stride)
        for channels, stride in zip((6, 7, 8, 9), strides, strict=True)
    )
    assert decoder(torch.randn(2, 3, *size), maps).shape == (2, 1, *size)


def test_an_odd_multiple_of_16_is_decoded_from_a_vit():
    decoder = UNetDecoder(CONFIG, (6, 6, 6, 6), (16, 16, 16, 16))
    maps = (torch.randn(1, 6, 3, 5),) * 4
    assert decoder(torch.randn(1, 3, 48, 80), maps).shape == (1, 1, 48, 80)


def test_the_full_resolution_skip_carries_single_pixels():
    # The four maps are constant, so only the skip from the image can tell two neighbouring pixels apart.
    torch.manual_seed(0)
    decoder = UNetDecoder(CONFIG, (6, 6, 6, 6), (16, 16, 16, 16)).eval()
    image = torch.zeros(1, 3, 64, 64)
    maps = (torch.zeros(1, 6, 4, 4),) * 4
    moved = image.clone()
    moved[..., 32, 32] = 5.0
    with torch.no_grad():
        change = (decoder(moved, maps) - decoder(image, maps))[0, 0].abs()
    assert change[32, 32] > 5 * change.median()


def test_untrained_logits_start_near_the_background():
    torch.manual_seed(0)
    decoder = UNetDecoder(CONFIG, (6, 6, 6, 6), (4, 8, 16, 32))
    maps = tuple(torch.zeros(1, 6, 64 // s, 64 // s) for s in (4, 8, 16, 32))
    mean = decoder(torch.zeros(1, 3, 64, 64), maps).mean()
    assert abs(mean.item() - INITIAL_LOGIT) < 1.5


def test_each_target_has_a_map():
    decoder = UNetDecoder(CONFIG, (6, 6, 6, 6), (4, 8, 16, 32), targets=2).eval()
    maps = tuple(torch.zeros(1, 6, 64 // s, 64 // s) for s in (4, 8, 16, 32))
    assert decoder(torch.zeros(1, 3, 64, 64), maps).shape == (1, 2, 64, 64)
