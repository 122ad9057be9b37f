"""The loop that trains a decoder of clicks on the features of a network that stays as it is."""

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dinocell.errors import TrainingError
from dinocell.io.saving import atomic_path, create_folder
from dinocell.models.checkpoint import WEIGHTS_FILE, weights_file
from dinocell.models.export.checkpoint_graph import write_graph
from dinocell.models.export.clicks import write_click_graph
from dinocell.models.finding import CONFIG_FILE, find_checkpoint
from dinocell.models.network.click_decoder import ClickDecoder, soft_overlap_loss
from dinocell.models.network.dinocell import DINOCell, normalise
from dinocell.training.clicks.config import ClickConfig
from dinocell.training.clicks.samples import Sample, SampleSource, stack

STATE_FILE = "clicks_state.pt"
_SAVE_EVERY = 100
_WARM_UP = 50


@dataclass(frozen=True)
class ClickStep:
    """Progress of the training.

    Attributes
    ----------
    step, steps : int
    loss : float
    overlap : float
        Mean IoU of the batch, after the clicks that it has.
    """

    step: int
    steps: int
    loss: float
    overlap: float


def train_clicks(config: ClickConfig, *, threads: int | None = None) -> Iterator[ClickStep]:
    """Train a decoder of clicks; the output folder becomes a copy of the checkpoint that has it.

    A training that was stopped goes on from where it last saved its state.

    Parameters
    ----------
    config : ClickConfig
    threads : int, optional
        Of the processor.

    Yields
    ------
    ClickStep

    Raises
    ------
    InputError
        If there is nothing to learn from.
    TrainingError
        If the loss is not finite any more.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    checkpoint = find_checkpoint(config.model)
    model = DINOCell.from_pretrained(str(checkpoint)).to(device).eval()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    source = SampleSource(config, model.config.preprocessing)
    trainer = _Trainer(config, model)
    create_folder(config.output)
    trainer.resume()
    while trainer.step < config.steps:
        # A generator a step: a training that goes on draws what it would have drawn.
        rng = np.random.default_rng((config.seed, trainer.step))
        samples = [source.draw(rng) for _ in range(config.batch_size)]
        yield trainer.learn(samples, rng)
        if trainer.step % _SAVE_EVERY == 0 or trainer.step == config.steps:
            trainer.save()
    shutil.copyfile(weights_file(checkpoint), config.output / WEIGHTS_FILE)
    shutil.copyfile(checkpoint / CONFIG_FILE, config.output / CONFIG_FILE)
    write_click_graph(model, trainer.decoder, config.output)
    write_graph(config.output)


class _Trainer:
    def __init__(self, config: ClickConfig, model: DINOCell) -> None:
        self.config, self.model, self.step = config, model, 0
        torch.manual_seed(config.seed)
        backbone = model.backbone
        self.decoder = ClickDecoder(model.config.decoder, backbone.out_channels, backbone.strides)
        self.decoder.begin_as(model.decoder)
        self.decoder.to(model.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        old = [*self.decoder.decoder.parameters()]
        new = [*self.decoder.encoder.parameters(), *self.decoder.entries.parameters()]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": old, "lr": config.learning_rate / 3, "top": config.learning_rate / 3},
                {"params": new, "lr": config.learning_rate, "top": config.learning_rate},
            ],
            weight_decay=1e-4,
        )

    @property
    def _state(self) -> Path:
        return self.config.output / STATE_FILE

    def resume(self) -> None:
        if not self._state.exists():
            return
        state = torch.load(self._state, weights_only=True, map_location=self.model.device)
        self.decoder.load_state_dict(state["decoder"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]

    def save(self) -> None:
        state = {
            "decoder": self.decoder.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
        }
        with atomic_path(self._state) as temporary:
            torch.save(state, temporary)

    def learn(self, samples: list[Sample], rng: np.random.Generator) -> ClickStep:
        """Add corrective clicks to the samples, and take a step."""
        x = normalise(torch.from_numpy(np.stack([s.gray for s in samples])).to(self.model.device))
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            features = self.model.backbone(x)
            for _ in range(int(rng.integers(self.config.most_clicks))):
                found = self._logits(x, features, samples).cpu().numpy() > 0
                for sample, predicted in zip(samples, found, strict=True):
                    sample.correct(predicted & ~sample.taken)
        self._set_rate()
        cell, valid = (torch.from_numpy(stack(samples, name)).to(x.device) for name in ("cell", "valid"))
        logits = self._logits(x, features, samples)
        loss = soft_overlap_loss(logits, cell, valid)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss.item()} at step {self.step}, expected a number: lower learning_rate"
            )
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.decoder.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        return ClickStep(self.step, self.config.steps, loss.item(), _mean_iou(logits, cell, valid))

    def _logits(self, x: Tensor, features: tuple[Tensor, ...], samples: list[Sample]) -> Tensor:
        clicks = torch.from_numpy(np.stack([sample.maps() for sample in samples])).to(x.device)
        logits: Tensor = self.decoder(x, features, clicks.contiguous(memory_format=torch.channels_last))
        return logits[:, 0]

    def _set_rate(self) -> None:
        """Warm up, then fall along a cosine."""
        share = self.step / self.config.steps
        factor = min(1.0, (self.step + 1) / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * share))
        for group in self.optimiser.param_groups:
            group["lr"] = group["top"] * max(factor, 0.01)


def _mean_iou(logits: Tensor, cell: Tensor, valid: Tensor) -> float:
    found, true = (logits > 0) & (valid > 0), (cell > 0) & (valid > 0)
    together = (found | true).sum((1, 2)).clamp(min=1)
    return float(((found & true).sum((1, 2)) / together).mean())
