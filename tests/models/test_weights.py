"""Published weights of every layout give the features that DINOv3 has; what does not fit is refused."""

import contextlib
import hashlib
import json
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dinocell.errors import CheckpointError, FileMissingError, InputError, UnknownModelError
from dinocell.models.architecture import ConvNeXtConfig, DecoderConfig, ViTConfig
from dinocell.models.network.backbone import published_name
from dinocell.models.network.building import build_backbone
from dinocell.models.network.dinocell import DINOCell
from dinocell.models.network.weights import load_backbone_weights
from dinocell.models.variants import VARIANTS, Variant
from tests.models import dinov3_reference as reference

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"

VIT = ViTConfig(hidden_size=32, depth=4, heads=2, intermediate_size=64, feature_blocks=(0, 1, 2, 3))
CONFIGS = {
    "vit": VIT,
    "vit, gated": VIT.model_copy(update={"gated_mlp": True}),
    "vit, gated, no attention bias": VIT.model_copy(update={"gated_mlp": True, "attention_bias": False}),
    "convnext": ConvNeXtConfig(widths=(8, 16, 24, 32), depths=(1, 2, 3, 1)),
}


def variant(config):
    return Variant("tiny", "a tiny backbone", config, DecoderConfig(), "a licence", ("timm/tiny",))


def load(config, source):
    torch.manual_seed(99)
    backbone = build_backbone(config).eval()
    return backbone, load_backbone_weights(backbone, variant(config), source)


def random_weights(config):
    return reference.meta_vit(config) if config.kind == "vit" else reference.meta_convnext(config)


def expected_maps(config, weights, image):
    if config.kind == "vit":
        return reference.vit_layers(weights, config.heads, image)
    return reference.convnext_stages(weights, config.depths, image)


def write_meta(config, folder):
    path = folder / "weights.pth"
    torch.save(random_weights(config), path)
    return path


def write_meta_training(config, folder):
    """Store weights as a training run does: below a name, with a prefix, among other things."""
    path = folder / "checkpoint.pth"
    weights = {f"backbone.{key}": value for key, value in random_weights(config).items()}
    torch.save({"iteration": 3, "teacher": weights | {"dino_head.last.weight": torch.ones(2)}}, path)
    return path


def write_timm(config, folder):
    convert = reference.timm_vit if config.kind == "vit" else reference.timm_convnext
    path = folder / "model.safetensors"
    save_file({k: v.clone() for k, v in convert(random_weights(config)).items()}, path)
    return folder


def write_hugging_face(config, folder):
    """Save with transformers' own class and `save_pretrained`, filled from Meta's layout by our names."""
    from transformers import DINOv3ConvNextConfig, DINOv3ConvNextModel, DINOv3ViTConfig, DINOv3ViTModel

    backbone, _ = load(config, write_meta(config, folder))
    ours = {published_name(key).split(".", 1)[1]: value for key, value in backbone.state_dict().items()}
    if config.kind == "vit":
        model = DINOv3ViTModel(DINOv3ViTConfig(**_settings(backbone.vit.config)))
        ours = {key.replace("layer.", "model.layer."): value for key, value in ours.items()}
        missing = set()
    else:
        model = DINOv3ConvNextModel(DINOv3ConvNextConfig(**_settings(backbone.convnext.config)))
        ours = {f"model.{key}": value for key, value in ours.items()}
        missing = {"layer_norm.weight", "layer_norm.bias"}
    assert set(model.load_state_dict(ours, strict=False).missing_keys) == missing
    model.save_pretrained(folder / "hf")
    return folder / "hf"


def _settings(config):
    names = (
        "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "num_register_tokens",
        "use_gated_mlp", "hidden_act", "query_bias", "value_bias", "hidden_sizes", "depths",
    )  # fmt: skip
    return {name: getattr(config, name) for name in names if hasattr(config, name)}


WRITERS = {
    "Meta": write_meta,
    "Meta, a training run's": write_meta_training,
    "timm": write_timm,
    "Hugging Face": write_hugging_face,
}


@pytest.mark.parametrize("layout", WRITERS)
@pytest.mark.parametrize("name", CONFIGS)
def test_features_equal_those_of_the_reference(name, layout, tmp_path):
    config = CONFIGS[name]
    backbone, record = load(config, WRITERS[layout](config, tmp_path))
    assert record.publisher == layout.split(",")[0]
    image = torch.randn(2, 3, 96, 160)
    with torch.no_grad():
        found = backbone(image)
    for ours, theirs in zip(found, expected_maps(config, random_weights(config), image), strict=True):
        assert theirs.std() > 0.1
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("file", ["dinov3_meta_format_random.pth", "dinov3_timm_format_random.safetensors"])
def test_features_equal_those_of_metas_own_code(file):
    if not GOLDEN.is_dir():
        pytest.skip("the golden files are not here")
    config = ViTConfig(hidden_size=128, depth=4, heads=2, intermediate_size=512, feature_blocks=(0, 1, 2, 3))
    backbone, _ = load(config, GOLDEN / file)
    golden = np.load(GOLDEN / "dinov3_random_reference.npz", allow_pickle=False)
    with torch.no_grad():
        found = backbone(torch.from_numpy(golden["x"]))
    for number, ours in enumerate(found):
        torch.testing.assert_close(ours, torch.from_numpy(golden[f"layer{number}"]), atol=1e-5, rtol=0)


def test_the_reference_equals_metas_own_code():
    if not GOLDEN.is_dir():
        pytest.skip("the golden files are not here")
    weights = torch.load(GOLDEN / "dinov3_meta_format_random.pth", weights_only=True)
    golden = np.load(GOLDEN / "dinov3_random_reference.npz", allow_pickle=False)
    for number, layer in enumerate(reference.vit_layers(weights, 2, torch.from_numpy(golden["x"]))):
        torch.testing.assert_close(layer, torch.from_numpy(golden[f"layer{number}"]), atol=1e-5, rtol=0)


def test_the_mask_token_is_loaded_where_a_file_has_it(tmp_path):
    backbone, _ = load(VIT, write_meta(VIT, tmp_path))
    token = random_weights(VIT)["mask_token"]
    assert torch.equal(backbone.vit.embeddings.mask_token, token.reshape(1, 1, -1))
    backbone, _ = load(VIT, write_timm(VIT, tmp_path))
    assert not backbone.vit.embeddings.mask_token.any()


def test_the_record_says_where_the_weights_came_from(tmp_path):
    path = write_meta(VIT, tmp_path)
    _, record = load(VIT, path)
    assert record.source == "weights.pth"  # no folder of this machine
    assert record.sha256 == {"weights.pth": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert record.licence == "that of the source"  # a file may hold anybody's weights


@pytest.mark.slow
def test_a_checkpoint_keeps_the_record_and_serves_as_a_source(tmp_path):
    config = VARIANTS["convnext-tiny"].backbone
    torch.save(reference.meta_convnext(config), tmp_path / "weights.pth")
    model = DINOCell.from_variant("convnext-tiny", backbone_weights=tmp_path / "weights.pth")
    folder = model.save_pretrained(tmp_path / "ck")
    assert DINOCell.from_pretrained(folder).config.backbone_weights == model.config.backbone_weights
    again = DINOCell.from_variant("convnext-tiny", backbone_weights=folder)
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(again.backbone.state_dict()[name], value)


def damaged(config, folder, change):
    weights = random_weights(config)
    change(weights)
    path = folder / "weights.pth"
    torch.save(weights, path)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("norm.bias"), r"Meta's layout do not fit: missing norm\.bias$"),
        (
            lambda w: [w.pop(f"blocks.{n}.ls2.gamma") for n in range(4)],
            r"missing blocks\.\*\.ls2\.gamma \(4\)$",
        ),
        (lambda w: w.update(head=torch.ones(2)), "unexpected head$"),
        (
            lambda w: w.update({"blocks.4.norm1.bias": torch.ones(32)}),
            r"unexpected blocks\.\*\.norm1\.bias$",
        ),
        (
            lambda w: w.update({"norm.bias": torch.ones(33)}),
            r"norm\.bias has shape \(33,\), expected \(32,\)",
        ),
        (
            lambda w: w.update({"norm.bias": torch.ones(32).int()}),
            r"norm\.bias is not a plain tensor of floats",
        ),
        (lambda w: w.update({"norm.bias": torch.ones(32).to_sparse()}), r"norm\.bias is not a plain tensor"),
        (lambda w: w["norm.bias"].fill_(torch.nan), r"NaN or infinite numbers in norm\.bias"),
        (
            lambda w: w.update({"blocks.0.attn.qkv.weight": torch.ones(97, 32)}),
            r"qkv\.weight has shape \(97, 32\), expected \(96, 32\)",
        ),
        (
            lambda w: w.pop("blocks.0.attn.qkv.bias_mask"),
            r"blocks\.0\.attn\.qkv\.bias has a bias for keys",
        ),
        (lambda w: w["rope_embed.periods"].mul_(1.1), "rotary positions with base 100"),
        (
            lambda w: w.update({"rope_embed.periods": 100 ** (torch.arange(2) / 2)}),
            "number of attention heads",
        ),
        (lambda w: w.update({"rope_embed.periods": torch.tensor(1.0)}), "number of attention heads"),
        (lambda w: (w.clear(), w.update(conv1=torch.ones(2))), "not weights of Meta.* names are conv1$"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_change_nothing(change, message, tmp_path):
    torch.manual_seed(0)
    backbone = build_backbone(VIT)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_backbone_weights(backbone, variant(VIT), damaged(VIT, tmp_path, change))
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, before[key])


def prefixed(weights, prefix):
    return {f"{prefix}{key}": value for key, value in weights.items()}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("layout", ["Meta", "timm", "Hugging Face"])
@pytest.mark.parametrize("prefix", ["model.", "backbone.model.", "module.encoder."])
def test_any_prefix_may_stand_before_the_names(name, layout, prefix, tmp_path):
    config = CONFIGS[name]
    source = WRITERS[layout](config, tmp_path)
    file = source if source.is_file() else source / "model.safetensors"
    tensors = torch.load(file, weights_only=True) if layout == "Meta" else load_file(file)
    torch.save({"state_dict": prefixed(tensors, prefix)}, tmp_path / "wrapped.pth")
    plain, _ = load(config, source)
    wrapped, record = load(config, tmp_path / "wrapped.pth")
    assert record.publisher == layout
    for key, value in plain.state_dict().items():
        if "mask_token" not in key or layout != "timm":
            assert torch.equal(wrapped.state_dict()[key], value)


def test_names_of_transformers_modules_are_known_too(tmp_path):
    backbone, _ = load(VIT, write_meta(VIT, tmp_path))
    torch.save(backbone.vit.state_dict(), tmp_path / "module.pth")  # with `model.layer`, as it names them
    again, record = load(VIT, tmp_path / "module.pth")
    assert record.publisher == "Hugging Face"
    assert all(torch.equal(again.state_dict()[key], value) for key, value in backbone.state_dict().items())


@pytest.mark.parametrize("averaged", ["teacher", "model_ema"])
def test_of_several_backbones_the_averaged_one_is_taken(averaged, tmp_path):
    first, second = reference.meta_vit(VIT, seed=1), reference.meta_vit(VIT, seed=2)
    torch.save({"model": first, averaged: prefixed(second, "backbone.")}, tmp_path / "w.pth")
    backbone, _ = load(VIT, tmp_path / "w.pth")
    assert torch.equal(backbone.vit.norm.bias, second["norm.bias"])
    torch.save({"a": first, "b": second}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"several backbones are in it, under 'a\.', 'b\.'"):
        load(VIT, tmp_path / "w.pth")


def test_what_only_pretraining_of_7b_uses_is_left_out(tmp_path):
    extra = {"local_cls_norm.weight": torch.ones(32), "local_cls_norm.bias": torch.ones(32)}
    load(VIT, damaged(VIT, tmp_path, lambda w: w.update(extra)))


def test_rounded_periods_are_accepted(tmp_path):
    # Meta trains with bfloat16 positions.
    path = damaged(
        VIT, tmp_path, lambda w: w.update({"rope_embed.periods": w["rope_embed.periods"].bfloat16()})
    )
    load(VIT, path)


def test_another_kind_of_backbone_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="of a vit backbone, expected those of a convnext"):
        load(CONFIGS["convnext"], write_meta(VIT, tmp_path))


def test_timms_plain_files_are_refused_with_the_reason(tmp_path):
    weights = {k: v for k, v in reference.timm_vit(reference.meta_vit(VIT)).items() if "_bias" not in k}
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"missing blocks\.\*\.attn\.q_bias \(4\).*_qkvb"):
        load(VIT, tmp_path)


def test_nothing_but_tensors_is_unpickled(tmp_path):
    class Harmful:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    torch.save({"blocks.0.ls1.gamma": Harmful()}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Harmful(), protocol=2))
    for name in ("zip.pth", "plain.pth"):
        with pytest.raises(CheckpointError, match="more than tensors"):
            load(VIT, tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_texts_and_flipped_bytes_are_refused_too(tmp_path):
    (tmp_path / "table.pt").write_text("a,b,c\n1,2,3")
    with pytest.raises(CheckpointError, match="damaged"):
        load(VIT, tmp_path / "table.pt")
    path = write_meta(VIT, tmp_path)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    for position in rng.integers(0, 20_000, 60):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :])
        with contextlib.suppress(CheckpointError):  # a changed number may well be read
            load(VIT, path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("length", [0, 9, 1000])
def test_damaged_files_are_refused(suffix, length, tmp_path):
    path = write_meta(VIT, tmp_path) if suffix == ".pth" else write_timm(VIT, tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=r"damaged|more than tensors"):
        load(VIT, path)


def test_a_file_of_other_things_is_refused(tmp_path):
    torch.save([torch.ones(3)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="names are none"):
        load(VIT, tmp_path / "list.pth")


def test_shards_are_read_together(tmp_path):
    weights = {k: v.clone() for k, v in reference.timm_vit(reference.meta_vit(VIT)).items()}
    names = sorted(weights)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, keys in halves.items():
        save_file({key: weights[key] for key in keys}, tmp_path / file)
    index = {"weight_map": {key: file for file, keys in halves.items() for key in keys}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    backbone, record = load(VIT, tmp_path)
    assert sorted(record.sha256) == ["a.safetensors", "b.safetensors"]
    assert torch.equal(backbone.vit.norm.bias, weights["norm.bias"])
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"b\.safetensors cannot be read"):
        load(VIT, tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"index\.json is damaged"):
        load(VIT, tmp_path)


def test_folders_without_one_weight_file_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="holds no weights"):
        load(VIT, tmp_path)
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=r"several weight files \(a\.pth, b\.pth\)"):
        load(VIT, tmp_path)
    (tmp_path / "model-00001-of-00002.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"parts of weights without their index"):
        load(VIT, tmp_path)


def test_names_that_mean_nothing_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    for name in (tmp_path / "missing.pth", "missing/weights.PTH", "vits16", "", "checkpoints/vits16"):
        with pytest.raises(FileMissingError, match="neither a file nor a folder"):
            load(VIT, name)
    with pytest.raises(InputError, match="no published weights"):
        DINOCell.from_variant("nano", backbone_weights="pretrained")
    with pytest.raises(UnknownModelError, match="no variant"):
        DINOCell.from_variant("smal", backbone_weights="pretrained")


def test_a_hash_that_contradicts_the_name_is_said(tmp_path, caplog):
    path = write_meta(VIT, tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with caplog.at_level(logging.WARNING):
        load(VIT, path.rename(tmp_path / f"dinov3-{digest[:8]}.pth"))
        assert not caplog.records
        load(VIT, (tmp_path / f"dinov3-{digest[:8]}.pth").rename(tmp_path / "dinov3-01234567.pth"))
    assert "its name says 01234567" in caplog.text
