"""What a training run keeps on disk: ``config.yaml``, ``metrics.csv``, ``last/`` and ``best_model/``."""

import csv
import io
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from dinocell import __version__
from dinocell.checkpoint import previous_folder, replaced_folder, write_checkpoint
from dinocell.errors import CheckpointError, OutputError
from dinocell.images import atomic_path
from dinocell.settings import commented_yaml
from dinocell.training.adaptation import merged
from dinocell.training.config import TrainConfig
from dinocell.training.environment import write_environment
from dinocell.training.run_state import RunState

STATE_FILE = "state.pt"

# What torch raises on damaged files, and on states of another model or layout.
_UNREADABLE = (RuntimeError, KeyError, ValueError, TypeError, EOFError, OSError, pickle.UnpicklingError)


@dataclass(frozen=True)
class EpochRecord:
    """A row of ``metrics.csv``; losses are means over the epoch, validation over fixed crops."""

    epoch: int
    step: int
    learning_rate: float
    train_loss: float
    validation_loss: float
    validation_mse: float
    seconds: float

    def curves(self) -> dict[str, float]:
        """Give the numbers that are drawn over the steps, by the names of their curves."""
        return {
            "loss/training": self.train_loss,
            "loss/validation": self.validation_loss,
            "validation MSE": self.validation_mse,
            "learning rate": self.learning_rate,
        }


def prepare_folder(config: TrainConfig, *, resume: bool) -> bool:
    """Make the run folder; say whether there is a checkpoint to go on from.

    Raises
    ------
    OutputError
        If the folder holds a run and `resume` is False, or cannot be written.
    CheckpointError
        If its last checkpoint lacks the state of the training.
    """
    folder = config.output
    for name in ("last", "best_model"):
        _recover(folder / name)
        if not resume and (folder / name).exists():
            raise OutputError(
                f"{folder} holds a training run already: go on with --resume, or choose another output"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make run folder {folder}: {error.strerror}. Choose another output"
        ) from error
    last = folder / "last"
    if not (resume and last.exists()):
        return False
    if not (last / STATE_FILE).is_file():
        raise CheckpointError(
            f"{last} has no {STATE_FILE} and cannot be resumed: copy the whole folder, "
            "or start anew in another output"
        )
    return True


def open_run(state: RunState, config: TrainConfig, *, resume: bool) -> None:
    """Fill `state` from the last checkpoint when resuming, and note the settings.

    Raises
    ------
    CheckpointError
        If the last checkpoint is damaged or belongs to other settings.
    """
    folder = config.output
    if resume:
        _restore(state, folder / "last" / STATE_FILE, config)
    if not state.is_main:
        return
    write_environment(folder, config)
    with atomic_path(folder / "config.yaml") as temporary:
        temporary.write_text(commented_yaml(config), encoding="utf-8")
    _write_metrics(folder / "metrics.csv", _known_rows(folder / "metrics.csv", state.epoch))


def save_epoch(state: RunState, config: TrainConfig, record: EpochRecord, *, best: bool) -> None:
    """Write the row and the checkpoints of an epoch; the checkpoint comes last, so no row is ever missing."""
    metrics = config.output / "metrics.csv"
    row = {key: str(value) for key, value in asdict(record).items()}
    _write_metrics(metrics, [*_known_rows(metrics, state.epoch - 1), row])
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
    """Select the settings that a resumed run must share; paths, length, devices and logs may change."""
    data = {"train", "validation", "output"}
    length = {"epochs", "patience"}
    settings = config.model_dump(
        mode="json", exclude=data | length | {"workers", "precision", "wandb", "start_from"}
    )
    settings["backbone"] |= {"weights": None, "mode": state.mode}
    return settings


def _restore(state: RunState, path: Path, config: TrainConfig) -> None:
    try:
        saved = torch.load(path, map_location=state.model.device, weights_only=True)
        _refuse_other_settings(path, saved["settings"], _decisive(config, state))
        state.model.load_state_dict(saved["model"])
        state.average.model.load_state_dict(saved["average"])
        state.optimiser.load_state_dict(saved["optimiser"])
        state.scaler.load_state_dict(saved["scaler"])
        state.epoch, state.best_loss = saved["epoch"], saved["best_loss"]
        state.bad_epochs, state.seconds = saved["bad_epochs"], saved["seconds"]
    except CheckpointError:
        raise
    except _UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{path} cannot be resumed ({reason}): resume with the settings the run was started with, "
            "or start anew in another output"
        ) from error


def _refuse_other_settings(path: Path, saved: dict[str, Any], asked: dict[str, Any]) -> None:
    before = _flat(saved)
    changed = [name for name, value in _flat(asked).items() if before.get(name) != value]
    if changed:
        raise CheckpointError(
            f"{path} was made with another {', '.join(changed)}: "
            "resume with the settings the run was started with, or start anew in another output"
        )


def _flat(settings: dict[str, Any], section: str = "") -> dict[str, Any]:
    """Give the settings of all sections their dotted names."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{section}{key}.") if isinstance(value, dict) else {section + key: value}
    return flat


def _recover(folder: Path) -> None:
    """Bring back the predecessor of a folder after a kill between the two renames that replace it."""
    old = previous_folder(folder)
    if old.is_dir() and not folder.exists():
        old.rename(folder)


def _known_rows(path: Path, epoch: int) -> list[dict[str, str]]:
    """Read the rows of ``metrics.csv`` up to an epoch: those that the checkpoint knows."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if int(row["epoch"]) <= epoch]


def _write_metrics(path: Path, rows: list[dict[str, str]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(EpochRecord.__annotations__))
        writer.writeheader()
        writer.writerows(rows)


def _describe(config: TrainConfig, state: RunState) -> dict[str, Any]:
    """Record of the training for the checkpoint: settings without this machine's paths, and the outcome."""
    settings = config.model_dump(
        mode="json", exclude={"train", "validation", "output", "start_from", "wandb"}
    )
    # The weights that the backbone began with are recorded by the checkpoint itself.
    del settings["backbone"]["weights"]
    settings["backbone"]["mode"] = state.mode
    return {
        "train": {dataset.path.name: dataset.weight for dataset in config.train},
        "validation": [dataset.path.name for dataset in config.validation],
        "start_from": config.start_from.name if config.start_from else None,
        **settings,
        "epoch": state.epoch,
        "seconds": round(state.seconds),
        "best_validation_loss": state.best_loss,
        "dinocell": __version__,
        "torch": torch.__version__,
    }
