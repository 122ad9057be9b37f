"""The moving average of a model's weights, which is what is validated and saved."""

import copy

from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from dinocell.models.network.dinocell import DINOCell


class WeightAverage:
    """An exponential moving average of the weights that learn, beginning with the weights as they are.

    Parameters
    ----------
    model : DINOCell
        What learns of it must be settled: see `dinocell.training.adaptation.adapt`.
    decay : float
        0 ≤ decay < 1; after an update the average is ``decay * average + (1 - decay) * weights``, where the
        decay of step n is (1 + n) / (10 + n) at most.

    Attributes
    ----------
    model : DINOCell
        Has the averages, in eval mode. Weights that do not learn are the first model's own, in memory and in
        a file that both are saved to by one `torch.save`; at decay 0, where nothing is averaged, all are.
    """

    def __init__(self, model: DINOCell, decay: float) -> None:
        own = {id(weight): weight for weight in model.parameters() if decay == 0 or not weight.requires_grad}
        self.model = copy.deepcopy(model, own).eval()  # what is in its memo is not copied
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
        decay = min(
            self._decay, (1 + step) / (10 + step)
        )  # the random weights of the start are soon forgotten
        if self._decay:  # only what learns: most of a large model may be frozen
            get_ema_multi_avg_fn(decay)(_learning(self.model), _learning(model), 0)


def _learning(model: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in model.parameters() if weight.requires_grad]
