"""Averages of a model's weights, which are validated and saved in their place."""

import copy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from dinocell.models.network.dinocell import DINOCell


class WeightAverage:
    """An exponential moving average of the weights that learn, beginning with the weights as they are.

    Parameters
    ----------
    model : DINOCell
        After `dinocell.training.adaptation.adapt`, which chooses the weights that learn.
    decay : float
        0 ≤ decay < 1; after an update the average is ``decay * average + (1 - decay) * weights``, where the
        decay of step n is (1 + n) / (10 + n) at most.

    Attributes
    ----------
    model : DINOCell
        Has the averages, in eval mode. It shares the weights that do not learn with the first model, also in
        a file that one `torch.save` writes both to; at decay 0, where nothing is averaged, it shares all.
    """

    def __init__(self, model: DINOCell, decay: float) -> None:
        shared: dict[int, Tensor] = {
            id(w): w for w in model.parameters() if decay == 0 or not w.requires_grad
        }
        if decay == 0:
            shared |= {id(buffer): buffer for buffer in model.buffers()}
        self.model = copy.deepcopy(model, shared).eval()  # weights in the memo are not copied
        self._decay = decay

    def update(self, model: DINOCell, step: int) -> None:
        """Move the average towards the weights after a step of the optimiser.

        Parameters
        ----------
        model : DINOCell
            The one that the average was begun with.
        step : int
            Counted from 0.
        """
        # A smaller decay at first: 0.1, 0.18, 0.25, …, so that the random weights of the start are forgotten.
        decay = min(self._decay, (1 + step) / (10 + step))
        if self._decay:  # only weights that learn: most of a large model may be frozen
            get_ema_multi_avg_fn(decay)(_learning(self.model), _learning(model), 0)
            for own, new in zip(self.model.buffers(), model.buffers(), strict=True):  # BatchNorm's statistics
                own.lerp_(new, 1 - decay) if own.is_floating_point() else own.copy_(new)


class EpochMean:
    """Mean of the weights after each of the last epochs.

    Attributes
    ----------
    model : DINOCell or None
        Has the means, in eval mode; None before the first of these epochs. It shares the weights that do not
        learn with the models that it averages.
    count : int
        Number of epochs in the mean.
    """

    def __init__(self) -> None:
        self.model: DINOCell | None = None
        self.count = 0

    def add(self, model: DINOCell) -> None:
        """Add the weights after an epoch."""
        if self.model is None:
            self.begin(model, 0)
        assert self.model is not None  # noqa: S101 - begun above
        self.count += 1
        with torch.no_grad():
            for mean, new in zip(_changing(self.model), _changing(model), strict=True):
                mean.lerp_(new, 1 / self.count) if mean.is_floating_point() else mean.copy_(new)

    def begin(self, model: DINOCell, count: int) -> None:
        """Begin with the weights of a model as the mean of `count` epochs."""
        shared = {id(weight): weight for weight in model.parameters() if not weight.requires_grad}
        self.model, self.count = copy.deepcopy(model, shared).eval(), count

    def clear(self) -> None:
        """Forget all epochs."""
        self.model, self.count = None, 0


def _changing(model: nn.Module) -> list[Tensor]:
    """Return the weights that learn, and the statistics that are gathered."""
    return [*_learning(model), *model.buffers()]


def _learning(model: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in model.parameters() if weight.requires_grad]
