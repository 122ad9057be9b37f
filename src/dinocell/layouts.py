"""Published layouts of DINOv3 weights: Meta's ``.pth``, timm's and Hugging Face's ``.safetensors``.

They hold the same tensors under other names, some of them joined. Our own names are Hugging Face's.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dinocell.errors import CheckpointError

ROPE_BASE = 100.0

OPTIONAL = ("embeddings.mask_token",)
"""Ours that a file may lack: only pretraining uses them."""

Names = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Layout:
    """How a publisher names the weights of one kind of backbone.

    Attributes
    ----------
    publisher : str
    kind : {"vit", "convnext"}
    mark : str
        A name that only this layout has.
    names : tuple of pairs
        Regular expressions that turn our names into theirs, in order.
    ignored : str
        Regular expression of what else may be in the file: buffers, and weights that only pretraining uses.
    """

    publisher: str
    kind: str
    mark: str
    names: Names = ()
    ignored: str = ""

    def published_name(self, ours: str) -> str:
        """Name of one of our tensors in this layout."""
        for pattern, replacement in self.names:
            ours = re.sub(pattern, replacement, ours)
        return ours


_VIT_NAMES: Names = (
    (r"^embeddings\.(cls|mask)_token", r"\1_token"),
    (r"^embeddings\.patch_embeddings", "patch_embed.proj"),
    (r"^layer\.", "blocks."),
    (r"attention\.o_proj", "attn.proj"),
)

# A SwiGLU has three matrices, so `gate_proj` comes with an `up_proj` of another name than in a plain MLP: the
# caller marks it as `gated_up_proj` and `gated_down_proj`.
LAYOUTS = (
    Layout(
        "Meta",
        "vit",
        "blocks.0.ls1.gamma",
        (
            *_VIT_NAMES,
            (r"^embeddings\.register_tokens", "storage_tokens"),
            (r"attention\.[qkv]_proj", "attn.qkv"),
            (r"layer_scale(\d)\.lambda1", r"ls\1.gamma"),
            (r"mlp\.gate_proj", "mlp.w1"),
            (r"mlp\.gated_up_proj", "mlp.w2"),
            (r"mlp\.gated_down_proj", "mlp.w3"),
            (r"mlp\.up_proj", "mlp.fc1"),
            (r"mlp\.down_proj", "mlp.fc2"),
        ),
        r"rope_embed\.periods|blocks\.\d+\.attn\.qkv\.bias_mask|local_cls_norm\.\w+",
    ),
    Layout(
        "timm",
        "vit",
        "blocks.0.gamma_1",
        (
            *_VIT_NAMES,
            (r"^embeddings\.register_tokens", "reg_token"),
            (r"attention\.([qv])_proj\.bias", r"attn.\1_bias"),
            (r"attention\.[qkv]_proj", "attn.qkv"),
            (r"layer_scale(\d)\.lambda1", r"gamma_\1"),
            (r"mlp\.gate_proj", "mlp.fc1_g"),
            (r"mlp\.gated_up_proj", "mlp.fc1_x"),
            (r"mlp\.gated_down_proj", "mlp.fc2"),
            (r"mlp\.up_proj", "mlp.fc1"),
            (r"mlp\.down_proj", "mlp.fc2"),
        ),
    ),
    Layout(
        "Hugging Face",
        "vit",
        "layer.0.layer_scale1.lambda1",
        ((r"mlp\.gated_", "mlp."),),
        r"rope_embeddings\.\w+",
    ),
    Layout(
        "Meta",
        "convnext",
        "stages.0.0.dwconv.weight",
        (
            (r"^stages\.(\d+)\.downsample_layers", r"downsample_layers.\1"),
            (r"^stages\.(\d+)\.layers", r"stages.\1"),
            (r"depthwise_conv", "dwconv"),
            (r"pointwise_conv", "pwconv"),
            (r"layer_norm", "norm"),
        ),
        r"norms?\.(3\.)?(weight|bias)",
    ),
    Layout(
        "timm",
        "convnext",
        "stages.0.blocks.0.conv_dw.weight",
        (
            (r"^stages\.0\.downsample_layers", "stem"),
            (r"^stages\.(\d+)\.downsample_layers", r"stages.\1.downsample"),
            (r"^stages\.(\d+)\.layers", r"stages.\1.blocks"),
            (r"depthwise_conv", "conv_dw"),
            (r"pointwise_conv", "mlp.fc"),
            (r"layer_norm", "norm"),
        ),
        r"head\.norm\.(weight|bias)",
    ),
    Layout(
        "Hugging Face",
        "convnext",
        "stages.0.layers.0.depthwise_conv.weight",
        ignored=r"layer_norm\.(weight|bias)",
    ),
)


def convert(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], kind: str
) -> tuple[str, dict[str, Tensor]]:
    """Rename published weights.

    Parameters
    ----------
    tensors : mapping of str to tensor
        In any known layout, with any prefix.
    expected : mapping of str to tensor
        The weights of the backbone they must fit, under our names.
    kind : {"vit", "convnext"}
        Of that backbone.

    Returns
    -------
    publisher : str
        Whose layout it is.
    weights : dict of str to float32 tensor
        Under our names, with the shapes of `expected`; the keys of `OPTIONAL` only where the file has them.

    Raises
    ------
    CheckpointError
        If the layout is unknown or another kind's, or weights are missing, unexpected, of another shape, or
        not what DINOv3 has.
    """
    tensors = {re.sub(r"\bmodel\.(layer|stages)\.", r"\1.", key): value for key, value in tensors.items()}
    layout, prefix = _recognise(tensors)
    if layout.kind != kind:
        raise CheckpointError(f"these are weights of a {layout.kind} backbone, expected those of a {kind}")
    found = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    theirs = {ours: layout.published_name(name) for ours, name in _mark_gated(expected).items()}
    _refuse_other_keys(found, theirs, layout)
    _check_positions(found.get("rope_embed.periods"))
    weights = {}
    for ours, name in theirs.items():
        if name in found:
            weights[ours] = _take(found, name, ours)
    _refuse_other_shapes(weights, expected, theirs)
    return layout.publisher, {key: value.reshape(expected[key].shape) for key, value in weights.items()}


def _mark_gated(keys: Iterable[str]) -> dict[str, str]:
    """Tell the matrices of a SwiGLU from those of a plain MLP."""
    keys = list(keys)
    if not any("gate_proj" in key for key in keys):
        return {key: key for key in keys}
    return {key: re.sub(r"mlp\.(up|down)_proj", r"mlp.gated_\1_proj", key) for key in keys}


def _recognise(tensors: Mapping[str, Tensor]) -> tuple[Layout, str]:
    """Find the layout by its mark, and the prefix before it."""
    for layout in LAYOUTS:
        for key in tensors:
            if key == layout.mark or key.endswith(f".{layout.mark}"):
                return layout, key.removesuffix(layout.mark)
    raise CheckpointError(
        f"these are no DINOv3 weights of Meta, timm or Hugging Face; the names are {summarise(tensors)}"
    )


def _refuse_other_keys(found: Mapping[str, Tensor], theirs: Mapping[str, str], layout: Layout) -> None:
    """Say which keys are missing and which do not belong."""
    optional = {theirs[key] for key in OPTIONAL if key in theirs}
    missing = set(theirs.values()) - found.keys() - optional
    other = [key for key in found.keys() - set(theirs.values()) if not re.fullmatch(layout.ignored, key)]
    problems = [f"missing {summarise(missing)}"] if missing else []
    problems += [f"unexpected {summarise(other)}"] if other else []
    if not problems:
        return
    hint = ""
    if any(key.endswith("attn.q_bias") for key in missing):
        hint = ". timm's files without _qkvb in their name lack these biases: take the one with it"
    raise CheckpointError(f"weights in {layout.publisher}'s layout do not fit: {'; '.join(problems)}{hint}")


def summarise(keys: Iterable[str]) -> str:
    """List keys, those that differ only in a number as one: ``blocks.*.norm1.bias (12)``."""
    counts = Counter(re.sub(r"\b\d+\b", "*", key) for key in sorted(keys))
    return ", ".join(f"{key} ({count})" if count > 1 else key for key, count in counts.items()) or "none"


def _check_positions(periods: Tensor | None) -> None:
    """Refuse rotary positions that are not DINOv3's."""
    if periods is None:
        return
    exponents = torch.arange(len(periods), dtype=torch.float32) / len(periods)
    if not torch.allclose(periods.float(), ROPE_BASE**exponents, rtol=0.01):  # bfloat16 rounds by 0.4 %
        raise CheckpointError(
            f"rope_embed.periods are not those of rotary positions with base {ROPE_BASE:g}, which DINOv3 has"
        )


def _take(found: Mapping[str, Tensor], name: str, ours: str) -> Tensor:
    """Read a tensor; of a joint ``qkv``, the third that `ours` names."""
    tensor = found[name].float()
    if ".qkv." not in name:
        return tensor
    if (mask := found.get(f"{name}_mask")) is not None:
        tensor = tensor * mask  # Meta masks the bias of keys in the forward pass, not in the file
    if len(tensor) % 3:
        raise CheckpointError(f"{name} has {len(tensor)} rows, expected queries, keys and values of one size")
    parts = dict(zip("qkv", tensor.chunk(3), strict=True))
    if name.endswith(".bias") and parts["k"].any():
        raise CheckpointError(f"{name} has a bias for keys, which DINOv3 has not")
    return parts[ours.rsplit("_proj", 1)[0][-1]]


def _refuse_other_shapes(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], theirs: Mapping[str, str]
) -> None:
    # Tokens may come without one of their axes of length 1.
    wrong = [key for key in weights if weights[key].squeeze().shape != expected[key].squeeze().shape]
    if wrong:
        first = wrong[0]
        raise CheckpointError(
            f"{len(wrong)} weights have another shape; {theirs[first]}: {tuple(weights[first].shape)}, "
            f"expected {tuple(expected[first].shape)}"
        )
