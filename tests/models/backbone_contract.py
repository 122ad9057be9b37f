"""Contract of every backbone, alone and inside a DINOCell; `test_backbone.py` runs it on each of them."""

import copy

import pytest
import torch
from safetensors.torch import load_file, save_file

from dinocell.errors import InputError
from dinocell.models.architecture import DecoderConfig
from dinocell.models.checkpoint import WEIGHTS_FILE
from dinocell.models.configuration import ModelConfig
from dinocell.models.network.backbone import published_name
from dinocell.models.network.building import build_backbone
from dinocell.models.network.dinocell import DINOCell
from dinocell.training.state import freeze_statistics


class BackboneContract:
    config = None

    @pytest.fixture
    def backbone(self):
        torch.manual_seed(0)
        return build_backbone(self.config).eval()

    @pytest.fixture
    def model(self):
        torch.manual_seed(0)
        decoder = DecoderConfig(widths=(8, 8, 8, 16, 16, 16))
        return DINOCell(ModelConfig(variant="tiny", backbone=self.config, decoder=decoder))

    def image(self, rows, columns, batch=1):
        torch.manual_seed(1)
        with torch.device("meta"):
            stride = build_backbone(self.config).stride
        return torch.randn(batch, 3, rows * stride, columns * stride)

    @pytest.mark.parametrize("size", [(1, 1), (1, 3), (3, 2), (5, 7)])
    def test_maps_have_the_declared_channels_and_strides(self, backbone, size):
        x = self.image(*size, batch=2)
        expected = [
            (2, channels, x.shape[2] // stride, x.shape[3] // stride)
            for channels, stride in zip(backbone.out_channels, backbone.strides, strict=True)
        ]
        assert [tuple(m.shape) for m in backbone(x)] == expected

    @pytest.mark.parametrize("number", range(4))
    def test_every_map_sends_gradients_back(self, backbone, number):
        x = self.image(2, 2).requires_grad_()
        backbone(x)[number].square().sum().backward()
        assert x.grad.abs().sum() > 0
        first = next(p for p in backbone.blocks[0].parameters() if p.ndim > 1)
        assert first.grad.abs().sum() > 0

    @pytest.mark.parametrize("size", [(1, 1), (3, 5)])
    def test_the_model_gives_logits_of_the_size_of_the_image(self, model, size):
        x = self.image(*size)
        assert model.eval()(x).shape == (1, 1, *x.shape[2:])

    @pytest.mark.parametrize(("more_rows", "more_columns"), [(1, 0), (0, 1), (-1, -1), (8, 8)])
    def test_a_wrong_size_is_refused(self, model, more_rows, more_columns):
        side = 2 * model.stride
        with pytest.raises(InputError, match=f"expected multiples of {model.stride}"):
            model(torch.zeros(1, 3, side + more_rows, side + more_columns))

    def test_saved_and_loaded_the_outputs_are_equal(self, model, tmp_path):
        loaded = DINOCell.from_pretrained(model.save_pretrained(tmp_path / "ck"))
        x = self.image(2, 3)
        with torch.no_grad():
            # A BatchNorm that was folded into a convolution rounds otherwise.
            torch.testing.assert_close(loaded(x), model.eval()(x), atol=1e-5, rtol=1e-5)

    def test_a_deep_copy_gives_equal_outputs_and_shares_nothing(self, model):
        x, model = self.image(2, 2), model.eval()
        with torch.no_grad():
            before = model(x)
            copied = copy.deepcopy(model)  # as moving averages of weights do
            for parameter in model.parameters():
                parameter.add_(1)
            assert torch.equal(copied(x), before)

    @pytest.mark.parametrize("which", range(4))
    def test_an_image_alone_and_in_a_batch_of_four_gives_the_same(self, model, which):
        x = self.image(2, 3, batch=4)
        with torch.no_grad():
            together, alone = model.eval()(x)[which], model(x[which : which + 1])[0]
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)

    def test_train_mode_and_eval_mode_give_the_same(self, backbone):
        # transformers rescales rotary positions at random in train mode unless told not to.
        x = self.image(2, 2)
        with torch.no_grad():
            in_eval_mode = backbone(x)
            freeze_statistics(backbone.train())
            for in_eval, in_train in zip(in_eval_mode, backbone(x), strict=True):
                torch.testing.assert_close(in_eval, in_train)

    def test_names_in_files_do_not_depend_on_the_version_of_transformers(self, model, tmp_path):
        stored = load_file(model.save_pretrained(tmp_path / "ck") / WEIGHTS_FILE)
        assert not [key for key in stored if ".model." in key]
        assert len(stored) == len(model.state_dict())
        save_file({published_name(k): v for k, v in model.state_dict().items()}, tmp_path / "new")
        assert load_file(tmp_path / "new").keys() == stored.keys()

    def test_a_frozen_backbone_runs_without_gradients_and_in_eval_mode(self, model):
        model.freeze_backbone()
        model.train()
        assert not any(module.training for module in model.backbone.modules())
        assert model.decoder.training
        maps, recorded = [], []
        model.backbone.register_forward_pre_hook(lambda *_: recorded.append(torch.is_grad_enabled()))
        model.backbone.register_forward_hook(lambda _module, _inputs, output: maps.extend(output))
        model(self.image(2, 2, batch=2)).sum().backward()
        assert len(maps) == 4
        assert recorded == [False]
        assert not any(m.requires_grad for m in maps)
        assert all(p.grad is None for p in model.backbone.parameters())
        assert all(p.grad is not None for p in model.decoder.parameters())

    @pytest.mark.parametrize("count", [1, 2])
    def test_the_last_blocks_can_be_left_to_learn(self, model, count):
        model.freeze_backbone(except_last=count)
        model.train()
        model(self.image(2, 2, batch=2)).square().sum().backward()
        blocks = model.backbone.blocks
        learning = [all(p.requires_grad for p in block.parameters()) for block in blocks]
        assert learning == [False] * (len(blocks) - count) + [True] * count
        assert [block.training for block in blocks] == learning
        with_gradient = {id(p) for p in model.backbone.parameters() if p.grad is not None}
        assert with_gradient == {id(p) for block in blocks[-count:] for p in block.parameters()}

    @pytest.mark.parametrize("count", [-1, 5])
    def test_more_blocks_than_there_are_cannot_be_left_to_learn(self, model, count):
        with pytest.raises(InputError, match=r"expected 0 to 4, the backbone's blocks"):
            model.freeze_backbone(except_last=count)
