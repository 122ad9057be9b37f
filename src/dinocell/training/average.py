"""Moving average of a model's weights, which is validated and saved in their place."""

import copy

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


def _learning(model: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in model.parameters() if weight.requires_grad]
