"""What a training run keeps on disk: ``config.yaml``, ``metrics.csv``, ``last/`` and ``best_model/``."""

import csv
import io
import math
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch.optim.swa_utils import AveragedModel

from dinocell import __version__
from dinocell.checkpoint import previous_folder, replaced_folder, write_checkpoint
from dinocell.errors import CheckpointError, OutputError
from dinocell.images import atomic_path
from dinocell.model import DINOCell
from dinocell.training.config import TrainConfig

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


@dataclass
class RunState:
    """All that changes during a run, which ``last/state.pt`` holds; and whether the backbone is frozen."""

    model: DINOCell
    average: AveragedModel
    optimiser: torch.optim.Optimizer
    frozen: bool = False
    epoch: int = 0
    best_loss: float = math.inf
    bad_epochs: int = 0
    seconds: float = 0.0

    @property
    def averaged_model(self) -> DINOCell:
        """The model with averaged weights, in eval mode: what is validated and saved."""
        return cast(DINOCell, self.average.module).eval()


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
    with atomic_path(folder / "config.yaml") as temporary:
        config.to_yaml(temporary)
    _write_metrics(folder / "metrics.csv", _known_rows(folder / "metrics.csv", state.epoch))


def save_epoch(state: RunState, config: TrainConfig, record: EpochRecord, *, best: bool) -> None:
    """Write the row and the checkpoints of an epoch; the checkpoint comes last, so no row is ever missing."""
    metrics = config.output / "metrics.csv"
    row = {key: str(value) for key, value in asdict(record).items()}
    _write_metrics(metrics, [*_known_rows(metrics, state.epoch - 1), row])
    model = state.averaged_model
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
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "epoch": state.epoch,
        "best_loss": state.best_loss,
        "bad_epochs": state.bad_epochs,
        "seconds": state.seconds,
    }


def _decisive(config: TrainConfig, state: RunState) -> dict[str, Any]:
    """Select the settings that a resumed run must share; paths, length and patience may change."""
    data = {"train", "validation", "output"}
    begin = {"start_from", "backbone_weights"}
    length = {"epochs", "patience", "workers", "precision"}
    settings = config.model_dump(mode="json", exclude=data | begin | length)
    return settings | {"freeze_backbone": state.frozen}


def _restore(state: RunState, path: Path, config: TrainConfig) -> None:
    try:
        saved = torch.load(path, map_location=state.model.device, weights_only=True)
        _refuse_other_settings(path, saved["settings"], _decisive(config, state))
        state.model.load_state_dict(saved["model"])
        state.average.load_state_dict(saved["average"])
        state.optimiser.load_state_dict(saved["optimiser"])
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
    defaults = {key: field.default for key, field in TrainConfig.model_fields.items()}
    changed = [key for key, value in asked.items() if saved.get(key, defaults[key]) != value]
    if changed:
        raise CheckpointError(
            f"{path} was made with another {', '.join(changed)}: "
            "resume with the settings the run was started with, or start anew in another output"
        )


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
    # The weights that the backbone began with are recorded by the checkpoint itself.
    paths = {"train", "validation", "output", "start_from", "backbone_weights"}
    settings = config.model_dump(mode="json", exclude=paths)
    return {
        "train": {dataset.path.name: dataset.weight for dataset in config.train},
        "validation": [dataset.path.name for dataset in config.validation],
        "start_from": config.start_from.name if config.start_from else None,
        **settings,
        "freeze_backbone": state.frozen,
        "epoch": state.epoch,
        "seconds": round(state.seconds),
        "best_validation_loss": state.best_loss,
        "dinocell": __version__,
        "torch": torch.__version__,
    }
