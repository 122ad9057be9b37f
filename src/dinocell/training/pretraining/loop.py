"""The pretraining loop: draw views, step, move the teacher, watch for collapse, write the backbone."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dinocell.errors import ConfigError, TrainingError
from dinocell.io.presence import check_still_there
from dinocell.models.checkpoint import WEIGHTS_FILE
from dinocell.models.memory import explain_out_of_memory
from dinocell.models.network.dinocell import DINOCell
from dinocell.training.pretraining.config import PretrainConfig
from dinocell.training.pretraining.objective import (
    Losses,
    batch_losses,
    describe_views,
    temperature_at,
)
from dinocell.training.pretraining.state import (
    BACKBONE_FOLDER,
    PretrainRecord,
    PretrainState,
    open_pretraining,
    prepare_pretraining,
    save_backbone,
)
from dinocell.training.pretraining.student import SelfDistillation, copy_teacher, momentum_at, update_teacher
from dinocell.training.pretraining.unlabelled import Planes, open_images
from dinocell.training.pretraining.views import ViewBatch, ViewSamples
from dinocell.training.pretraining.watch import (
    assignment_entropy,
    assignment_information,
    effective_rank,
    feature_spread,
    is_collapsed,
)
from dinocell.training.saved_state import STATE_FILE
from dinocell.training.schedule import rate_factor

logger = logging.getLogger(__name__)

WATCHED = 256
"""Number of large views at the end of an epoch in which signs of collapse are looked for."""


@dataclass(frozen=True)
class ImagesRead:
    """Number of images, reported once they are read, and a line for each that could not be read."""

    images: int
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class PretrainStep:
    """Progress that the loop reports after every step."""

    step: int
    total_steps: int
    epoch: int
    loss: float


@dataclass(frozen=True)
class Rates:
    """Rates of a step: learning rate, momentum and temperature of the teacher."""

    learning_rate: float
    momentum: float
    temperature: float


PretrainEvent = ImagesRead | PretrainStep | PretrainRecord


def pretrain(
    config: PretrainConfig, *, resume: bool = False, progress: Callable[[PretrainEvent], None] | None = None
) -> Path:
    """Pretrain a backbone on images without labels.

    A student learns to predict from a part of an image what a teacher, the moving average of the student,
    computes from another part (DINO), to predict for hidden patches what the teacher computes from the
    patches themselves (iBOT), and to tell images apart (KoLeo).

    Parameters
    ----------
    config : PretrainConfig
    resume : bool
        Go on from the last epoch in the run folder where there is one.
    progress : callable, optional
        Called when the images are read, after every step and after every epoch.

    Returns
    -------
    Path
        Folder with the teacher's backbone. Training takes it as ``backbone.weights``.

    Raises
    ------
    DINOCellError
        If images or weights cannot be read, the run folder cannot be written or holds another run, or the
        loss is no longer finite.

    References
    ----------
    Oquab et al., DINOv2, 2023; Siméoni et al., DINOv3, 2025.
    """
    for event in pretraining_steps(config, resume=resume):
        if progress is not None:
            progress(event)
    return config.output / BACKBONE_FOLDER


def pretraining_steps(config: PretrainConfig, *, resume: bool = False) -> Iterator[PretrainEvent]:
    """Pretrain step by step, so that a caller can show progress and stop; see `pretrain`.

    Yields
    ------
    ImagesRead
        Once.
    PretrainStep
        After every step.
    PretrainRecord
        After every epoch, when its backbone and state have been written.
    """
    torch.manual_seed(config.seed)
    resume = prepare_pretraining(config, resume=resume)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with explain_out_of_memory(f"the memory is not enough for {config.model!r}: choose a smaller model"):
        state = _new_state(config, device, resume=resume)
    with open_images(config) as planes:
        open_pretraining(state, config, planes, resume=resume)
        yield ImagesRead(len(planes), planes.skipped)
        yield from _run_epochs(state, planes, config)
    check_still_there([config.output / STATE_FILE, config.output / BACKBONE_FOLDER / WEIGHTS_FILE])


def _run_epochs(state: PretrainState, planes: Planes, config: PretrainConfig) -> Iterator[PretrainEvent]:
    samples = ViewSamples(planes, config, state.student.encoder.patch)
    start = time.monotonic() - state.seconds
    advice = (
        f"the memory is not enough for the views of {config.batch_size} fields: lower batch_size, "
        "local_views.count or the sizes of the views, or choose a smaller model"
    )
    while state.epoch < config.epochs:
        seen = _Epoch()
        first = state.epoch * config.steps_per_epoch
        for step, batch in enumerate(samples.batches(first, first + config.steps_per_epoch), first):
            with explain_out_of_memory(advice):
                seen.add(*_step(state, batch, step, config), batch)
            yield PretrainStep(step + 1, config.total_steps, state.epoch + 1, seen.losses[-1][0])
        state.epoch += 1
        state.seconds = round(time.monotonic() - start, 1)
        record = seen.record(state, config)
        if record.collapsed:
            logger.warning(
                "epoch %d: entropy %.3f, spread %.3f: the features have collapsed, all images look alike to "
                "them. Lower optimiser.learning_rate, or raise batch_size or teacher.momentum",
                record.epoch,
                record.entropy,
                record.spread,
            )
        save_backbone(state, config, record, planes)
        yield record


def _new_state(config: PretrainConfig, device: torch.device, *, resume: bool) -> PretrainState:
    # When resuming, weights are restored later; what the run began with need not be there any more.
    model = DINOCell.from_variant(config.model, backbone_weights=None if resume else config.weights)
    for name, size in (("global_views", config.global_views.size), ("local_views", config.local_views.size)):
        if size % model.stride:
            raise ConfigError(
                f"{name}.size is {size}, expected a multiple of {model.stride}, {config.model!r}'s stride"
            )
    model.config = model.config.model_copy(update={"preprocessing": config.preprocessing})
    student = SelfDistillation(model.backbone, config.heads)
    teacher = copy_teacher(student)
    model.backbone = teacher.encoder.backbone  # the teacher's is written
    for network in (student, teacher):
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    parameters = list(student.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(
        groups,
        lr=config.optimiser.learning_rate,
        betas=config.optimiser.betas,
        weight_decay=config.optimiser.weight_decay,
    )
    return PretrainState(student.train(), teacher, optimiser, model)


def _step(state: PretrainState, batch: ViewBatch, step: int, config: PretrainConfig) -> tuple[Losses, Rates]:
    rates = Rates(_learning_rate_at(step, config), _momentum_at(step, config), temperature_at(step, config))
    for group in state.optimiser.param_groups:
        group["lr"] = rates.learning_rate
    losses = batch_losses(state.student, state.teacher, batch, config, temperature=rates.temperature)
    state.optimiser.zero_grad()
    losses.total.backward()
    norm = nn.utils.clip_grad_norm_(state.student.parameters(), config.optimiser.clip_grad_norm)
    _check_finite(f"loss at step {step + 1}", losses.total, config)
    _check_finite(f"norm of the gradient at step {step + 1}", norm, config)
    state.optimiser.step()
    update_teacher(state.teacher, state.student, rates.momentum)
    return losses, rates


def _check_finite(what: str, value: Tensor, config: PretrainConfig) -> None:
    """Raise before anything that is not finite reaches a weight or a file."""
    if not value.isfinite().all():
        state = config.output / STATE_FILE
        kept = f"; {config.output} keeps the last epoch that was written" if state.exists() else ""
        raise TrainingError(
            f"the {what} is not finite: start anew with a lower optimiser.learning_rate{kept}"
        )


def _learning_rate_at(step: int, config: PretrainConfig) -> float:
    factor = rate_factor(step, total_steps=config.total_steps, warmup_steps=config.optimiser.warmup_steps)
    return config.optimiser.learning_rate * factor


def _momentum_at(step: int, config: PretrainConfig) -> float:
    return momentum_at(step, total_steps=config.total_steps, first=config.teacher.momentum)


class _Epoch:
    """Losses of an epoch's steps, and its last large views, kept until its row is written."""

    def __init__(self) -> None:
        self.losses: list[tuple[float, ...]] = []
        self._watched: deque[Tensor] = deque()

    def add(self, losses: Losses, rates: Rates, batch: ViewBatch) -> None:
        self._rates = rates
        parts = (losses.total, losses.dino, losses.ibot, losses.koleo)
        self.losses.append(tuple(part.item() for part in parts))
        self._watched.append(batch[0].flatten(0, 1))
        while sum(map(len, self._watched)) - len(self._watched[0]) >= WATCHED:
            self._watched.popleft()

    def record(self, state: PretrainState, config: PretrainConfig) -> PretrainRecord:
        """Summarise the epoch that has just ended."""
        step = state.epoch * config.steps_per_epoch
        means = [sum(part) / len(self.losses) for part in zip(*self.losses, strict=True)]
        described = [describe_views(state.teacher, views[None], config) for views in self._watched]
        features, logits = (torch.cat(parts) for parts in zip(*described, strict=True))
        _check_finite(f"teacher's view of images after epoch {state.epoch}", features, config)
        temperature = self._rates.temperature
        entropy = assignment_entropy(logits, temperature=temperature)
        spread = feature_spread(features)
        return PretrainRecord(
            epoch=state.epoch,
            step=step,
            **asdict(self._rates),
            loss=means[0],
            dino=means[1],
            ibot=means[2],
            koleo=means[3],
            entropy=entropy,
            information=assignment_information(logits, temperature=temperature),
            spread=spread,
            rank=effective_rank(features),
            collapsed=is_collapsed(entropy, spread),
            seconds=state.seconds,
        )
