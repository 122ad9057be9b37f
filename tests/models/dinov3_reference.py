"""DINOv3 written anew in plain torch, on state dicts in Meta's layout: what loading is compared with.

Random state dicts of any size, and the same weights in timm's layout, as small as tests want them.
"""

import math
import re

import torch
from torch import nn

PATCH = 16


def _norm(width):
    return {"weight": 1 + 0.2 * torch.randn(width), "bias": 0.2 * torch.randn(width)}


def _linear(rows, columns):
    return {"weight": torch.randn(rows, columns) / math.sqrt(columns), "bias": 0.3 * torch.randn(rows)}


def _flatten(tree, prefix=""):
    flat = {}
    for name, value in tree.items():
        key = f"{prefix}{name}"
        flat |= _flatten(value, f"{key}.") if isinstance(value, dict) else {key: value}
    return flat


def _below(weights, prefix):
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def meta_vit(config, *, seed=0):
    """Draw random weights of a ViT in Meta's layout, with the buffers its files have."""
    torch.manual_seed(seed)
    width, inner = config.hidden_size, config.intermediate_size
    quarter = width // config.heads // 4
    weights = {
        "cls_token": torch.randn(1, 1, width),
        "storage_tokens": torch.randn(1, config.register_tokens, width),
        "mask_token": torch.randn(1, width),
        "patch_embed.proj.weight": torch.randn(width, 3, PATCH, PATCH) / 28,
        "patch_embed.proj.bias": torch.randn(width),
        "rope_embed.periods": 100 ** (torch.arange(quarter) / quarter),
        **_flatten({"norm": _norm(width)}),
    }
    for number in range(config.depth):
        qkv = _linear(3 * width, width)
        if config.attention_bias:
            qkv["bias_mask"] = torch.ones(3 * width)
            qkv["bias_mask"][width : 2 * width] = 0  # the bias of keys is in the file, but not used
        else:
            del qkv["bias"]
        names = {"w1": (inner, width), "w2": (inner, width), "w3": (width, inner)}
        if not config.gated_mlp:
            names = {"fc1": (inner, width), "fc2": (width, inner)}
        block = {
            "norm1": _norm(width),
            "attn": {"qkv": qkv, "proj": _linear(width, width)},
            "ls1": {"gamma": torch.rand(width)},
            "norm2": _norm(width),
            "mlp": {name: _linear(*shape) for name, shape in names.items()},
            "ls2": {"gamma": torch.rand(width)},
        }
        weights |= _flatten(block, f"blocks.{number}.")
    return weights


def vit_layers(weights, heads, image):
    """Compute normalised patch features ``(B, C, H/16, W/16)`` after every block."""
    rows, columns = image.shape[2] // PATCH, image.shape[3] // PATCH
    patches = nn.functional.conv2d(
        image, weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"], PATCH
    )
    tokens = [weights["cls_token"], weights["storage_tokens"]]
    x = torch.cat([t.expand(len(image), -1, -1) for t in tokens] + [patches.flatten(2).mT], dim=1)
    prefix = x.shape[1] - rows * columns
    angles = _angles(rows, columns, weights["rope_embed.periods"])
    layers, width = [], x.shape[-1]
    depth = 1 + max(int(key.split(".")[1]) for key in weights if key.startswith("blocks."))
    for number in range(depth):
        w = _below(weights, f"blocks.{number}.")
        y = nn.functional.layer_norm(x, (width,), w["norm1.weight"], w["norm1.bias"], 1e-5)
        x = x + w["ls1.gamma"] * _attention(y, w, heads, angles, prefix)
        y = nn.functional.layer_norm(x, (width,), w["norm2.weight"], w["norm2.bias"], 1e-5)
        x = x + w["ls2.gamma"] * _mlp(y, w)
        y = nn.functional.layer_norm(x, (width,), weights["norm.weight"], weights["norm.bias"], 1e-5)
        layers.append(y[:, prefix:].mT.unflatten(2, (rows, columns)))
    return layers


def _angles(rows, columns, periods):
    """Compute the angle of every patch and channel pair: half of them for y, half for x, both in [-1, 1]."""
    y = (torch.arange(rows) + 0.5) / rows * 2 - 1
    x = (torch.arange(columns) + 0.5) / columns * 2 - 1
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).reshape(-1, 2, 1)
    return (2 * math.pi * grid / periods).flatten(1)


def _rotate(x, angles, prefix):
    """Turn the pairs (channel i, channel i + half) of the patch tokens."""
    a, b = x[:, :, prefix:].chunk(2, dim=-1)
    turned = torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], dim=-1)
    return torch.cat([x[:, :, :prefix], turned], dim=2)


def _attention(x, w, heads, angles, prefix):
    bias = w["attn.qkv.bias"] * w["attn.qkv.bias_mask"] if "attn.qkv.bias" in w else None
    joint = nn.functional.linear(x, w["attn.qkv.weight"], bias)
    q, k, v = joint.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    q, k = _rotate(q, angles, prefix), _rotate(k, angles, prefix)
    share = torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), dim=-1)
    return nn.functional.linear(
        (share @ v).transpose(1, 2).flatten(2), w["attn.proj.weight"], w["attn.proj.bias"]
    )


def _mlp(x, w):
    def apply(name, values):
        return nn.functional.linear(values, w[f"mlp.{name}.weight"], w[f"mlp.{name}.bias"])

    if "mlp.w1.weight" in w:
        return apply("w3", nn.functional.silu(apply("w1", x)) * apply("w2", x))
    return apply("fc2", nn.functional.gelu(apply("fc1", x)))


def timm_vit(meta):
    """Rename the weights as timm stores them, in its ``_qkvb`` variants."""
    weights = {}
    for key, value in meta.items():
        if key in ("mask_token", "rope_embed.periods") or key.endswith("bias_mask"):
            continue
        if key.endswith("qkv.bias"):
            q, _, v = value.chunk(3)
            weights[key.replace("qkv.bias", "q_bias")] = q
            weights[key.replace("qkv.bias", "v_bias")] = v
            continue
        name = key.replace("storage_tokens", "reg_token")
        name = re.sub(r"ls(\d)\.gamma", r"gamma_\1", name)
        name = name.replace("mlp.w1", "mlp.fc1_g").replace("mlp.w2", "mlp.fc1_x").replace("mlp.w3", "mlp.fc2")
        weights[name] = value
    return weights


def meta_convnext(config, *, seed=0):
    """Draw random weights of a ConvNeXt in Meta's layout, its final norm twice as in its files."""
    torch.manual_seed(seed)
    weights, before = {}, 3
    for stage, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
        size = 4 if stage == 0 else 2
        conv = {
            "weight": torch.randn(width, before, size, size) / math.sqrt(before),
            "bias": torch.randn(width),
        }
        pair = (conv, _norm(width)) if stage == 0 else (_norm(before), conv)
        weights |= _flatten({"0": pair[0], "1": pair[1]}, f"downsample_layers.{stage}.")
        for number in range(depth):
            block = {
                "dwconv": {"weight": torch.randn(width, 1, 7, 7) / 7, "bias": torch.randn(width)},
                "norm": _norm(width),
                "pwconv1": _linear(4 * width, width),
                "pwconv2": _linear(width, 4 * width),
                "gamma": torch.rand(width),
            }
            weights |= _flatten(block, f"stages.{stage}.{number}.")
        before = width
    norm = _norm(before)
    return weights | _flatten({"norm": norm, "norms": {"3": norm}})


def convnext_stages(weights, depths, image):
    """Compute the output ``(B, C, H/s, W/s)`` of every stage."""
    x, stages = image, []
    for stage, depth in enumerate(depths):
        w = _below(weights, f"downsample_layers.{stage}.")
        if stage == 0:
            x = _norm_channels(
                nn.functional.conv2d(x, w["0.weight"], w["0.bias"], 4), w["1.weight"], w["1.bias"]
            )
        else:
            x = nn.functional.conv2d(
                _norm_channels(x, w["0.weight"], w["0.bias"]), w["1.weight"], w["1.bias"], 2
            )
        for number in range(depth):
            w = _below(weights, f"stages.{stage}.{number}.")
            y = nn.functional.conv2d(x, w["dwconv.weight"], w["dwconv.bias"], padding=3, groups=x.shape[1])
            y = _norm_channels(y, w["norm.weight"], w["norm.bias"]).movedim(1, -1)
            y = nn.functional.gelu(nn.functional.linear(y, w["pwconv1.weight"], w["pwconv1.bias"]))
            y = nn.functional.linear(y, w["pwconv2.weight"], w["pwconv2.bias"]) * w["gamma"]
            x = x + y.movedim(-1, 1)
        stages.append(x)
    return stages


def _norm_channels(x, weight, bias):
    return nn.functional.layer_norm(x.movedim(1, -1), (x.shape[1],), weight, bias, 1e-6).movedim(-1, 1)


def timm_convnext(meta):
    """Rename the weights as timm stores them."""
    weights = {}
    for key, value in meta.items():
        if key.startswith("norms."):
            continue
        name = re.sub(r"^stages\.(\d)\.(\d+)", r"stages.\1.blocks.\2", key)
        name = re.sub(r"^downsample_layers\.0", "stem", name)
        name = re.sub(r"^downsample_layers\.(\d)", r"stages.\1.downsample", name)
        name = name.replace("dwconv", "conv_dw").replace("pwconv", "mlp.fc")
        weights[re.sub(r"^norm\.", "head.norm.", name)] = value
    return weights
