"""One step of the optimiser, over any number of batches and processes; and the validation."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dinocell.errors import TrainingError
from dinocell.models.network.dinocell import normalise
from dinocell.training.config import Loss, TrainConfig
from dinocell.training.logs import panel
from dinocell.training.objective import map_loss, pixel_counts
from dinocell.training.samples import TrainingBatch
from dinocell.training.schedule import rate_factor
from dinocell.training.state import TrainingState, freeze_statistics

ValidationLosses = tuple[float, float]
"""Loss as configured, and mean squared error."""


@dataclass(frozen=True)
class Step:
    """Result of a step: the loss, and the norm of its gradient before it was clipped."""

    loss: float
    gradient_norm: float


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """Return the learning rate at a step: of the decoder, and the highest of all parts."""
    settings = config.optimiser
    factor = rate_factor(step, total_steps=config.total_steps, warmup_steps=settings.warmup_steps)
    return settings.learning_rate * factor


def optimise(state: TrainingState, batches: Sequence[TrainingBatch], step: int, config: TrainConfig) -> Step:
    """Take one step, whose gradient is that of all batches of all processes as if they were one.

    Parameters
    ----------
    state : TrainingState
    batches : sequence of TrainingBatch
        Those of this process.
    step : int
        Counted from 0.
    config : TrainConfig

    Returns
    -------
    Step
        The same in every process.

    Raises
    ------
    TrainingError
        If the loss or its gradient is not finite; then no weight has changed.
    """
    accelerator = state.accelerator
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate_at(step, config) * group["lr_scale"]
    # Counted on the device, so that the processor does not wait for it.
    batches = [_on(accelerator.device, batch) for batch in batches]
    counts = accelerator.reduce(_count(batches), "sum")
    if step >= config.freeze_statistics * config.total_steps:
        freeze_statistics(state.model)
    state.optimiser.zero_grad()
    total = torch.zeros((), device=accelerator.device)
    for number, batch in enumerate(batches, 1):
        wait = number < len(batches)  # the gradient is exchanged with the last batch
        with accelerator.no_sync(state.parallel) if wait else contextlib.nullcontext():
            loss = map_loss(*_forward(state, state.parallel, batch), counts, config.loss)
            # Several processes average their gradients, but each has a part of the sum.
            state.scaler.scale(loss * accelerator.num_processes).backward()
        total += loss.detach()
    state.scaler.unscale_(state.optimiser)
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), config.optimiser.clip_grad_norm)
    done = Step(float(accelerator.reduce(total, "sum").item()), float(norm))
    _check_finite(done, step, scaled=state.scaler.is_enabled())
    state.scaler.step(state.optimiser)
    state.scaler.update()
    state.average.update(state.model, step)
    return done


def _check_finite(done: Step, step: int, *, scaled: bool) -> None:
    if not math.isfinite(done.loss):
        raise TrainingError(f"the loss is {done.loss} at step {step + 1}")
    if not math.isfinite(done.gradient_norm) and not scaled:  # a scaler skips the step, and scales less
        raise TrainingError(f"the norm of the gradient is {done.gradient_norm} at step {step + 1}")


def _on(device: torch.device, batch: TrainingBatch) -> TrainingBatch:
    image, distance, valid, target, *maps = (part.to(device, non_blocking=True) for part in batch)
    return image, distance, valid, target, *maps


def _forward(state: TrainingState, model: nn.Module, batch: TrainingBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Predict a batch; return logits of each crop's target, true map, valid pixels: ``(B, Y, X)`` each."""
    device = next(model.parameters()).device
    image, distance, valid, target, *maps = _on(device, batch)
    x = normalise(image).contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, state.precision, enabled=state.precision != torch.float32):
        logits = model(x, *(part.float() for part in maps))
    chosen = logits[torch.arange(len(x), device=device), state.maps.to(device)[target]]
    return chosen.float(), distance, valid


@torch.no_grad()
def validate(
    state: TrainingState, datasets: Sequence[Sequence[TrainingBatch]], config: TrainConfig
) -> ValidationLosses:
    """Compute the losses of the averaged weights: mean over the pixels of each dataset, then weighted mean.

    Parameters
    ----------
    state : TrainingState
    datasets : sequence of sequence of TrainingBatch
        The same in every process; they share the work.
    config : TrainConfig

    Returns
    -------
    (float, float)
        The same in every process, whatever the size of a batch.
    """
    accelerator, model = state.accelerator, state.averaged
    sums = torch.zeros(len(datasets), 2)
    for number, batches in enumerate(datasets):
        counts = _count(batches)
        for batch in batches[accelerator.process_index :: accelerator.num_processes]:
            prediction = _forward(state, model, batch)
            parts = [map_loss(*prediction, counts, loss).item() for loss in (config.loss, Loss())]
            sums[number] += torch.tensor(parts)
    weights = torch.tensor([dataset.weight for dataset in config.validation])
    means = accelerator.reduce(sums.to(accelerator.device), "sum").cpu()
    loss, mse = ((weights / weights.sum()) @ means).tolist()
    return loss, mse


@torch.no_grad()
def validation_panels(
    state: TrainingState, datasets: Sequence[Sequence[TrainingBatch]]
) -> list[NDArray[np.uint8]]:
    """Draw what the averaged weights predict for the first crop of each dataset, as `panel` does."""
    panels = []
    for batches in datasets:
        image, distance, valid, target, *maps = (part[:1] for part in batches[0])
        first: TrainingBatch = (image, distance, valid, target, *maps)
        logits, _, _ = _forward(state, state.averaged, first)
        predicted = torch.sigmoid(logits)[0].cpu().numpy()
        panels.append(panel(image[0].numpy(), distance[0].numpy(), predicted, valid[0].numpy()))
    return panels


def _count(batches: Sequence[TrainingBatch]) -> Tensor:
    return torch.stack([pixel_counts(distance, valid) for _, distance, valid, *_ in batches]).sum(dim=0)
