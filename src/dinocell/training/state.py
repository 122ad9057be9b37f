"""State of a training run: model, averages, optimiser, and how far it is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dinocell.errors import ConfigError
from dinocell.labels import TARGETS
from dinocell.models.checkpoint import read_config
from dinocell.models.configuration import ModelConfig
from dinocell.models.network.dinocell import DINOCell
from dinocell.training.adaptation import adapt, parameter_groups
from dinocell.training.average import EpochMean, WeightAverage
from dinocell.training.config import LAST_FOLDER, TrainConfig

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass
class TrainingState:
    """Content of ``last/state.pt``, and the devices that it lives on.

    Attributes
    ----------
    accelerator : Accelerator
        The process group, of one process or of several that `torchrun` started.
    model : DINOCell
        The model that learns.
    parallel : nn.Module
        The model as it is called: gradients are averaged over the processes.
    average : WeightAverage
        Its moving average.
    last_epochs : EpochMean
        Mean of that over the last epochs; without weights before them.
    optimiser : Optimizer
    scaler : GradScaler
        Scaler of the loss, for float16.
    mode : str
        Training mode of the backbone: frozen, full or lora.
    precision : torch.dtype
        Number format of the forward pass.
    maps : int64 tensor, shape (len(TARGETS),)
        Number of the model's map of each target; 0 where it has none.
    data : dict
        Hashes and weights of the datasets, where this process is the one that writes.
    epoch, bad_epochs : int
        Epochs done; of them, the last ones without a better validation loss.
    best_loss : float
        Lowest loss of the validation so far.
    seconds : float
        Time taken, over all sessions.
    """

    accelerator: "Accelerator"
    model: DINOCell
    parallel: nn.Module
    average: WeightAverage
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    mode: str
    precision: torch.dtype
    maps: Tensor
    last_epochs: EpochMean = field(default_factory=EpochMean)
    data: dict[str, Any] = field(default_factory=dict)
    epoch: int = 0
    best_loss: float = math.inf
    bad_epochs: int = 0
    seconds: float = 0.0

    @property
    def is_main(self) -> bool:
        """True in the one process that writes files."""
        return bool(self.accelerator.is_main_process)

    @property
    def averaged(self) -> DINOCell:
        """Model that is validated and saved."""
        return self.last_epochs.model or self.average.model

    def contents(self) -> dict[str, Any]:
        """Return what ``last/state.pt`` keeps of it."""
        mean = self.last_epochs
        return {
            "last_epochs": [mean.count, mean.model.state_dict() if mean.model else {}],
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "epoch": self.epoch,
            "best_loss": self.best_loss,
            "bad_epochs": self.bad_epochs,
            "seconds": self.seconds,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over what `contents` returned in an earlier session."""
        self.model.load_state_dict(saved["model"])
        self.average.model.load_state_dict(saved["average"])
        count, mean = saved["last_epochs"]
        if count:
            self.last_epochs.begin(self.average.model, count)
            self.averaged.load_state_dict(mean)
        self.optimiser.load_state_dict(saved["optimiser"])
        if saved["scaler"]:  # empty in other precisions than float16
            self.scaler.load_state_dict(saved["scaler"])
        self.epoch, self.best_loss = saved["epoch"], saved["best_loss"]
        self.bad_epochs, self.seconds = saved["bad_epochs"], saved["seconds"]


def new_state(config: TrainConfig, accelerator: "Accelerator", *, resume: bool) -> TrainingState:
    """Build model, average and optimiser as they are before the first step.

    Parameters
    ----------
    config : TrainConfig
    accelerator : Accelerator
    resume : bool
        Build the model that ``last/`` describes. Its weights are restored later, so what the run began with
        need not be there any more.

    Raises
    ------
    DINOCellError
        If the weights to begin with cannot be used, or settings do not fit the model.
    """
    model = _initial_model(config, resume=resume)
    _check(model, config, accelerator.num_processes)
    model.config = model.config.model_copy(
        update={
            "trained": True,
            "preprocessing": config.preprocessing,
            "targets": {
                target: settings.model_copy(
                    update={"diameter_range": config.diameter_range.get(target, settings.diameter_range)}
                )
                for target, settings in model.config.targets.items()
            },
        }
    )
    mode = adapt(model, config.backbone)
    device = accelerator.device
    model = model.train().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    precision = choose_precision(config.precision, device)
    settings = config.optimiser
    return TrainingState(
        accelerator=accelerator,
        model=model,
        parallel=accelerator.prepare_model(model),
        average=WeightAverage(model, config.ema_decay),
        optimiser=torch.optim.AdamW(
            parameter_groups(model, config.backbone, settings.learning_rate),
            betas=settings.betas,
            weight_decay=settings.weight_decay,
        ),
        scaler=torch.amp.GradScaler(device.type, enabled=precision == torch.float16),
        mode=mode,
        precision=precision,
        maps=_maps(model.config),
    )


def _maps(config: ModelConfig) -> Tensor:
    order = list(config.targets)
    return torch.tensor([order.index(target) if target in order else 0 for target in TARGETS])


def freeze_statistics(model: nn.Module) -> None:
    """Let every BatchNorm normalise by the statistics that it has gathered, and gather no more."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()


def _initial_model(config: TrainConfig, *, resume: bool) -> DINOCell:
    if resume:
        return DINOCell(read_config(config.output / LAST_FOLDER))
    if config.start_from is None:
        return DINOCell.from_variant(
            config.model,
            targets=config.targets,
            backbone_weights=config.backbone.weights,
            token_stride=config.backbone.token_stride,
        )
    model = DINOCell.from_pretrained(config.start_from, fold=False)
    if model.config.variant != config.model:
        raise ConfigError(
            f"start_from {config.start_from} is a {model.config.variant!r}, but model is {config.model!r}: "
            "make them the same"
        )
    if model.config.trained and model.config.preprocessing != config.preprocessing:
        raise ConfigError(
            f"start_from {config.start_from} was trained with {model.config.preprocessing}, "
            f"but preprocessing is {config.preprocessing}: make them the same"
        )
    return model


def _check(model: DINOCell, config: TrainConfig, processes: int) -> None:
    if config.crop_size % model.stride:
        raise ConfigError(f"crop_size is {config.crop_size}, expected a multiple of {model.stride}")
    annotated = {dataset.annotates for dataset in (*config.train, *config.validation)}
    if missing := annotated - set(model.config.targets):
        raise ConfigError(
            f"data annotates {', '.join(sorted(missing))}, but the model outlines "
            f"{', '.join(model.config.targets)}: leave that data out, or train a model on it from the start"
        )
    if config.batch_size % processes:
        raise ConfigError(
            f"batch_size is {config.batch_size}, expected a multiple of {processes}, the number of processes"
        )


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Choose the number format of the forward pass.

    Parameters
    ----------
    name : {"auto", "float32", "bfloat16", "float16"}
        auto is float32 unless there is a CUDA device: 16 bits are slow on most CPUs.
    device : torch.device

    Raises
    ------
    ConfigError
        If the device cannot train in it.
    """
    if name == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if name == "float16" and device.type != "cuda":
        raise ConfigError(f"precision float16 cannot be trained on {device.type}: choose auto or float32")
    precision: torch.dtype = getattr(torch, name)
    return precision
