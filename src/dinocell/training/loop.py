"""The training loop: draw, step, validate, checkpoint; a generator, so that a caller can show and stop it."""

import csv
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dinocell.checkpoint import previous_folder, replaced_folder, write_checkpoint
from dinocell.errors import CheckpointError
from dinocell.model import DINOCell, normalise
from dinocell.training.config import TrainConfig
from dinocell.training.samples import (
    Annotated,
    Batch,
    TrainingSamples,
    diameter_range,
    load,
    validation_batches,
)

logger = logging.getLogger(__name__)

STATE_FILE = "state.pt"


@dataclass(frozen=True)
class Progress:
    """What the loop reports after every step."""

    step: int
    total_steps: int
    epoch: int
    train_loss: float


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
class _State:
    """All that changes during a run; ``last/state.pt`` holds it."""

    model: DINOCell
    average: AveragedModel
    optimiser: torch.optim.Optimizer
    epoch: int = 0
    best_loss: float = math.inf
    bad_epochs: int = 0
    seconds: float = 0.0

    @property
    def averaged_model(self) -> DINOCell:
        """The model with averaged weights, in eval mode: what is validated and saved."""
        return cast(DINOCell, self.average.module).eval()


def train(config: TrainConfig, *, resume: bool = False) -> Iterator[Progress | EpochRecord]:
    """Train a model; results are in the run folder when the generator ends.

    Parameters
    ----------
    config : TrainConfig
    resume : bool
        Go on from ``last/`` of the run folder where there is one.

    Yields
    ------
    Progress
        After every step.
    EpochRecord
        After every epoch, when its checkpoint has been written.

    Raises
    ------
    DINOCellError
        If data or weights cannot be read, or the run folder cannot be written.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training = [load(dataset, config.preprocessing) for dataset in config.train]
    validation = [
        validation_batches(load(dataset, config.preprocessing), config.crop_size, config.batch_size)
        for dataset in config.validation
    ]
    samples = TrainingSamples(training, config)
    torch.manual_seed(config.seed)
    state = _new_state(config, training, device)
    if resume:
        _restore(state, config.output / "last")
    config.output.mkdir(parents=True, exist_ok=True)
    config.to_yaml(config.output / "config.yaml")
    _trim_metrics(config.output / "metrics.csv", state.epoch)
    start = time.monotonic() - state.seconds
    while state.epoch < config.epochs and state.bad_epochs < config.patience:
        losses: list[float] = []
        first = state.epoch * config.steps_per_epoch
        for step, batch in enumerate(samples.batches(first, first + config.steps_per_epoch), first):
            losses.append(_step(state, batch, step, config))
            yield Progress(step + 1, config.total_steps, state.epoch + 1, losses[-1])
        state.epoch += 1
        state.seconds = time.monotonic() - start
        yield _finish_epoch(state, sum(losses) / len(losses), validation, config)


def _new_state(config: TrainConfig, training: list[list[Annotated]], device: torch.device) -> _State:
    model = (
        DINOCell.from_pretrained(config.start_from)
        if config.start_from
        else DINOCell.from_variant(config.model)
    )
    if config.crop_size % model.stride:
        raise CheckpointError(f"crop_size {config.crop_size} is no multiple of the stride {model.stride}")
    model.config = model.config.model_copy(
        update={
            "trained": True,
            "preprocessing": config.preprocessing,
            "cell_diameter": config.cell_diameter,
            "diameter_range": diameter_range(training, config.augmentation),
        }
    )
    if config.freeze_backbone:
        model.freeze_backbone()
    model = model.train().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
    optimiser = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=config.learning_rate,
        betas=config.betas,
        weight_decay=config.weight_decay,
    )
    return _State(model, average, optimiser)


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """Learning rate of a step: linear warm-up, then a cosine to zero."""
    warmup = min(config.warmup_steps, config.total_steps // 2)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    share = (step - warmup) / max(1, config.total_steps - warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def _step(state: _State, batch: Batch, step: int, config: TrainConfig) -> float:
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate_at(step, config)
    loss = _loss(state.model, batch, config)
    state.optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(state.model.parameters(), config.clip_grad_norm)
    state.optimiser.step()
    state.average.update_parameters(state.model)
    return loss.item()


def _loss(model: nn.Module, batch: Batch, config: TrainConfig, *, kind: str | None = None) -> Tensor:
    """Mean loss over the valid pixels of a batch."""
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
        total = sum(_loss(model, batch, config, kind=kind).item() * len(batch[0]) for batch in batches)
        means.append(total / sum(len(batch[0]) for batch in batches))
    return sum(means) / len(means)


def _finish_epoch(
    state: _State, train_loss: float, validation: list[list[Batch]], config: TrainConfig
) -> EpochRecord:
    """Validate the averaged weights, write the row and the checkpoints."""
    average = state.averaged_model
    step = state.epoch * config.steps_per_epoch
    mse = _validate(average, validation, config, "mse")
    loss = mse if config.loss == "mse" else _validate(average, validation, config, config.loss)
    record = EpochRecord(
        epoch=state.epoch,
        step=step,
        learning_rate=learning_rate_at(step - 1, config),
        train_loss=train_loss,
        validation_loss=loss,
        validation_mse=mse,
        seconds=round(state.seconds, 1),
    )
    better = loss < state.best_loss
    state.best_loss = min(loss, state.best_loss)
    state.bad_epochs = 0 if better else state.bad_epochs + 1
    average.config = average.config.model_copy(update={"training": _record(config, state)})
    if better:
        average.save_pretrained(config.output / "best_model")
    _save(state, config.output / "last")
    _append_metrics(config.output / "metrics.csv", record)
    return record


def _record(config: TrainConfig, state: _State) -> dict[str, Any]:
    settings = config.model_dump(mode="json")
    return settings | {
        "train": [dataset["path"].rsplit("/", 1)[-1] for dataset in settings["train"]],
        "validation": [dataset["path"].rsplit("/", 1)[-1] for dataset in settings["validation"]],
        "epoch": state.epoch,
        "seconds_trained": round(state.seconds),
        "best_validation_loss": state.best_loss,
        "torch": torch.__version__,
    }


def _save(state: _State, folder: Path) -> None:
    with replaced_folder(folder) as temporary:
        model = state.averaged_model
        write_checkpoint(temporary, model.config, model.state_dict())
        torch.save(
            {
                "model": state.model.state_dict(),
                "average": state.average.state_dict(),
                "optimiser": state.optimiser.state_dict(),
                "epoch": state.epoch,
                "best_loss": state.best_loss,
                "bad_epochs": state.bad_epochs,
                "seconds": state.seconds,
            },
            temporary / STATE_FILE,
        )


def _restore(state: _State, folder: Path) -> None:
    """Fill `state` from ``last/``, or from its predecessor after a kill between two renames."""
    found = [f for f in (folder, previous_folder(folder)) if (f / STATE_FILE).is_file()]
    if not found:
        logger.info("nothing to resume in %s: starting anew", folder)
        return
    path = found[0] / STATE_FILE
    try:
        saved = torch.load(path, map_location=state.model.device, weights_only=True)
        state.model.load_state_dict(saved["model"])
        state.average.load_state_dict(saved["average"])
        state.optimiser.load_state_dict(saved["optimiser"])
    except (RuntimeError, KeyError, ValueError, EOFError) as error:
        raise CheckpointError(
            f"{path} cannot be resumed ({str(error).splitlines()[0]}): "
            "resume with the settings it was started with, or start anew without --resume"
        ) from error
    state.epoch, state.best_loss = saved["epoch"], saved["best_loss"]
    state.bad_epochs, state.seconds = saved["bad_epochs"], saved["seconds"]


def _trim_metrics(path: Path, epoch: int) -> None:
    """Keep the header and the rows of the epochs that the checkpoint knows."""
    rows: list[dict[str, str]] = []
    if epoch and path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if int(row["epoch"]) <= epoch]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(EpochRecord.__annotations__))
        writer.writeheader()
        writer.writerows(rows)


def _append_metrics(path: Path, record: EpochRecord) -> None:
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(asdict(record).values())
