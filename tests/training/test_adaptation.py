"""Parts of a backbone that learn, their learning rates, and adapters that are merged into a plain model."""

import copy
import sys

import pytest
import torch

from dinocell.errors import ConfigError, MissingExtraError
from dinocell.models.architecture import ConvNeXtConfig, DecoderConfig, ResidualConfig, ViTConfig
from dinocell.models.configuration import ModelConfig
from dinocell.models.network.dinocell import DINOCell
from dinocell.models.network.weights import WeightsRecord
from dinocell.training.adaptation import ALPHA_PER_RANK, adapt, merged, parameter_groups
from dinocell.training.config import BackboneTraining

BACKBONES = {
    "vit": ViTConfig(hidden_size=32, depth=5, heads=2, intermediate_size=48, feature_blocks=(0, 1, 2, 4)),
    "gated vit": ViTConfig(
        hidden_size=32, depth=4, heads=2, intermediate_size=48, feature_blocks=(0, 1, 2, 3), gated_mlp=True
    ),
    "convnext": ConvNeXtConfig(widths=(8, 16, 24, 32), depths=(1, 1, 2, 1)),
    "residual": ResidualConfig(stem_width=8, widths=(8, 8, 16, 16), depths=(1, 1, 1, 1)),
}
WITH_ADAPTERS = ["vit", "gated vit", "convnext"]


def make_model(name, *, published=False):
    torch.manual_seed(0)
    record = WeightsRecord(source="x", publisher="y", sha256={}, licence="z") if published else None
    decoder = DecoderConfig(widths=(8, 8, 8, 16, 16, 16))
    model = DINOCell(
        ModelConfig(variant=name, backbone=BACKBONES[name], decoder=decoder, backbone_weights=record)
    )
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith("gamma"):
                parameter.fill_(0.5)  # else no block of a ConvNeXt says anything at first
    return model


def settings(**values):
    return BackboneTraining.model_validate(values)


def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def output_of(model):
    return model.eval()(images())


def learning(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def take_steps(model, steps=3):
    model.train()
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(steps):
        optimiser.zero_grad()
        (model(images()) - 1).square().mean().backward()
        optimiser.step()


def decoder_of(model):
    return {f"decoder.{name}" for name, _ in model.decoder.named_parameters()}


# What learns


@pytest.mark.parametrize(
    ("published", "asked", "mode"),
    [(False, None, "full"), (True, None, "frozen"), (False, "frozen", "frozen"), (True, "full", "full")],
)
def test_only_published_weights_are_frozen_unless_told_otherwise(published, asked, mode):
    model = make_model("convnext", published=published)
    everything = {name for name, _ in model.named_parameters()}
    assert adapt(model, settings(mode=asked)) == mode
    assert learning(model) == (everything if mode == "full" else decoder_of(model))


@pytest.mark.parametrize("name", BACKBONES)
def test_all_that_learns_gets_a_gradient(name):  # several devices wait for each of them
    model = make_model(name).train()
    adapt(model, settings(mode="full"))
    model(images()).sum().backward()
    assert [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_the_last_blocks_of_a_frozen_backbone_learn():
    model = make_model("vit")
    assert adapt(model, settings(mode="frozen", unfreeze_last=2)) == "frozen"
    inside = {name.split(".")[4] for name in learning(model) - decoder_of(model)}
    assert inside == {"3", "4"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"mode": "full", "unfreeze_last": 1},
            r"^unfreeze_last is for a frozen backbone: set backbone\.mode to",
        ),
        ({"mode": "lora", "unfreeze_last": 1}, r"^unfreeze_last is for a frozen backbone"),
        ({"unfreeze_last": 1}, r"^unfreeze_last is for a frozen backbone"),
        (
            {"mode": "frozen", "unfreeze_last": 9},
            r"^backbone\.unfreeze_last is 9, expected at most 5, all there are$",
        ),
        ({"mode": "frozen", "layer_decay": 0.5}, r"is 0\.5, but nothing of a frozen backbone learns"),
        ({"mode": "lora", "layer_decay": 0.5}, r"is 0\.5, but adapters all learn at one rate"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused(values, message):
    model = make_model("vit")
    before = learning(model)
    with pytest.raises(ConfigError, match=message):
        adapt(model, settings(**values))
    assert learning(model) == before


def test_adapters_are_refused_where_there_is_nothing_to_put_them_beside():
    model = make_model("residual")
    before = learning(model)
    with pytest.raises(ConfigError, match=r"'residual' has convolutions alone.*set backbone\.mode to full"):
        adapt(model, settings(mode="lora"))
    assert learning(model) == before


def test_without_peft_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    model = make_model("vit")
    before = learning(model)
    with pytest.raises(MissingExtraError, match=r'peft .*: pip install "dinocell\[train\]"'):
        adapt(model, settings(mode="lora"))
    assert learning(model) == before
    adapt(model, settings(mode="frozen"))  # needs none


# Adapters


def adapted(name, **values):
    model = make_model(name)
    assert adapt(model, settings(mode="lora", **values)) == "lora"
    return model


def linear_layers(model):
    return {name: part for name, part in model.backbone.named_modules() if isinstance(part, torch.nn.Linear)}


@pytest.mark.parametrize("name", WITH_ADAPTERS)
def test_a_model_with_new_adapters_predicts_as_before(name):
    assert torch.equal(output_of(adapted(name)), output_of(make_model(name)))


@pytest.mark.parametrize("training", [True, False])
def test_adapters_are_in_the_mode_of_their_model(training):
    model = make_model("vit").train(training)
    adapt(model, settings(mode="lora"))
    adapters = [part for key, part in model.named_modules() if ".lora_" in key]
    assert {part.training for part in adapters} == {training}
    assert model.backbone.training == training


@pytest.mark.parametrize("name", WITH_ADAPTERS)
def test_adapters_beside_every_linear_layer_and_the_decoder_are_all_that_learns(name):
    model = adapted(name, lora_rank=3)
    linear = linear_layers(make_model(name))
    assert len(linear) == {"vit": 5 * 6, "gated vit": 4 * 7, "convnext": 5 * 2}[name]
    expected = {f"backbone.{layer}.lora_{side}.default.weight" for layer in linear for side in "AB"}
    assert learning(model) == expected | decoder_of(model)
    sizes = {key: parameter.numel() for key, parameter in model.named_parameters()}
    adapters = sum(sizes[key] for key in expected)
    assert adapters == sum(3 * (layer.in_features + layer.out_features) for layer in linear.values())

    before = {key: value.clone() for key, value in model.state_dict().items()}
    take_steps(model)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    statistics = {f"decoder.{key}" for key, _ in model.decoder.named_buffers()}  # BatchNorm's
    assert changed == learning(model) | statistics


def test_adapters_of_a_real_backbone_are_few():
    with torch.device("meta"):
        model = DINOCell.from_variant("small")
        adapt(model, settings(mode="lora"))
    numbers = [p.numel() for p in model.backbone.parameters() if p.requires_grad]
    assert 0 < sum(numbers) < 0.06 * sum(p.numel() for p in model.backbone.parameters())


@pytest.mark.parametrize("name", WITH_ADAPTERS)
def test_merged_adapters_leave_a_plain_model_that_predicts_the_same(name, tmp_path):
    model, untouched = adapted(name), make_model(name)
    take_steps(model)
    expected, state = output_of(model), {key: value.clone() for key, value in model.state_dict().items()}
    assert not torch.allclose(expected, output_of(untouched), atol=1e-2)

    plain = merged(model)
    torch.testing.assert_close(output_of(plain), expected, atol=1e-5, rtol=0)
    assert list(plain.state_dict()) == list(untouched.state_dict())
    assert [str(part) for part in plain.modules()] == [str(part) for part in untouched.modules()]
    assert merged(plain) is plain
    again = copy.deepcopy(plain)
    adapt(again, settings(mode="lora"))  # which peft would warn of, were anything of the first ones left
    assert torch.equal(output_of(again), output_of(plain))

    loaded = DINOCell.from_pretrained(plain.save_pretrained(tmp_path / "plain"), fold=False)
    assert torch.equal(output_of(loaded), output_of(plain))

    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    take_steps(model, 1)  # and it can go on learning
    torch.testing.assert_close(output_of(plain), expected, atol=1e-5, rtol=0)


def test_merging_computes_what_the_paper_says():
    model = adapted("vit", lora_rank=2)
    take_steps(model)
    layer = model.backbone.vit.model.layer[1].attention.q_proj
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    expected = layer.base_layer.weight + ALPHA_PER_RANK * up @ down
    torch.testing.assert_close(merged(model).backbone.vit.model.layer[1].attention.q_proj.weight, expected)


def test_a_merged_model_shares_only_what_stays_as_it_is():
    model = adapted("vit")
    plain = merged(model)
    linear = {f"backbone.{layer}.weight" for layer in linear_layers(plain)}
    frozen = {key for key, p in model.named_parameters() if not p.requires_grad}
    ours = {p.data_ptr() for p in model.parameters()}
    for key, parameter in plain.named_parameters():
        assert (parameter.data_ptr() in ours) == (key in frozen or key.endswith("proj.bias")), key
        assert key not in linear or parameter.data_ptr() not in ours


@pytest.mark.parametrize("mode", ["frozen", "full"])
def test_without_adapters_there_is_nothing_to_merge(mode):
    model = make_model("vit")
    adapt(model, settings(mode=mode))
    assert merged(model) is model


# Learning rates

VIT_SCALES = {
    "embeddings": 1 / 32,
    "layer.0": 1 / 16,
    "layer.1": 1 / 8,
    "layer.2": 1 / 4,
    "layer.3": 1 / 2,
    "layer.4": 1,
    "norm": 1,
}
STAGE_SCALES = {"stages.0": 1 / 8, "stages.1": 1 / 4, "stages.2": 1 / 2, "stages.3": 1}


@pytest.mark.parametrize(
    ("name", "inner", "scales"),
    [
        ("vit", "vit.", VIT_SCALES),
        ("convnext", "convnext.", STAGE_SCALES),
        ("residual", "", STAGE_SCALES | {"stem": 1 / 16}),
    ],
)
def test_the_rate_falls_from_block_to_block(name, inner, scales):
    model = make_model(name)
    chosen = settings(mode="full", layer_decay=0.5)
    adapt(model, chosen)
    groups = parameter_groups(model, chosen, 0.1)
    found = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    seen = set()
    for key, parameter in model.backbone.named_parameters():
        part = key.removeprefix(inner).removeprefix("model.")
        place = next(place for place in scales if part.startswith(f"{place}."))
        seen.add(place)
        if not key.endswith("mask_token"):
            assert found[id(parameter)] == scales[place], key
    assert seen == set(scales)
    assert {found[id(parameter)] for parameter in model.decoder.parameters()} == {1}
    assert all(group["lr"] == pytest.approx(0.1 * group["lr_scale"]) for group in groups)


WAYS = (
    {"mode": "full"},
    {"mode": "full", "layer_decay": 0.7},
    {"mode": "frozen"},
    {"mode": "frozen", "unfreeze_last": 3, "layer_decay": 0.7},
    {"mode": "frozen", "unfreeze_last": 4},
    {"mode": "lora"},
)


@pytest.mark.parametrize(
    ("name", "values"),
    [(name, way) for name in BACKBONES for way in WAYS if way["mode"] != "lora" or name in WITH_ADAPTERS],
)
def test_all_that_learns_is_in_one_group_and_nothing_else(name, values):
    model, chosen = make_model(name), settings(**values)
    adapt(model, chosen)
    groups = parameter_groups(model, chosen, 1e-3)
    numbers = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(numbers) == len(set(numbers))
    assert set(numbers) == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    scales = [group["lr_scale"] for group in groups]
    assert len(scales) == len(set(scales))
    assert (len(groups) == 1) == (chosen.layer_decay == 1)


def test_an_optimiser_keeps_the_scales_through_its_state():
    model, chosen = make_model("vit"), settings(mode="full", layer_decay=0.5)
    adapt(model, chosen)
    first, second = (torch.optim.AdamW(parameter_groups(model, chosen, 0.1)) for _ in range(2))
    second.load_state_dict(first.state_dict())
    assert [group["lr_scale"] for group in second.param_groups] == [1, *(2.0**-n for n in (5, 4, 3, 2, 1))]
