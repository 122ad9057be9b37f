"""The training loop: draw, step, validate, checkpoint."""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch

from dinocell.errors import TrainingError
from dinocell.extras import import_extra
from dinocell.io.presence import check_still_there
from dinocell.models.checkpoint import WEIGHTS_FILE
from dinocell.models.finding import CONFIG_FILE
from dinocell.models.memory import explain_out_of_memory
from dinocell.training.cached_crops import CachedSamples, CropsCached, cache_crops, remove_cache
from dinocell.training.checkpoints import EpochRecord, open_training, prepare_training, save_checkpoints
from dinocell.training.config import BEST_FOLDER, LAST_FOLDER, TrainConfig
from dinocell.training.logs import RunLog
from dinocell.training.on_device.samples import DeviceSamples
from dinocell.training.samples import TrainingBatch, TrainingSamples, load_annotated, validation_batches
from dinocell.training.sources import open_samples
from dinocell.training.state import TrainingState, new_state
from dinocell.training.step import Step, learning_rate_at, optimise, validate, validation_panels

if TYPE_CHECKING:
    from accelerate import Accelerator

AnySamples = TrainingSamples | DeviceSamples | CachedSamples

WAIT = timedelta(hours=2)
"""Longest time that processes wait for one another: one of them reads all data once more, to hash it."""


@dataclass(frozen=True)
class StepDone:
    """Progress that the loop reports after every step."""

    step: int
    total_steps: int
    epoch: int
    train_loss: float


TrainEvent: TypeAlias = CropsCached | StepDone | EpochRecord


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    progress: Callable[[TrainEvent], None] | None = None,
) -> Path:
    """Train a model; in every process that `torchrun` started, where it did.

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
    return config.output / BEST_FOLDER


def training_steps(config: TrainConfig, *, resume: bool = False) -> Iterator[TrainEvent]:
    """Train step by step, so that a caller can show progress and stop; see `train`.

    Yields
    ------
    CropsCached
        Before the first step where crops are cached, after every batch of them.
    StepDone
        After every step.
    EpochRecord
        After every epoch, when its checkpoint has been written.
    """
    config = config.resolved()
    accelerator = _accelerator()
    torch.manual_seed(config.seed)
    with accelerator.main_process_first():
        resume = prepare_training(config, resume=resume)
    read = functools.partial(
        load_annotated, preprocessing=config.preprocessing, split_components=config.split_components
    )
    samples: AnySamples = open_samples(
        [read(dataset) for dataset in config.train], config, accelerator.device
    )
    validation: Sequence[Sequence[TrainingBatch]] = [
        validation_batches(read(dataset), dataset.annotates, config.crop_size, config.batch_size)
        for dataset in config.validation
    ]
    with explain_out_of_memory(f"the memory is not enough to train {config.model!r}: choose a smaller model"):
        state = new_state(config, accelerator, resume=resume)
    open_training(state, config, resume=resume)
    if isinstance(samples, TrainingSamples) and config.cached_crops:
        with explain_out_of_memory(_advice(config)):
            samples, validation = yield from cache_crops(state, samples, validation)
    with explain_out_of_memory(_advice(config)), _log(state, config) as log:
        yield from _epochs(state, samples, validation, log)
    remove_cache(config)
    if state.is_main:
        check_still_there(config.output / BEST_FOLDER / name for name in (CONFIG_FILE, WEIGHTS_FILE))


def _log(state: TrainingState, config: TrainConfig) -> "contextlib.AbstractContextManager[RunLog | None]":
    """Open the log, in the process that writes."""
    if not state.is_main:
        return contextlib.nullcontext()
    settings = config.model_dump(mode="json")
    step = state.epoch * config.steps_per_epoch
    return RunLog(config.output, wandb=config.wandb, config=settings, resume_step=step)


def _accelerator() -> "Accelerator":
    # It takes seconds to import: only when used.
    accelerate = import_extra("accelerate", extra="train", purpose="training")
    patience = accelerate.InitProcessGroupKwargs(timeout=WAIT)
    return accelerate.Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="no",  # our own setting decides, and no variable of the environment
        kwargs_handlers=[patience],
    )


def _epochs(
    state: TrainingState,
    samples: AnySamples,
    validation: Sequence[Sequence[TrainingBatch]],
    log: RunLog | None,
) -> Iterator[StepDone | EpochRecord]:
    """Train until the last epoch, or until the validation loss has not fallen for long."""
    accelerator, config = state.accelerator, samples.config
    steps = samples.steps(
        state.epoch * config.steps_per_epoch,
        config.total_steps,
        process=accelerator.process_index,
        processes=accelerator.num_processes,
    )
    start = time.monotonic() - state.seconds
    with contextlib.closing(steps):  # one loader for all epochs: it prepares crops during validation, too
        while state.epoch < config.epochs and state.bad_epochs < config.patience:
            done: list[Step] = []
            first = state.epoch * config.steps_per_epoch
            for step in range(first, first + config.steps_per_epoch):
                done.append(_step(state, next(steps), step, samples))
                yield StepDone(step + 1, config.total_steps, state.epoch + 1, done[-1].loss)
            state.epoch += 1
            state.seconds = time.monotonic() - start
            yield _finish_epoch(state, done, validation, log, config)


def _step(state: TrainingState, batches: list[TrainingBatch], step: int, samples: AnySamples) -> Step:
    config = samples.config
    try:
        return optimise(state, batches, step, config)
    except TrainingError as error:
        names = ", ".join(samples.names(step))
        raise TrainingError(f"{error}, on crops of {names}: {_remedy(config)}") from error


def _remedy(config: TrainConfig) -> str:
    last = config.output / LAST_FOLDER
    kept = f"; the last good weights are in {last}" if last.exists() else ""
    return f"look at the images, or lower optimiser.learning_rate and start anew{kept}"


def _advice(config: TrainConfig) -> str:
    return (
        f"the memory is not enough for {config.batch_size} crops of {config.crop_size} px: "
        "lower batch_size (and raise accumulate) or crop_size, freeze the backbone, or choose a smaller model"
    )


def _mean_norm(done: Sequence[Step]) -> float:
    """Average over the steps that were taken; float16 skips those whose gradient is not finite."""
    norms = [of.gradient_norm for of in done if math.isfinite(of.gradient_norm)]
    return sum(norms) / max(1, len(norms))


def _finish_epoch(
    state: TrainingState,
    done: Sequence[Step],
    validation: Sequence[Sequence[TrainingBatch]],
    log: RunLog | None,
    config: TrainConfig,
) -> EpochRecord:
    """Validate the averaged weights, and log and save the epoch."""
    first_averaged = config.epochs - config.average_last + 1
    if state.epoch <= first_averaged:  # also where a run that had come to its last epochs was made longer
        state.last_epochs.clear()
    if state.epoch >= first_averaged:
        state.last_epochs.add(state.average.model)
    loss, mse = validate(state, validation, config)
    if not math.isfinite(loss):  # what is saved stays good
        raise TrainingError(f"the validation loss is {loss} after epoch {state.epoch}: {_remedy(config)}")
    step = state.epoch * config.steps_per_epoch
    record = EpochRecord(
        epoch=state.epoch,
        step=step,
        learning_rate=learning_rate_at(step - 1, config),
        train_loss=sum(of.loss for of in done) / len(done),
        gradient_norm=_mean_norm(done),
        validation_loss=loss,
        validation_mse=mse,
        seconds=round(state.seconds, 1),
    )
    best = loss < state.best_loss
    if best:
        state.best_loss = loss
    state.bad_epochs = 0 if best else state.bad_epochs + 1
    if log is not None:  # before the checkpoint: a resumed run drops what it will log again
        log.scalars(record.step, record.curves())
        log.images(record.step, validation_panels(state, validation))
    if state.is_main:
        save_checkpoints(state, config, record, best=best)
    state.accelerator.wait_for_everyone()
    return record
