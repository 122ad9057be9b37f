"""Loss that training minimises: between the predicted and the true map."""

from typing import Literal

import torch
from torch import Tensor, nn

from dinocell.training.config import Loss


def pixel_counts(distance: Tensor, valid: Tensor) -> Tensor:
    """Count the pixels that the loss is averaged over: the valid ones, and those of them in cells.

    Parameters
    ----------
    distance : float tensor, shape (B, Y, X)
    valid : bool tensor, shape (B, Y, X)

    Returns
    -------
    int64 tensor, shape (2,)
        Counts of several batches, also of several devices, are added up.
    """
    cells = valid & (distance > 0)
    return torch.stack((valid.sum(), cells.sum()))


def map_loss(logits: Tensor, distance: Tensor, valid: Tensor, counts: Tensor, loss: Loss) -> Tensor:
    """Compute the loss between the sigmoid of the logits and the distance map.

    Parameters
    ----------
    logits, distance : float tensor, shape (B, Y, X)
    valid : bool tensor, shape (B, Y, X)
        Other pixels are ignored.
    counts : tensor, shape (2,)
        Divisors of the sums over pixels: `pixel_counts` of all batches whose gradients are added up. Two
        batches with 3 and 1 valid pixels weigh 3 to 1, as one batch of 4 would.
    loss : Loss

    Returns
    -------
    float32 tensor, shape ()
    """
    counts = counts.clamp(min=1).to(logits.device)
    losses = pixel_losses(logits, distance, loss.kind) * valid
    total = losses.sum() / counts[0]
    if loss.foreground:
        total = total + loss.foreground * (losses * (distance > 0)).sum() / counts[1]
    return total.float()


def pixel_losses(logits: Tensor, distance: Tensor, kind: Literal["mse", "bce"]) -> Tensor:
    """Compute the loss of every pixel: float32 tensor of the same shape."""
    logits = logits.float()
    if kind == "mse":
        return (torch.sigmoid(logits) - distance).square()
    return nn.functional.binary_cross_entropy_with_logits(logits, distance, reduction="none")
