"""DINOv2's published weights give DINOv2's features, under the names of each publisher and version."""

import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from dinocell.errors import CheckpointError
from dinocell.models.architecture import DecoderConfig, DINOv2Config
from dinocell.models.checkpoint import WEIGHTS_FILE
from dinocell.models.network.building import build_backbone
from dinocell.models.network.dinocell import DINOCell
from dinocell.models.network.dinov2 import PATCH
from dinocell.models.network.weights import load_backbone_weights
from dinocell.models.variants import VARIANTS, Variant
from tests.models.dinov3_reference import meta_vit
from tests.models.test_weights import VIT

WIDTH, HEADS, SIDE = 32, 2, 3
CONFIG = DINOv2Config(hidden_size=WIDTH, depth=4, heads=HEADS, feature_blocks=(0, 1, 2, 3), positions=SIDE)
VARIANT = Variant("tiny", "a tiny backbone", CONFIG, DecoderConfig(), "a licence", ())


def meta_weights():
    """Draw random weights under the names of Meta's ``dinov2_vits14_pretrain.pth``."""
    torch.manual_seed(0)
    shapes = {
        "cls_token": (1, 1, WIDTH),
        "mask_token": (1, WIDTH),
        "pos_embed": (1, 1 + SIDE**2, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
        "patch_embed.proj.bias": (WIDTH,),
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
    }
    for number in range(4):
        block = {
            "norm1.weight": (WIDTH,),
            "norm1.bias": (WIDTH,),
            "attn.qkv.weight": (3 * WIDTH, WIDTH),
            "attn.qkv.bias": (3 * WIDTH,),
            "attn.proj.weight": (WIDTH, WIDTH),
            "attn.proj.bias": (WIDTH,),
            "ls1.gamma": (WIDTH,),
            "norm2.weight": (WIDTH,),
            "norm2.bias": (WIDTH,),
            "mlp.fc1.weight": (4 * WIDTH, WIDTH),
            "mlp.fc1.bias": (4 * WIDTH,),
            "mlp.fc2.weight": (WIDTH, 4 * WIDTH),
            "mlp.fc2.bias": (WIDTH,),
            "ls2.gamma": (WIDTH,),
        }
        shapes |= {f"blocks.{number}.{name}": shape for name, shape in block.items()}
    return {name: torch.randn(shape) / math.sqrt(math.prod(shape[1:])) for name, shape in shapes.items()}


def hugging_face_weights(names):
    """Rename them as ``facebook/dinov2-small`` is named: by older or newer versions of transformers."""
    older = names == "older"
    parts = {
        "attn.proj": "attention.output.dense" if older else "attention.o_proj",
        "ls1.gamma": "layer_scale1.lambda1",
        "ls2.gamma": "layer_scale2.lambda1",
    }
    heads = "attention.attention.{}" if older else "attention.{0[0]}_proj"
    renamed = {
        "cls_token": "embeddings.cls_token",
        "mask_token": "embeddings.mask_token",
        "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
        "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
        "norm.weight": "layernorm.weight",
        "norm.bias": "layernorm.bias",
    }
    weights = {}
    for name, value in meta_weights().items():
        key = renamed.get(name, name.replace("blocks.", "encoder.layer."))
        for theirs, ours in parts.items():
            key = key.replace(theirs, ours)
        if "attn.qkv" in key:
            for head, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                weights[key.replace("attn.qkv", heads.format(head))] = third.clone()
        else:
            weights[key] = value
    return weights


def layers(weights, image):
    """Compute DINOv2's normalised patch features after every block, in plain torch, at its own grid."""
    patches = functional.conv2d(
        image, weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"], PATCH
    )
    first = weights["cls_token"].expand(len(image), -1, -1)
    x = torch.cat((first, patches.flatten(2).mT), dim=1) + weights["pos_embed"]
    found = []
    for number in range(4):
        w = {key.split(".", 2)[2]: value for key, value in weights.items() if f"blocks.{number}." in key}
        y = functional.layer_norm(x, (WIDTH,), w["norm1.weight"], w["norm1.bias"], 1e-6)
        joint = functional.linear(y, w["attn.qkv.weight"], w["attn.qkv.bias"])
        q, k, v = joint.unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        share = torch.softmax(q @ k.mT / math.sqrt(WIDTH // HEADS), dim=-1)
        y = functional.linear(
            (share @ v).transpose(1, 2).flatten(2), w["attn.proj.weight"], w["attn.proj.bias"]
        )
        x = x + w["ls1.gamma"] * y
        y = functional.layer_norm(x, (WIDTH,), w["norm2.weight"], w["norm2.bias"], 1e-6)
        y = functional.gelu(functional.linear(y, w["mlp.fc1.weight"], w["mlp.fc1.bias"]))
        x = x + w["ls2.gamma"] * functional.linear(y, w["mlp.fc2.weight"], w["mlp.fc2.bias"])
        y = functional.layer_norm(x, (WIDTH,), weights["norm.weight"], weights["norm.bias"], 1e-6)
        found.append(y[:, 1:].mT.unflatten(2, (SIDE, SIDE)))
    return found


def write(layout, folder):
    path = folder / ("weights.pth" if layout == "Meta" else "model.safetensors")
    if layout == "Meta":
        torch.save(meta_weights(), path)
    elif layout == "without a mask token":
        save_file({k: v for k, v in hugging_face_weights("newer").items() if "mask" not in k}, path)
    elif layout == "with a prefix":
        save_file({f"dinov2.{k}": v for k, v in hugging_face_weights("older").items()}, path)
    else:
        save_file(hugging_face_weights(layout), path)
    return path


@pytest.mark.parametrize("layout", ["Meta", "older", "newer", "without a mask token", "with a prefix"])
def test_features_equal_those_of_plain_torch(layout, tmp_path):
    torch.manual_seed(9)
    backbone = build_backbone(CONFIG).eval()
    record = load_backbone_weights(backbone, VARIANT, write(layout, tmp_path))
    assert record.publisher == ("Meta" if layout == "Meta" else "Hugging Face")
    image = torch.randn(2, 3, 16 * SIDE, 16 * SIDE)
    fed = functional.interpolate(image, size=(PATCH * SIDE,) * 2, mode="bilinear", antialias=True)
    with torch.no_grad():
        for ours, theirs in zip(backbone(image), layers(meta_weights(), fed), strict=True):
            assert theirs.std() > 0.1
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    token = backbone.dinov2.embeddings.mask_token
    assert token.any() == (layout != "without a mask token")


def test_weights_of_dinov3_are_refused(tmp_path):
    torch.save(meta_vit(VIT), tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match="of a vit backbone, expected those of a dinov2"):
        load_backbone_weights(build_backbone(CONFIG), VARIANT, tmp_path / "weights.pth")


def test_weights_for_other_patches_are_refused_and_change_nothing(tmp_path):
    weights = meta_weights() | {"patch_embed.proj.weight": torch.ones(WIDTH, 3, 16, 16)}
    torch.save(weights, tmp_path / "weights.pth")
    backbone = build_backbone(CONFIG)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"proj\.weight has shape \(32, 3, 16, 16\), expected"):
        load_backbone_weights(backbone, VARIANT, tmp_path / "weights.pth")
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


@pytest.mark.slow
def test_a_saved_model_has_the_newer_names_and_serves_as_a_source(tmp_path):
    config = VARIANTS["dinov2-small"].backbone
    model = DINOCell.from_variant("dinov2-small")
    folder = model.save_pretrained(tmp_path / "checkpoint")
    stored = load_file(folder / WEIGHTS_FILE)
    assert "backbone.dinov2.encoder.layer.11.attention.q_proj.bias" in stored
    again = build_backbone(config)
    load_backbone_weights(again, VARIANTS["dinov2-small"], folder)
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
