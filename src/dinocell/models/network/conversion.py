"""Conversion of published weights: recognised by their names, renamed, and checked to fit."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from dinocell.errors import CheckpointError
from dinocell.models.network.backbone import published_name
from dinocell.models.network.layouts import LAYOUTS, Layout

ROPE_BASE = 100.0

OPTIONAL = ("embeddings.mask_token",)
"""Ours that a file may lack: only pretraining uses them."""


def convert(
    tensors: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    kind: str,
    *,
    rope_periods: int | None = None,
) -> tuple[str, dict[str, Tensor]]:
    """Rename published weights.

    Parameters
    ----------
    tensors : mapping of str to tensor
        In any known layout, with any prefix.
    expected : mapping of str to tensor
        The weights of the backbone they must fit, under our names.
    kind : str
        Of that backbone.
    rope_periods : int, optional
        How many periods its rotary positions have: a quarter of the width of an attention head.

    Returns
    -------
    publisher : str
        Whose layout it is.
    weights : dict of str to float32 tensor
        Under our names, with the shapes of `expected`; the keys of `OPTIONAL` only where the file has them.

    Raises
    ------
    CheckpointError
        If the layout is unknown or another kind's, there are several backbones, or weights are missing,
        unexpected, of another shape, not finite numbers, or not what the kind has.
    """
    known = any(layout.kind == kind for layout in LAYOUTS)
    # A backbone that nobody has published is saved under our names alone: any of them is its mark.
    layouts = LAYOUTS if known else (*LAYOUTS, Layout("DINOCell", kind, max(expected, key=len)))
    layout, prefix = _recognise(tensors, layouts)
    if layout.kind != kind:
        raise CheckpointError(f"these are weights of a {layout.kind} backbone, expected those of a {kind}")
    found = {
        published_name(re.sub(r"^model\.(layer|stages)\.", r"\1.", key.removeprefix(prefix))): value
        for key, value in tensors.items()
        if key.startswith(prefix)
    }
    theirs = {ours: layout.published_name(name) for ours, name in _mark_gated(expected).items()}
    _check_keys(found, theirs, layout)
    _check_positions(found.get("rope_embed.periods"), rope_periods)
    names = {ours: name for ours, name in theirs.items() if name in found}
    _check_shapes(found, expected, names)
    weights = {ours: _take(found, name, ours).reshape(expected[ours].shape) for ours, name in names.items()}
    if kind == "vit":
        _check_biases_of_keys(found)
    broken = [names[ours] for ours, value in weights.items() if not value.isfinite().all()]
    if broken:
        raise CheckpointError(f"NaN or infinite numbers in {summarise(broken)}")
    return layout.publisher, weights


def _mark_gated(keys: Iterable[str]) -> dict[str, str]:
    """Rename the matrices of a SwiGLU, so that they are not taken for those of a plain MLP."""
    keys = list(keys)
    if not any("gate_proj" in key for key in keys):
        return {key: key for key in keys}
    return {key: re.sub(r"mlp\.(up|down)_proj", r"mlp.gated_\1_proj", key) for key in keys}


def _recognise(tensors: Mapping[str, Tensor], layouts: Iterable[Layout]) -> tuple[Layout, str]:
    """Find the layout by its mark, and the prefix before it."""
    for layout in layouts:
        prefixes = [
            key.removesuffix(layout.mark)
            for key in tensors
            if key == layout.mark or key.endswith(f".{layout.mark}")
        ]
        if prefixes:
            return layout, _choose(prefixes)
    raise CheckpointError(
        f"these are not weights of Meta, timm, Hugging Face or DINOCell; the names are {summarise(tensors)}"
    )


def _choose(prefixes: list[str]) -> str:
    """Choose among several copies of a backbone the averaged one, which is what training is for."""
    averaged = [prefix for prefix in prefixes if re.search(r"teacher|ema", prefix)]
    chosen = averaged if len(averaged) == 1 else prefixes
    if len(chosen) > 1:
        listed = ", ".join(repr(prefix) for prefix in prefixes)
        raise CheckpointError(
            f"several backbones are in it, under {listed}: save the one you want on its own"
        )
    return chosen[0]


def _check_keys(found: Mapping[str, Tensor], theirs: Mapping[str, str], layout: Layout) -> None:
    """Describe which keys are missing and which do not belong."""
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


def _check_positions(periods: Tensor | None, count: int | None) -> None:
    """Raise for rotary positions that are not DINOv3's, or another number of attention heads."""
    if periods is None or count is None:
        return
    if periods.shape != (count,):
        raise CheckpointError(
            f"rope_embed.periods has shape {tuple(periods.shape)}, expected ({count},): "
            "the weights have another number of attention heads"
        )
    exponents = torch.arange(count, dtype=torch.float32) / count
    if not torch.allclose(periods.float(), ROPE_BASE**exponents, rtol=0.01):  # bfloat16 rounds by 0.4 %
        raise CheckpointError(
            f"rope_embed.periods are not those of rotary positions with base {ROPE_BASE:g}, as DINOv3 has"
        )


def _check_shapes(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], names: Mapping[str, str]
) -> None:
    for ours, name in names.items():
        tensor, shape = found[name], expected[ours].shape
        if ".qkv." in name:
            shape = torch.Size((3 * shape[0], *shape[1:]))
        if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.is_meta:
            raise CheckpointError(
                f"{name} is not a plain tensor of floats but {tensor.dtype}, {tensor.layout}"
            )
        # Tokens may come without one of their axes of length 1.
        if tensor.squeeze().shape != torch.empty(shape, device="meta").squeeze().shape:
            raise CheckpointError(f"{name} has shape {tuple(tensor.shape)}, expected {tuple(shape)}")


def _take(found: Mapping[str, Tensor], name: str, ours: str) -> Tensor:
    """Read a tensor; of a joint ``qkv``, the third that `ours` names."""
    tensor = found[name].float()
    if ".qkv." not in name:
        return tensor
    return dict(zip("qkv", _masked(found, name).chunk(3), strict=True))[ours.rsplit("_proj", 1)[0][-1]]


def _masked(found: Mapping[str, Tensor], name: str) -> Tensor:
    """Read a joint ``qkv``; Meta masks the bias of keys in the forward pass, not in the file."""
    tensor, mask = found[name].float(), found.get(f"{name}_mask")
    return tensor * mask if mask is not None and mask.shape == tensor.shape else tensor


def _check_biases_of_keys(found: Mapping[str, Tensor]) -> None:
    """Raise for a bias of keys in a joint ``qkv``."""
    for name in found:
        if name.endswith(".qkv.bias") and _masked(found, name).chunk(3)[1].any():
            raise CheckpointError(f"{name} has a bias for keys, which DINOv3 has not")
