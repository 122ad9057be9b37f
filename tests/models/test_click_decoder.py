import torch

from dinocell import DINOCell
from dinocell.models.clicks import CLICK_CHANNELS, click_maps
from dinocell.models.network.click_decoder import ClickDecoder, soft_overlap_loss


def begun(model: DINOCell) -> ClickDecoder:
    backbone = model.backbone
    decoder = ClickDecoder(model.config.decoder, backbone.out_channels, backbone.strides)
    decoder.begin_as(model.decoder)
    return decoder.eval()


def test_at_first_clicks_change_nothing_and_the_trained_decoder_is_seen() -> None:
    model = DINOCell.from_pretrained("nano").eval()
    decoder = begun(model)
    with torch.no_grad():  # the head of the first map, in place of the one that starts at zero
        decoder.decoder.head.weight.copy_(model.decoder.head.weight[:1])
        decoder.decoder.head.bias.copy_(model.decoder.head.bias[:1])
        x = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
        maps = model.backbone(x)
        clicks = torch.rand(2, CLICK_CHANNELS, 64, 96, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(decoder(x, maps, clicks), model.decoder(x, maps)[:, :1], rtol=0, atol=0)


def test_every_click_map_reaches_the_result_once_it_has_learned() -> None:
    decoder = begun(DINOCell.from_pretrained("nano"))
    torch.manual_seed(0)
    for entry in decoder.entries:
        torch.nn.init.normal_(entry.weight)
    torch.nn.init.normal_(decoder.decoder.head.weight)
    x, maps = (
        torch.rand(1, 3, 64, 64),
        tuple(torch.rand(1, c, 64 // s, 64 // s) for c, s in ((64, 4), (96, 8), (160, 16), (256, 32))),
    )
    clicks = torch.rand(1, CLICK_CHANNELS, 64, 64, requires_grad=True)
    decoder(x, maps, clicks).sum().backward()
    assert clicks.grad is not None
    assert (clicks.grad.abs().amax((0, 2, 3)) > 0).all()


def test_loss_is_0_for_a_sure_and_right_answer_and_ignores_what_does_not_count() -> None:
    cell = torch.zeros(1, 8, 8)
    cell[0, 2:5, 2:5] = 1
    right = (cell * 2 - 1) * 30
    assert float(soft_overlap_loss(right, cell, torch.ones_like(cell))) < 1e-6
    valid = torch.ones_like(cell)
    valid[0, :2] = 0
    wrong = right.clone()
    wrong[0, :2] = 30
    assert float(soft_overlap_loss(wrong, cell, valid)) < 1e-6
    assert float(soft_overlap_loss(-right, cell, valid)) > 10


def test_clicks_are_drawn_as_hills_around_the_nearest_of_them() -> None:
    taken = torch.zeros(9, 9, dtype=torch.bool).numpy()
    taken[0, 0] = True
    maps = click_maps([(4, 4), (4, 8)], [], taken)
    assert maps.shape == (CLICK_CHANNELS, 9, 9)
    assert maps[0, 4, 4] == maps[0, 4, 8] == maps[1, 4, 4] == 1
    assert abs(maps[0, 4, 5] - 2.718281828 ** (-1 / 18)) < 1e-6
    assert not maps[2].any()
    assert maps[3].sum() == 1
