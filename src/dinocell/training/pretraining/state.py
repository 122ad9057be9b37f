"""State of a pretraining run, and the files it is kept in: ``backbone/`` and ``state.pt``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dinocell.io.saving import atomic_path
from dinocell.models.configuration import WeightsRecord
from dinocell.models.network.dinocell import DINOCell
from dinocell.training.pretraining.config import PretrainConfig
from dinocell.training.pretraining.export import PretrainOutcome, write_backbone
from dinocell.training.pretraining.student import SelfDistillation
from dinocell.training.pretraining.unlabelled import Planes
from dinocell.training.run_folder import (
    METRICS_FILE,
    add_row,
    create_run_folder,
    forget_later_rows,
    write_settings,
)
from dinocell.training.saved_state import STATE_FILE, encode_state, restore_state

BACKBONE_FOLDER = "backbone"

_FREE = {"images", "exclude", "output", "weights", "epochs", "workers", "precision"}
"""Settings that may change when a run is resumed."""


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
        Measures of the teacher's answers to the last large views, see `watch`: entropy of the mean assignment
        and information of an assignment (0 to 1), spread of the features (0 to about 1) and their rank.
    collapsed : bool
        Whether entropy or spread show that the network gives one answer to all images.
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
class PretrainState:
    """Content of ``state.pt``, and the model whose backbone is the teacher's."""

    student: SelfDistillation
    teacher: SelfDistillation
    optimiser: torch.optim.Optimizer
    model: DINOCell
    epoch: int = 0
    seconds: float = 0.0

    def contents(self) -> dict[str, Any]:
        """Return what ``state.pt`` keeps of it."""
        record = self.model.config.backbone_weights
        return {
            "weights": None if record is None else record.model_dump(),
            "student": self.student.state_dict(),
            "teacher": self.teacher.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "epoch": self.epoch,
            "seconds": self.seconds,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over what `contents` returned in an earlier session."""
        self.student.load_state_dict(saved["student"])
        self.teacher.load_state_dict(saved["teacher"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.epoch, self.seconds = saved["epoch"], saved["seconds"]
        weights = saved["weights"]
        record = None if weights is None else WeightsRecord.model_validate(weights)
        self.model.config = self.model.config.model_copy(update={"backbone_weights": record})


def prepare_pretraining(config: PretrainConfig, *, resume: bool) -> bool:
    """Create the run folder, and return whether it has a state to resume from.

    Raises
    ------
    OutputError
        If the folder holds a run and `resume` is False, or cannot be written.
    """
    create_run_folder(config.output, (STATE_FILE, BACKBONE_FOLDER, METRICS_FILE), resume=resume)
    return resume and (config.output / STATE_FILE).exists()


def open_pretraining(state: PretrainState, config: PretrainConfig, planes: Planes, *, resume: bool) -> None:
    """Fill `state` from the run folder when resuming, and write the settings.

    Raises
    ------
    CheckpointError
        If the saved state is damaged or belongs to other settings or images.
    """
    folder = config.output
    if resume:
        restore_state(state, folder / STATE_FILE, _decisive_settings(config, planes))
    write_settings(folder, config)
    forget_later_rows(folder, PretrainRecord, state.epoch)


def save_backbone(
    state: PretrainState, config: PretrainConfig, record: PretrainRecord, planes: Planes
) -> None:
    """Write the row, the backbone and the state of an epoch; the state last, so that nothing is missing."""
    add_row(config.output, record)
    outcome = PretrainOutcome(len(planes), planes.sha256, state.epoch, state.seconds)
    write_backbone(config.output / BACKBONE_FOLDER, state.model, config, outcome)
    encoded = encode_state(state, _decisive_settings(config, planes))
    with atomic_path(config.output / STATE_FILE) as path:
        path.write_bytes(encoded)


def _decisive_settings(config: PretrainConfig, planes: Planes) -> dict[str, Any]:
    """Select what a resumed run must share, the pixels of the images included."""
    return config.model_dump(mode="json", exclude=_FREE) | {"set of images": planes.sha256}
