"""Weights of a network in a checkpoint folder: written, and read back if they fit it."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from dinocell.errors import CheckpointError, name_few
from dinocell.models.checkpoint import WEIGHTS_FILE, weights_file, write_config
from dinocell.models.configuration import ModelConfig
from dinocell.models.finding import CONFIG_FILE
from dinocell.models.network.backbone import published_name

_SLACK = 2**26  # weights that may be missing in a file that is cut short, whose damage is found on reading


def check_weights_size(folder: Path, model: nn.Module) -> None:
    """Raise for a network, built without memory, whose weights are far more than its file has bytes."""
    path = weights_file(folder)
    weights, size = sum(value.numel() for value in model.parameters()), path.stat().st_size
    if weights > size + _SLACK:
        raise CheckpointError(
            f"{path} does not fit its {CONFIG_FILE}: that describes {weights} weights, but the file has "
            f"{size} bytes. Both must come from one save"
        )


def read_weights(folder: Path, model: nn.Module) -> dict[str, Tensor]:
    """Read the weights of a checkpoint folder; raise where one is missing, damaged or unfit."""
    path = weights_file(folder)
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or not safetensors ({error}). Copy or save the model again"
        ) from error
    weights = {published_name(key): value for key, value in weights.items()}
    ours = {published_name(key): key for key in model.state_dict()}
    problems = list(
        _mismatches(weights, {published: model.state_dict()[key] for published, key in ours.items()})
    )
    if problems:
        raise CheckpointError(
            f"{path} does not fit its {CONFIG_FILE}: {'; '.join(problems)}. Both must come from one save"
        )
    if unusable := unusable_weights(weights):
        raise CheckpointError(
            f"{path} holds {len(weights)} weights, of them {unusable}, expected finite floating-point "
            "numbers: its training went astray or the file is damaged; take another checkpoint"
        )
    return {ours[key]: value.float() for key, value in weights.items()}


def unusable_weights(weights: Mapping[str, Tensor]) -> str:
    """Describe which tensors hold what no network computes with; empty where all are sound.

    Parameters
    ----------
    weights : mapping of str to tensor
        By their published names.
    """
    counting = [key for key, value in weights.items() if not value.is_floating_point()]
    infinite = [
        key
        for key, value in weights.items()
        if value.is_floating_point() and not np.isfinite(value.float().numpy()).all()
    ]
    found = {"not of floating-point numbers": counting, "with NaN or infinite values": infinite}
    return "; ".join(_named(keys, what) for what, keys in found.items() if keys)


def _mismatches(found: dict[str, Tensor], expected: dict[str, Tensor]) -> Iterator[str]:
    """Describe which keys are missing, unexpected, or of another shape."""
    wrong = [k for k in expected.keys() & found.keys() if found[k].shape != expected[k].shape]
    for what, keys in (
        ("missing", expected.keys() - found.keys()),
        ("unexpected", found.keys() - expected.keys()),
        ("of another shape", wrong),
    ):
        if keys:
            yield _named(keys, what)


def _named(keys: Collection[str], what: str) -> str:
    return f"{len(keys)} {what} ({name_few(sorted(keys), most=3)})"


def write_checkpoint(
    folder: Path,
    config: ModelConfig,
    weights: Mapping[str, Tensor],
    *,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write configuration and weights into an existing folder; the weights are stored as `dtype`."""
    stored = {
        published_name(key): value.detach().to("cpu", dtype).contiguous() for key, value in weights.items()
    }
    # Through memory: a full disk is then an OSError, and the file gets the usual permissions.
    (folder / WEIGHTS_FILE).write_bytes(save(stored, metadata={"format": "pt"}))
    write_config(folder / CONFIG_FILE, config)
