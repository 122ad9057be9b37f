"""Weights of a backbone, from wherever people have them: Hugging Face, a folder, or a file."""

import logging
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dinocell.errors import CheckpointError, FileMissingError, InputError
from dinocell.io.hashes import hash_content
from dinocell.models.configuration import WeightsRecord
from dinocell.models.hub import INDEX_FILE, fetch_folder, is_hub_id, shards
from dinocell.models.network.backbone import Backbone
from dinocell.models.network.conversion import convert
from dinocell.models.variants import Variant

logger = logging.getLogger(__name__)

PRETRAINED = "pretrained"
"""Stands for the variant's own published weights."""

SUFFIXES = (".safetensors", ".pth", ".pt")

# What damaged files end in: torch trusts what it reads.
_UNREADABLE = (
    RuntimeError, OSError, EOFError, ValueError, KeyError, IndexError, AttributeError, AssertionError,
    TypeError,
)  # fmt: skip

_FILE_SUFFIXES = (*SUFFIXES, ".bin", ".ckpt", ".npz", ".tar", ".gz", ".zip")
"""Endings of files; a text with one of them is not the name of a repository."""


def load_backbone_weights(backbone: Backbone, variant: Variant, source: str | Path) -> WeightsRecord:
    """Fill a backbone with published weights.

    Parameters
    ----------
    backbone : Backbone
        Built from the variant; changed in place, whole or not at all.
    variant : Variant
    source : str or Path
        ``pretrained`` (the variant's own), a Hugging Face id, a folder with ``.safetensors``, or a
        ``.safetensors``, ``.pth`` or ``.pt`` file; in the layout of Meta, timm, Hugging Face or DINOCell.

    Returns
    -------
    WeightsRecord

    Raises
    ------
    FileMissingError
        If there is nothing of that name.
    DownloadError
        If a Hugging Face id cannot be fetched.
    CheckpointError
        If the files are damaged or do not fit the variant.
    InputError
        If the variant has no published weights.
    """
    name = _name_of(variant, source)
    hashes = fetch_weights(variant, source)
    tensors: dict[str, Tensor] = {}
    for file in hashes:
        tensors |= _read_tensors(file)
    own = backbone.published_names()
    expected = {ours: backbone.state_dict()[key] for ours, key in own.items()}
    kind = variant.backbone.kind
    try:
        publisher, weights = convert(tensors, expected, kind, rope_periods=backbone.rope_periods)
    except CheckpointError as error:
        raise CheckpointError(f"{name} does not fit {variant.name!r} ({variant.title}): {error}") from error
    backbone.load_state_dict({own[ours]: weights.get(ours, expected[ours]) for ours in own}, strict=True)
    logger.info("backbone weights: %s, %s's layout", name, publisher)
    local = Path(name).expanduser()
    return WeightsRecord(
        source=local.name if local.exists() else name,
        publisher=publisher,
        sha256={file.name: digest for file, digest in hashes.items()},
        licence=_licence_of(variant, name),
    )


def _name_of(variant: Variant, source: str | Path) -> str:
    """Resolve ``pretrained``."""
    if str(source) != PRETRAINED:
        return str(source)
    if not variant.sources:
        raise InputError(
            f"the backbone of {variant.name!r} has no published weights: leave the weights out, "
            "or give a folder of `dinocell pretrain`"
        )
    return variant.sources[0]


def _licence_of(variant: Variant, name: str) -> str:
    """Return the licence of the weights where it is known: a file may hold anybody's."""
    return variant.licence if name in variant.sources else "that of the source"


def fetch_weights(variant: Variant, source: str | Path = PRETRAINED) -> dict[Path, str]:
    """Find the files of published weights, download them if need be, and check them.

    Parameters
    ----------
    variant : Variant
    source : str or Path
        As `load_backbone_weights` takes it.

    Returns
    -------
    dict of Path to str
        SHA-256 by file, compared with what the name states: the Hugging Face cache names files by it,
        Meta's names end with its first eight digits.

    Raises
    ------
    DINOCellError
        As `load_backbone_weights`.
    """
    return {file: _check_hash(file) for file in _find_files(_name_of(variant, source), variant)}


def _find_files(name: str, variant: Variant) -> list[Path]:
    """Find the weight files that a file, a folder or a Hugging Face id stands for."""
    path = Path(name).expanduser()
    if path.is_file():
        return [path]
    if name.strip() and path.is_dir():
        return _files_of(path)
    # The first part of a mistyped path is mostly a folder that is there.
    if is_hub_id(name) and not path.parent.is_dir() and path.suffix.lower() not in _FILE_SUFFIXES:
        return _files_of(fetch_folder(name, licence=_licence_of(variant, name)))
    raise FileMissingError(
        f"weights {name!r} are neither a file nor a folder here, nor a Hugging Face id"
        f"{f' such as {variant.sources[0]}' if variant.sources else ''}: check the path"
    )


def _files_of(folder: Path) -> list[Path]:
    """Find the shards that an index lists, or the only weight file."""
    if files := shards(folder):
        return files
    if any(re.search(r"-\d+-of-\d+\.", file.name) for file in folder.glob("*.safetensors")):
        raise CheckpointError(
            f"{folder} holds parts of weights without their index: copy {INDEX_FILE} as well"
        )
    for pattern in ("model.safetensors", *(f"*{suffix}" for suffix in SUFFIXES)):
        files = sorted(folder.glob(pattern))
        if len(files) == 1:
            return files
        if files:
            listed = ", ".join(file.name for file in files)
            raise CheckpointError(f"{folder} holds several weight files ({listed}): give one of them")
    raise CheckpointError(f"{folder} holds no weights: expected a file ending in {', '.join(SUFFIXES)}")


def _check_hash(path: Path) -> str:
    """Hash a file, and compare with the hash that its name states."""
    try:
        digest = hash_content(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}. Download it again") from error
    blob = path.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", blob.name) and blob.name != digest:
        raise CheckpointError(f"{path} is damaged, its SHA-256 is {digest}: delete {blob} and load it again")
    stated = re.fullmatch(r".*-([0-9a-f]{8})\.pth", path.name)
    if stated and not digest.startswith(stated[1]):
        logger.warning(
            "the SHA-256 of %s begins with %s, but its name says %s: it may be damaged",
            path,
            digest[:8],
            stated[1],
        )
    return digest


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file; nothing is unpickled but tensors."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors, or is not a PyTorch file; it was not opened, because such "
            "files can run any program. Expected weights alone, best as .safetensors"
        ) from error
    except (SafetensorError, *_UNREADABLE) as error:
        raise CheckpointError(f"{path} is damaged or holds no weights: download it again") from error
    return _tensors_in(content)


def _tensors_in(content: Any, prefix: str = "") -> dict[str, Tensor]:
    """Take the tensors out of what a file holds; training codes keep them below other names."""
    if not isinstance(content, dict):
        return {}
    tensors: dict[str, Tensor] = {}
    for key, value in content.items():
        if isinstance(value, Tensor):
            tensors[f"{prefix}{key}"] = value
        else:
            tensors |= _tensors_in(value, f"{prefix}{key}.")
    return tensors
