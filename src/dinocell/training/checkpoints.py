"""Checkpoints of a training run: ``last/`` to resume from, ``best_model/`` to use."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dinocell import __version__
from dinocell.errors import CheckpointError
from dinocell.io.readers.naming import distinct_names
from dinocell.models.checkpoint import previous_folder, read_config, replaced_folder
from dinocell.models.network.saved_weights import write_checkpoint
from dinocell.training.adaptation import merged
from dinocell.training.config import BEST_FOLDER, LAST_FOLDER, Dataset, TrainConfig
from dinocell.training.environment import describe_environment, write_environment
from dinocell.training.run_folder import add_row, create_run_folder, forget_later_rows, write_settings
from dinocell.training.saved_state import STATE_FILE, encode_state, restore_state
from dinocell.training.state import TrainingState


@dataclass(frozen=True)
class EpochRecord:
    """A row of ``metrics.csv``; loss and norm are means over the steps, validation over fixed crops."""

    epoch: int
    step: int
    learning_rate: float
    train_loss: float
    validation_loss: float
    validation_mse: float
    gradient_norm: float
    seconds: float

    def curves(self) -> dict[str, float]:
        """Return the numbers that are drawn over the steps, by the names of their curves."""
        return {
            "loss/training": self.train_loss,
            "loss/validation": self.validation_loss,
            "validation MSE": self.validation_mse,
            "learning rate": self.learning_rate,
            "gradient norm": self.gradient_norm,
        }


def prepare_training(config: TrainConfig, *, resume: bool) -> bool:
    """Create the run folder, and return whether it has a checkpoint to resume from.

    Raises
    ------
    OutputError
        If the folder holds a run and `resume` is False, or cannot be written.
    CheckpointError
        If its last checkpoint is missing or lacks the state of the training.
    """
    folder = config.output
    for name in (LAST_FOLDER, BEST_FOLDER):
        _recover(folder / name)
    create_run_folder(folder, (LAST_FOLDER, BEST_FOLDER), resume=resume)
    for left in folder.glob(".*.tmp-*"):  # of a run that was killed while it wrote
        left.unlink(missing_ok=True)
    last = folder / LAST_FOLDER
    if not (resume and last.exists()):
        _check_replaceable(folder / BEST_FOLDER)
        return False
    if not (last / STATE_FILE).is_file():
        raise CheckpointError(
            f"{last} has no {STATE_FILE} and cannot be resumed: copy the whole folder, "
            "or start anew in another output"
        )
    return True


def _check_replaceable(best: Path) -> None:
    """Raise where a new run would replace a model, unless it is one that a kill in the first epoch left."""
    if best.exists() and read_config(best).training.get("epoch") != 1:
        raise CheckpointError(
            f"{best} has no last beside it to go on from: bring that back, or start anew in another output"
        )


def open_training(state: TrainingState, config: TrainConfig, *, resume: bool) -> None:
    """Fill `state` from the last checkpoint when resuming, and write the settings.

    Raises
    ------
    CheckpointError
        If the last checkpoint is damaged or belongs to other settings.
    """
    folder = config.output
    if state.is_main:
        environment = describe_environment(config)
        state.data = _data(config, environment)
    if resume:
        restore_state(state, folder / LAST_FOLDER / STATE_FILE, _decisive_settings(config, state))
    if not state.is_main:
        return
    write_environment(folder, environment)
    write_settings(folder, config)
    forget_later_rows(folder, EpochRecord, state.epoch)


def save_checkpoints(state: TrainingState, config: TrainConfig, record: EpochRecord, *, best: bool) -> None:
    """Write the row and the checkpoints of an epoch; the checkpoint comes last, so no row is ever missing."""
    add_row(config.output, record)
    model = merged(state.averaged)
    model.config = model.config.model_copy(update={"training": _describe(config, state)})
    if best:
        model.folded().save_pretrained(config.output / BEST_FOLDER, graph=config.graph)
    encoded = encode_state(state, _decisive_settings(config, state))
    with replaced_folder(config.output / LAST_FOLDER) as temporary:
        write_checkpoint(temporary, model.config, model.state_dict())
        (temporary / STATE_FILE).write_bytes(encoded)


def _decisive_settings(config: TrainConfig, state: TrainingState) -> dict[str, Any]:
    """Select what a resumed run must share: not the paths, the length, the devices and the logs."""
    data = {"train", "validation", "output"}
    length = {"epochs", "patience"}
    settings = config.model_dump(
        mode="json", exclude=data | length | {"workers", "precision", "graph", "wandb", "start_from"}
    )
    settings["backbone"] |= {"weights": None, "mode": state.mode}
    return settings | state.data


def _data(config: TrainConfig, environment: dict[str, Any]) -> dict[str, Any]:
    """Return hashes and weights of the datasets, which do not depend on where they are."""
    return {
        part: [[found["sha256"], of.weight] for found, of in zip(environment[part], datasets, strict=True)]
        for part, datasets in (("train", config.train), ("validation", config.validation))
    }


def _recover(folder: Path) -> None:
    """Bring back the predecessor of a folder after a kill between the two renames that replace it."""
    old = previous_folder(folder)
    if old.is_dir() and not folder.exists():
        old.rename(folder)


def _describe(config: TrainConfig, state: TrainingState) -> dict[str, Any]:
    """Describe the training for the checkpoint: settings without this machine's paths, and the outcome."""
    settings = config.model_dump(
        mode="json", exclude={"train", "validation", "output", "start_from", "wandb"}
    )
    # The weights that the backbone began with are recorded by the checkpoint itself.
    del settings["backbone"]["weights"]
    settings["backbone"]["mode"] = state.mode
    return {
        "train": dict(zip(_names(config.train), (dataset.weight for dataset in config.train), strict=True)),
        "validation": _names(config.validation),
        "start_from": config.start_from.name if config.start_from else None,
        **settings,
        "epoch": state.epoch,
        "seconds": round(state.seconds),
        "best_validation_loss": state.best_loss,
        "dinocell": __version__,
        "torch": torch.__version__,
    }


def _names(datasets: Sequence[Dataset]) -> list[str]:
    """Name datasets after their folders; those of the same name get a number, so that none is lost."""
    return distinct_names([dataset.path.name for dataset in datasets], "dataset")
