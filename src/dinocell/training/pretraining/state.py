"""What a pretraining run keeps on disk: ``config.yaml``, ``metrics.csv``, ``backbone/`` and ``state.pt``."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dinocell.errors import OutputError
from dinocell.io.saving import atomic_path
from dinocell.io.settings_files import commented_yaml
from dinocell.models.network.dinocell import DINOCell
from dinocell.models.weights import WeightsRecord
from dinocell.training.pretraining.config import PretrainConfig
from dinocell.training.pretraining.export import Outcome, write_backbone
from dinocell.training.pretraining.student import Network
from dinocell.training.pretraining.unlabelled import Planes
from dinocell.training.run_files import (
    METRICS_FILE,
    add_row,
    explain_unreadable_state,
    forget_later_rows,
    make_run_folder,
    refuse_other_settings,
)

BACKBONE_FOLDER = "backbone"
STATE_FILE = "state.pt"
_FREE = {"images", "exclude", "output", "weights", "epochs", "workers", "precision"}
"""Settings that may change when a run goes on."""


@dataclass(frozen=True)
class PretrainRecord:
    """A row of ``metrics.csv``.

    Attributes
    ----------
    epoch, step : int
    learning_rate, momentum, temperature : float
        At the epoch's last step; the last two are the teacher's.
    loss, dino, ibot, koleo : float
        Means over the epoch: the weighted sum, and its parts before they are weighted.
    entropy, information, spread, rank : float
        Of what the teacher then says of the last large views, see `watch`: entropy of the mean assignment
        and information of an assignment (0 to 1), spread of the features (0 to about 1) and their rank.
    collapsed : bool
        Whether entropy or spread say that the network gives one answer to all images.
    seconds : float
        Since the start of the run.
    """

    epoch: int
    step: int
    learning_rate: float
    momentum: float
    temperature: float
    loss: float
    dino: float
    ibot: float
    koleo: float
    entropy: float
    information: float
    spread: float
    rank: float
    collapsed: bool
    seconds: float


@dataclass
class RunState:
    """What changes during a run and is in ``state.pt``; and the model whose backbone is the teacher's."""

    student: Network
    teacher: Network
    optimiser: torch.optim.Optimizer
    model: DINOCell
    epoch: int = 0
    seconds: float = 0.0


def prepare_folder(config: PretrainConfig, *, resume: bool) -> bool:
    """Make the run folder; say whether there is a state to go on from.

    Raises
    ------
    OutputError
        If the folder holds a run and `resume` is False, or cannot be written.
    """
    folder = config.output
    names = (STATE_FILE, BACKBONE_FOLDER, METRICS_FILE)
    if not resume and any((folder / name).exists() for name in names):
        raise OutputError(f"{folder} holds a run already: go on with --resume, or choose another output")
    make_run_folder(folder)
    return resume and (folder / STATE_FILE).exists()


def open_run(state: RunState, config: PretrainConfig, planes: Planes, *, resume: bool) -> None:
    """Fill `state` from the run folder when resuming, and note the settings.

    Raises
    ------
    CheckpointError
        If its state is damaged or belongs to other settings or images.
    """
    folder = config.output
    if resume:
        _restore(state, folder / STATE_FILE, config, planes)
    with atomic_path(folder / "config.yaml") as path:
        path.write_text(commented_yaml(config), encoding="utf-8")
    forget_later_rows(folder, PretrainRecord, state.epoch)


def save_epoch(state: RunState, config: PretrainConfig, record: PretrainRecord, planes: Planes) -> None:
    """Write the row, the backbone and the state of an epoch; the state last, so that nothing is missing."""
    add_row(config.output, record)
    outcome = Outcome(len(planes), planes.sha256, state.epoch, state.seconds)
    write_backbone(config.output / BACKBONE_FOLDER, state.model, config, outcome)
    buffer = io.BytesIO()
    torch.save(_contents(state, config, planes), buffer)
    with atomic_path(config.output / STATE_FILE) as path:
        path.write_bytes(buffer.getbuffer())


def _contents(state: RunState, config: PretrainConfig, planes: Planes) -> dict[str, Any]:
    record = state.model.config.backbone_weights
    return {
        "settings": _decisive(config, planes),
        "weights": None if record is None else record.model_dump(),
        "student": state.student.state_dict(),
        "teacher": state.teacher.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "epoch": state.epoch,
        "seconds": state.seconds,
    }


def _restore(state: RunState, path: Path, config: PretrainConfig, planes: Planes) -> None:
    device = next(state.student.parameters()).device
    with explain_unreadable_state(path):
        saved = torch.load(path, map_location=device, weights_only=True)
        refuse_other_settings(path, saved["settings"], _decisive(config, planes))
        state.student.load_state_dict(saved["student"])
        state.teacher.load_state_dict(saved["teacher"])
        state.optimiser.load_state_dict(saved["optimiser"])
        state.epoch, state.seconds = saved["epoch"], saved["seconds"]
        weights = saved["weights"]
        record = None if weights is None else WeightsRecord.model_validate(weights)
    state.model.config = state.model.config.model_copy(update={"backbone_weights": record})


def _decisive(config: PretrainConfig, planes: Planes) -> dict[str, Any]:
    """Select what a resumed run must share, the pixels of the images included."""
    return config.model_dump(mode="json", exclude=_FREE) | {"set of images": planes.sha256}
