"""Checkpoint folders: ``config.json`` and ``model.safetensors``, written whole or not at all."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from dinocell.errors import CheckpointError, OutputError, name_few
from dinocell.io.hashes import hash_content
from dinocell.io.opening import read_whole
from dinocell.models.configuration import ModelConfig
from dinocell.models.finding import CONFIG_FILE, trained_folder
from dinocell.models.network.backbone import published_name
from dinocell.settings import first_problem

_SLACK = 2**26  # weights that may be missing in a file that is cut short, whose damage is found on reading

WEIGHTS_FILE = "model.safetensors"


def read_config(folder: Path) -> ModelConfig:
    """Read the ``config.json`` of a checkpoint folder.

    Raises
    ------
    CheckpointError
        If it is missing, not JSON, or has keys or values that do not belong.
    """
    path = folder / CONFIG_FILE
    try:
        return ModelConfig.model_validate_json(read_whole(path))
    except OSError as error:
        raise CheckpointError(
            f"{folder} is not a checkpoint: {CONFIG_FILE} cannot be read ({error.strerror}). "
            f"Expected a folder with {CONFIG_FILE} and {WEIGHTS_FILE}"
        ) from error
    except ValidationError as error:
        raise CheckpointError(
            f"{path} is not a DINOCell configuration: {first_problem(error)}. Save the model again"
        ) from error


def check_weights_size(folder: Path, model: nn.Module) -> None:
    """Raise for a network, built without memory, whose weights are far more than its file has bytes."""
    path = _weights_file(folder)
    weights, size = sum(value.numel() for value in model.parameters()), path.stat().st_size
    if weights > size + _SLACK:
        raise CheckpointError(
            f"{path} does not fit its {CONFIG_FILE}: that describes {weights} weights, but the file has "
            f"{size} bytes. Both must come from one save"
        )


def _weights_file(folder: Path) -> Path:
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{folder} is not a checkpoint: {WEIGHTS_FILE} is missing. Copy the whole folder"
        )
    return path


def read_weights(folder: Path, model: nn.Module) -> dict[str, Tensor]:
    """Read the weights of a checkpoint folder; raise where one is missing, damaged or unfit."""
    path = _weights_file(folder)
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


def hash_checkpoint(folder: Path) -> str:
    """Compute the SHA-256 of a checkpoint: of its configuration, then its weights.

    Raises
    ------
    CheckpointError
        If a file is missing or cannot be read.
    """
    digest = hashlib.sha256()
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        try:
            digest.update(bytes.fromhex(hash_content(folder / name)))
        except OSError as error:
            raise CheckpointError(
                f"{folder} is not a checkpoint: {name} cannot be read ({error.strerror}). "
                "Copy the whole folder"
            ) from error
    return digest.hexdigest()


def is_trained(name: str) -> bool:
    """Return whether trained weights of a variant ship with this package, or with one that adds them."""
    folder = trained_folder(name)
    return folder is not None and read_config(folder).trained


def write_checkpoint(
    folder: Path,
    config: ModelConfig,
    weights: Mapping[str, Tensor],
    *,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write the two files of a checkpoint into an existing folder; the weights are stored as `dtype`."""
    stored = {
        published_name(key): value.detach().to("cpu", dtype).contiguous() for key, value in weights.items()
    }
    # Through memory: a full disk is then an OSError, and the file gets the usual permissions.
    (folder / WEIGHTS_FILE).write_bytes(save(stored, metadata={"format": "pt"}))
    write_config(folder / CONFIG_FILE, config)


def write_config(path: Path, config: ModelConfig) -> None:
    """Write a configuration as JSON."""
    text = json.dumps(config.model_dump(mode="json"), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


@contextlib.contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Fill a folder under a temporary name and put it in place when it is complete.

    A reader finds the old folder, the new one, or (for the moment between two renames, or after a kill there)
    the old one under ``.NAME.old``; never a half-written one.

    Parameters
    ----------
    path : Path
        The final folder; an existing checkpoint is replaced, any other folder with files in it is refused.

    Yields
    ------
    Path
        An empty folder beside it.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    if path.exists() and not (path / CONFIG_FILE).is_file() and any(path.iterdir()):
        raise OutputError(f"{path} holds other files: choose a new or empty folder for the checkpoint")
    temporary, old = path.with_name(f".{path.name}.tmp"), previous_folder(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
        temporary.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"cannot write folder {path}: {error.strerror or error}. Choose a folder you may write to"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def previous_folder(path: Path) -> Path:
    """Return where `replaced_folder` keeps the old folder while it puts the new one in place."""
    return path.with_name(f".{path.name}.old")
