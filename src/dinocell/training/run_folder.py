"""What a training run keeps on disk: ``config.yaml``, ``metrics.csv``, ``last/`` and ``best_model/``."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dinocell import __version__
from dinocell.errors import CheckpointError, OutputError
from dinocell.io.readers.naming import distinct_names
from dinocell.io.saving import atomic_path
from dinocell.io.settings_files import commented_yaml
from dinocell.models.checkpoint import previous_folder, read_config, replaced_folder, write_checkpoint
from dinocell.training.adaptation import merged
from dinocell.training.config import Dataset, TrainConfig
from dinocell.training.environment import describe_environment, write_environment
from dinocell.training.run_files import (
    add_row,
    explain_unreadable_state,
    forget_later_rows,
    make_run_folder,
    refuse_other_settings,
)
from dinocell.training.run_state import RunState

STATE_FILE = "state.pt"


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
        """Give the numbers that are drawn over the steps, by the names of their curves."""
        return {
            "loss/training": self.train_loss,
            "loss/validation": self.validation_loss,
            "validation MSE": self.validation_mse,
            "learning rate": self.learning_rate,
            "gradient norm": self.gradient_norm,
        }


def prepare_folder(config: TrainConfig, *, resume: bool) -> bool:
    """Make the run folder; say whether there is a checkpoint to go on from.

    Raises
    ------
    OutputError
        If the folder holds a run and `resume` is False, or cannot be written.
    CheckpointError
        If its last checkpoint is missing or lacks the state of the training.
    """
    folder = config.output
    for name in ("last", "best_model"):
        _recover(folder / name)
        if not resume and (folder / name).exists():
            raise OutputError(
                f"{folder} holds a training run already: go on with --resume, or choose another output"
            )
    make_run_folder(folder)
    for left in folder.glob(".*.tmp-*"):  # by a run that was killed while it wrote
        left.unlink(missing_ok=True)
    last = folder / "last"
    if not (resume and last.exists()):
        _refuse_to_replace(folder / "best_model")
        return False
    if not (last / STATE_FILE).is_file():
        raise CheckpointError(
            f"{last} has no {STATE_FILE} and cannot be resumed: copy the whole folder, "
            "or start anew in another output"
        )
    return True


def _refuse_to_replace(best: Path) -> None:
    """Refuse a run that would begin anew over a model; that of its first epoch a kill may have left alone."""
    if best.exists() and read_config(best).training.get("epoch") != 1:
        raise CheckpointError(
            f"{best} has no last beside it to go on from: bring that back, or start anew in another output"
        )


def open_run(state: RunState, config: TrainConfig, *, resume: bool) -> None:
    """Fill `state` from the last checkpoint when resuming, and note the settings.

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
        _restore(state, folder / "last" / STATE_FILE, config)
    if not state.is_main:
        return
    write_environment(folder, environment)
    with atomic_path(folder / "config.yaml") as temporary:
        temporary.write_text(commented_yaml(config), encoding="utf-8")
    forget_later_rows(folder, EpochRecord, state.epoch)


def save_epoch(state: RunState, config: TrainConfig, record: EpochRecord, *, best: bool) -> None:
    """Write the row and the checkpoints of an epoch; the checkpoint comes last, so no row is ever missing."""
    add_row(config.output, record)
    model = merged(state.average.model)
    model.config = model.config.model_copy(update={"training": _describe(config, state)})
    if best:
        model.save_pretrained(config.output / "best_model")
    buffer = io.BytesIO()
    torch.save(_contents(state, config), buffer)
    with replaced_folder(config.output / "last") as temporary:
        write_checkpoint(temporary, model.config, model.state_dict())
        (temporary / STATE_FILE).write_bytes(buffer.getbuffer())


def _contents(state: RunState, config: TrainConfig) -> dict[str, Any]:
    return {
        "settings": _decisive(config, state),
        "model": state.model.state_dict(),
        "average": state.average.model.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "scaler": state.scaler.state_dict(),
        "epoch": state.epoch,
        "best_loss": state.best_loss,
        "bad_epochs": state.bad_epochs,
        "seconds": state.seconds,
    }


def _decisive(config: TrainConfig, state: RunState) -> dict[str, Any]:
    """Select what a resumed run must share: not the paths, the length, the devices and the logs."""
    data = {"train", "validation", "output"}
    length = {"epochs", "patience"}
    settings = config.model_dump(
        mode="json", exclude=data | length | {"workers", "precision", "wandb", "start_from"}
    )
    settings["backbone"] |= {"weights": None, "mode": state.mode}
    return settings | state.data


def _data(config: TrainConfig, environment: dict[str, Any]) -> dict[str, Any]:
    """Say what a run learns from, whatever its folders are called and wherever they are."""
    return {
        part: [[found["sha256"], of.weight] for found, of in zip(environment[part], datasets, strict=True)]
        for part, datasets in (("train", config.train), ("validation", config.validation))
    }


def _restore(state: RunState, path: Path, config: TrainConfig) -> None:
    with explain_unreadable_state(path):
        saved = torch.load(path, map_location="cpu", weights_only=True)
        refuse_other_settings(path, saved["settings"], _decisive(config, state))
        state.model.load_state_dict(saved["model"])
        state.average.model.load_state_dict(saved["average"])
        state.optimiser.load_state_dict(saved["optimiser"])
        if saved["scaler"]:  # empty in other precisions than float16
            state.scaler.load_state_dict(saved["scaler"])
        state.epoch, state.best_loss = saved["epoch"], saved["best_loss"]
        state.bad_epochs, state.seconds = saved["bad_epochs"], saved["seconds"]


def _recover(folder: Path) -> None:
    """Bring back the predecessor of a folder after a kill between the two renames that replace it."""
    old = previous_folder(folder)
    if old.is_dir() and not folder.exists():
        old.rename(folder)


def _describe(config: TrainConfig, state: RunState) -> dict[str, Any]:
    """Record of the training for the checkpoint: settings without this machine's paths, and the outcome."""
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
