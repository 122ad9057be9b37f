"""The training loop: draw, step, validate, checkpoint."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dinocell.checkpoint import read_config
from dinocell.devices import explain_out_of_memory
from dinocell.errors import ConfigError, TrainingError
from dinocell.model import DINOCell, normalise
from dinocell.training.config import TrainConfig
from dinocell.training.run_folder import EpochRecord, RunState, open_run, prepare_folder, save_epoch
from dinocell.training.samples import Batch, TrainingSamples, load, validation_batches


@dataclass(frozen=True)
class StepDone:
    """What the loop reports after every step."""

    step: int
    total_steps: int
    epoch: int
    train_loss: float


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    progress: Callable[[StepDone | EpochRecord], None] | None = None,
) -> Path:
    """Train a model.

    Parameters
    ----------
    config : TrainConfig
    resume : bool
        Go on from the run folder's last checkpoint where there is one.
    progress : callable, optional
        Called after every step and every epoch.

    Returns
    -------
    Path
        The checkpoint folder of the best model.

    Raises
    ------
    DINOCellError
        If data or weights cannot be read, the run folder cannot be written or holds another run, or the loss
        is no longer finite.
    """
    for event in training_steps(config, resume=resume):
        if progress is not None:
            progress(event)
    return config.output / "best_model"


def training_steps(config: TrainConfig, *, resume: bool = False) -> Iterator[StepDone | EpochRecord]:
    """Train step by step, so that a caller can show progress and stop; see `train`.

    Yields
    ------
    StepDone
        After every step.
    EpochRecord
        After every epoch, when its checkpoint has been written.
    """
    torch.manual_seed(config.seed)
    resume = prepare_folder(config, resume=resume)
    with explain_out_of_memory(f"the memory is not enough to train {config.model!r}: choose a smaller model"):
        state = _new_state(
            config, torch.device("cuda" if torch.cuda.is_available() else "cpu"), resume=resume
        )
    open_run(state, config, resume=resume)
    samples = TrainingSamples([load(dataset, config.preprocessing) for dataset in config.train], config)
    validation = [
        validation_batches(load(dataset, config.preprocessing), config.crop_size, config.batch_size)
        for dataset in config.validation
    ]
    start = time.monotonic() - state.seconds
    while state.epoch < config.epochs and state.bad_epochs < config.patience:
        losses: list[float] = []
        first = state.epoch * config.steps_per_epoch
        for step, batch in enumerate(samples.batches(first, first + config.steps_per_epoch), first):
            with explain_out_of_memory(_advice(config)):
                losses.append(_step(state, batch, step, config))
            yield StepDone(step + 1, config.total_steps, state.epoch + 1, losses[-1])
        state.epoch += 1
        state.seconds = time.monotonic() - start
        with explain_out_of_memory(_advice(config)):
            record = _finish_epoch(state, sum(losses) / len(losses), validation, config)
        yield record


def _advice(config: TrainConfig) -> str:
    return (
        f"the memory is not enough for {config.batch_size} crops of {config.crop_size} px: "
        "lower batch_size or crop_size, freeze the backbone, or choose a smaller model"
    )


def _new_state(config: TrainConfig, device: torch.device, *, resume: bool) -> RunState:
    model = _initial_model(config, resume=resume)
    if config.crop_size % model.stride:
        raise ConfigError(f"crop_size is {config.crop_size}, expected a multiple of {model.stride}")
    model.config = model.config.model_copy(
        update={
            "trained": True,
            "preprocessing": config.preprocessing,
            "diameter_range": config.diameter_range,
        }
    )
    frozen = _freeze(model, config)
    model = model.train().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = _average_of(model, config, share_backbone=frozen and not config.unfreeze_last)
    optimiser = torch.optim.AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=config.learning_rate,
        betas=config.betas,
        weight_decay=config.weight_decay,
    )
    return RunState(model, average, optimiser, frozen)


def _freeze(model: DINOCell, config: TrainConfig) -> bool:
    """Freeze the backbone where that is asked for, or where it began with published weights."""
    frozen = config.freeze_backbone
    if frozen is None:
        frozen = model.config.backbone_weights is not None
    if config.unfreeze_last and not frozen:
        raise ConfigError("unfreeze_last is for a frozen backbone: set freeze_backbone to true")
    blocks = len(model.backbone.blocks)
    if config.unfreeze_last > blocks:
        raise ConfigError(
            f"unfreeze_last is {config.unfreeze_last}, expected at most {blocks}, all there are"
        )
    if frozen:
        model.freeze_backbone(except_last=config.unfreeze_last)
    return frozen


def _average_of(model: DINOCell, config: TrainConfig, *, share_backbone: bool) -> AveragedModel:
    """Begin the moving average; a backbone that does not learn is shared, in memory and in the checkpoint."""
    backbone = model.backbone
    if share_backbone:
        model.backbone = nn.Identity()  # type: ignore[assignment]  # so that it is not copied
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
    if share_backbone:
        model.backbone = average.module.backbone = backbone
    return average


def _initial_model(config: TrainConfig, *, resume: bool) -> DINOCell:
    if resume:  # its weights follow; what it began with need not be there any more
        return DINOCell(read_config(config.output / "last"))
    if config.start_from is None:
        return DINOCell.from_variant(config.model, backbone_weights=config.backbone_weights)
    model = DINOCell.from_pretrained(config.start_from)
    if model.config.variant != config.model:
        raise ConfigError(
            f"start_from {config.start_from} is a {model.config.variant!r}, but model is {config.model!r}: "
            "make them the same"
        )
    return model


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """Learning rate of a step: linear warm-up, then a cosine to zero."""
    warmup = min(config.warmup_steps, config.total_steps // 2)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    share = (step - warmup) / max(1, config.total_steps - warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def _step(state: RunState, batch: Batch, step: int, config: TrainConfig) -> float:
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate_at(step, config)
    loss = batch_loss(state.model, batch, config)
    value = loss.item()
    if not math.isfinite(value):
        raise TrainingError(
            f"the loss is {value} at step {step + 1}: lower learning_rate and go on with --resume, "
            f"the last good weights are in {config.output / 'last'}"
        )
    state.optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(state.model.parameters(), config.clip_grad_norm)
    state.optimiser.step()
    state.average.update_parameters(state.model)
    return value


def batch_loss(model: nn.Module, batch: Batch, config: TrainConfig, *, kind: str | None = None) -> Tensor:
    """Mean loss over the valid pixels of a batch.

    Parameters
    ----------
    model : nn.Module
    batch : Batch
    config : TrainConfig
    kind : {"mse", "bce"}, optional
        The configured loss otherwise.

    Returns
    -------
    float32 tensor, shape ()
    """
    device = next(model.parameters()).device
    image, distance, valid = (part.to(device, non_blocking=True) for part in batch)
    x = normalise(image).contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        logits = model(x)[:, 0]
    logits = logits.float()
    if (kind or config.loss) == "mse":
        losses = (torch.sigmoid(logits) - distance).square()
    else:
        losses = nn.functional.binary_cross_entropy_with_logits(logits, distance, reduction="none")
    return (losses * valid).sum() / valid.sum().clamp(min=1)


@torch.no_grad()
def _validate(model: nn.Module, datasets: list[list[Batch]], config: TrainConfig, kind: str) -> float:
    """Mean over datasets of the mean loss over their crops."""
    means = []
    for batches in datasets:
        total = sum(batch_loss(model, batch, config, kind=kind).item() * len(batch[0]) for batch in batches)
        means.append(total / sum(len(batch[0]) for batch in batches))
    return sum(means) / len(means)


def _finish_epoch(
    state: RunState, train_loss: float, validation: list[list[Batch]], config: TrainConfig
) -> EpochRecord:
    """Validate the averaged weights and save the epoch."""
    model = state.averaged_model
    mse = _validate(model, validation, config, "mse")
    loss = mse if config.loss == "mse" else _validate(model, validation, config, config.loss)
    step = state.epoch * config.steps_per_epoch
    record = EpochRecord(
        epoch=state.epoch,
        step=step,
        learning_rate=learning_rate_at(step - 1, config),
        train_loss=train_loss,
        validation_loss=loss,
        validation_mse=mse,
        seconds=round(state.seconds, 1),
    )
    best = loss < state.best_loss
    if best:
        state.best_loss = loss
    state.bad_epochs = 0 if best else state.bad_epochs + 1
    save_epoch(state, config, record, best=best)
    return record
