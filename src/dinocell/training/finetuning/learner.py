"""A short training on cached crops, repeated from the same initial weights."""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dinocell.errors import TrainingError
from dinocell.models.memory import explain_out_of_memory
from dinocell.models.network.dinocell import DINOCell
from dinocell.training.config import Loss
from dinocell.training.finetuning.cached_features import CropBatch, CropCache, other_maps
from dinocell.training.finetuning.config import FinetuneConfig
from dinocell.training.objective import map_loss, pixel_counts
from dinocell.training.schedule import rate_factor

TIMED_STEPS = 5
"""Steps, after the first, on which it is measured how long the backbone would have taken."""

BETAS = (0.9, 0.99)
WARMUP = 0.1
"""Share of the steps."""


@dataclass(frozen=True)
class StepTimes:
    """Seconds of a step, the median of a few: with cached feature maps, and with the backbone run as well."""

    cached: float
    with_backbone: float

    @property
    def speed_up(self) -> float:
        """Factor by which the cache makes a step faster."""
        return self.with_backbone / self.cached


class Learner:
    """Training of a model on some of the crops of a cache, from the same initial weights every time.

    Where the cache has feature maps, the decoder learns; else the whole model.

    Parameters
    ----------
    model : DINOCell
        Changed in place.
    cache : CropCache
        Filled.
    config : FinetuneConfig
    """

    def __init__(self, model: DINOCell, cache: CropCache, config: FinetuneConfig) -> None:
        self.model, self.cache, self.config = model, cache, config
        self._part: nn.Module = model.decoder if cache.has_features else model
        self._initial = copy.deepcopy(self._part.state_dict())
        self._seconds: list[tuple[float, float]] = []

    @property
    def times(self) -> StepTimes | None:
        """Times that show what the cache saves; None without feature maps, or before the second step."""
        if not self._seconds:
            return None
        cached, backbone = (median(times) for times in zip(*self._seconds, strict=True))
        return StepTimes(cached, cached + backbone)

    def learn(self, numbers: NDArray[np.int64]) -> Iterator[float]:
        """Start from the initial weights, and learn for `config.steps` steps from the crops of these numbers.

        Yields
        ------
        float
            The loss of every step.

        Raises
        ------
        TrainingError
            If the loss is not finite.
        DeviceMemoryError
            If the memory is not enough for a batch.
        """
        self._part.load_state_dict(self._initial)
        weights = [weight for weight in self._part.parameters() if weight.requires_grad]
        settings = self.config
        optimiser = torch.optim.AdamW(
            weights, lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=BETAS
        )
        self.model.train()
        for step, chosen in enumerate(_order(numbers, settings)):
            start = time.perf_counter()
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * rate_factor(
                    step, total_steps=settings.steps, warmup_steps=round(WARMUP * settings.steps)
                )
            batch = self.cache.batch(chosen)
            loss, norm = self._step(batch, optimiser, weights)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise TrainingError(
                    f"the loss is {loss} at step {step + 1}, and the norm of its gradient {norm}: "
                    "choose a lower learning_rate"
                )
            if self.cache.has_features and step and len(self._seconds) < TIMED_STEPS:
                self._seconds.append((time.perf_counter() - start, self._time_backbone(batch.x)))
            yield loss
        self.model.eval()

    def _step(
        self, batch: CropBatch, optimiser: torch.optim.Optimizer, weights: list[nn.Parameter]
    ) -> tuple[float, float]:
        """Take a step; return the loss and the norm of its gradient."""
        cuda = batch.x.device.type == "cuda"
        with explain_out_of_memory(
            f"the memory of {batch.x.device} is not enough for "
            f"{len(batch.x)} crops of {batch.x.shape[-1]} px: "
            "choose a smaller batch_size or crop_size"
        ):
            with torch.autocast("cuda", torch.bfloat16, enabled=cuda):
                logits = batch.logits(self.model)
            loss = self._loss(logits, batch)
            optimiser.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
        return loss.item(), norm.item()

    def _loss(self, logits: Tensor, batch: CropBatch) -> Tensor:
        """Compute the loss: of the map that is learned, and of the other targets' maps, which are to stay."""
        target = self.cache.target
        counts = pixel_counts(batch.distance, batch.valid)
        loss = map_loss(logits[:, target], batch.distance, batch.valid, counts, Loss())
        if batch.others.numel():
            # The decoder is shared: what one map learns would change the others (Li & Hoiem, 2016).
            drift = torch.sigmoid(other_maps(logits, target).float()) - batch.others
            loss = loss + self.config.keep * drift.square().mean()
        return loss

    def _time_backbone(self, x: Tensor) -> float:
        start = time.perf_counter()
        float(self.cache.run_backbone(x)[-1].flatten()[0])  # asking for a value waits for the device
        return time.perf_counter() - start


def _order(numbers: NDArray[np.int64], settings: FinetuneConfig) -> NDArray[np.int64]:
    """Shuffle the numbers, again and again until they fill all steps: shape (steps, batch size)."""
    rng = np.random.default_rng(settings.seed)
    needed = settings.steps * settings.batch_size
    rounds = [rng.permutation(numbers) for _ in range(math.ceil(needed / numbers.size))]
    return np.concatenate(rounds)[:needed].reshape(settings.steps, settings.batch_size)
