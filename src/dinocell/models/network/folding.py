"""Folding of BatchNorm into the convolutions before it.

With fixed mean µ and variance v, BatchNorm is γ·(w∗x − µ)/√(v + ε) + β: a convolution with the weights
w·γ/√(v + ε) and the bias β − µ·γ/√(v + ε). A folded network computes the same with fewer steps, and no batch
that it later sees can change it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

_EPSILON = nn.BatchNorm2d(1).eps
_CONVOLUTION, _NORM = "0.", "1."  # names of the two parts of a `NormedConv`
_VARIANCE = _NORM + "running_var"


def folded_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fold every BatchNorm of a network's weights into the convolution before it.

    Parameters
    ----------
    weights : mapping of str to tensor
        State of a network whose norms are ``batch``; not changed.

    Returns
    -------
    dict of str to tensor
        State of the same network whose norms are ``folded``.
    """
    folded = dict(weights)
    for key in weights:
        if key.endswith(_VARIANCE):
            _fold(folded, key.removesuffix(_VARIANCE))
    return folded


def _fold(weights: dict[str, Tensor], block: str) -> None:
    """Replace convolution and norm below the name `block` by one convolution."""
    kernel, norm = block + _CONVOLUTION + "weight", block + _NORM
    names = ("weight", "bias", "running_mean", "running_var")
    gain, offset, mean, variance = (weights.pop(norm + name).double() for name in names)
    weights.pop(norm + "num_batches_tracked", None)
    factor = gain / torch.sqrt(variance + _EPSILON)
    weights[block + _CONVOLUTION + "bias"] = (offset - mean * factor).float()
    weights[kernel] = (weights[kernel].double() * factor.view(-1, 1, 1, 1)).float()
