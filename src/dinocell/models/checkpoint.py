"""Checkpoint folders: ``config.json``, ``model.safetensors``, ``model.onnx``; written whole or not at all."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from dinocell.errors import CheckpointError, OutputError
from dinocell.io.hashes import hash_content
from dinocell.io.opening import read_whole
from dinocell.models.clicks import CLICK_FILE
from dinocell.models.configuration import ModelConfig
from dinocell.models.finding import CONFIG_FILE, find_checkpoint, trained_folder
from dinocell.models.variants import find_variant
from dinocell.settings import first_problem

WEIGHTS_FILE = "model.safetensors"

GRAPH_FILE = "model.onnx"
"""The network as ONNX, whose weights are those of `WEIGHTS_FILE`: see `dinocell.models.graph`."""


@dataclass(frozen=True)
class Checkpoint:
    """A model that is not loaded: an engine does that.

    Attributes
    ----------
    config : ModelConfig
    folder : Path or None
        None stands for a design with random weights.
    """

    config: ModelConfig
    folder: Path | None

    @classmethod
    def find(cls, name_or_path: str | Path) -> Self:
        """Find a trained model by name, or a checkpoint folder; errors as `DINOCell.from_pretrained`."""
        folder = find_checkpoint(name_or_path)
        return cls(read_config(folder), folder)

    @classmethod
    def untrained(cls, variant: str) -> Self:
        """Describe a variant with random weights.

        Raises
        ------
        UnknownModelError
            If it does not exist.
        """
        return cls(ModelConfig.of_variant(find_variant(variant)), None)

    @property
    def graph(self) -> Path | None:
        """File of the network as ONNX, where the checkpoint has one."""
        path = None if self.folder is None else self.folder / GRAPH_FILE
        return path if path is not None and path.is_file() else None

    @property
    def clicks(self) -> Path | None:
        """File of the decoder of clicks, where the checkpoint has one."""
        path = None if self.folder is None else self.folder / CLICK_FILE
        return path if path is not None and path.is_file() else None


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


def weights_file(folder: Path) -> Path:
    """Return the file of the weights of a checkpoint folder; raise CheckpointError if it is missing."""
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{folder} is not a checkpoint: {WEIGHTS_FILE} is missing. Copy the whole folder"
        )
    return path


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
